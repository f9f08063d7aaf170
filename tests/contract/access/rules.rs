//! Rules for methods and paths, and the spellings that must not get around them.

use std::path::Path;

use http::HeaderMap;
use tempfile::TempDir;

use super::{problem, reached, send};
use crate::support::{Launch, Metrics, Setup, serve};

const ME: &str = "/api/v2/users/me";

async fn denying(rules: &str) -> Setup {
    Setup::launched(|launch| launch.variable("CXONE_PROXY_DENY", rules)).await
}

#[tokio::test]
async fn what_is_denied_is_answered_403_in_every_spelling() {
    let setup = denying("* /api/v2/users*").await;
    for (target, expected) in [
        (ME, "access-denied"),
        ("/api/v2/users?x=/api/v2/echo", "access-denied"),
        ("/%61pi/v2/u%73ers/me", "access-denied"),
        ("/api//v2///users/me", "access-denied"),
        ("/API/V2/Users/me", "access-denied"),
        ("//api/v2/users/me", "ambiguous-path"),
        ("/api/v2/x/../users/me", "ambiguous-path"),
        ("/api/v2/./users/me", "ambiguous-path"),
        ("/api/v2/x/%2e%2E/users/me", "ambiguous-path"),
        ("/api/v2%2Fusers/me", "ambiguous-path"),
        ("/api/v2%2fusers/me", "ambiguous-path"),
        ("/api/v2%5cusers/me", "ambiguous-path"),
        ("/api/v2\\users/me", "ambiguous-path"),
        ("/api/v2;x/users/me", "ambiguous-path"),
        ("/api/v2%3bx/users/me", "ambiguous-path"),
        ("/api/v2/%2575sers/me", "ambiguous-path"),
        ("/api/v2/%zz/users/me", "ambiguous-path"),
        ("/api/v2/users%00", "ambiguous-path"),
        ("/api/v2/%c0%afusers", "ambiguous-path"),
        ("/api/v2/u%C5%BFers", "ambiguous-path"),
    ] {
        let response = send(&setup, "GET", target, "").await;
        assert_eq!((response.status(), problem(&response)), (403, expected.to_owned()), "{target}");
        assert!(response.only("proxy-status").unwrap().contains("http_request_denied"), "{target}");
        let hint = response.json()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("access.deny"), "the hint names the setting: {hint}");
    }
    assert_eq!(reached(&setup), 0);
    assert_eq!(send(&setup, "GET", "/api/v2/echo", "").await.status(), 200);
    let absolute = format!("http://{}{ME}", setup.proxy.proxy_address());
    assert_eq!(send(&setup, "GET", &absolute, "").await.status(), 403);
    assert_eq!(reached(&setup), 1);
    let metrics: Metrics = setup.metrics().await;
    assert_eq!(metrics.count("cxone_proxy_errors_total", &[("type", "access-denied")]), 6);
    assert_eq!(metrics.count("cxone_proxy_requests_total", &[("method", "GET"), ("status", "403")]), 21);
    let line = setup.proxy.event("request not allowed").await;
    assert_eq!((&line["reason"], &line["level"]), (&"access-denied".into(), &"WARN".into()));
    let lines = setup.proxy.events().iter().filter(|event| event["reason"] == "access-denied").count();
    assert_eq!(lines, 1, "equal lines are not repeated");
}

#[tokio::test]
async fn rules_hold_over_http2_and_for_websockets() {
    let setup = denying("* /api/v2/users*,GET /api/v2/ws").await;
    let client = setup.http2().await;
    for (target, expected) in [(ME, 403), ("/api/v2/x/../users/me", 403), ("/api/v2/echo", 200)] {
        let head = client.request("GET", target);
        assert_eq!(client.fetch(head, b"", HeaderMap::new()).await.unwrap().status, expected, "{target}");
    }
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(send(&setup, "GET", "/api/v2/ws", fields).await.status(), 403);
}

#[tokio::test]
async fn only_what_is_allowed_passes_and_deny_wins() {
    let setup = Setup::launched(|launch| {
        launch
            .variable("CXONE_PROXY_ALLOW", "GET /api/v2/*,POST /api/v2/echo")
            .variable("CXONE_PROXY_DENY", "* /api/v2/users*")
    })
    .await;
    for (method, target, expected) in [
        ("GET", "/api/v2/echo", ""),
        ("POST", "/api/v2/echo", ""),
        ("GET", ME, "access-denied"),
        ("PUT", "/api/v2/echo", "access-not-allowed"),
        ("POST", "/api/v2/echo/more", "access-not-allowed"),
        ("GET", "/other", "access-not-allowed"),
        ("GET", "/api/v2/../../other", "ambiguous-path"),
    ] {
        let response = send(&setup, method, target, "").await;
        if expected.is_empty() {
            assert_eq!(response.status(), 200, "{method} {target}");
        } else {
            assert_eq!(
                (response.status(), problem(&response)),
                (403, expected.to_owned()),
                "{method} {target}"
            );
        }
    }
    assert_eq!(reached(&setup), 2);
}

#[tokio::test]
async fn read_only_lets_reading_pass_and_nothing_that_turns_it_into_writing() {
    let setup = Setup::launched(|launch| launch.variable("CXONE_PROXY_READ_ONLY", "true")).await;
    for method in ["POST", "PUT", "PATCH", "DELETE", "get"] {
        let response = send(&setup, method, "/api/v2/echo", "").await;
        assert_eq!((response.status(), problem(&response)), (403, "access-read-only".to_owned()), "{method}");
        let hint = response.json()["hint"].as_str().unwrap().to_owned();
        assert!(hint.contains("CXONE_PROXY_READ_ONLY"), "{hint}");
    }
    for field in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_Method_Override"] {
        let response = send(&setup, "GET", "/api/v2/echo", &format!("{field}: DELETE\r\n")).await;
        assert_eq!((response.status(), problem(&response)), (403, "method-override".to_owned()), "{field}");
    }
    let response = send(&setup, "GET", "/api/v2/echo?_method=DELETE", "").await;
    assert_eq!(problem(&response), "method-override");
    assert_eq!(reached(&setup), 0);
    for (method, target) in
        [("GET", "/api/v2/echo"), ("HEAD", ME), ("OPTIONS", "/api/v2/echo"), ("GET", "/a/../%2F")]
    {
        let status = setup.connect().await.head_of(method, target).await;
        assert!(status != 403, "{method} {target}: {status}");
    }
    assert_eq!(reached(&setup), 4);
}

#[tokio::test]
async fn a_preflight_is_answered_whatever_the_rules_and_a_refusal_can_be_read_by_the_page() {
    let setup = Setup::launched(|launch| {
        launch.flag("allowed-origins", "https://app.example").flag("allow", "GET /api/v2/users*")
    })
    .await;
    let fields = "Origin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\n";
    assert_eq!(send(&setup, "OPTIONS", "/api/v2/echo", fields).await.status(), 204);
    let response = send(&setup, "PUT", "/api/v2/echo", "Origin: https://app.example\r\n").await;
    assert_eq!(problem(&response), "access-not-allowed");
    assert_eq!(response.only("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(reached(&setup), 0);
}

#[tokio::test]
async fn rules_are_for_the_path_that_the_api_gets_behind_its_base_url() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("proxy.toml");
    let setup = Setup::launched(|launch| {
        let url = launch.value("CXONE_BASE_URL").unwrap().display().to_string();
        let text = format!(
            "[access]\ndeny = [\"* /api/v2/users*\"]\n[[profile]]\nname = \"own\"\npath_prefix = \"/own\"\n\
             strip_prefix = true\n[profile.upstream]\nbase_url = \"{url}\"\n"
        );
        std::fs::write(&file, text).unwrap();
        launch.without_variable("CXONE_BASE_URL").flag("config", &file)
    })
    .await;
    for (target, expected) in
        [("/own/api/v2/echo", 200), ("/own/api/v2/users/me", 403), ("/own//api/v2/users/me", 403)]
    {
        assert_eq!(send(&setup, "GET", target, "").await.status(), expected, "{target}");
    }
}

/// The list in docs/security.md, as it stands there.
fn documented() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut examples = text.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let (_, rules) = examples.find_map(|example| example.split_once("[access]")).unwrap();
    format!("[access]{rules}")
}

#[tokio::test]
async fn the_documented_list_denies_what_mints_shows_or_revokes_tokens_and_access_keys() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("proxy.toml");
    std::fs::write(&file, documented()).unwrap();
    let setup = Setup::launched(|launch| launch.flag("config", &file)).await;
    for (method, target) in [
        ("POST", "/api/v2/oauth/token"),
        ("POST", "/API/v2/OAuth/revoke"),
        ("POST", "/auth/token"),
        ("GET", "/auth/authorize"),
        ("POST", "/authentication/v1/token/access-key"),
        ("GET", "/access-key-management/v1/access-keys"),
        ("POST", "/access-key-management/v1/access-keys"),
        ("POST", "/public/user/refresh"),
        ("POST", "/InContactAuthorizationServer/Token"),
        ("POST", "/incontactauthorizationserver/token"),
    ] {
        let response = send(&setup, method, target, "").await;
        assert_eq!((response.status(), problem(&response)), (403, "access-denied".to_owned()), "{target}");
    }
    assert_eq!(reached(&setup), 0);
    assert_eq!(send(&setup, "GET", ME, "").await.status(), 200);
}

#[tokio::test]
async fn a_rule_that_is_none_is_an_error_that_says_what_is_accepted() {
    let offline = || serve("https://api.example").variable("HTTPS_PROXY", "http://127.0.0.1:9");
    let refused = async |launch: Launch, expected: &[&str]| {
        let (status, _, log) = launch.run().await;
        assert_eq!(status.code(), Some(2), "{log}");
        for expected in expected {
            assert!(log.contains(expected), "{expected:?} is missing: {log}");
        }
    };
    for (rule, why) in [
        ("/api/v2/users*", "has no method before its path"),
        ("get /api", "small letters"),
        ("GET /a/*/b", "a star that is not at its end"),
        ("GET /a%2fb", "`%`, `?` or `#`"),
        ("GET /a/../b", "`..`"),
    ] {
        refused(offline().flag("deny", rule), &["access.deny", "--deny", why, "accepted: rules such as"])
            .await;
    }
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("proxy.toml");
    std::fs::write(&file, "[access]\nread_only = true\nallow = [\"GET users\"]\n").unwrap();
    let place = format!("{}:3", file.display());
    refused(offline().flag("config", &file), &["access.allow", &place, "`GET users`", "begin with a slash"])
        .await;
}

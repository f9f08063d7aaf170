//! Section 12: tokens for proxies that are there already.

use std::net::SocketAddr;

use cxone_simulator::Endpoint;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Launch, Message, Metrics, Nginx, RawConnection, Setup, eventually, request, serve};

const ME: &str = "/api/v2/users/me";

struct Source(Setup);

impl Source {
    async fn launched(launch: impl FnOnce(Launch) -> Launch) -> Self {
        Self(Setup::launched(|own| launch(own.flag("auth-listen", "127.0.0.1:0"))).await)
    }

    async fn address(&self) -> SocketAddr {
        self.0.proxy.event("listening").await["auth"].as_str().unwrap().parse().unwrap()
    }

    async fn ask(&self, method: &str, target: &str, fields: &str) -> Message {
        RawConnection::to(self.address().await).await.fetch(request(method, target, fields, "")).await
    }

    async fn generation(&self) -> Value {
        self.0.status().await["token"]["generation"].clone()
    }
}

fn problem(response: &Message) -> String {
    response.json()["type"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned()
}

#[tokio::test]
async fn the_token_is_given_and_nothing_is_sent_to_the_api() {
    let source = Source::launched(|launch| launch).await;
    let answer = source.ask("GET", "/auth", "").await;
    assert_eq!((answer.status(), answer.only("cache-control")), (200, Some("no-store")));
    let token = answer.only("authorization").unwrap().to_owned();
    assert!(token.starts_with("Bearer ") && token.len() > 20);
    assert_eq!(answer.only("x-token-generation"), Some("1"));
    assert!(source.0.region.journal().iter().all(|entry| entry.endpoint != Endpoint::Api));
    // It opens the API.
    let region: SocketAddr = source.0.region.address();
    let mut api = RawConnection::to(region).await;
    let asked = api.fetch(request("GET", ME, &format!("Authorization: {token}\r\n"), "")).await;
    assert_eq!(asked.status(), 200);
    for (method, target, status) in
        [("POST", "/auth", 405), ("GET", "/auth/rejected", 405), ("GET", ME, 404), ("GET", "/", 404)]
    {
        assert_eq!(source.ask(method, target, "").await.status(), status, "{method} {target}");
    }
    assert_eq!(source.ask("GET", "/auth", "Origin: https://evil.example\r\n").await.status(), 403);
    // The listener for clients has no such page: it forwards.
    assert_eq!(source.0.get("/auth").await.status(), 404);
}

#[tokio::test]
async fn rules_are_for_the_original_request() {
    let source = Source::launched(|launch| launch.flag("deny", "* /api/v2/users*")).await;
    let nginx = |method: &str, uri: &str| format!("X-Original-Method: {method}\r\nX-Original-URI: {uri}\r\n");
    let traefik =
        |method: &str, uri: &str| format!("X-Forwarded-Method: {method}\r\nX-Forwarded-Uri: {uri}\r\n");
    for (fields, expected) in [
        (nginx("GET", "/api/v2/echo?x=/api/v2/users"), ""),
        (traefik("POST", "/api/v2/echo"), ""),
        (nginx("GET", ME), "access-denied"),
        (traefik("DELETE", "/api/v2/%75sers/1"), "access-denied"),
        (nginx("GET", "/api/v2/x/../users"), "ambiguous-path"),
        (String::new(), "original-request-missing"),
        // A client that says what its proxy does not.
        (nginx("GET", "/api/v2/echo") + &traefik("GET", ME), "original-request-unclear"),
        (nginx("GET", "/api/v2/echo") + "X-Original-URI: /api/v2/users\r\n", "original-request-unclear"),
        (nginx("GET", "http://other/api/v2/echo"), "original-request-unclear"),
        (nginx("GE T", "/api/v2/echo"), "original-request-unclear"),
    ] {
        let answer = source.ask("GET", "/auth", &fields).await;
        if expected.is_empty() {
            assert_eq!(answer.status(), 200, "{fields}: {}", answer.text());
        } else {
            assert_eq!(problem(&answer), expected, "{fields}");
            assert_eq!(answer.only("authorization"), None);
        }
    }
}

#[tokio::test]
async fn a_token_that_the_api_rejected_is_replaced() {
    let source = Source::launched(|launch| launch).await;
    let token = source.ask("GET", "/auth", "").await.only("authorization").unwrap().to_owned();
    // A token that is not the current one changes nothing.
    let old = source.ask("POST", "/auth/rejected", "Authorization: Bearer other\r\n").await;
    assert_eq!((old.status(), source.generation().await), (204, 1.into()));
    let shown = format!("Authorization: {token}\r\nX-Original-Method: GET\r\nX-Original-URI: {ME}\r\n");
    assert_eq!(source.ask("POST", "/auth/rejected", &shown).await.status(), 204);
    eventually("another token", async || (source.generation().await == 2).then_some(())).await;
    assert_ne!(source.ask("GET", "/auth", "").await.only("authorization"), Some(&*token));
    assert_eq!(source.ask("POST", "/auth/rejected", "X-Token-Generation: 1\r\n").await.status(), 204);
    assert_eq!(source.generation().await, 2);
    assert_eq!(source.ask("POST", "/auth/rejected", "").await.status(), 400);
}

#[tokio::test]
async fn clients_are_asked_for_their_keys() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("clients.toml");
    // Of the text `key`.
    let digest = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";
    std::fs::write(
        &path,
        format!("[[client]]\nname = \"one\"\nkey_sha256 = \"{digest}\"\ndeny = [\"* /api/v2/users*\"]\n"),
    )
    .unwrap();
    let source = Source::launched(|launch| launch.flag("clients", &path)).await;
    let asked = "X-Original-Method: GET\r\nX-Original-URI: /api/v2/echo\r\n";
    let denied = "X-Original-Method: GET\r\nX-Original-URI: /api/v2/users\r\n";
    for (fields, status) in [
        (asked.to_owned(), 401),
        (format!("Authorization: Bearer key\r\n{asked}"), 200),
        (format!("X-Proxy-Key: key\r\n{denied}"), 403),
    ] {
        assert_eq!(source.ask("GET", "/auth", &fields).await.status(), status, "{fields}");
    }
    let metrics: Metrics = source.0.metrics().await;
    assert_eq!(
        metrics.count("cxone_proxy_client_requests_total", &[("client", "one"), ("status", "200")]),
        1
    );
}

#[tokio::test]
async fn a_client_says_nothing_about_profiles_that_are_not_its_own() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("clients.toml");
    let digest = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";
    std::fs::write(
        &path,
        format!("[[client]]\nname = \"one\"\nkey_sha256 = \"{digest}\"\nprofiles = [\"first\"]\n"),
    )
    .unwrap();
    let config = files.path().join("proxy.toml");
    let profile = |name: &str| format!("[[profile]]\nname = \"{name}\"\npath_prefix = \"/{name}\"\n");
    std::fs::write(&config, profile("first") + &profile("second")).unwrap();
    let source = Source::launched(|launch| launch.flag("clients", &path).flag("config", &config)).await;
    let ask = async |method: &str, target: &str| {
        source.ask(method, target, "X-Proxy-Key: key\r\nX-Token-Generation: 1\r\n").await
    };
    assert_eq!(ask("GET", "/auth?profile=first").await.status(), 200);
    for (method, target) in [("GET", "/auth?profile=second"), ("POST", "/auth/rejected?profile=second")] {
        assert_eq!(problem(&ask(method, target).await), "profile-not-allowed", "{method} {target}");
    }
    assert_eq!(problem(&ask("GET", "/auth?profile=third").await), "no-profile");
}

#[tokio::test]
async fn other_machines_need_a_clients_file() {
    let launch = || serve("http://127.0.0.1:9").flag("allowed-hosts", "proxy.example");
    let (status, _, complaint) = launch().flag("auth-listen", "0.0.0.0:0").run().await;
    assert_eq!(status.code(), Some(2));
    assert!(complaint.contains("auth.listen") && complaint.contains("clients_file"), "{complaint}");
    let (_, _, complaint) =
        launch().flag("auth-listen", "127.0.0.1:7777").flag("listen", "127.0.0.1:7777").run().await;
    assert!(complaint.contains("is taken by the listener"), "{complaint}");
}

/// The file of `deploy/`, with the addresses of this test and without TLS to the API.
fn nginx_conf(tokens: SocketAddr, api: SocketAddr) -> String {
    let text = include_str!("../../deploy/nginx-auth.conf");
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("proxy_ssl"));
    lines
        .collect::<Vec<_>>()
        .join("\n")
        .replace("127.0.0.1:8082", &tokens.to_string())
        .replace("https://cxone_api", "http://cxone_api")
        .replace("server api.cxone.com:443", &format!("server {api}"))
}

#[tokio::test]
async fn a_real_nginx_gets_its_tokens_here() {
    let source = Source::launched(|launch| launch.flag("deny", "* /api/v2/users/me*")).await;
    let conf = nginx_conf(source.address().await, source.0.region.address());
    let Some(nginx) = Nginx::start(&conf).await else { return };
    let mut client = nginx.connect().await;
    for (method, target, fields, status) in [
        ("GET", "/api/v2/echo?x=1", "", 200),
        ("POST", "/api/v2/echo", "", 200),
        ("GET", ME, "", 403),
        // What a client says of its own request does not count.
        ("GET", ME, "X-Original-URI: /api/v2/echo\r\nX-Forwarded-Uri: /api/v2/echo\r\n", 403),
    ] {
        let answer = client.fetch(request(method, target, fields, "")).await;
        assert_eq!(answer.status(), status, "{method} {target}: {}", answer.text());
    }
    let api = source.0.region.journal().into_iter().filter(|entry| entry.endpoint == Endpoint::Api).count();
    assert_eq!(api, 2);
}

//! No token: 502 where a person has to fix something, 503 where it may come by itself.

use cxone_simulator::{Action, Canned, Ending, Endpoint, Fault, Region, Script, Settings, Tls};

use super::{problem, reached};
use crate::support::{RawConnection, Setup, Upstream, get, serve};

/// A region whose token endpoint does this from the start, and a program that waits a second.
async fn setup(action: Action) -> Setup {
    let script = Script::of([Fault::new(action).at(Endpoint::Token)]);
    let settings = Settings { script, ..Settings::default() };
    Setup::with(settings, |launch| launch.flag("max-wait", "1s")).await
}

async fn is_configuration_error(action: Action) -> String {
    let setup = setup(action).await;
    let response = setup.get("/api/v2/users/me").await;
    assert_eq!(reached(&setup), [""; 0]);
    let retry_after: u64 = response.only("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");
    problem(&response, 502, "proxy_configuration_error")
}

async fn is_temporary(action: Action) {
    let setup = setup(action).await;
    let response = setup.get("/api/v2/users/me").await;
    problem(&response, 503, "destination_unavailable");
    assert!(response.only("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(reached(&setup), [""; 0]);
}

#[tokio::test]
async fn refused_credentials_are_502_and_the_hint_says_which() {
    let hint =
        is_configuration_error(Action::Status(Canned::new(401).body(r#"{"error":"invalid_client"}"#))).await;
    assert!(hint.contains("CXONE_CLIENT_SECRET"), "{hint}");
    let hint =
        is_configuration_error(Action::Status(Canned::new(400).body(r#"{"error":"invalid_scope"}"#))).await;
    assert!(hint.contains("CXONE_SCOPES"), "{hint}");
    let hint = is_configuration_error(Action::Status(Canned::new(404))).await;
    assert!(hint.contains("CXONE_TOKEN_URL"), "{hint}");
}

#[tokio::test]
async fn unusable_token_responses_are_502() {
    for body in [
        "",
        "<html><body>Sign in</body></html>",
        "{}",
        r#"{"token_type":"Bearer","expires_in":3600}"#,
        r#"{"access_token":"","token_type":"Bearer"}"#,
        r#"{"access_token":"a\nb","token_type":"Bearer"}"#,
        r#"{"access_token":"a\u0000b","token_type":"Bearer"}"#,
        r#"{"access_token":7,"token_type":"Bearer"}"#,
        r#"{"access_token":"t","token_type":"mac"}"#,
        "[1,2",
    ] {
        is_configuration_error(Action::Status(
            Canned::new(200).field("Content-Type", "application/json").body(body),
        ))
        .await;
    }
}

#[tokio::test]
async fn an_endless_token_response_is_unusable_and_not_kept() {
    let garbage = Canned { repeat: 10_000, ..Canned::new(200).body(&"x".repeat(1024)) };
    let setup = setup(Action::Status(garbage)).await;
    let response = setup.get("/api/v2/users/me").await;
    problem(&response, 502, "proxy_configuration_error");
    assert!(setup.proxy.peak_memory() < 64 * 1024, "{} KiB", setup.proxy.peak_memory());
}

#[tokio::test]
async fn a_redirect_of_a_token_request_is_502_and_not_followed() {
    let elsewhere = Upstream::start().await;
    for status in [301, 302, 307, 308] {
        let location = format!("{}/token", elsewhere.base_url());
        let hint =
            is_configuration_error(Action::Status(Canned::new(status).field("Location", &location))).await;
        assert!(hint.contains("CXONE_TOKEN_URL"), "{hint}");
    }
    assert!(elsewhere.stays_unconnected().await, "credentials go to the configured address only");
}

#[tokio::test]
async fn an_untrusted_token_endpoint_is_502() {
    let region = Region::start(Settings { tls: Some(Tls::default()), ..Settings::default() }).await.unwrap();
    let proxy = serve(&region.base_url()).listening().await;
    let response = RawConnection::to(proxy.proxy_address()).await.fetch(get("/api/v2/users/me")).await;
    let hint = problem(&response, 502, "proxy_configuration_error");
    assert!(hint.contains("CXONE_CA_FILE"), "{hint}");
    assert_eq!(region.token_requests(), 0);
}

#[tokio::test]
async fn a_token_endpoint_in_trouble_is_503_with_retry_after() {
    for status in [429, 500, 502, 503] {
        is_temporary(Action::Status(Canned::new(status))).await;
    }
    is_temporary(Action::DropBefore { how: Ending::Reset }).await;
    is_temporary(Action::DropBefore { how: Ending::Stall }).await;
}

#[tokio::test]
async fn a_token_endpoint_that_is_away_is_503_and_recovers() {
    let setup = setup(Action::Delay { ms: 0 }).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    // Another program starts while the token endpoint is away.
    setup.region.kill().await;
    let late = serve(&setup.region.base_url()).flag("max-wait", "300ms").listening().await;
    let response = RawConnection::to(late.proxy_address()).await.fetch(get("/api/v2/users/me")).await;
    problem(&response, 503, "destination_unavailable");
    assert!(response.only("retry-after").is_some());
    setup.region.restart().await.unwrap();
    crate::support::eventually("a token", async || {
        let response = RawConnection::to(late.proxy_address()).await.fetch(get("/api/v2/users/me")).await;
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_retry_after_of_the_token_endpoint_reaches_the_client() {
    let setup = setup(Action::Status(Canned::new(429).field("Retry-After", "60"))).await;
    let response = setup.get("/api/v2/users/me").await;
    problem(&response, 503, "destination_unavailable");
    let seconds: u64 = response.only("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&seconds), "{seconds}");
    assert_eq!(setup.region.token_requests(), 1, "it is not asked before its time");
}

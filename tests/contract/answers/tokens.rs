//! No token: 502 where somebody has to mend something, 503 where it may come by itself.

use cxone_proxy::simulator::{Action, Canned, Ending, Endpoint, Fault, Region, Script, Settings, Tls};

use super::{problem, reached};
use crate::support::{Stage, Upstream, Wire, get, serve};

/// A region whose token endpoint does this from the start, and a program that waits a second.
async fn stage(action: Action) -> Stage {
    let script = Script::of([Fault::new(action).at(Endpoint::Token)]);
    let settings = Settings { script, ..Settings::default() };
    Stage::with(settings, |launch| launch.flag("max-wait", "1s")).await
}

async fn mend(action: Action) -> String {
    let stage = stage(action).await;
    let reply = stage.get("/api/v2/users/me").await;
    assert_eq!(reached(&stage), [""; 0]);
    assert!(reply.only("retry-after").is_none());
    problem(&reply, 502, "proxy_configuration_error")
}

async fn wait(action: Action) {
    let stage = stage(action).await;
    let reply = stage.get("/api/v2/users/me").await;
    problem(&reply, 503, "destination_unavailable");
    assert!(reply.only("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(reached(&stage), [""; 0]);
}

#[tokio::test]
async fn refused_credentials_are_502_and_the_hint_says_which() {
    let hint = mend(Action::Status(Canned::new(401).body(r#"{"error":"invalid_client"}"#))).await;
    assert!(hint.contains("CXONE_CLIENT_SECRET"), "{hint}");
    let hint = mend(Action::Status(Canned::new(400).body(r#"{"error":"invalid_scope"}"#))).await;
    assert!(hint.contains("CXONE_SCOPES"), "{hint}");
    let hint = mend(Action::Status(Canned::new(404))).await;
    assert!(hint.contains("CXONE_TOKEN_URL"), "{hint}");
}

#[tokio::test]
async fn unusable_answers_are_502() {
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
        mend(Action::Status(Canned::new(200).field("Content-Type", "application/json").body(body))).await;
    }
}

#[tokio::test]
async fn an_endless_answer_is_unusable_and_not_kept() {
    let garbage = Canned { repeat: 10_000, ..Canned::new(200).body(&"x".repeat(1024)) };
    let stage = stage(Action::Status(garbage)).await;
    let reply = stage.get("/api/v2/users/me").await;
    problem(&reply, 502, "proxy_configuration_error");
    assert!(stage.proxy.peak_memory() < 64 * 1024, "{} KiB", stage.proxy.peak_memory());
}

#[tokio::test]
async fn a_redirect_is_502_and_nobody_follows_it() {
    let elsewhere = Upstream::start().await;
    for status in [301, 302, 307, 308] {
        let location = format!("{}/token", elsewhere.base_url());
        let hint = mend(Action::Status(Canned::new(status).field("Location", &location))).await;
        assert!(hint.contains("CXONE_TOKEN_URL"), "{hint}");
    }
    let asked = tokio::time::timeout(std::time::Duration::from_millis(100), elsewhere.accept()).await;
    assert!(asked.is_err(), "credentials go to the configured address only");
}

#[tokio::test]
async fn an_untrusted_token_endpoint_is_502() {
    let region = Region::start(Settings { tls: Some(Tls::default()), ..Settings::default() }).await.unwrap();
    let proxy = serve(&region.base_url()).listening().await;
    let reply = Wire::to(proxy.proxy_address()).await.ask(get("/api/v2/users/me")).await;
    let hint = problem(&reply, 502, "proxy_configuration_error");
    assert!(hint.contains("CXONE_CA_FILE"), "{hint}");
    assert_eq!(region.token_requests(), 0);
}

#[tokio::test]
async fn a_token_endpoint_in_trouble_is_503_with_retry_after() {
    for status in [429, 500, 502, 503] {
        wait(Action::Status(Canned::new(status))).await;
    }
    wait(Action::DropBefore { how: Ending::Reset }).await;
    wait(Action::DropBefore { how: Ending::Stall }).await;
}

#[tokio::test]
async fn a_token_endpoint_that_is_away_is_503_and_recovers() {
    let stage = stage(Action::Delay { ms: 0 }).await;
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 200);
    // Only the token endpoint matters here: another program starts while nobody is there.
    stage.region.kill().await;
    let late = serve(&stage.region.base_url()).flag("max-wait", "300ms").listening().await;
    let reply = Wire::to(late.proxy_address()).await.ask(get("/api/v2/users/me")).await;
    problem(&reply, 503, "destination_unavailable");
    assert!(reply.only("retry-after").is_some());
    stage.region.restart().await.unwrap();
    crate::support::eventually("a token", async || {
        let reply = Wire::to(late.proxy_address()).await.ask(get("/api/v2/users/me")).await;
        (reply.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_retry_after_of_the_token_endpoint_is_told() {
    let stage = stage(Action::Status(Canned::new(429).field("Retry-After", "60"))).await;
    let reply = stage.get("/api/v2/users/me").await;
    problem(&reply, 503, "destination_unavailable");
    let seconds: u64 = reply.only("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&seconds), "{seconds}");
    assert_eq!(stage.region.token_requests(), 1, "it is not asked before its time");
}

//! What becomes of requests while there is no token to be had.

use std::time::Duration;

use cxone_proxy::simulator::{Action, Canned, Ending, Endpoint, Fault, Region, Script, Settings, Tls};
use tokio::time::{Instant, sleep};

use super::{at_once, attempts, pauses};
use crate::support::{Message, Stage, Wire, eventually, get, serve};

fn at_token(action: Action) -> Settings {
    Settings { script: Script::of([Fault::new(action).at(Endpoint::Token)]), ..Settings::default() }
}

fn assert_problem(reply: &Message, status: u16) {
    assert_eq!(reply.status(), status, "{}", reply.text());
    assert_eq!(reply.only("Content-Type"), Some("application/problem+json"));
    assert!(reply.only("Proxy-Status").unwrap().starts_with("cxone-proxy; error="));
    assert!(!reply.json()["hint"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_at_start_means_503_after_max_wait_until_it_is_back() {
    let region = Region::start(Settings::default()).await.unwrap();
    region.kill().await;
    let proxy = serve(&region.base_url()).flag("max-wait", "400ms").listening().await;
    let mut client = Wire::to(proxy.proxy_address()).await;
    let began = Instant::now();
    let reply = client.ask(get("/api/v2/users/7")).await;
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_problem(&reply, 503);
    let retry_after: u64 = reply.only("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");

    eventually("the region's port", async || region.restart().await.ok()).await;
    eventually("the program recovers", async || {
        (client.ask(get("/api/v2/users/7")).await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(region.referee(), []);
}

#[tokio::test]
async fn a_request_that_waits_is_served_once_the_token_endpoint_is_back() {
    let fault = Fault::new(Action::DropBefore { how: Ending::Reset }).at(Endpoint::Token).times(2);
    let stage = Stage::of(Settings { script: Script::of([fault]), ..Settings::default() }).await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    assert_eq!(stage.region.token_requests(), 3);
}

#[tokio::test]
async fn refused_credentials_are_answered_502_at_once_and_not_hammered() {
    let stage = Stage::launched(|launch| launch.variable("CXONE_CLIENT_SECRET", "wrong")).await;
    let began = Instant::now();
    let mut rounds = 0;
    // Long enough for the first second of spacing to end, and not for the next two.
    while began.elapsed() < Duration::from_millis(1800) {
        for reply in at_once(&stage, 10, "/api/v2/users/7").await {
            assert_problem(&reply, 502);
        }
        rounds += 1;
        sleep(Duration::from_millis(100)).await;
    }
    assert!(rounds > 1, "the answers did not come at once");
    let pauses = pauses(&stage.region);
    assert!(pauses.len() <= 2, "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause >= Duration::from_millis(950)), "{pauses:?}");
    assert_eq!(attempts(&stage.region).len(), 0);
    assert!(!stage.proxy.log().join("\n").contains("wrong\""));
}

#[tokio::test]
async fn answers_that_cannot_be_used_are_502_with_a_hint() {
    let ok = |body: &str| Canned::new(200).field("Content-Type", "application/json").body(body);
    let garbage = Canned { repeat: 10 << 20, ..ok("x") };
    let redirect = Canned::new(307).field("Location", "/api/v2/oauth/token?again");
    for canned in [
        ok("{}"),
        ok(r#"{"token_type":"Bearer","expires_in":3600}"#),
        ok(r#"{"access_token":5,"token_type":"Bearer"}"#),
        ok(r#"{"access_token":"","token_type":"Bearer"}"#),
        ok(r#"{"access_token":"a\r\nX-Evil: 1","token_type":"Bearer"}"#),
        ok(r#"{"access_token":"a\u0000b","token_type":"Bearer"}"#),
        ok(r#"{"access_token":"abc","token_type":"mac"}"#),
        ok(r#"{"access_token":"abc","#),
        ok("[]"),
        ok(""),
        Canned::new(200).field("Content-Type", "text/html").body("<html><body>Log in!</body></html>"),
        Canned::new(204),
        Canned::new(400).body(r#"{"error":"invalid_scope"}"#),
        Canned::new(403).body("<html>"),
        Canned::new(404),
        redirect,
        garbage,
    ] {
        let name = format!("{} {:.40}", canned.status, canned.body);
        let stage = Stage::of(at_token(Action::Status(canned))).await;
        let reply = stage.get("/api/v2/users/7").await;
        assert_eq!(reply.status(), 502, "{name}: {}", reply.text());
        assert_problem(&reply, 502);
        assert_eq!(stage.region.journal().len(), 1, "{name}");
        let peak = stage.proxy.peak_memory();
        assert!(peak < 64 * 1024, "{name}: {peak} KiB");
    }
}

#[tokio::test]
async fn a_token_endpoint_with_an_untrusted_certificate_is_502() {
    let settings = Settings { tls: Some(Tls::default()), ..Settings::default() };
    let untrusted = Region::start(settings).await.unwrap();
    let token_url = untrusted.token_url();
    let stage = Stage::launched(|launch| launch.variable("CXONE_TOKEN_URL", token_url)).await;
    assert_problem(&stage.get("/api/v2/users/7").await, 502);
    assert!(untrusted.journal().is_empty());
}

#[tokio::test]
async fn the_token_endpoint_s_429_and_5xx_are_retried_not_before_they_say() {
    for status in [429, 500, 503] {
        let canned = Canned::new(status).field("Retry-After", "1");
        let fault = Fault::new(Action::Status(canned)).at(Endpoint::Token).times(1);
        let stage = Stage::of(Settings { script: Script::of([fault]), ..Settings::default() }).await;
        assert_eq!(stage.get("/api/v2/users/7").await.status(), 200, "{status}");
        let pauses = pauses(&stage.region);
        assert!(pauses.len() == 1 && pauses[0] >= Duration::from_millis(995), "{status}: {pauses:?}");
    }
}

#[tokio::test]
async fn while_the_token_endpoint_says_503_requests_are_answered_503() {
    let launch = |launch: crate::support::Launch| launch.flag("max-wait", "200ms");
    let stage = Stage::with(at_token(Action::Status(Canned::new(503))), launch).await;
    let reply = stage.get("/api/v2/users/7").await;
    assert_problem(&reply, 503);
    assert!(reply.only("Retry-After").is_some());
    // Failure is shared like success: nobody asks on their own.
    let before = stage.region.token_requests();
    for reply in at_once(&stage, 50, "/api/v2/users/7").await {
        assert_problem(&reply, 503);
    }
    assert!(stage.region.token_requests() <= before + 4, "{}", stage.region.token_requests());
}

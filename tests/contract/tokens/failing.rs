//! Responses to requests while no token can be obtained.

use std::time::Duration;

use cxone_simulator::{Action, Canned, Ending, Endpoint, Fault, Region, Script, Settings, Tls};
use tokio::time::Instant;

use super::{at_once, attempts, pauses};
use crate::support::{Message, RawConnection, Setup, eventually, get, serve};

fn at_token(action: Action) -> Settings {
    Settings { script: Script::of([Fault::new(action).at(Endpoint::Token)]), ..Settings::default() }
}

fn assert_problem(response: &Message, status: u16) {
    assert_eq!(response.status(), status, "{}", response.text());
    assert_eq!(response.only("Content-Type"), Some("application/problem+json"));
    assert!(response.only("Proxy-Status").unwrap().starts_with("cxone-proxy; error="));
    assert!(!response.json()["hint"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_at_start_means_503_after_max_wait_until_it_is_back() {
    let region = Region::start(Settings::default()).await.unwrap();
    region.kill().await;
    let proxy = serve(&region.base_url()).flag("max-wait", "400ms").listening().await;
    let mut client = RawConnection::to(proxy.proxy_address()).await;
    let began = Instant::now();
    let response = client.fetch(get("/api/v2/users/7")).await;
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_problem(&response, 503);
    let retry_after: u64 = response.only("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&retry_after), "{retry_after}");

    eventually("the region's port", async || region.restart().await.ok()).await;
    eventually("the program recovers", async || {
        (client.fetch(get("/api/v2/users/7")).await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(region.referee(), []);
}

#[tokio::test]
async fn a_request_that_waits_is_served_once_the_token_endpoint_is_back() {
    let fault = Fault::new(Action::DropBefore { how: Ending::Reset }).at(Endpoint::Token).times(2);
    let setup = Setup::of(Settings { script: Script::of([fault]), ..Settings::default() }).await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    assert_eq!(setup.region.token_requests(), 3);
}

#[tokio::test]
async fn refused_credentials_are_502_at_once_and_the_token_endpoint_is_spared() {
    let secret = "wr0ng-s3cret";
    let setup = Setup::launched(|launch| launch.variable("CXONE_CLIENT_SECRET", secret)).await;
    // Requests keep coming, ten at once, until the token endpoint has been asked three times.
    let mut rounds = 0;
    while setup.region.token_requests() < 3 {
        for response in at_once(&setup, 10, "/api/v2/users/7").await {
            assert_problem(&response, 502);
            assert!(!response.text().contains(secret), "{}", response.text());
        }
        rounds += 1;
    }
    // All these responses came while the refusal was remembered.
    assert!(rounds > 3, "{rounds}");
    let pauses = pauses(&setup.region);
    assert!(pauses[0] >= Duration::from_millis(950), "{pauses:?}");
    assert!(pauses[1] >= Duration::from_millis(1950), "{pauses:?}");
    assert_eq!(attempts(&setup.region).len(), 0);
    assert!(!setup.proxy.log().join("\n").contains(secret), "{:#?}", setup.proxy.log());
}

#[tokio::test]
async fn token_responses_that_cannot_be_used_are_502_with_a_hint() {
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
        let setup = Setup::of(at_token(Action::Status(canned))).await;
        let response = setup.get("/api/v2/users/7").await;
        assert_eq!(response.status(), 502, "{name}: {}", response.text());
        assert_problem(&response, 502);
        assert_eq!(setup.region.journal().len(), 1, "{name}");
        let peak = setup.proxy.peak_memory();
        assert!(peak < 64 * 1024, "{name}: {peak} KiB");
    }
}

#[tokio::test]
async fn a_token_endpoint_with_an_untrusted_certificate_is_502() {
    let settings = Settings { tls: Some(Tls::default()), ..Settings::default() };
    let untrusted = Region::start(settings).await.unwrap();
    let token_url = untrusted.token_url();
    let setup = Setup::launched(|launch| launch.variable("CXONE_TOKEN_URL", token_url)).await;
    assert_problem(&setup.get("/api/v2/users/7").await, 502);
    assert!(untrusted.journal().is_empty());
}

#[tokio::test]
async fn the_token_endpoint_s_429_and_5xx_are_retried_not_before_they_say() {
    for status in [429, 500, 503] {
        let canned = Canned::new(status).field("Retry-After", "1");
        let fault = Fault::new(Action::Status(canned)).at(Endpoint::Token).times(1);
        let setup = Setup::of(Settings { script: Script::of([fault]), ..Settings::default() }).await;
        assert_eq!(setup.get("/api/v2/users/7").await.status(), 200, "{status}");
        let pauses = pauses(&setup.region);
        assert!(pauses.len() == 1 && pauses[0] >= Duration::from_millis(995), "{status}: {pauses:?}");
    }
}

#[tokio::test]
async fn while_the_token_endpoint_says_503_requests_get_503() {
    let launch = |launch: crate::support::Launch| launch.flag("max-wait", "200ms");
    let setup = Setup::with(at_token(Action::Status(Canned::new(503))), launch).await;
    let response = setup.get("/api/v2/users/7").await;
    assert_problem(&response, 503);
    assert!(response.only("Retry-After").is_some());
    // Failure is shared like success: no request causes a token request of its own. Those that the backoff
    // makes meanwhile are few: it doubles from half a second.
    let began = Instant::now();
    let before = setup.region.token_requests();
    for response in at_once(&setup, 50, "/api/v2/users/7").await {
        assert_problem(&response, 503);
    }
    let most = 2 + began.elapsed().as_secs();
    let asked = u64::try_from(setup.region.token_requests() - before).unwrap();
    assert!(asked <= most, "{asked} token requests in {:?}", began.elapsed());
}

//! What a token request says, when it is made, and what its answer's lifetime means.

use std::collections::BTreeMap;
use std::time::Duration;

use cxone_proxy::simulator::{Action, Endpoint, ExpiresIn, Fault, Script, Settings};
use tokio::time::{Instant, sleep};

use super::{at_once, attempts, grants};
use crate::support::{Message, Stage, Upstream, Wire, eventually, get, serve};

fn form(request: &Message) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

fn answer(json: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    )
}

fn pairs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn token_requests_are_forms_on_fresh_connections() {
    let upstream = Upstream::start().await;
    let program = serve(&format!("{}/tenant-7/", upstream.base_url()))
        .variable("CXONE_CLIENT_ID", "an id & more")
        .variable("CXONE_CLIENT_SECRET", "s3cret+/=&ü")
        .flag("scopes", "users:read contacts:read");
    let proxy = program.listening().await;

    let mut far = upstream.accept().await;
    let asked = far.request().await.unwrap();
    assert_eq!(asked.start, "POST /tenant-7/api/v2/oauth/token HTTP/1.1");
    assert_eq!(asked.only("Content-Type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(asked.only("Authorization"), None);
    let credentials = [("client_id", "an id & more"), ("client_secret", "s3cret+/=&ü")];
    let mut due = pairs(&credentials);
    due.extend(pairs(&[("grant_type", "client_credentials"), ("scope", "users:read contacts:read")]));
    assert_eq!(form(&asked), due);
    let token =
        r#"{"access_token":"first-token","token_type":"bEARER","expires_in":3600,"refresh_token":"r/1"}"#;
    far.send(answer(token)).await;

    let mut client = Wire::to(proxy.proxy_address()).await;
    client.send(get("/x")).await;
    let mut api = upstream.accept().await;
    assert_eq!(api.request().await.unwrap().only("Authorization"), Some("Bearer first-token"));
    api.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;

    let mut far = upstream.accept().await;
    let asked = far.request().await.unwrap();
    let mut due = pairs(&credentials);
    due.extend(pairs(&[("grant_type", "refresh_token"), ("refresh_token", "r/1")]));
    assert_eq!(form(&asked), due);
    far.send(answer(r#"{"access_token":"second-token","token_type":"Bearer","expires_in":3600}"#)).await;

    let again = api.request().await.unwrap();
    assert_eq!((again.target(), again.only("Authorization")), ("/tenant-7/x", Some("Bearer second-token")));
    api.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.reply().await.unwrap().status(), 401);
}

#[tokio::test]
async fn an_answer_without_a_new_refresh_token_leaves_none() {
    let settings = Settings { issue_refresh_tokens: false, ..Settings::default() };
    let stage = Stage::of(settings).await;
    for _ in 0..2 {
        assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
        stage.region.revoke_all();
    }
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    assert_eq!(grants(&stage.region), ["client_credentials"; 3]);
}

#[tokio::test]
async fn two_hundred_first_requests_share_one_token_request() {
    let delay = Fault::new(Action::Delay { ms: 500 }).at(Endpoint::Token);
    let stage = Stage::of(Settings { script: Script::of([delay]), ..Settings::default() }).await;
    let replies = at_once(&stage, 200, "/api/v2/users/7").await;
    assert!(replies.iter().all(|reply| reply.status() == 200));
    assert_eq!(stage.region.token_requests(), 1);
    assert_eq!(attempts(&stage.region).len(), 200);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_take_the_token_request_with_it() {
    let delay = Fault::new(Action::Delay { ms: 400 }).at(Endpoint::Token);
    let stage = Stage::of(Settings { script: Script::of([delay]), ..Settings::default() }).await;
    let mut first = stage.wire().await;
    first.send(get("/api/v2/users/left")).await;
    sleep(Duration::from_millis(50)).await;
    drop(first);
    assert_eq!(stage.get("/api/v2/users/stayed").await.status(), 200);
    assert_eq!(stage.region.token_requests(), 1);
    let targets: Vec<_> = attempts(&stage.region).into_iter().map(|entry| entry.target).collect();
    assert_eq!(targets, ["/api/v2/users/stayed"]);
}

#[tokio::test]
async fn the_first_token_is_asked_for_before_any_request() {
    let stage = Stage::new().await;
    stage.proxy.event("token obtained").await;
    assert_eq!(stage.region.token_requests(), 1);
}

#[tokio::test]
async fn lifetimes_are_stated_as_numbers_as_text_or_by_the_token_itself() {
    for (expires_in, range) in
        [(ExpiresIn::Number, 1234..=1234), (ExpiresIn::Text, 1234..=1234), (ExpiresIn::Absent, 1233..=1234)]
    {
        let token_lifetime = Duration::from_secs(1234);
        let stage = Stage::of(Settings { expires_in, token_lifetime, ..Settings::default() }).await;
        let event = stage.proxy.event("token obtained").await;
        let lifetime = event["lifetime_seconds"].as_u64().unwrap();
        assert!(range.contains(&lifetime), "{expires_in:?}: {lifetime}");
    }
}

#[tokio::test]
async fn a_lifetime_that_cannot_be_used_counts_as_an_hour() {
    for expires_in in ["0", "-5", "\"soon\"", "null", "\"\"", "\"-1\"", "[60]"] {
        let upstream = Upstream::start().await;
        let proxy = serve(&upstream.base_url()).listening().await;
        let mut far = upstream.accept().await;
        far.request().await.unwrap();
        let json = format!(r#"{{"access_token":"opaque","token_type":"Bearer","expires_in":{expires_in}}}"#);
        far.send(answer(&json)).await;
        let event = proxy.event("token obtained").await;
        assert_eq!(event["lifetime_seconds"], 3600, "{expires_in}");
    }
}

#[tokio::test]
async fn a_token_is_renewed_in_the_background_and_none_is_sent_after_its_end() {
    let settings = Settings { token_lifetime: Duration::from_secs(2), ..Settings::default() };
    let stage = Stage::of(settings).await;
    let mut client = stage.wire().await;
    let end = Instant::now() + Duration::from_millis(4500);
    while Instant::now() < end {
        assert_eq!(client.ask(get("/api/v2/users/7")).await.status(), 200);
        sleep(Duration::from_millis(20)).await;
    }
    let refused = attempts(&stage.region).iter().filter(|entry| entry.status == Some(401)).count();
    assert_eq!(refused, 0);
    assert!(stage.region.token_requests() >= 3, "{}", stage.region.token_requests());
    let grants = grants(&stage.region);
    assert!(grants[1..].iter().all(|grant| grant == "refresh_token"), "{grants:?}");
}

#[tokio::test]
async fn while_a_token_is_valid_nobody_waits_for_its_successor_and_after_its_end_nobody_sends_it() {
    let settings = Settings { token_lifetime: Duration::from_secs(2), ..Settings::default() };
    let stage = Stage::with(settings, |launch| launch.flag("max-wait", "300ms")).await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    let began = Instant::now();
    let stuck = Fault::new(Action::Delay { ms: 60_000 }).at(Endpoint::Token);
    stage.region.script(Script::of([stuck]));
    // The renewal begins after 1.6 s; the token counts as valid until 1.8 s.
    let mut client = stage.wire().await;
    while began.elapsed() < Duration::from_millis(1700) {
        let asked = Instant::now();
        let status = client.ask(get("/api/v2/users/7")).await.status();
        assert!(status == 200 || began.elapsed() > Duration::from_millis(1700), "{status}");
        assert!(asked.elapsed() < Duration::from_millis(300), "it waited");
        sleep(Duration::from_millis(10)).await;
    }
    eventually("the renewal", async || (stage.region.token_requests() == 2).then_some(())).await;
    sleep(Duration::from_secs(2).saturating_sub(began.elapsed())).await;
    let served = attempts(&stage.region).len();
    let reply = client.ask(get("/api/v2/users/7")).await;
    assert_eq!(reply.status(), 503, "{}", reply.text());
    assert_eq!(attempts(&stage.region).len(), served);
}

//! What a token request says, when it is made, and which lifetime its response means.

use std::collections::BTreeMap;
use std::time::Duration;

use cxone_simulator::{Action, Endpoint, ExpiresIn, Fault, Script, Settings};
use serde_json::Value;
use tokio::time::Instant;

use super::{at_once, attempts, grants};
use crate::support::{
    Message, RawConnection, Server, Setup, Upstream, eventually, get, serve, token_response,
};

fn form(request: &Message) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
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

    let mut connection = upstream.accept().await;
    let asked = connection.request().await.unwrap();
    assert_eq!(asked.start, "POST /tenant-7/api/v2/oauth/token HTTP/1.1");
    assert_eq!(asked.only("Content-Type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(asked.only("Authorization"), None);
    let credentials = [("client_id", "an id & more"), ("client_secret", "s3cret+/=&ü")];
    let mut expected = pairs(&credentials);
    expected.extend(pairs(&[("grant_type", "client_credentials"), ("scope", "users:read contacts:read")]));
    assert_eq!(form(&asked), expected);
    let token =
        r#"{"access_token":"first-token","token_type":"bEARER","expires_in":3600,"refresh_token":"r/1"}"#;
    connection.send(token_response(token)).await;

    let mut client = RawConnection::to(proxy.proxy_address()).await;
    client.send(get("/x")).await;
    let mut api = upstream.accept().await;
    assert_eq!(api.request().await.unwrap().only("Authorization"), Some("Bearer first-token"));
    api.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;

    let mut connection = upstream.accept().await;
    let asked = connection.request().await.unwrap();
    let mut expected = pairs(&credentials);
    expected.extend(pairs(&[("grant_type", "refresh_token"), ("refresh_token", "r/1")]));
    assert_eq!(form(&asked), expected);
    let token = r#"{"access_token":"second-token","token_type":"Bearer","expires_in":3600}"#;
    connection.send(token_response(token)).await;

    let again = api.request().await.unwrap();
    assert_eq!((again.target(), again.only("Authorization")), ("/tenant-7/x", Some("Bearer second-token")));
    api.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.unwrap().status(), 401);
}

#[tokio::test]
async fn a_token_response_without_a_new_refresh_token_leaves_none() {
    let settings = Settings { issue_refresh_tokens: false, ..Settings::default() };
    let setup = Setup::of(settings).await;
    for _ in 0..2 {
        assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
        setup.region.revoke_all();
    }
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    assert_eq!(grants(&setup.region), ["client_credentials"; 3]);
}

#[tokio::test]
async fn two_hundred_first_requests_share_one_token_request() {
    let delay = Fault::new(Action::Delay { ms: 500 }).at(Endpoint::Token);
    let setup = Setup::of(Settings { script: Script::of([delay]), ..Settings::default() }).await;
    let responses = at_once(&setup, 200, "/api/v2/users/7").await;
    assert!(responses.iter().all(|response| response.status() == 200));
    assert_eq!(setup.region.token_requests(), 1);
    assert_eq!(attempts(&setup.region).len(), 200);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_take_the_token_request_with_it() {
    let delay = Fault::new(Action::Delay { ms: 1000 }).at(Endpoint::Token);
    let setup = Setup::of(Settings { script: Script::of([delay]), ..Settings::default() }).await;
    let mut first = setup.connect().await;
    first.send(get("/api/v2/users/left")).await;
    setup.in_flight(1).await;
    drop(first);
    setup.in_flight(0).await;
    assert_eq!(setup.get("/api/v2/users/stayed").await.status(), 200);
    assert_eq!(setup.region.token_requests(), 1);
    let targets: Vec<_> = attempts(&setup.region).into_iter().map(|entry| entry.target).collect();
    assert_eq!(targets, ["/api/v2/users/stayed"]);
}

#[tokio::test]
async fn the_first_token_is_requested_before_any_request() {
    let setup = Setup::new().await;
    setup.token_state("valid").await;
    assert_eq!(setup.region.token_requests(), 1);
}

#[tokio::test]
async fn lifetimes_are_stated_as_numbers_as_text_or_by_the_token_itself() {
    for (expires_in, range) in
        [(ExpiresIn::Number, 1234..=1234), (ExpiresIn::Text, 1234..=1234), (ExpiresIn::Absent, 1233..=1234)]
    {
        let token_lifetime = Duration::from_secs(1234);
        let setup = Setup::of(Settings { expires_in, token_lifetime, ..Settings::default() }).await;
        setup.token_state("valid").await;
        let lifetime = lifetime(&setup.status().await);
        assert!(range.contains(&lifetime), "{expires_in:?}: {lifetime}");
    }
}

#[tokio::test]
async fn a_lifetime_that_cannot_be_used_counts_as_an_hour() {
    for expires_in in ["0", "-5", "\"soon\"", "null", "\"\"", "\"-1\"", "[60]"] {
        let json = format!(r#"{{"access_token":"opaque","token_type":"Bearer","expires_in":{expires_in}}}"#);
        let tokens = Server::of_tokens(vec![token_response(json)]).await;
        let token_url = format!("{}/token", tokens.base_url());
        let setup = Setup::launched(|launch| launch.variable("CXONE_TOKEN_URL", token_url)).await;
        setup.token_state("valid").await;
        assert_eq!(lifetime(&setup.status().await), 3600, "{expires_in}");
    }
}

#[tokio::test]
async fn a_token_is_renewed_in_the_background_and_none_is_sent_after_its_end() {
    let settings = Settings { token_lifetime: Duration::from_secs(2), ..Settings::default() };
    let setup = Setup::of(settings).await;
    let mut client = setup.connect().await;
    // The region takes its time, so that a few hundred requests last for three tokens.
    while setup.region.token_requests() < 4 {
        assert_eq!(client.fetch(get("/api/v2/long-poll?ms=20")).await.status(), 304);
    }
    let refused = attempts(&setup.region).iter().filter(|entry| entry.status == Some(401)).count();
    assert_eq!(refused, 0);
    let grants = grants(&setup.region);
    assert_eq!(grants[..4], ["client_credentials", "refresh_token", "refresh_token", "refresh_token"]);
}

#[tokio::test]
async fn no_request_waits_while_the_token_is_valid_and_an_expired_token_is_never_sent() {
    // The renewal begins after 4.8 s, and the token counts as valid until 5.4 s.
    let settings = Settings { token_lifetime: Duration::from_secs(6), ..Settings::default() };
    let setup = Setup::with(settings, |launch| launch.flag("max-wait", "300ms")).await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    let began = Instant::now();
    let stuck = Fault::new(Action::Delay { ms: 60_000 }).at(Endpoint::Token);
    setup.region.script(Script::of([stuck]));
    eventually("the renewal", async || (setup.region.token_requests() == 2).then_some(())).await;
    let mut client = setup.connect().await;
    let status = client.fetch(get("/api/v2/users/7")).await.status();
    // A busy machine may lose the half second in between.
    assert!(status == 200 || began.elapsed() > Duration::from_millis(5300), "{status}");
    setup.token_state("expired").await;
    let served = attempts(&setup.region).len();
    let response = client.fetch(get("/api/v2/users/7")).await;
    assert_eq!(response.status(), 503, "{}", response.text());
    assert_eq!(attempts(&setup.region).len(), served);
}

/// How long the token lives, as `/status` says.
fn lifetime(status: &Value) -> u64 {
    let time = |name: &str| status["token"][name].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let lifetime = time("expires_at").duration_since(time("obtained_at"));
    lifetime.as_millis().unsigned_abs().div_ceil(1000).try_into().unwrap()
}

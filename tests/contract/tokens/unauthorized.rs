//! The upstream's 401: one renewal, one more attempt.

use std::collections::HashMap;
use std::time::Duration;

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script, Settings};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at};

use super::{at_once, attempts, grants, pauses};
use crate::support::{Setup, get, request};

fn always(status: u16) -> Script {
    let canned = Canned::new(status).field("WWW-Authenticate", "Bearer realm=\"x\"").body("the answer's own");
    Script::of([Fault::new(Action::Status(canned)).at(Endpoint::Api)])
}

#[tokio::test]
async fn a_revoked_token_is_renewed_and_the_request_sent_again() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    setup.region.revoke_all();
    let response = setup
        .fetch(request("POST", "/api/v2/echo", "X-Request-Id: a\r\nX-A: 1\r\nx-a: 2\r\n", "hello"))
        .await;
    assert_eq!((response.status(), &response.json()["body"]["bytes"]), (200, &5.into()));
    let attempts = attempts(&setup.region);
    let seen: Vec<_> = attempts.iter().map(|entry| (entry.status, entry.token)).collect();
    assert_eq!(seen, [(Some(200), Some(1)), (Some(401), Some(1)), (Some(200), Some(2))]);
    // Both attempts say the same.
    assert_eq!(attempts[1].fields, attempts[2].fields);
    assert_eq!(attempts[1].target, attempts[2].target);
}

#[tokio::test]
async fn a_second_401_is_passed_on_as_it_is() {
    let setup = Setup::new().await;
    setup.region.script(always(401));
    let response = setup.get("/api/v2/users/7").await;
    assert_eq!((response.status(), response.text()), (401, "the answer's own".to_owned()));
    assert_eq!(response.only("WWW-Authenticate"), Some("Bearer realm=\"x\""));
    assert_eq!(response.only("Proxy-Status"), Some("cxone-proxy; received-status=401"));
    assert_eq!((attempts(&setup.region).len(), setup.region.token_requests()), (2, 2));
}

#[tokio::test]
async fn forced_renewals_are_spaced_out_where_fresh_tokens_are_refused_everywhere() {
    let setup = Setup::new().await;
    setup.region.script(always(401));
    let mut client = setup.connect().await;
    // Another path each time: what a path's own refusals mean is another rule.
    let mut paths = (0..).map(|number| format!("/api/v2/users/{number}"));
    assert_eq!(client.fetch(get(&paths.next().unwrap())).await.status(), 401);
    assert_eq!((attempts(&setup.region).len(), setup.region.token_requests()), (2, 2));
    // Until the second token request has been a second ago, 401s are passed on as they come.
    let mut passed_on = 0;
    while setup.region.token_requests() == 2 {
        assert_eq!(client.fetch(get(&paths.next().unwrap())).await.status(), 401);
        passed_on += 1;
    }
    assert!(passed_on > 5, "{passed_on} requests within a second");
    assert_eq!(attempts(&setup.region).len(), 2 + passed_on + 1, "only the last one was sent twice");
    let pauses = pauses(&setup.region);
    assert!(pauses[1] >= Duration::from_millis(950), "{pauses:?}");
}

#[tokio::test]
async fn one_accepted_request_ends_the_spacing() {
    let setup = Setup::new().await;
    setup.region.script(always(401));
    for _ in 0..2 {
        assert_eq!(setup.get("/api/v2/users/7").await.status(), 401);
    }
    setup.region.script(Script::default());
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    setup.region.revoke_all();
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
}

#[tokio::test]
async fn two_hundred_requests_refused_together_cause_one_renewal() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    // All of them are sent before the first renewal ends.
    let slow = Fault::new(Action::Delay { ms: 300 }).at(Endpoint::Token);
    setup.region.script(Script::of([slow]));
    setup.region.revoke_all();
    let responses = at_once(&setup, 200, "/api/v2/users/8").await;
    assert!(responses.iter().all(|response| response.status() == 200));
    assert_eq!(grants(&setup.region), ["client_credentials", "refresh_token"]);
}

#[tokio::test]
async fn the_rules_for_401_and_429_count_separately() {
    let setup = Setup::launched(|launch| launch.flag("rate-limit-retries", "2")).await;
    let once = |canned| Fault::new(Action::Status(canned)).at(Endpoint::Api).times(1);
    let limited = || Canned::new(429).field("Retry-After", "0");
    setup.region.script(Script::of([once(limited()), once(Canned::new(401)), once(limited())]));
    let response = setup.fetch(request("POST", "/api/v2/echo", "X-Request-Id: a\r\n", "hello")).await;
    assert_eq!(response.status(), 200);
    let seen: Vec<_> = attempts(&setup.region).into_iter().map(|entry| entry.status.unwrap()).collect();
    assert_eq!(seen, [429, 401, 429, 200]);
}

#[tokio::test]
async fn a_failed_renewal_is_reported_as_a_missing_token() {
    for (token_status, error, expected) in [(503, "busy", 503), (400, "invalid_client", 502)] {
        let setup = Setup::launched(|launch| launch.flag("max-wait", "300ms")).await;
        assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
        let refusal = Action::Status(Canned::new(token_status).body(&format!(r#"{{"error":"{error}"}}"#)));
        setup.region.script(Script::of([Fault::new(refusal).at(Endpoint::Token)]));
        setup.region.revoke_all();
        let response = setup.get("/api/v2/users/7").await;
        assert_eq!(response.status(), expected, "{}", response.text());
        assert_eq!(response.only("Content-Type"), Some("application/problem+json"));
        assert_eq!(attempts(&setup.region).len(), 2);
    }
}

#[tokio::test]
async fn a_403_is_passed_on_without_a_renewal() {
    let setup = Setup::new().await;
    let response = setup.get("/api/v2/reports").await;
    assert_eq!((response.status(), &response.json()["scope"]), (403, &"reports:read".into()));
    assert_eq!((attempts(&setup.region).len(), setup.region.token_requests()), (1, 1));
}

#[tokio::test]
async fn ten_thousand_requests_survive_revocations_every_tenth_of_a_second() {
    const CONNECTIONS: usize = 20;
    const EACH: usize = 500;
    const TENTH: Duration = Duration::from_millis(100);
    let setup = Setup::of(Settings { journal: 100_000, ..Settings::default() }).await;
    let mut asking = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let mut client = setup.connect().await;
        asking.spawn(async move {
            let (mut refused, mut not_renewed) = (Vec::new(), Vec::new());
            for number in 0..EACH {
                let id = format!("{connection}-{number}");
                let fields = format!("X-Request-Id: {id}\r\n");
                let post = request("POST", "/api/v2/upload", &fields, "hello");
                let response = client.fetch(if number % 4 == 0 {
                    post
                } else {
                    request("GET", "/api/v2/users/7", &fields, "")
                });
                let response = response.await;
                match response.status() {
                    200 => {}
                    401 if response.only("Proxy-Status").is_some() => not_renewed.push(id),
                    401 => refused.push(id),
                    status => panic!("{id} has got {status}"),
                }
            }
            (refused, not_renewed)
        });
    }
    let (mut refused, mut not_renewed) = (Vec::new(), Vec::new());
    let mut revocations = 0;
    let mut tenths = interval_at(Instant::now() + TENTH, TENTH);
    loop {
        tokio::select! {
            done = asking.join_next() => match done {
                None => break,
                Some(ids) => {
                    let (more_refused, more_not_renewed) = ids.unwrap();
                    refused.extend(more_refused);
                    not_renewed.extend(more_not_renewed);
                }
            },
            _ = tenths.tick() => {
                setup.region.revoke_all();
                revocations += 1;
            }
        }
    }
    // A 401 is passed on only where the newer token had been revoked as well.
    let mut tries: HashMap<String, Vec<_>> = HashMap::new();
    for entry in attempts(&setup.region) {
        tries.entry(entry.request_id.clone().unwrap()).or_default().push((entry.status, entry.token));
    }
    assert_eq!(tries.len(), CONNECTIONS * EACH);
    for id in &refused {
        assert_eq!(tries[id].len(), 2, "{id}: {:?}", tries[id]);
        assert_ne!(tries[id][0].1, tries[id][1].1, "{id}: {:?}", tries[id]);
    }
    assert!(refused.len() <= CONNECTIONS * revocations, "{refused:?}");
    assert!(setup.region.token_requests() <= revocations + 1, "{}", setup.region.token_requests());
    // Or because a fresh token was refused on the same path before, or the budget of 60 renewals was used up.
    let may_be_passed_on = !refused.is_empty() || setup.region.token_requests() > 60;
    assert!(not_renewed.is_empty() || may_be_passed_on, "{not_renewed:?}");
}

//! The upstream's 401: one renewal, one more attempt.

use std::collections::HashMap;
use std::time::Duration;

use cxone_proxy::simulator::{Action, Canned, Endpoint, Fault, Script, Settings};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{at_once, attempts, grants, pauses};
use crate::support::{Stage, eventually, get, request};

fn always(status: u16) -> Script {
    let canned = Canned::new(status).field("WWW-Authenticate", "Bearer realm=\"x\"").body("the answer's own");
    Script::of([Fault::new(Action::Status(canned)).at(Endpoint::Api)])
}

#[tokio::test]
async fn a_revoked_token_is_renewed_and_the_request_sent_again() {
    let stage = Stage::new().await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    stage.region.revoke_all();
    let reply =
        stage.ask(request("POST", "/api/v2/echo", "X-Request-Id: a\r\nX-A: 1\r\nx-a: 2\r\n", "hello")).await;
    assert_eq!((reply.status(), &reply.json()["body"]["bytes"]), (200, &5.into()));
    let attempts = attempts(&stage.region);
    let seen: Vec<_> = attempts.iter().map(|entry| (entry.status, entry.token)).collect();
    assert_eq!(seen, [(Some(200), Some(1)), (Some(401), Some(1)), (Some(200), Some(2))]);
    // Both attempts say the same.
    assert_eq!(attempts[1].fields, attempts[2].fields);
    assert_eq!(attempts[1].target, attempts[2].target);
}

#[tokio::test]
async fn a_second_401_is_passed_on_as_it_is() {
    let stage = Stage::new().await;
    stage.region.script(always(401));
    let reply = stage.get("/api/v2/users/7").await;
    assert_eq!((reply.status(), reply.text()), (401, "the answer's own".to_owned()));
    assert_eq!(reply.only("WWW-Authenticate"), Some("Bearer realm=\"x\""));
    assert_eq!(reply.only("Proxy-Status"), None);
    assert_eq!((attempts(&stage.region).len(), stage.region.token_requests()), (2, 2));
}

#[tokio::test]
async fn forced_renewals_are_spaced_out_where_fresh_tokens_are_refused_too() {
    let stage = Stage::new().await;
    stage.region.script(always(401));
    let mut client = stage.wire().await;
    assert_eq!(client.ask(get("/api/v2/users/7")).await.status(), 401);
    let (before, asked) = (attempts(&stage.region).len(), stage.region.token_requests());
    for _ in 0..20 {
        assert_eq!(client.ask(get("/api/v2/users/7")).await.status(), 401);
    }
    // Passed on as they come: not one of them was sent twice for the sake of a renewal in between.
    assert!(attempts(&stage.region).len() <= before + 22, "{}", attempts(&stage.region).len());
    assert!(stage.region.token_requests() <= asked + 2, "{}", stage.region.token_requests());

    // After the first second, there is another one.
    eventually("a renewal", async || {
        assert_eq!(client.ask(get("/api/v2/users/7")).await.status(), 401);
        sleep(Duration::from_millis(50)).await;
        (stage.region.token_requests() > asked).then_some(())
    })
    .await;
    let pauses = pauses(&stage.region);
    assert!(pauses.last().unwrap() >= &Duration::from_millis(900), "{pauses:?}");
}

#[tokio::test]
async fn one_accepted_request_ends_the_spacing() {
    let stage = Stage::new().await;
    stage.region.script(always(401));
    for _ in 0..2 {
        assert_eq!(stage.get("/api/v2/users/7").await.status(), 401);
    }
    stage.region.script(Script::default());
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    stage.region.revoke_all();
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
}

#[tokio::test]
async fn two_hundred_requests_refused_together_cause_one_renewal() {
    let stage = Stage::new().await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    // All of them are on their way before the first refusal comes.
    let slow = Fault::new(Action::Delay { ms: 300 }).at(Endpoint::Token);
    stage.region.script(Script::of([slow]));
    stage.region.revoke_all();
    let replies = at_once(&stage, 200, "/api/v2/users/8").await;
    assert!(replies.iter().all(|reply| reply.status() == 200));
    assert_eq!(grants(&stage.region), ["client_credentials", "refresh_token"]);
}

#[tokio::test]
async fn the_rules_for_401_and_429_count_separately() {
    let stage = Stage::launched(|launch| launch.flag("rate-limit-retries", "2")).await;
    let once = |canned| Fault::new(Action::Status(canned)).at(Endpoint::Api).times(1);
    let limited = || Canned::new(429).field("Retry-After", "0");
    stage.region.script(Script::of([once(limited()), once(Canned::new(401)), once(limited())]));
    let reply = stage.ask(request("POST", "/api/v2/echo", "X-Request-Id: a\r\n", "hello")).await;
    assert_eq!(reply.status(), 200);
    let seen: Vec<_> = attempts(&stage.region).into_iter().map(|entry| entry.status.unwrap()).collect();
    assert_eq!(seen, [429, 401, 429, 200]);
}

#[tokio::test]
async fn a_renewal_that_fails_is_answered_as_if_there_were_no_token() {
    for (token_status, error, due) in [(503, "busy", 503), (400, "invalid_client", 502)] {
        let stage = Stage::launched(|launch| launch.flag("max-wait", "300ms")).await;
        assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
        let refusal = Action::Status(Canned::new(token_status).body(&format!(r#"{{"error":"{error}"}}"#)));
        stage.region.script(Script::of([Fault::new(refusal).at(Endpoint::Token)]));
        stage.region.revoke_all();
        let reply = stage.get("/api/v2/users/7").await;
        assert_eq!(reply.status(), due, "{}", reply.text());
        assert_eq!(reply.only("Content-Type"), Some("application/problem+json"));
        assert_eq!(attempts(&stage.region).len(), 2);
    }
}

#[tokio::test]
async fn a_403_is_none_of_the_proxy_s_business() {
    let stage = Stage::new().await;
    let reply = stage.get("/api/v2/reports").await;
    assert_eq!((reply.status(), &reply.json()["scope"]), (403, &"reports:read".into()));
    assert_eq!((attempts(&stage.region).len(), stage.region.token_requests()), (1, 1));
}

#[tokio::test]
async fn ten_thousand_requests_survive_revocations_every_tenth_of_a_second() {
    const CONNECTIONS: usize = 20;
    const EACH: usize = 500;
    let stage = Stage::of(Settings { journal: 100_000, ..Settings::default() }).await;
    let mut asking = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let mut client = stage.wire().await;
        asking.spawn(async move {
            let mut refused = Vec::new();
            for number in 0..EACH {
                let id = format!("{connection}-{number}");
                let fields = format!("X-Request-Id: {id}\r\n");
                let post = request("POST", "/api/v2/upload", &fields, "hello");
                let reply = client.ask(if number % 4 == 0 {
                    post
                } else {
                    request("GET", "/api/v2/users/7", &fields, "")
                });
                match reply.await.status() {
                    200 => {}
                    401 => refused.push(id),
                    status => panic!("{id} was answered {status}"),
                }
            }
            refused
        });
    }
    let mut refused = Vec::new();
    let mut revocations = 0;
    loop {
        tokio::select! {
            done = asking.join_next() => match done {
                None => break,
                Some(ids) => refused.extend(ids.unwrap()),
            },
            () = sleep(Duration::from_millis(100)) => {
                stage.region.revoke_all();
                revocations += 1;
            }
        }
    }
    // A 401 is passed on only where the newer token had been revoked as well.
    let mut tries: HashMap<String, Vec<_>> = HashMap::new();
    for entry in attempts(&stage.region) {
        tries.entry(entry.request_id.clone().unwrap()).or_default().push((entry.status, entry.token));
    }
    assert_eq!(tries.len(), CONNECTIONS * EACH);
    for id in &refused {
        assert_eq!(tries[id].len(), 2, "{id}: {:?}", tries[id]);
        assert_ne!(tries[id][0].1, tries[id][1].1, "{id}: {:?}", tries[id]);
    }
    assert!(refused.len() <= CONNECTIONS * revocations, "{refused:?}");
    assert!(stage.region.token_requests() <= revocations + 1, "{}", stage.region.token_requests());
}

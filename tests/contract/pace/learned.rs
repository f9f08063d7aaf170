//! Limits that are learned from 429s.

use std::time::Duration;

use cxone_simulator::{Action, Canned, Endpoint, Fault, Quota, RetryAfterForm, Script, Settings};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::{at_once, starts, statuses};
use crate::support::{Setup, eventually, get};

/// The next request to the API is answered 429 with these fields.
fn one_429(setup: &Setup, fields: &[(&str, &str)]) {
    let canned = fields.iter().fold(Canned::new(429), |canned, (name, value)| canned.field(name, value));
    setup.region.script(Script::of([Fault::new(Action::Status(canned)).at(Endpoint::Api).times(1)]));
}

/// Waits until a pause is in force.
async fn paused(setup: &Setup) {
    eventually("a pause", async || (setup.status().await["pace"]["state"] == "paused").then_some(())).await;
}

#[tokio::test]
async fn one_429_with_retry_after_pauses_every_request_until_then() {
    let setup = Setup::new().await;
    one_429(&setup, &[("Retry-After", "2")]);
    let mut first = setup.connect().await;
    let first = tokio::spawn(async move { first.fetch(get("/api/v2/users/me")).await });
    paused(&setup).await;
    let others = at_once(&setup, 5, "/api/v2/users/7").await;
    assert_eq!(statuses(&others), [200; 5]);
    assert_eq!(first.await.unwrap().status(), 200);
    let starts = starts(&setup.region);
    assert_eq!(starts.len(), 7, "nobody asked in between");
    assert!(starts[1..].iter().all(|start| *start >= 1990), "{starts:?}");
    let metrics = setup.metrics().await;
    assert!(metrics.sum("cxone_proxy_wait_seconds_total", &[("reason", "queue")]).unwrap() > 1.0);
    assert!(metrics.sum("cxone_proxy_wait_seconds_total", &[("reason", "rate_limited")]).unwrap() >= 1.9);
}

#[tokio::test]
async fn a_request_whose_turn_would_come_too_late_is_refused_at_once_with_an_honest_retry_after() {
    let setup = Setup::launched(|launch| launch.flag("max-wait", "3s")).await;
    one_429(&setup, &[("Retry-After", "20")]);
    let rejected = setup.get("/api/v2/users/me").await;
    assert_eq!(
        (rejected.status(), rejected.only("Retry-After")),
        (429, Some("20")),
        "the API's own response"
    );
    assert_eq!(rejected.only("Proxy-Status"), Some("cxone-proxy; received-status=429"));
    let began = Instant::now();
    let refused = setup.get("/api/v2/users/me").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.json()["type"], "urn:cxone-proxy:problem:rate-limit-wait");
    assert_eq!(refused.only("Proxy-Status"), Some("cxone-proxy; error=http_request_denied"));
    let after: u64 = refused.only("Retry-After").unwrap().parse().unwrap();
    assert!((10..=20).contains(&after), "{after}");
    assert!(began.elapsed() < Duration::from_secs(3), "at once");
    assert_eq!(starts(&setup.region).len(), 1);
    let status = setup.status().await;
    assert_eq!(status["pace"]["state"], "paused");
    assert!(status["pace"]["paused_until"].is_string());
    let metrics = setup.metrics().await;
    assert_eq!(metrics.count("cxone_proxy_errors_total", &[("type", "rate-limit-wait")]), 1);
    assert_eq!(metrics.count("cxone_proxy_pace_limited", &[("limit", "default")]), 1);
    assert!(metrics.sum("cxone_proxy_pace_paused_seconds", &[]).unwrap() > 5.0);
}

/// Callers that ask again and again for some seconds: their statuses.
async fn storm(setup: &Setup, callers: usize, seconds: u64) -> Vec<u16> {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut asking = JoinSet::new();
    for _ in 0..callers {
        let mut client = setup.connect().await;
        asking.spawn(async move {
            let mut statuses = Vec::new();
            while Instant::now() < end {
                statuses.push(client.fetch(get("/api/v2/users/me")).await.status());
            }
            statuses
        });
    }
    asking.join_all().await.concat()
}

#[tokio::test]
async fn a_quota_without_retry_after_is_used_and_not_burned() {
    let quota = Quota::new(50, Duration::from_secs(1)).retry_after(RetryAfterForm::None);
    let setup = Setup::of(Settings { quotas: vec![quota], ..Settings::default() }).await;
    let statuses = storm(&setup, 20, 8).await;
    assert!(statuses.iter().all(|status| *status == 200), "no client saw a 429");
    let used = &setup.region.quota_use()[0];
    // The learning at the start is among them. A busy machine uses less, so only burning is judged narrowly.
    assert!(used.rejected * 5 < used.accepted, "{used:?}");
    assert!(used.accepted > 200, "{used:?}");
    let log = setup.proxy.events();
    let met = log
        .iter()
        .filter(|event| event["message"].as_str().is_some_and(|text| text.contains("rate limit is met")));
    assert_eq!(met.count(), 1, "one line when a limit is met first");
    let status = setup.status().await;
    assert!(status["pace"]["learned_rate"].as_f64().unwrap() > 10.0, "{status}");
}

#[tokio::test]
async fn switched_off_or_without_retries_nobody_waits_for_another_s_429() {
    for flag in [("pace", "off"), ("rate-limit-retries", "0")] {
        let setup = Setup::launched(|launch| launch.flag(flag.0, flag.1).flag("max-wait", "1s")).await;
        one_429(&setup, &[("Retry-After", "60")]);
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 429);
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 200, "{flag:?}");
        assert_eq!(setup.status().await["pace"]["state"], "off");
    }
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_is_not_served() {
    let setup = Setup::new().await;
    one_429(&setup, &[("Retry-After", "2")]);
    let mut first = setup.connect().await;
    let first = tokio::spawn(async move { first.fetch(get("/api/v2/users/me")).await });
    paused(&setup).await;
    let mut leaves = setup.connect().await;
    leaves.send(get("/api/v2/users/7")).await;
    eventually("two that wait", async || (setup.status().await["pace"]["queue_length"] == 2).then_some(()))
        .await;
    drop(leaves);
    eventually("one that waits", async || (setup.status().await["pace"]["queue_length"] == 1).then_some(()))
        .await;
    assert_eq!(first.await.unwrap().status(), 200);
    assert_eq!(starts(&setup.region).len(), 2);
}

#[tokio::test]
async fn a_limit_of_one_path_pauses_only_that_path() {
    let file = "[[rate_limit]]\npath_prefix = \"/api/v2/users\"\n";
    let setup = super::with_file(Settings::default(), file, |launch| launch.flag("max-wait", "2s")).await;
    one_429(&setup, &[("Retry-After", "60")]);
    assert_eq!(setup.get("/api/v2/users/me?of=all").await.status(), 429);
    let refused = setup.get("/api/v2/users/7").await;
    assert_eq!((refused.status(), refused.only("Proxy-Status").is_some()), (429, true));
    assert_eq!(setup.get("/api/v2/large").await.status(), 200);
    let pace = &setup.status().await["pace"];
    assert_eq!((&pace["state"], &pace["limits"][0]["state"]), (&"unlimited".into(), &"paused".into()));
    assert_eq!(pace["limits"][0]["limit"], "/api/v2/users");
}

#[tokio::test]
async fn past_and_malformed_times_pause_nobody_for_long_and_both_forms_are_obeyed() {
    for (fields, least) in [
        (&[("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT")][..], 0),
        (&[("Retry-After", "soon")], 0),
        (&[("Retry-After", "1"), ("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT")], 990),
    ] {
        let setup = Setup::new().await;
        one_429(&setup, fields);
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 200, "{fields:?}");
        let starts = starts(&setup.region);
        assert!(starts[1] >= least, "{fields:?}: {starts:?}");
    }
}

#[tokio::test]
async fn a_lone_request_is_served_once_the_429s_end() {
    let setup = Setup::new().await;
    let canned = Canned::new(429);
    setup.region.script(Script::of([Fault::new(Action::Status(canned)).at(Endpoint::Api).times(7)]));
    // Four attempts are rejected and the last of these passed on; the second request has three of its own.
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 429);
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(starts(&setup.region).len(), 8);
}

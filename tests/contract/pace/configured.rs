//! Limits that are configured.

use std::time::Duration;

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script, Settings};
use serde_json::json;

use super::{at_once, starts, statuses, with_file};
use crate::support::{Launch, Setup, eventually, get};

/// Each response of the API takes so long.
fn slow(setup: &Setup, ms: u64) {
    setup.region.script(Script::of([Fault::new(Action::Delay { ms }).at(Endpoint::Api)]));
}

#[tokio::test]
async fn a_configured_rate_is_never_exceeded() {
    let setup = Setup::launched(|launch| launch.flag("max-rate", "4/s")).await;
    let responses = at_once(&setup, 10, "/api/v2/users/me").await;
    assert_eq!(statuses(&responses), [200; 10]);
    let starts = starts(&setup.region);
    for window in starts.windows(5) {
        // The way to the region takes a moment, more on a busy machine.
        assert!(window[4] - window[0] >= 900, "five within a second: {starts:?}");
    }
}

#[tokio::test]
async fn no_more_requests_than_configured_are_at_the_api_at_once() {
    let setup = Setup::launched(|launch| launch.flag("max-concurrent", "2")).await;
    slow(&setup, 300);
    let responses = at_once(&setup, 6, "/api/v2/users/me").await;
    assert_eq!(statuses(&responses), [200; 6]);
    let starts = starts(&setup.region);
    assert!(starts[2] >= 290 && starts[4] >= 590, "{starts:?}");
}

#[tokio::test]
async fn requests_that_fail_or_leave_give_their_place_back() {
    let setup =
        Setup::launched(|launch| launch.flag("max-concurrent", "1").flag("response-timeout", "300ms")).await;
    slow(&setup, 60_000);
    let mut leaves = setup.connect().await;
    leaves.send(get("/api/v2/users/me")).await;
    eventually("the first attempt", async || (!starts(&setup.region).is_empty()).then_some(())).await;
    drop(leaves);
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 504);
    setup.region.script(Script::default());
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
}

#[tokio::test]
async fn a_full_queue_is_503() {
    let setup = Setup::launched(|launch| launch.flag("max-concurrent", "1").flag("queue", "1")).await;
    slow(&setup, 1000);
    let responses = at_once(&setup, 4, "/api/v2/users/me").await;
    assert_eq!(statuses(&responses), [200, 200, 503, 503]);
    let refused = responses.iter().find(|response| response.status() == 503).unwrap();
    assert_eq!(refused.json()["type"], "urn:cxone-proxy:problem:queue-full");
    assert_eq!(refused.only("Proxy-Status"), Some("cxone-proxy; error=connection_limit_reached"));
    assert!(refused.only("Retry-After").is_some());
}

#[tokio::test]
async fn a_budget_ends_with_429_and_without_asking_the_api() {
    let setup = Setup::launched(|launch| launch.flag("budget", "3/1h")).await;
    for _ in 0..3 {
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    }
    let refused = setup.get("/api/v2/users/me").await;
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.json()["type"], "urn:cxone-proxy:problem:budget-used-up");
    let after: u64 = refused.only("Retry-After").unwrap().parse().unwrap();
    assert!((3500..=3600).contains(&after), "{after}");
    assert_eq!(starts(&setup.region).len(), 3);
    assert_eq!(setup.status().await["pace"]["budget_left"], 0);
    assert_eq!(setup.metrics().await.count("cxone_proxy_budget_left", &[]), 0);
}

#[tokio::test]
async fn a_repeated_attempt_is_one_more_of_the_budget() {
    let setup = Setup::launched(|launch| launch.flag("budget", "3/1h")).await;
    let fault = Fault::new(Action::Status(Canned::new(401))).at(Endpoint::Api).times(1);
    setup.region.script(Script::of([fault]));
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    assert_eq!(setup.status().await["pace"]["budget_left"], 1);
}

const LIMITS: &str = "
[[rate_limit]]
path_prefix = \"/api/v2/users\"
spacing = \"1s\"

[[rate_limit]]
path_prefix = \"/api/v2/users/me\"
methods = [\"GET\"]
rate = \"100/1s\"
concurrent = 2
";

#[tokio::test]
async fn limits_of_the_file_are_for_their_paths_and_the_longest_prefix_wins() {
    let setup = with_file(Settings::default(), LIMITS, |launch| launch).await;
    for target in ["/api/v2/users/me?x=1", "/api/v2/users/me", "/api/v2/large", "/api/v2/users/7"] {
        assert_eq!(setup.get(target).await.status(), 200, "{target}");
    }
    let quick = starts(&setup.region);
    assert_eq!(statuses(&at_once(&setup, 2, "/api/v2/users/7").await), [200; 2]);
    let starts = starts(&setup.region);
    let spaced: Vec<u128> = starts[3..].windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(spaced.iter().all(|pause| *pause >= 950), "{starts:?}");
    assert!(quick[3] < 2000, "the others did not wait: {quick:?}");
    let limits = &setup.status().await["pace"]["limits"];
    let names: Vec<_> = limits.as_array().unwrap().iter().map(|limit| limit["limit"].clone()).collect();
    assert_eq!(names, [json!("GET /api/v2/users/me"), json!("/api/v2/users")]);
}

#[tokio::test]
async fn server_timing_says_how_long_a_request_queued() {
    let setup =
        Setup::launched(|launch: Launch| launch.flag("max-rate", "1/s").flag("server-timing", "true")).await;
    let responses = at_once(&setup, 2, "/api/v2/users/me").await;
    let queued: Vec<f64> = responses
        .iter()
        .map(|response| {
            let timing = response.only("Server-Timing").unwrap();
            let (_, rest) = timing.split_once("queue;dur=").unwrap();
            rest.split(',').next().unwrap().parse().unwrap()
        })
        .collect();
    assert!(queued.contains(&0.0) && queued.iter().any(|ms| *ms > 500.0), "{queued:?}");
    let metrics = setup.metrics().await;
    let waited = metrics.sum("cxone_proxy_wait_seconds_total", &[("reason", "queue")]).unwrap();
    assert!(waited > Duration::from_millis(500).as_secs_f64(), "{waited}");
}

#[tokio::test]
async fn without_limits_and_429s_nothing_waits() {
    let setup = Setup::new().await;
    assert_eq!(statuses(&at_once(&setup, 20, "/api/v2/users/me").await), [200; 20]);
    let status = setup.status().await;
    assert_eq!(
        status["pace"],
        json!({
            "state": "unlimited", "learned_rate": null, "queue_length": 0, "paused_until": null, "budget_left": null, "replicas": null,
            "limits": [],
        })
    );
    let metrics = setup.metrics().await;
    assert_eq!(metrics.sum("cxone_proxy_wait_seconds_total", &[("reason", "queue")]), Some(0.0));
    assert_eq!(metrics.sum("cxone_proxy_pace_learned_rate", &[]), None);
}

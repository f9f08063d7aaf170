//! The upstream's 429: wait as it says, then send again, within limits.

use std::time::Duration;

use cxone_simulator::{Action, Canned, Endpoint, Fault, Quota, RetryAfterForm, Script, Settings};
use tokio::time::Instant;

use super::attempts;
use crate::support::{Launch, Setup, request};

fn limited(retry_after: RetryAfterForm, per: Duration) -> Settings {
    Settings { quotas: vec![Quota::new(1, per).retry_after(retry_after)], ..Settings::default() }
}

/// A program whose upstream answers 429 with these fields, always.
async fn always(fields: &[(&str, &str)], launch: impl FnOnce(Launch) -> Launch) -> Setup {
    let setup = Setup::launched(launch).await;
    let canned = fields
        .iter()
        .fold(Canned::new(429).body("slow down"), |canned, (name, value)| canned.field(name, value));
    setup.region.script(Script::of([Fault::new(Action::Status(canned)).at(Endpoint::Api)]));
    setup
}

#[tokio::test]
async fn retry_after_in_seconds_and_as_a_date_is_waited_for_and_never_less() {
    for form in [RetryAfterForm::Seconds, RetryAfterForm::Date] {
        let setup = Setup::of(limited(form, Duration::from_secs(1))).await;
        for number in 0..2 {
            // With the identifier the referee checks that no attempt came early.
            let fields = format!("X-Request-Id: {number}\r\n");
            let response = setup.fetch(request("POST", "/api/v2/echo", &fields, "hello")).await;
            assert_eq!((response.status(), &response.json()["body"]["bytes"]), (200, &5.into()), "{form:?}");
        }
        let statuses: Vec<_> =
            attempts(&setup.region).into_iter().map(|entry| entry.status.unwrap()).collect();
        assert_eq!(statuses, [200, 429, 200], "{form:?}");
    }
}

#[tokio::test]
async fn without_retry_after_the_proxy_backs_off_by_itself() {
    let setup = Setup::launched(|launch| launch.flag("rate-limit-retries", "2")).await;
    let fault = Fault::new(Action::Status(Canned::new(429))).at(Endpoint::Api).times(2);
    setup.region.script(Script::of([fault]));
    let began = Instant::now();
    assert_eq!(
        setup.fetch(request("POST", "/api/v2/echo", "X-Request-Id: a\r\n", "hello")).await.status(),
        200
    );
    assert_eq!(attempts(&setup.region).len(), 3);
    // At most 500 ms and 1 s of waiting, with a margin for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn there_are_as_many_retries_as_configured_and_then_the_429_is_passed_on() {
    for (setting, retries) in [(None, 3), (Some("1"), 1), (Some("0"), 0)] {
        let setup = always(&[("Retry-After", "0"), ("X-Own", "1")], |launch| match setting {
            Some(setting) => launch.flag("rate-limit-retries", setting),
            None => launch,
        })
        .await;
        let response = setup.get("/api/v2/users/7").await;
        assert_eq!((response.status(), response.text()), (429, "slow down".to_owned()));
        assert_eq!((response.only("Retry-After"), response.only("X-Own")), (Some("0"), Some("1")));
        assert_eq!(response.only("Proxy-Status"), Some("cxone-proxy; received-status=429"));
        assert_eq!(attempts(&setup.region).len(), retries + 1, "{setting:?}");
    }
}

#[tokio::test]
async fn a_wait_that_would_break_max_wait_is_not_begun() {
    let setup = always(&[("Retry-After", "60")], |launch| launch).await;
    let began = Instant::now();
    let response = setup.get("/api/v2/users/7").await;
    assert_eq!((response.status(), response.only("Retry-After")), (429, Some("60")));
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(attempts(&setup.region).len(), 1);
}

/// Once the upstream has the whole request, nobody knows what it did before it responded.
#[tokio::test]
async fn a_post_that_was_delivered_whole_is_not_sent_again_after_503() {
    let setup = Setup::new().await;
    let canned = Canned::new(503).field("Retry-After", "0");
    setup.region.script(Script::of([Fault::new(Action::Status(canned)).at(Endpoint::Api)]));
    let empty_chunks =
        "POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for posted in [
        "POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        empty_chunks,
    ] {
        let before = attempts(&setup.region).len();
        assert_eq!(setup.fetch(posted).await.status(), 503);
        assert_eq!(attempts(&setup.region).len(), before + 1, "{posted:?}");
    }
}

#[tokio::test]
async fn max_wait_counts_all_waits_of_a_request_together() {
    let setup = always(&[("Retry-After", "1")], |launch| launch.flag("max-wait", "1500ms")).await;
    let began = Instant::now();
    let response = setup.get("/api/v2/users/7").await;
    assert_eq!((response.status(), response.only("Retry-After")), (429, Some("1")));
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(attempts(&setup.region).len(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_during_the_wait_is_not_served() {
    let setup = always(&[("Retry-After", "1")], |launch| launch).await;
    let mut client = setup.connect().await;
    client.send(request("GET", "/api/v2/users/7", "", "")).await;
    crate::support::eventually("the first attempt", async || {
        attempts(&setup.region).first().is_some_and(|entry| entry.outcome.is_some()).then_some(())
    })
    .await;
    drop(client);
    // Once its request is no longer in flight, nothing can be sent for it any more.
    setup.in_flight(0).await;
    assert_eq!(attempts(&setup.region).len(), 1);
}

#[tokio::test]
async fn a_503_with_retry_after_counts_as_rate_limited_and_one_without_does_not() {
    for (fields, counted) in [(&[("Retry-After", "3600")][..], 1), (&[], 0)] {
        let setup = Setup::new().await;
        let canned = fields.iter().fold(Canned::new(503), |canned, (name, value)| canned.field(name, value));
        setup.region.script(Script::of([Fault::new(Action::Status(canned)).at(Endpoint::Api)]));
        assert_eq!(setup.get("/").await.status(), 503);
        let metrics = setup.metrics().await;
        assert_eq!(metrics.count("cxone_proxy_rate_limited_responses_total", &[]), counted, "{fields:?}");
    }
}

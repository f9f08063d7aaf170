//! The upstream's 503 with `Retry-After` is waited for as its 429 is, where a repetition is safe. Its 403 is
//! explained.

use std::time::Duration;

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script};
use serde_json::Value;
use tokio::time::Instant;

use super::attempts;
use crate::support::{Launch, Setup, eventually, get, request};

/// A program whose API answers with `canned`, so many times.
async fn answering(canned: Canned, times: Option<u32>, launch: impl FnOnce(Launch) -> Launch) -> Setup {
    let setup = Setup::launched(launch).await;
    let fault = Fault { times, ..Fault::new(Action::Status(canned)).at(Endpoint::Api) };
    setup.region.script(Script::of([fault]));
    setup
}

fn busy(retry_after: &str) -> Canned {
    Canned::new(503).field("Retry-After", retry_after).body("busy")
}

fn statuses(setup: &Setup) -> Vec<u16> {
    attempts(&setup.region).into_iter().map(|entry| entry.status.unwrap()).collect()
}

#[tokio::test]
async fn is_waited_for_where_a_repetition_is_safe() {
    for (method, body, is_safe) in [
        ("GET", "", true),
        ("PUT", "hello", true),
        ("DELETE", "", true),
        // A request without a body was delivered whole.
        ("POST", "", false),
        ("PATCH", "", false),
        ("POST", "hello", false),
        ("PATCH", "hello", false),
    ] {
        let setup = answering(busy("1"), Some(1), |launch| launch).await;
        let began = Instant::now();
        let fields = "X-Request-Id: a\r\n";
        let response = setup.fetch(request(method, "/api/v2/echo", fields, body)).await;
        if is_safe {
            assert_eq!(response.status(), 200, "{method} {body}");
            assert_eq!(response.json()["body"]["bytes"], body.len());
            assert_eq!(statuses(&setup), [503, 200]);
            assert!(began.elapsed() >= Duration::from_secs(1));
        } else {
            assert_eq!((response.status(), response.text()), (503, "busy".to_owned()), "{method} {body}");
            let said = response.only("Proxy-Status");
            assert_eq!(
                (response.only("Retry-After"), said),
                (Some("1"), Some("cxone-proxy; received-status=503"))
            );
            assert_eq!(statuses(&setup), [503]);
        }
    }
}

#[tokio::test]
async fn a_body_that_was_not_begun_is_no_obstacle() {
    let setup = answering(busy("0"), Some(1), |launch| launch).await;
    let mut client = setup.connect().await;
    let head = "POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    let early = Action::EarlyResponse { response: busy("0"), read: 0, rest: cxone_simulator::Rest::Read };
    setup.region.script(Script::of([Fault::new(early).at(Endpoint::Api).times(1)]));
    client.send(head).await;
    eventually("the second attempt", async || (attempts(&setup.region).len() == 2).then_some(())).await;
    client.send("hello").await;
    let response = client.response().await.unwrap();
    assert_eq!((response.status(), &response.json()["body"]["bytes"]), (200, &5.into()));
}

#[tokio::test]
async fn without_retry_after_it_passes() {
    for fields in [&[][..], &[("Retry-After", "soon")]] {
        let canned = fields.iter().fold(Canned::new(503), |canned, (name, value)| canned.field(name, value));
        let setup = answering(canned, None, |launch| launch).await;
        assert_eq!(setup.get("/api/v2/users/7").await.status(), 503);
        assert_eq!(attempts(&setup.region).len(), 1);
    }
    for status in [500, 502, 504] {
        let canned = Canned::new(status).field("Retry-After", "0");
        let setup = answering(canned, None, |launch| launch).await;
        assert_eq!(setup.get("/api/v2/users/7").await.status(), status);
        assert_eq!(attempts(&setup.region).len(), 1);
    }
}

#[tokio::test]
async fn its_waits_count_with_those_after_429() {
    let setup = Setup::launched(|launch| launch.flag("rate-limit-retries", "2")).await;
    let once = |status| {
        Fault::new(Action::Status(Canned::new(status).field("Retry-After", "0"))).at(Endpoint::Api).times(1)
    };
    setup.region.script(Script::of([once(503), once(429), once(503), once(503)]));
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 503);
    assert_eq!(statuses(&setup), [503, 429, 503]);
    let retries = setup.metrics().await.count("cxone_proxy_retries_total", &[("reason", "rate_limited")]);
    assert_eq!(retries, 2);
    let none = answering(busy("0"), None, |launch| launch.flag("rate-limit-retries", "0")).await;
    assert_eq!(none.get("/api/v2/users/7").await.status(), 503);
    assert_eq!(attempts(&none.region).len(), 1);
}

#[tokio::test]
async fn a_wait_that_would_break_max_wait_is_not_begun() {
    for (retry_after, max_wait, count) in [("60", "30s", 1), ("1", "1500ms", 2)] {
        let setup = answering(busy(retry_after), None, |launch| launch.flag("max-wait", max_wait)).await;
        let began = Instant::now();
        let response = setup.get("/api/v2/users/7").await;
        assert_eq!((response.status(), response.only("Retry-After")), (503, Some(retry_after)));
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(attempts(&setup.region).len(), count);
    }
}

/// The log's explanation of a 403 whose body or fields contain `said`, once it is there.
async fn explanation(setup: &Setup, said: &str) -> Value {
    eventually("the explanation", async || {
        let is_explanation = |event: &Value| {
            let text = event.to_string();
            text.contains("CXONE_SCOPES") && text.contains(said)
        };
        setup.proxy.events().into_iter().find(is_explanation)
    })
    .await
}

#[tokio::test]
async fn a_missing_scope_is_explained_in_the_log_and_passed_on() {
    for (target, challenge) in [("/api/v2/reports", true), ("/api/v2/reports?challenge=none", false)] {
        let setup = Setup::new().await;
        let response = setup.get(target).await;
        assert_eq!(response.status(), 403);
        assert_eq!(response.only("WWW-Authenticate").is_some(), challenge);
        let said = response.only("icStatusDescription").unwrap();
        assert!(said.starts_with("Token does not have the required scope"), "{said}");
        let event = explanation(&setup, said).await;
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["scopes"], "users:read contacts:read");
        assert_eq!(event["profile"], "default");
        assert_eq!((attempts(&setup.region).len(), setup.region.token_requests()), (1, 1), "never renewed");
    }
}

#[tokio::test]
async fn a_403_for_another_reason_is_passed_on_without_an_explanation() {
    let canned = Canned::new(403).field("icStatusDescription", "Not your contact").body("no");
    let setup = answering(canned, Some(1), |launch| launch).await;
    let mut client = setup.connect().await;
    let response = client.fetch(get("/api/v2/users/7")).await;
    assert_eq!((response.status(), response.text()), (403, "no".to_owned()));
    assert_eq!(response.only("icStatusDescription"), Some("Not your contact"));
    // The log keeps its order: an explanation would stand before that of a missing scope.
    assert_eq!(client.fetch(get("/api/v2/reports")).await.status(), 403);
    explanation(&setup, "required scope").await;
    let log = setup.proxy.log().join("\n");
    assert_eq!(log.matches("CXONE_SCOPES").count(), 1, "{log}");
    assert!(!log.contains("Not your contact"), "{log}");
}

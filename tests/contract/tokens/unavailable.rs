//! The upstream's 503 with `Retry-After` is waited for as its 429 is, where a repetition is safe; and its 403 is
//! explained.

use std::time::Duration;

use cxone_proxy::simulator::{Action, Canned, Endpoint, Fault, Script};
use tokio::time::{Instant, sleep};

use super::attempts;
use crate::support::{Launch, Stage, get, request};

/// A program whose API answers so, this many times.
async fn answering(canned: Canned, times: Option<u32>, launch: impl FnOnce(Launch) -> Launch) -> Stage {
    let stage = Stage::launched(launch).await;
    let fault = Fault { times, ..Fault::new(Action::Status(canned)).at(Endpoint::Api) };
    stage.region.script(Script::of([fault]));
    stage
}

fn busy(retry_after: &str) -> Canned {
    Canned::new(503).field("Retry-After", retry_after).body("busy")
}

fn statuses(stage: &Stage) -> Vec<u16> {
    attempts(&stage.region).into_iter().map(|entry| entry.status.unwrap()).collect()
}

#[tokio::test]
async fn is_waited_for_where_a_repetition_is_safe() {
    for (method, body, is_safe) in [
        ("GET", "", true),
        ("PUT", "hello", true),
        ("DELETE", "", true),
        // What has no content was delivered whole.
        ("POST", "", false),
        ("PATCH", "", false),
        ("POST", "hello", false),
        ("PATCH", "hello", false),
    ] {
        let stage = answering(busy("1"), Some(1), |launch| launch).await;
        let began = Instant::now();
        let fields = "X-Request-Id: a\r\n";
        let reply = stage.ask(request(method, "/api/v2/echo", fields, body)).await;
        if is_safe {
            assert_eq!(reply.status(), 200, "{method} {body}");
            assert_eq!(reply.json()["body"]["bytes"], body.len());
            assert_eq!(statuses(&stage), [503, 200]);
            assert!(began.elapsed() >= Duration::from_secs(1));
        } else {
            assert_eq!((reply.status(), reply.text()), (503, "busy".to_owned()), "{method} {body}");
            assert_eq!((reply.only("Retry-After"), reply.only("Proxy-Status")), (Some("1"), None));
            assert_eq!(statuses(&stage), [503]);
        }
    }
}

#[tokio::test]
async fn a_content_that_was_not_begun_is_no_obstacle() {
    let stage = answering(busy("0"), Some(1), |launch| launch).await;
    let mut client = stage.wire().await;
    let head = "POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    let early = Action::EarlyAnswer { answer: busy("0"), read: 0, rest: cxone_proxy::simulator::Rest::Read };
    stage.region.script(Script::of([Fault::new(early).at(Endpoint::Api).times(1)]));
    client.send(head).await;
    crate::support::eventually("the second attempt", async || {
        (attempts(&stage.region).len() == 2).then_some(())
    })
    .await;
    client.send("hello").await;
    let reply = client.reply().await.unwrap();
    assert_eq!((reply.status(), &reply.json()["body"]["bytes"]), (200, &5.into()));
}

#[tokio::test]
async fn without_retry_after_it_passes() {
    for fields in [&[][..], &[("Retry-After", "soon")]] {
        let canned = fields.iter().fold(Canned::new(503), |canned, (name, value)| canned.field(name, value));
        let stage = answering(canned, None, |launch| launch).await;
        assert_eq!(stage.get("/api/v2/users/7").await.status(), 503);
        assert_eq!(attempts(&stage.region).len(), 1);
    }
    for status in [500, 502, 504] {
        let canned = Canned::new(status).field("Retry-After", "0");
        let stage = answering(canned, None, |launch| launch).await;
        assert_eq!(stage.get("/api/v2/users/7").await.status(), status);
        assert_eq!(attempts(&stage.region).len(), 1);
    }
}

#[tokio::test]
async fn its_waits_count_with_those_after_429() {
    let stage = Stage::launched(|launch| launch.flag("rate-limit-retries", "2")).await;
    let once = |status| {
        Fault::new(Action::Status(Canned::new(status).field("Retry-After", "0"))).at(Endpoint::Api).times(1)
    };
    stage.region.script(Script::of([once(503), once(429), once(503), once(503)]));
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 503);
    assert_eq!(statuses(&stage), [503, 429, 503]);
    let metrics = stage.admin("/metrics").await.text();
    assert!(metrics.contains("cxone_proxy_retries_total{reason=\"rate_limited\"} 2"), "{metrics}");
    let none = answering(busy("0"), None, |launch| launch.flag("rate-limit-retries", "0")).await;
    assert_eq!(none.get("/api/v2/users/7").await.status(), 503);
    assert_eq!(attempts(&none.region).len(), 1);
}

#[tokio::test]
async fn a_wait_that_would_break_max_wait_is_not_begun() {
    for (retry_after, max_wait, count) in [("60", "30s", 1), ("1", "1500ms", 2)] {
        let stage = answering(busy(retry_after), None, |launch| launch.flag("max-wait", max_wait)).await;
        let began = Instant::now();
        let reply = stage.get("/api/v2/users/7").await;
        assert_eq!((reply.status(), reply.only("Retry-After")), (503, Some(retry_after)));
        assert!(began.elapsed() < Duration::from_secs(10));
        assert_eq!(attempts(&stage.region).len(), count);
    }
}

#[tokio::test]
async fn a_missing_scope_is_explained_in_the_log_and_passed_on() {
    for (target, challenge) in [("/api/v2/reports", true), ("/api/v2/reports?challenge=none", false)] {
        let stage = Stage::new().await;
        let reply = stage.get(target).await;
        assert_eq!(reply.status(), 403);
        assert_eq!(reply.only("WWW-Authenticate").is_some(), challenge);
        let said = reply.only("icStatusDescription").unwrap();
        assert!(said.starts_with("Token does not have the required scope"), "{said}");
        let event = crate::support::eventually("the explanation", async || {
            stage.proxy.events().into_iter().find(|event| {
                event["message"].as_str().is_some_and(|message| message.starts_with("forbidden: "))
            })
        })
        .await;
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["scopes"], "users:read contacts:read");
        assert_eq!(event["said"], said);
        assert_eq!(event["profile"], "default");
        assert!(event["message"].as_str().unwrap().contains("CXONE_SCOPES"), "{event}");
        assert_eq!((attempts(&stage.region).len(), stage.region.token_requests()), (1, 1), "never renewed");
    }
}

#[tokio::test]
async fn another_403_is_the_api_s_own_affair() {
    let canned = Canned::new(403).field("icStatusDescription", "Not your contact").body("no");
    let stage = answering(canned, None, |launch| launch).await;
    let mut client = stage.wire().await;
    let reply = client.ask(get("/api/v2/users/7")).await;
    assert_eq!((reply.status(), reply.text()), (403, "no".to_owned()));
    assert_eq!(reply.only("icStatusDescription"), Some("Not your contact"));
    sleep(Duration::from_millis(100)).await;
    assert!(!stage.proxy.log().iter().any(|line| line.contains("forbidden")));
}

//! Section 13: one line of the log for each request.

use cxone_simulator::{Action, Canned, Ending, Endpoint, Fault, Script};
use serde_json::Value;

use crate::support::{Launch, Setup, eventually, get, request};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn all(launch: Launch) -> Launch {
    launch.flag("access-log", "all")
}

fn lines(setup: &Setup) -> Vec<Value> {
    setup.proxy.events().into_iter().filter(|event| event["target"] == "access").collect()
}

/// Waits for so many lines: the log has a thread of its own.
async fn written(setup: &Setup, count: usize) -> Vec<Value> {
    eventually("the lines of the log", async || {
        let lines = lines(setup);
        (lines.len() >= count).then_some(lines)
    })
    .await
}

#[tokio::test]
async fn every_request_has_one_line_that_says_what_became_of_it() {
    let setup = Setup::launched(all).await;
    let once = |status| Fault::new(Action::Status(Canned::new(status))).at(Endpoint::Api).times(1);
    setup.region.script(Script::of([once(401), once(429)]));
    let fields = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\r\n");
    let posted = request("POST", "/api/v2/echo?secret=1", &fields, "hello");
    let response = setup.fetch(posted).await;
    assert_eq!(response.status(), 200);
    setup.in_flight(0).await;
    let line = &written(&setup, 1).await[0];
    assert_eq!((&line["message"], &line["level"]), (&"request".into(), &"INFO".into()));
    assert_eq!(
        (&line["method"], &line["path"], &line["status"]),
        (&"POST".into(), &"/api/v2/echo".into(), &200.into())
    );
    assert_eq!((&line["profile"], &line["attempts"]), (&"default".into(), &3.into()));
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&5.into(), &response.body.len().into()));
    assert_eq!((&line["token_generation"], &line["trace_id"]), (&2.into(), &TRACE.into()));
    assert!(line["waited_ms"].as_u64().unwrap() >= 200, "{line}");
    assert!(
        line["duration_ms"].as_u64() >= line["waited_ms"].as_u64() && line["upstream_ms"].is_u64(),
        "{line}"
    );
    assert!(line.get("error").is_none() && line.get("client").is_none(), "{line}");
}

#[tokio::test]
async fn by_default_errors_and_refusals_have_a_line_and_equal_ones_only_one() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    let fault = Fault::new(Action::Status(Canned::new(500))).at(Endpoint::Api).times(3);
    setup.region.script(Script::of([fault]));
    for _ in 0..3 {
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 500);
        assert_eq!(setup.fetch("GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n").await.status(), 421);
    }
    assert_eq!(setup.get("/api/v2/nothing").await.status(), 404);
    setup.in_flight(0).await;
    let seen: Vec<_> =
        written(&setup, 2).await.iter().map(|line| (line["status"].clone(), line["error"].clone())).collect();
    assert_eq!(seen, [(500.into(), Value::Null), (421.into(), "wrong-host".into())]);
}

#[tokio::test]
async fn slow_ones_alone_or_none_at_all() {
    let delay = || Script::of([Fault::new(Action::Delay { ms: 300 }).at(Endpoint::Api).times(1)]);
    let slow = Setup::launched(|launch| launch.flag("access-log", "slow:250ms")).await;
    assert_eq!(slow.get("/api/v2/users/me").await.status(), 200);
    slow.region.script(delay());
    assert_eq!(slow.get("/api/v2/users/7").await.status(), 200);
    let paths: Vec<_> = written(&slow, 1).await.iter().map(|line| line["path"].clone()).collect();
    assert!(paths.contains(&"/api/v2/users/7".into()), "{paths:?}");
    let off = Setup::launched(|launch| launch.flag("access-log", "off")).await;
    assert_eq!(off.fetch("GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n").await.status(), 421);
    off.in_flight(0).await;
    assert!(lines(&off).is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_and_a_response_that_breaks_off_are_said_so() {
    let setup = Setup::launched(all).await;
    let mut leaving = setup.connect().await;
    leaving.send(get("/api/v2/long-poll?seconds=60")).await;
    setup.in_flight(1).await;
    drop(leaving);
    let line = &written(&setup, 1).await[0];
    assert_eq!((&line["error"], line.get("status")), (&"client-left".into(), None), "{line}");
    setup.region.script(Script::of([Fault::new(Action::Truncate { after: 100, how: Ending::Close })
        .at(Endpoint::Api)
        .times(1)]));
    let mut client = setup.connect().await;
    client.send(get("/api/v2/large")).await;
    client.rest().await;
    let line = &written(&setup, 2).await[1];
    assert_eq!((&line["error"], &line["status"]), (&"response-broke-off".into(), &200.into()), "{line}");
}

#[tokio::test]
async fn a_path_stays_on_its_line_and_the_query_is_there_only_where_asked_for() {
    let setup = Setup::launched(|launch| all(launch).flag("access-query", "true")).await;
    setup.get("/api/v2/%0a%1b[2J?name=ada").await;
    let line = &written(&setup, 1).await[0];
    assert_eq!(line["path"], "/api/v2/%0a%1b[2J?name=ada");
}

#[tokio::test]
async fn requests_over_http2_have_a_line_as_well() {
    let setup = Setup::launched(all).await;
    let client = setup.http2().await;
    assert_eq!(client.get("/api/v2/users/me").await.unwrap().status, 200);
    let line = &written(&setup, 1).await[0];
    assert_eq!((&line["path"], &line["status"]), (&"/api/v2/users/me".into(), &200.into()));
}

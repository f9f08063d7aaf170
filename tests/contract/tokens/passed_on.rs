//! Errors of the API that reach the client: who has said it, and what the log says of those that matter.

use std::time::Duration;

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script};
use rustix::process::Signal;

use crate::support::{Setup, Upstream, eventually, get, request};

fn always(status: u16) -> Script {
    Script::of([Fault::new(Action::Status(Canned::new(status).body("the API's own"))).at(Endpoint::Api)])
}

#[tokio::test]
async fn an_error_says_that_the_api_has_sent_it() {
    let setup = Setup::launched(|launch| launch.flag("rate-limit-retries", "0")).await;
    for status in [400, 401, 403, 404, 409, 429, 500, 503] {
        setup.region.script(always(status));
        let response = setup.get("/api/v2/users/7").await;
        assert_eq!((response.status(), response.text().as_str()), (status, "the API's own"));
        let due = format!("cxone-proxy; received-status={status}");
        assert_eq!(response.only("Proxy-Status"), Some(due.as_str()));
    }
    setup.region.script(Script::default());
    assert_eq!(setup.get("/api/v2/users/7").await.only("Proxy-Status"), None);
    // What is passed on because somebody wants it so is no news.
    assert!(setup.proxy.warning_about("reaches clients").is_none());
}

#[tokio::test]
async fn a_429_that_reaches_a_client_is_said_once_with_what_decided() {
    for (flag, value, variable) in [
        ("rate-limit-retries", "1", "CXONE_PROXY_RATE_LIMIT_RETRIES"),
        ("max-wait", "1ms", "CXONE_PROXY_MAX_WAIT"),
    ] {
        let setup = Setup::launched(|launch| launch.flag("pace", "off").flag(flag, value)).await;
        setup.region.script(always(429));
        for _ in 0..3 {
            assert_eq!(setup.get("/api/v2/users/7?secret").await.status(), 429);
        }
        let line = eventually("the line", async || setup.proxy.warning_about("reaches clients")).await;
        assert_eq!((&line["decided_by"], &line["path"]), (&variable.into(), &"/api/v2/users/7".into()));
        assert!(line["message"].as_str().unwrap().contains("GET /api/v2/users/7 got 429"), "{line}");
        setup.proxy.idle().await;
        let lines = setup.proxy.log();
        assert_eq!(lines.iter().filter(|line| line.contains("reaches clients")).count(), 1, "{lines:#?}");
    }
}

/// Its 401 is about its own credentials: another token of ours changes nothing.
#[tokio::test]
async fn a_client_that_logs_in_by_itself_costs_no_renewal() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    let form = "grant_type=client_credentials";
    client.send(request("POST", "/api/v2/oauth/token?x", "Authorization: Basic bG9nOmlu\r\n", form)).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
    let response = client.response().await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.only("Proxy-Status"), Some("cxone-proxy; received-status=401"));
    assert_eq!(setup.region.token_requests(), 1);
    let line = eventually("the line", async || setup.proxy.warning_about("logs in by itself")).await;
    assert_eq!((&line["method"], &line["path"]), (&"POST".into(), &"/api/v2/oauth/token".into()));
    // Anything else is about the proxy's token.
    client.send(get("/api/v2/oauth/tokens")).await;
    connection.request().await.unwrap();
    connection.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
    connection.request().await.unwrap();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.response().await.unwrap().status(), 200);
    assert_eq!(setup.region.token_requests(), 2);
}

#[tokio::test]
async fn an_api_that_hangs_until_clients_leave_is_said() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let leave_after = async |number: usize, patience: Duration| {
        let mut client = setup.connect().await;
        client.send(get(&format!("/slow/{number}"))).await;
        let mut connection = upstream.accept().await;
        connection.request().await.unwrap();
        tokio::time::sleep(patience).await;
        if number == 0 {
            let oldest = setup.status().await["requests"]["oldest_in_flight_seconds"].as_u64();
            assert!(oldest.is_some_and(|seconds| (1..20).contains(&seconds)), "{oldest:?}");
        }
        drop(client);
        assert_eq!(connection.rest().await, b"", "the attempt ends with its client");
    };
    // One that leaves at once says nothing, and neither do two.
    leave_after(9, Duration::ZERO).await;
    for number in 0..3 {
        assert!(setup.proxy.warning_about("has stopped responding").is_none());
        leave_after(number, Duration::from_millis(1050)).await;
    }
    let line = eventually("the line", async || setup.proxy.warning_about("has stopped responding")).await;
    assert_eq!(line["path"], "/slow/2");
    assert!(setup.status().await["requests"]["oldest_in_flight_seconds"].is_null());
}

#[tokio::test]
async fn a_drain_that_cuts_requests_off_says_nothing_of_the_api() {
    let upstream = Upstream::start().await;
    let mut setup = upstream.setup(|launch| launch.flag("drain-timeout", "1500ms")).await;
    let mut open = Vec::new();
    for number in 0..4 {
        let mut client = setup.connect().await;
        client.send(get(&format!("/slow/{number}"))).await;
        let mut connection = upstream.accept().await;
        connection.request().await.unwrap();
        open.push((client, connection));
    }
    setup.proxy.signal(Signal::TERM);
    assert_eq!(setup.proxy.ended().await.code(), Some(1));
    assert!(setup.proxy.warning_about("has stopped responding").is_none(), "{:#?}", setup.proxy.log());
}

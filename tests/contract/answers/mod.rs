//! Section 6: Answers of its own.

mod limits;
mod slowness;
mod smuggling;
mod tokens;
mod upstreams;

use cxone_proxy::simulator::Endpoint;
use serde_json::Value;

use crate::support::{Message, Stage, get, request};

/// What is a problem by RFC 9457, with its `Proxy-Status` by RFC 9209; its hint.
fn problem(reply: &Message, status: u16, error: &str) -> String {
    assert_eq!(reply.status(), status, "{} {}", reply.start, reply.text());
    assert_eq!(reply.only("content-type"), Some("application/problem+json"));
    let due = format!("cxone-proxy; error={error}");
    assert_eq!(reply.only("proxy-status"), Some(due.as_str()), "{}", reply.text());
    hint(&reply.json(), status)
}

fn hint(problem: &Value, status: u16) -> String {
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail", "hint"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
    }
    problem["hint"].as_str().unwrap().to_owned()
}

/// The targets of the requests that have reached the API.
fn reached(stage: &Stage) -> Vec<String> {
    let journal = stage.region.journal();
    journal.into_iter().filter(|entry| entry.endpoint == Endpoint::Api).map(|entry| entry.target).collect()
}

#[tokio::test]
async fn what_the_guard_refuses_is_a_problem() {
    let stage = Stage::new().await;
    let wrong_host = stage.ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert!(problem(&wrong_host, 421, "http_request_denied").contains("guard.allowed_hosts"));
    assert!(wrong_host.json()["detail"].as_str().unwrap().contains("evil.example"));
    let origin = stage.ask(request("GET", "/", "Origin: https://evil.example\r\n", "")).await;
    assert!(problem(&origin, 403, "http_request_denied").contains("guard.allowed_origins"));
    let connect = stage.ask("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n").await;
    problem(&connect, 405, "http_request_denied");
    let asterisk = stage.ask(request("OPTIONS", "*", "", "")).await;
    problem(&asterisk, 400, "http_request_error");
    assert_eq!(reached(&stage), [""; 0]);
}

#[tokio::test]
async fn a_refused_request_does_not_end_the_connection() {
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    let refused = client.ask(request("GET", "/", "Origin: https://evil.example\r\n", "")).await;
    problem(&refused, 403, "http_request_denied");
    assert_eq!(client.ask(get("/api/v2/users/me")).await.status(), 200);
}

#[tokio::test]
async fn an_answer_to_head_has_no_content() {
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    client.send(request("HEAD", "/", "Origin: https://evil.example\r\n", "")).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status(), head.only("content-type")), (403, Some("application/problem+json")));
    assert_eq!(client.ask(get("/api/v2/users/me")).await.status(), 200);
}

#[tokio::test]
async fn what_the_client_sent_cannot_break_the_answer() {
    let stage = Stage::new().await;
    let nasty = "evil\"\\,\u{7f}é<script>".replace('\u{7f}', "");
    let reply = stage.ask(format!("GET / HTTP/1.1\r\nHost: {nasty}\r\n\r\n")).await;
    problem(&reply, 421, "http_request_denied");
    assert!(reply.json()["detail"].as_str().unwrap().contains("evil\"\\"));
}

#[tokio::test]
async fn http2_gets_the_same_problems() {
    let stage = Stage::new().await;
    let client = stage.http2().await;
    let head = client.request("GET", "/").header("origin", "https://evil.example");
    let reply = client.ask(head, b"", http::HeaderMap::new()).await.unwrap();
    assert_eq!(reply.status, 403);
    assert_eq!(reply.fields["content-type"], "application/problem+json");
    assert_eq!(reply.fields["proxy-status"], "cxone-proxy; error=http_request_denied");
    hint(&reply.json(), 403);
    assert_eq!(client.get("/api/v2/users/me").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_that_comes_round_is_508() {
    // The port that the program is told to listen on and to forward to.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let stage = Stage::launched(|launch| {
        let token_url = format!("{}/api/v2/oauth/token", launch.value("CXONE_BASE_URL").unwrap().display());
        launch
            .variable("CXONE_TOKEN_URL", token_url)
            .variable("CXONE_BASE_URL", format!("http://127.0.0.1:{port}"))
            .flag("listen", format!("127.0.0.1:{port}"))
    })
    .await;
    let reply = stage.get("/api/v2/users/me").await;
    let hint = problem(&reply, 508, "proxy_loop_detected");
    assert!(hint.contains("CXONE_BASE_URL"), "{hint}");
    // Another process's member is none of ours.
    let foreign = "CDN-Loop: cxone-proxy-0123456789abcdef, other; v=1\r\n";
    let other = Stage::new().await;
    assert_eq!(other.ask(request("GET", "/api/v2/users/me", foreign, "")).await.status(), 200);
}

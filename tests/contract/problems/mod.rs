//! Section 6: responses of the proxy itself.

mod limits;
mod sizes;
mod slowness;
mod smuggling;
mod tokens;
mod upstreams;

use cxone_simulator::Endpoint;
use serde_json::Value;

use crate::support::{Message, Setup, get, request};

/// Checks a problem of RFC 9457 with its `Proxy-Status` of RFC 9209, and returns its hint.
fn problem(response: &Message, status: u16, error: &str) -> String {
    assert_eq!(response.status(), status, "{} {}", response.start, response.text());
    assert_eq!(response.only("content-type"), Some("application/problem+json"));
    let expected = format!("cxone-proxy; error={error}");
    assert_eq!(response.only("proxy-status"), Some(expected.as_str()), "{}", response.text());
    hint(&response.json(), status)
}

fn hint(problem: &Value, status: u16) -> String {
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail", "hint"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
    }
    problem["hint"].as_str().unwrap().to_owned()
}

/// The targets of the requests that have reached the API.
fn reached(setup: &Setup) -> Vec<String> {
    let journal = setup.region.journal();
    journal.into_iter().filter(|entry| entry.endpoint == Endpoint::Api).map(|entry| entry.target).collect()
}

#[tokio::test]
async fn what_the_guard_refuses_is_a_problem() {
    let setup = Setup::new().await;
    let wrong_host = setup.fetch("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert!(problem(&wrong_host, 421, "http_request_denied").contains("guard.allowed_hosts"));
    assert!(wrong_host.json()["detail"].as_str().unwrap().contains("evil.example"));
    let origin = setup.fetch(request("GET", "/", "Origin: https://evil.example\r\n", "")).await;
    assert!(problem(&origin, 403, "http_request_denied").contains("guard.allowed_origins"));
    let connect = setup.fetch("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n").await;
    problem(&connect, 405, "http_request_denied");
    let asterisk = setup.fetch(request("OPTIONS", "*", "", "")).await;
    problem(&asterisk, 400, "http_request_error");
    assert_eq!(reached(&setup), [""; 0]);
}

#[tokio::test]
async fn a_refused_request_does_not_end_the_connection() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let refused = client.fetch(request("GET", "/", "Origin: https://evil.example\r\n", "")).await;
    problem(&refused, 403, "http_request_denied");
    assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200);
}

#[tokio::test]
async fn a_problem_in_response_to_head_has_no_body() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    client.send(request("HEAD", "/", "Origin: https://evil.example\r\n", "")).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status(), head.only("content-type")), (403, Some("application/problem+json")));
    assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200);
}

#[tokio::test]
async fn what_the_client_sent_cannot_break_the_problem_document() {
    let setup = Setup::new().await;
    // A quotation mark and a backslash of JSON, a field of its own, a parameter of `Proxy-Status`, a tag.
    let host = "evil\"\\,X-Evil:1;error=x,<script>";
    let mut client = setup.connect().await;
    let response = client.fetch(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
    problem(&response, 421, "http_request_denied");
    assert!(response.json()["detail"].as_str().unwrap().contains(host), "{}", response.text());
    assert_eq!(response.only("x-evil"), None);
    // What is not ASCII may be shown in any form, as long as it is JSON.
    let odd = client.fetch("GET / HTTP/1.1\r\nHost: evil-\u{e9}\u{202e}\r\n\r\n").await;
    if odd.status() != 400 {
        problem(&odd, 421, "http_request_denied");
    }
}

#[tokio::test]
async fn http2_gets_the_same_problems() {
    let setup = Setup::new().await;
    let client = setup.http2().await;
    let head = client.request("GET", "/").header("origin", "https://evil.example");
    let response = client.fetch(head, b"", http::HeaderMap::new()).await.unwrap();
    assert_eq!(response.status, 403);
    assert_eq!(response.fields["content-type"], "application/problem+json");
    assert_eq!(response.fields["proxy-status"], "cxone-proxy; error=http_request_denied");
    hint(&response.json(), 403);
    assert_eq!(client.get("/api/v2/users/me").await.unwrap().status, 200);
}

#[tokio::test]
async fn a_request_that_comes_back_to_the_proxy_is_508() {
    // The program listens on this port and forwards to it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let setup = Setup::launched(|launch| {
        launch.api_at(format!("http://127.0.0.1:{port}")).flag("listen", format!("127.0.0.1:{port}"))
    })
    .await;
    let response = setup.get("/api/v2/users/me").await;
    let hint = problem(&response, 508, "proxy_loop_detected");
    assert!(hint.contains("CXONE_BASE_URL"), "{hint}");
    // A member of another process does not count.
    let foreign = "CDN-Loop: cxone-proxy-0123456789abcdef, other; v=1\r\n";
    let other = Setup::new().await;
    assert_eq!(other.fetch(request("GET", "/api/v2/users/me", foreign, "")).await.status(), 200);
}

//! Methods that the proxy answers itself, and `Max-Forwards`.

use cxone_simulator::Endpoint;
use http::HeaderMap;

use crate::support::{Setup, Upstream, request};

/// How many requests have reached the API.
fn reached(setup: &Setup) -> usize {
    setup.region.journal().iter().filter(|entry| entry.endpoint == Endpoint::Api).count()
}

/// TRACE would hand the token to the caller: its response repeats the request.
#[tokio::test]
async fn trace_is_405_and_never_reaches_the_upstream() {
    let setup = Setup::new().await;
    for fields in ["", "Max-Forwards: 0\r\n", "Max-Forwards: 5\r\n"] {
        let mut client = setup.connect().await;
        let response = client.fetch(request("TRACE", "/api/v2/echo", fields, "")).await;
        assert_eq!(response.status(), 405, "{fields:?}");
        assert_eq!(response.only("content-type"), Some("application/problem+json"));
        assert_eq!(response.only("proxy-status"), Some("cxone-proxy; error=http_request_denied"));
        assert!(
            response.only("allow").is_some_and(|allow| !allow.contains("TRACE")),
            "{:?}",
            response.fields
        );
        assert!(!response.text().contains("Bearer"), "{}", response.text());
    }
    let http2 = setup.http2().await;
    let response = http2.fetch(http2.request("TRACE", "/api/v2/echo"), b"", HeaderMap::new()).await.unwrap();
    assert_eq!(response.status, 405);
    assert_eq!(reached(&setup), 0);
}

#[tokio::test]
async fn max_forwards_of_options_is_decremented() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for (sent, arrives) in [("1", "0"), ("10", "9"), ("007", "6"), ("255", "254")] {
        let mut client = setup.connect().await;
        client.send(request("OPTIONS", "/x", &format!("Max-Forwards: {sent}\r\n"), "")).await;
        let mut connection = upstream.accept().await;
        let arrived = connection.request().await.unwrap();
        let value: u32 = arrived.only("Max-Forwards").unwrap().parse().unwrap();
        assert_eq!(value, arrives.parse::<u32>().unwrap(), "{sent}");
        connection.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.response().await.unwrap().status(), 204);
    }
}

#[tokio::test]
async fn options_with_max_forwards_0_is_answered_by_the_proxy() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let response = client.fetch(request("OPTIONS", "/api/v2/echo", "Max-Forwards: 0\r\n", "")).await;
    assert!(matches!(response.status(), 200 | 204), "{}", response.start);
    let http2 = setup.http2().await;
    let head = http2.request("OPTIONS", "/api/v2/echo").header("max-forwards", "0");
    let response = http2.fetch(head, b"", HeaderMap::new()).await.unwrap();
    assert!(matches!(response.status, 200 | 204), "{}", response.status);
    assert_eq!(reached(&setup), 0);
}

#[tokio::test]
async fn max_forwards_of_other_methods_and_other_values_pass_as_they_are() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    for (method, value) in [("GET", "0"), ("GET", "3"), ("POST", "0"), ("OPTIONS", "many")] {
        let fields = format!("Max-Forwards: {value}\r\n");
        let response = client.fetch(request(method, "/api/v2/echo", &fields, "")).await;
        assert_eq!(response.status(), 200, "{method} {value}");
        let arrived = response.json()["fields"].to_string().to_ascii_lowercase();
        assert!(arrived.contains(&format!("[\"max-forwards\",\"{value}\"]")), "{method} {value}: {arrived}");
    }
    assert_eq!(reached(&setup), 4);
}

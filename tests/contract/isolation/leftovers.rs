//! Bytes beyond a response belong to no other request: no later response begins with them.

use std::sync::Arc;

use http::HeaderMap;
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::support::{
    Http2Upstream, Message, QUIET, RawConnection, Server, Setup, Upstream, get, ok, request,
};

/// A response that would pass for the next one.
const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// Requests that get no body, with the status that the upstream gives them.
const WITHOUT_BODY: [(&str, u16); 4] = [("GET", 204), ("GET", 304), ("HEAD", 200), ("HEAD", 404)];

/// The status that the upstream gives for a target such as `/304`.
fn status(target: &str) -> Option<u16> {
    target.strip_prefix('/').and_then(|status| status.parse().ok())
}

/// Asks for what has no body, and then for something that has one; by both versions of HTTP.
async fn both_versions_are_served(setup: &Setup) {
    for (method, status) in WITHOUT_BODY {
        let mut client = setup.connect().await;
        for _ in 0..3 {
            client.send(request(method, &format!("/{status}"), "", "")).await;
            let head = client.head().await.unwrap();
            // The upstream breaks the rules, so an error will do.
            assert!(head.status() == status || head.status() == 502, "{method} {}", head.start);
            if head.status() == 502 && method == "GET" {
                let length = head.only("content-length").unwrap().parse().unwrap();
                client.up_to(length).await;
            }
            let next = client.fetch(get("/next")).await;
            assert_eq!((next.status(), next.text().as_str()), (200, "next"), "after {method} {status}");
        }
        let http2 = setup.http2().await;
        for _ in 0..3 {
            let head = http2.request(method, &format!("/{status}"));
            if let Ok(response) = http2.fetch(head, b"", HeaderMap::new()).await {
                assert!(response.status == status && response.body.is_empty() || response.status == 502);
            }
            let next = http2.get("/next").await.unwrap();
            assert_eq!((next.status, next.body.as_slice()), (200, &b"next"[..]), "after {method} {status}");
        }
    }
}

#[tokio::test]
async fn data_after_a_response_without_a_body_over_http_2_reaches_nobody() {
    let upstream = Arc::new(Http2Upstream::start().await);
    let _serving = upstream.serve(|arrived| match status(arrived.request.uri().path()) {
        Some(status) => arrived.respond_as(status, EVIL),
        None => arrived.respond_with("next"),
    });
    both_versions_are_served(&upstream.setup().await).await;
}

#[tokio::test]
async fn bytes_after_a_response_without_a_body_over_http_1_1_reach_nobody() {
    let respond = |request: &Message| match status(request.target()) {
        Some(status) => format!("HTTP/1.1 {status} X\r\nETag: \"a\"\r\n\r\n{EVIL}").into_bytes(),
        None => ok("", "next"),
    };
    let upstream = Server::start(respond).await;
    let base_url = upstream.base_url();
    both_versions_are_served(&Setup::launched(|launch| launch.api_at(base_url)).await).await;
}

#[tokio::test]
async fn bytes_after_a_whole_response_reach_nobody() {
    let upstream = Server::start(|_| [ok("", "right"), EVIL.as_bytes().to_vec()].concat()).await;
    let base_url = upstream.base_url();
    let setup = Setup::launched(|launch| launch.api_at(base_url)).await;
    let mut client = setup.connect().await;
    for number in 0..50 {
        assert_eq!(client.fetch(get("/")).await.text(), "right", "{number}");
    }
}

#[tokio::test]
async fn a_kept_connection_on_which_something_has_arrived_is_not_used_again() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for leftover in [EVIL, "H", "\r\n", "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"] {
        let mut client = setup.connect().await;
        client.send(get("/first")).await;
        let mut first = upstream.accept().await;
        first.request().await.unwrap();
        first.send(ok("", "first")).await;
        assert_eq!(client.response().await.unwrap().text(), "first");
        first.send(leftover).await;
        setup.proxy.idle().await;
        // A POST may not be sent twice, so it must not go to the old connection at all.
        client.send(request("POST", "/second", "", "hello")).await;
        let mut second = upstream.accept().await;
        assert_eq!(second.request().await.unwrap().text(), "hello", "{leftover:?}");
        second.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\nsecond").await;
        assert_eq!(client.response().await.unwrap().text(), "second", "{leftover:?}");
    }
}

/// A reset marks the end of a broken response over TCP. A Unix socket knows none that a client would see, so a body
/// that ends with the connection must not end.
#[tokio::test]
async fn a_broken_response_never_looks_complete_to_an_http_1_0_client_of_a_unix_socket() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("proxy.sock");
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch.flag("listen", format!("unix:{}", path.display()))).await;
    for (framing, body) in
        [("Content-Length: 100", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n")]
    {
        let mut client = RawConnection::over(UnixStream::connect(&path).await.unwrap());
        client.send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").await;
        let mut connection = upstream.accept().await;
        connection.request().await.unwrap();
        connection.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}")).await;
        setup.proxy.idle().await;
        drop(connection);
        let head = client.head().await.unwrap();
        assert_eq!(head.status(), 200, "{framing}");
        if let Some(length) = head.only("content-length") {
            assert!(client.rest().await.len() < length.parse().unwrap(), "{framing}: it looks complete");
        } else {
            assert_eq!(client.up_to(5).await, b"hello", "{framing}");
            assert!(client.is_quiet(QUIET).await || client.was_reset, "{framing}: it looks complete");
        }
    }
}

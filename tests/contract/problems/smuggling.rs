//! Messages that two parsers might read differently are refused, and end the connection.

use super::reached;
use crate::support::{Setup, Upstream};

/// The request that an attacker wants to pass the proxy unseen.
const SMUGGLED: &str = "GET /api/v2/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends each of these, followed by the smuggled request. One response of 400 and the connection's end must follow.
async fn all_are_refused(setup: &Setup, heads: impl IntoIterator<Item = String>) {
    let mut faults = Vec::new();
    for head in heads {
        if let Err(fault) = is_refused(setup, &head).await {
            faults.push(format!("{head:?}: {fault}"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

async fn is_refused(setup: &Setup, head: &str) -> Result<(), String> {
    let mut client = setup.connect().await;
    // The proxy may have closed already.
    let _ = client.try_send(format!("{head}{SMUGGLED}")).await;
    let response = client.response().await.map_err(|cut| format!("{cut:?}"))?;
    let rest = client.rest().await;
    match (response.status(), response.only("connection"), rest.is_empty()) {
        (400, Some("close"), true) => Ok(()),
        found => Err(format!("{found:?}")),
    }
}

#[tokio::test]
async fn a_body_whose_end_is_in_doubt_is_refused() {
    let setup = Setup::new().await;
    let doubtful = [
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4, 5\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: -4\r\n",
        "Content-Length: 0x4\r\n",
        "Content-Length: 4 4\r\n",
        "Content-Length: \r\n",
        "Content-Length: 4,\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
    ];
    let head = |fields| format!("POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n0\r\n\r\n");
    let old = head("Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
    all_are_refused(&setup, doubtful.into_iter().map(head).chain([old])).await;
    assert_eq!(reached(&setup), [""; 0]);
}

/// RFC 9112 section 6.3 lets a server read the chunks, and wants the connection closed after the response.
#[tokio::test]
async fn a_length_beside_chunks_is_refused_or_only_the_chunks_count() {
    let setup = Setup::new().await;
    let mut served = 0;
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\ncontent-length: 0\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 100\r\n",
    ] {
        let mut client = setup.connect().await;
        let head = format!("POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        let _ = client.try_send(format!("{head}5\r\nhello\r\n0\r\n\r\n{SMUGGLED}")).await;
        let response = client.response().await.unwrap_or_else(|cut| panic!("{fields}: {cut:?}"));
        if response.status() != 400 {
            assert_eq!(response.status(), 200, "{fields}: {}", response.text());
            let echo = response.json();
            assert_eq!(echo["body"]["bytes"], 5, "{fields}");
            let arrived = echo["fields"].to_string().to_ascii_lowercase();
            assert!(!arrived.contains("content-length"), "{fields}: {arrived}");
            served += 1;
        }
        assert_eq!(response.only("connection"), Some("close"), "{fields}");
        assert_eq!(client.rest().await, b"", "{fields}: nothing after the response");
    }
    assert_eq!(reached(&setup), vec!["/api/v2/echo"; served]);
}

/// RFC 9110 section 8.6 lets a recipient take the one number, or refuse.
#[tokio::test]
async fn the_same_length_twice_on_one_line_is_refused_or_counts_once() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let head = "POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4, 4\r\n\r\n";
    let response = client.fetch(format!("{head}body")).await;
    if response.status() != 400 {
        assert_eq!((response.status(), &response.json()["body"]["bytes"]), (200, &4.into()));
        let lengths = response.json()["fields"].to_string().to_ascii_lowercase();
        assert_eq!(lengths.matches(r#"["content-length","4"]"#).count(), 1, "{lengths}");
        assert_eq!(client.fetch(crate::support::get("/api/v2/users/me")).await.status(), 200);
    }
}

/// RFC 9112 section 2.2 lets a recipient take a line feed alone for the end of a line.
#[tokio::test]
async fn bare_line_feeds_between_lines_are_accepted_and_rewritten() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for head in [
        "GET /plain HTTP/1.1\nHost: localhost\nX-A: b\n\n",
        "GET /plain HTTP/1.1\r\nHost: localhost\nX-A: b\r\n\r\n",
        "GET /plain HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n\n",
    ] {
        let mut client = setup.connect().await;
        client.send(head).await;
        let mut connection = upstream.accept().await;
        // A field with a line feed in it would be no field here.
        let arrived = connection.request().await.unwrap();
        assert_eq!((arrived.target(), arrived.only("X-A")), ("/plain", Some("b")), "{head:?}");
        assert!(!arrived.fields.iter().any(|(_, value)| value.contains('\n')), "{arrived:?}");
        connection.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.response().await.unwrap().status(), 204, "{head:?}");
    }
}

#[tokio::test]
async fn heads_that_are_not_quite_http_are_refused() {
    let setup = Setup::new().await;
    let heads = [
        // Folded lines.
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n\tX-A: b\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\n Host: localhost\r\n\r\n",
        // Bare carriage returns.
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX-A: b\rX-B: c\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\rHost: localhost\r\r",
        // White space where none belongs.
        "GET /api/v2/echo HTTP/1.1\r\nHost : localhost\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length : 5\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX A: b\r\n\r\n",
        "GET  /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api/v2/echo  HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1 \r\nHost: localhost\r\n\r\n",
        " GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api/v2/ec ho HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET\t/api/v2/echo\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
        // Control characters.
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX-A: b\0c\r\n\r\n",
        "GET /api/v2/ec\0ho HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX-\0A: b\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX-A: \x1b[2J\r\n\r\n",
        // No field, no name, no version, no method.
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX-A\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n: b\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX(A): b\r\n\r\n",
        "GET /api/v2/echo\r\nHost: localhost\r\n\r\n",
        "GET /api/v2/echo HTTP/1.2x\r\nHost: localhost\r\n\r\n",
        "GET /api/v2/echo HTTP/2.0\r\nHost: localhost\r\n\r\n",
        "GET /api/v2/echo http/1.1\r\nHost: localhost\r\n\r\n",
        "G(T /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
        " /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n\r\n",
        // TLS for a listener that has none.
        "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n",
    ];
    all_are_refused(&setup, heads.map(str::to_owned)).await;
    assert_eq!(reached(&setup), [""; 0]);
}

#[tokio::test]
async fn broken_chunks_are_refused_and_what_follows_is_no_request() {
    let setup = Setup::new().await;
    let broken = [
        "zz\r\n",
        "-1\r\n",
        "+1\r\nx\r\n0\r\n\r\n",
        "0x1\r\nx\r\n0\r\n\r\n",
        "1 1\r\nx\r\n0\r\n\r\n",
        "1\nx\r\n0\r\n\r\n",
        "1\r\nxx\r\n0\r\n\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1;a\rb\r\nx\r\n0\r\n\r\n",
        "\r\n",
        "ffffffffffffffffff\r\n",
        "10000000000000000\r\n",
        "0\r\nX-A : b\r\n\r\n",
        "0\r\n X-A: b\r\n\r\n",
    ];
    let head = "POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    all_are_refused(&setup, broken.map(|content| format!("{head}{content}"))).await;
    let smuggled = reached(&setup).into_iter().filter(|target| target != "/api/v2/upload");
    assert_eq!(smuggled.collect::<Vec<_>>(), [""; 0]);
    let whole = setup
        .region
        .journal()
        .into_iter()
        .filter(|entry| entry.target == "/api/v2/upload" && entry.status == Some(200));
    assert_eq!(whole.count(), 0, "a broken upload must not look complete");
}

#[tokio::test]
async fn a_body_that_comes_with_its_head_is_not_a_request() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let length = SMUGGLED.len();
    for framing in [
        format!("Content-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: Chunked\r\n\r\n{length:x};ext=1\r\n{SMUGGLED}\r\n0\r\n\r\n"),
    ] {
        let response =
            client.fetch(format!("GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n{framing}")).await;
        assert_eq!(response.status(), 200, "{framing}");
        assert_eq!(response.json()["body"]["bytes"], length);
    }
    assert_eq!(reached(&setup), ["/api/v2/echo"; 4]);
}

#[tokio::test]
async fn requests_that_arrive_together_get_responses_in_their_order() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let one = |n| format!("POST /api/v2/echo?{n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    let requests: Vec<String> = (0..20).map(one).collect();
    client.send(requests.concat()).await;
    for n in 0..20 {
        let response = client.response().await.unwrap();
        assert_eq!(response.json()["target"], format!("/api/v2/echo?{n}"));
    }
}

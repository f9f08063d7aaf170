//! What two parsers might read differently is refused, and ends the connection.

use super::reached;
use crate::support::Stage;

/// What an attacker hopes to get past the proxy unseen.
const SMUGGLED: &str = "GET /api/v2/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends it, followed by the smuggled request: one answer of 400 and the connection's end.
async fn refused(stage: &Stage, name: &str, head: &[u8]) {
    let mut client = stage.wire().await;
    // The proxy may have closed already.
    let _ = client.try_send([head, SMUGGLED.as_bytes()].concat()).await;
    let reply = client.reply().await.unwrap_or_else(|cut| panic!("{name}: {cut:?}"));
    assert_eq!(reply.status(), 400, "{name}: {}", reply.text());
    assert_eq!(reply.only("connection"), Some("close"), "{name}");
    assert_eq!(client.rest().await, b"", "{name}: nothing after the answer");
}

#[tokio::test]
async fn content_whose_end_is_in_doubt_is_refused() {
    let stage = Stage::new().await;
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: chunked\r\ncontent-length: 0\r\n",
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
    ] {
        let head = format!("POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n0\r\n\r\n");
        refused(&stage, fields, head.as_bytes()).await;
    }
    let old = "POST /api/v2/echo HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(&stage, "HTTP/1.0", old.as_bytes()).await;
    assert_eq!(reached(&stage), [""; 0]);
}

#[tokio::test]
async fn heads_that_are_not_quite_http_are_refused() {
    let stage = Stage::new().await;
    for head in [
        // Folded lines.
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n\tX-A: b\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\n Host: localhost\r\n\r\n",
        // Bare line feeds and carriage returns.
        "GET /api/v2/echo HTTP/1.1\nHost: localhost\n\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\nX-A: b\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX-A: b\rX-B: c\r\n\r\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n\n",
        "GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nX-A: b\n\r\n",
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
    ] {
        refused(&stage, head, head.as_bytes()).await;
    }
    assert_eq!(reached(&stage), [""; 0]);
}

#[tokio::test]
async fn broken_chunks_are_refused_and_what_follows_is_no_request() {
    let stage = Stage::new().await;
    for content in [
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
        "0\r\nX-A: b\n\r\n",
    ] {
        let head = "POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
        refused(&stage, content, format!("{head}{content}").as_bytes()).await;
    }
    let smuggled = reached(&stage).into_iter().filter(|target| target != "/api/v2/upload");
    assert_eq!(smuggled.collect::<Vec<_>>(), [""; 0]);
    let whole = stage
        .region
        .journal()
        .into_iter()
        .filter(|entry| entry.target == "/api/v2/upload" && entry.status == Some(200));
    assert_eq!(whole.count(), 0, "a broken upload must not look complete");
}

#[tokio::test]
async fn content_that_comes_with_its_head_is_no_request() {
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    let length = SMUGGLED.len();
    for framing in [
        format!("Content-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}"),
        format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SMUGGLED}\r\n0\r\n\r\n"),
        format!("Transfer-Encoding: Chunked\r\n\r\n{length:x};ext=1\r\n{SMUGGLED}\r\n0\r\n\r\n"),
    ] {
        let reply = client.ask(format!("GET /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n{framing}")).await;
        assert_eq!(reply.status(), 200, "{framing}");
        assert_eq!(reply.json()["body"]["bytes"], length);
    }
    assert_eq!(reached(&stage), ["/api/v2/echo"; 4]);
}

#[tokio::test]
async fn requests_that_come_together_are_answered_in_their_order() {
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    let one = |n| format!("POST /api/v2/echo?{n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx");
    let requests: Vec<String> = (0..20).map(one).collect();
    client.send(requests.concat()).await;
    for n in 0..20 {
        let reply = client.reply().await.unwrap();
        assert_eq!(reply.json()["target"], format!("/api/v2/echo?{n}"));
    }
}

//! Oddities of common servers: those that a proxy is to repair are repaired, the others named rightly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{
    Frame, Http2Upstream, Message, STATUS_200, Setup, Upstream, field_block, get, ok, request,
};

/// What a client gets where the upstream responds with these bytes.
async fn relayed(setup: &Setup, upstream: &Upstream, response: impl AsRef<[u8]>) -> Message {
    let mut client = setup.connect().await;
    client.send(get("/")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    let _ = connection.try_send(response).await;
    drop(connection);
    client.response().await.unwrap()
}

/// RFC 9112 section 5.1: a proxy must remove it from a response.
#[tokio::test]
async fn white_space_before_a_colon_is_removed() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let response = ok("X-A : 1\r\nX-B\t: 2\r\nX-C \t : 3\r\n", "ok");
    let response = relayed(&setup, &upstream, response).await;
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    for (name, value) in [("X-A", "1"), ("X-B", "2"), ("X-C", "3")] {
        assert_eq!(response.only(name), Some(value));
    }
}

/// RFC 9112 section 5.2: a proxy discards such a response with 502, or joins the lines by a blank.
#[tokio::test]
async fn a_folded_line_is_joined_or_502() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let response = relayed(&setup, &upstream, ok("X-A: one\r\n two\r\n\tthree\r\n", "ok")).await;
    if response.status() == 502 {
        assert_eq!(response.only("Proxy-Status"), Some("cxone-proxy; error=http_protocol_error"));
    } else {
        assert_eq!((response.status(), response.only("X-A")), (200, Some("one two three")));
    }
}

#[tokio::test]
async fn unusual_but_allowed_forms_are_understood() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for (name, response) in [
        ("white space around values", "HTTP/1.1 200 OK\r\nContent-Length:\t 2 \t\r\n\r\nok"),
        ("no white space", "HTTP/1.1 200 OK\r\nContent-Length:2\r\n\r\nok"),
        ("no reason phrase", "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok"),
        ("no blank before the reason phrase", "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"),
        ("the length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
        (
            "padded chunk sizes",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0  \r\n\r\n",
        ),
        (
            "zeros before a chunk size",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00002\r\nok\r\n000\r\n\r\n",
        ),
        (
            "chunk extensions",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=\"b\"\r\nok\r\n0;c\r\n\r\n",
        ),
        (
            "a coding in another case",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        ("bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
        ("an empty field value", "HTTP/1.1 200 OK\r\nX-Empty:\r\nContent-Length: 2\r\n\r\nok"),
        ("bytes beyond ASCII", "HTTP/1.1 200 D\u{e9}j\u{e0}\r\nX-Odd: \u{e9}\r\nContent-Length: 2\r\n\r\nok"),
        ("a status without a name", "HTTP/1.1 299 Odd\r\nContent-Length: 2\r\n\r\nok"),
        (
            "HTTP/1.0 with keep-alive",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        ),
    ] {
        let response = relayed(&setup, &upstream, response).await;
        assert!(matches!(response.status(), 200 | 299), "{name}: {} {}", response.start, response.text());
        assert_eq!(response.text(), "ok", "{name}");
    }
}

/// The response is at fault, not the connection: the error says so, and others on it are not disturbed.
#[tokio::test]
async fn malformed_http_2_responses_are_blamed_on_their_content() {
    const NAMES: [&str; 5] = ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];
    let upstream = Arc::new(Http2Upstream::start().await);
    let setup = upstream.setup().await;
    // Every other response is malformed.
    let count = Arc::<AtomicUsize>::default();
    let _serving = upstream.serve_frames({
        let count = count.clone();
        move |mut connection| {
            let count = count.clone();
            async move {
                while let Some(stream) = connection.end_of_request().await {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    let mut block = STATUS_200.to_vec();
                    if number.is_multiple_of(2) {
                        block.extend_from_slice(&field_block(&[(NAMES[number / 2], "close")]));
                    }
                    connection.try_send(Frame::HEADERS, Frame::END_HEADERS, stream, block).await;
                    connection.try_send(Frame::DATA, Frame::END_STREAM, stream, "ok").await;
                }
            }
        }
    });
    let mut client = setup.connect().await;
    for name in NAMES {
        // A POST, so that it is sent once.
        let response = client.fetch(request("POST", "/", "", "hello")).await;
        // RFC 9113 section 8.2.2 calls it malformed. Many servers send it, so serving it without the field is
        // right as well.
        if response.status() == 200 {
            assert_eq!(response.text(), "ok", "{name}");
            assert!(response.only(name).is_none_or(|value| value != "close"), "{name}");
        } else {
            assert_eq!(response.status(), 502, "{name}");
            let status = response.only("Proxy-Status");
            assert_eq!(status, Some("cxone-proxy; error=http_protocol_error"), "{name}: {}", response.text());
            assert!(!response.text().contains("broke off"), "{name}: {}", response.text());
        }
        assert_eq!(client.fetch(request("POST", "/", "", "hello")).await.text(), "ok", "after {name}");
    }
}

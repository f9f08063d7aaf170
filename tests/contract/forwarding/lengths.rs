//! `Content-Length` is written from the body's real framing, and is never a number that nobody could mean.

use http::HeaderMap;

use crate::support::{Frame, FrameConnection, Setup, Upstream, field_block, request, whole};

#[tokio::test]
async fn a_length_without_digits_over_http_2_never_leaves() {
    let setup = Setup::new().await;
    let http2 = setup.http2().await;
    for value in ["", " ", "x", "+5", "5 5", "0x5"] {
        let head = http2.request("POST", "/api/v2/echo").header("content-length", value);
        // RFC 9113 section 8.1.1 calls it malformed, so an error of the stream is right as well.
        match http2.fetch(head, b"hello", HeaderMap::new()).await {
            Err(error) => assert!(error.is_reset(), "{value:?}: {error}"),
            Ok(response) if response.status == 400 => {}
            Ok(response) => {
                assert_eq!(response.status, 200, "{value:?}");
                let echo = response.json();
                assert_eq!(echo["body"]["bytes"], 5, "{value:?}");
                let arrived = echo["fields"].to_string().to_ascii_lowercase();
                let is_sound = arrived.contains(r#"["content-length","5"]"#)
                    != arrived.contains(r#"["transfer-encoding","chunked"]"#);
                assert!(is_sound && arrived.matches("content-length").count() <= 1, "{value:?}: {arrived}");
            }
        }
    }
    assert_eq!(http2.get("/api/v2/users/me").await.unwrap().status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_length_over_http_2_that_is_not_the_body_s_is_an_error() {
    let setup = Setup::new().await;
    for (length, body) in [("4", "hello"), ("6", "hello")] {
        let http2 = setup.http2().await;
        let head = http2.request("POST", "/api/v2/upload").header("content-length", length);
        let (response, mut stream) = http2.begin(head, false).await;
        stream.send_data(body.into(), true).unwrap();
        match crate::support::in_time("a response", response).await {
            Err(_) => {}
            Ok(response) => {
                let response = whole(response).await.unwrap();
                assert!(response.status == 400, "{length}: {}", response.status);
            }
        }
    }
    let complete = setup.region.journal().into_iter().filter(|entry| entry.status == Some(200));
    assert_eq!(complete.filter(|entry| entry.target == "/api/v2/upload").count(), 0);
}

const TOO_LARGE: [&str; 3] = ["9223372036854775808", "18446744073709551615", "99999999999999999999"];

#[tokio::test]
async fn lengths_above_the_largest_signed_number_are_400() {
    let setup = Setup::new().await;
    for length in TOO_LARGE {
        let mut client = setup.connect().await;
        let head =
            format!("POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n");
        let response = client.fetch(head).await;
        assert_eq!(response.status(), 400, "{length}");
        assert_eq!(response.only("connection"), Some("close"), "{length}");
        let mut http2 = FrameConnection::client(setup.proxy.proxy_address(), &[]).await;
        let block = field_block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", "/api/v2/echo"),
            ("content-length", length),
        ]);
        http2.send(Frame::HEADERS, Frame::END_HEADERS, 1, block).await;
        // Its first frame about this stream is an end, or a status of 400: index 12 of the static table.
        let frame = http2.next().await.unwrap();
        let refused = frame.kind == Frame::RST_STREAM || frame.kind == Frame::GOAWAY;
        assert!(refused || frame.kind == Frame::HEADERS && frame.payload[0] == 0x8c, "{length}: {frame:?}");
    }
    let arrived = setup.region.journal().into_iter().filter(|entry| entry.target == "/api/v2/echo");
    assert_eq!(arrived.count(), 0);
}

#[tokio::test]
async fn lengths_above_the_largest_signed_number_in_a_response_are_502() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for length in TOO_LARGE {
        let mut client = setup.connect().await;
        client.send(request("POST", "/", "", "x")).await;
        let mut connection = upstream.accept().await;
        connection.request().await.unwrap();
        let _ = connection.try_send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n")).await;
        let response = client.response().await.unwrap();
        assert_eq!(response.status(), 502, "{length}");
        assert_eq!(response.only("proxy-status"), Some("cxone-proxy; error=http_protocol_error"), "{length}");
    }
}

/// The largest number that both sides can mean passes.
#[tokio::test]
async fn a_very_large_length_that_is_possible_passes() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    let length = "4611686018427387904";
    client.send(format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\nbegun")).await;
    let mut connection = upstream.accept().await;
    assert_eq!(connection.head().await.unwrap().only("content-length"), Some(length));
    assert_eq!(connection.up_to(5).await, b"begun");
}

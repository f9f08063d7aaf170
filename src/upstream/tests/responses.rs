//! What responses mean, and what is said where there is none.

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A request whose raw on a new connection is `answer`, and then the end.
async fn response_of(request: Request<RequestBody>, raw: impl AsRef<[u8]>) -> Sent {
    let origin = Origin::plain().await;
    let sent = sending(&origin.upstream(), request);
    let mut far = origin.accept().await;
    far.request().await;
    far.send(raw).await;
    drop(far);
    sent.outcome().await
}

#[tokio::test]
async fn names_are_written_in_title_case_and_host_is_the_upstreams() {
    let origin = Origin::plain().await;
    let mut request = get("/a%2Fb//c?d={e}");
    request.headers_mut().insert("x-first-name", "1".parse().unwrap());
    let _sent = sending(&origin.upstream(), request);
    let head = origin.accept().await.request().await;
    let host = format!("Host: 127.0.0.1:{}\r\n", origin.port());
    assert_eq!(head, format!("GET /a%2Fb//c?d={{e}} HTTP/1.1\r\nX-First-Name: 1\r\n{host}\r\n"));
}

#[tokio::test]
async fn names_keep_their_case_where_that_is_asked_for() {
    let origin = Origin::plain().await;
    let upstream =
        Upstream::new(Settings { header_case: HeaderCase::Preserve, ..origin.settings() }).unwrap();
    let (near, mut client) = tokio::io::duplex(4096);
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let upstream = upstream.clone();
        async move {
            let (mut head, body) = request.into_parts();
            head.headers.clear();
            head.headers.insert("cdn-loop", "x".parse().unwrap());
            let body = body.map_err(BoxError::from).boxed_unsync();
            upstream.send(Request::from_parts(head, body), SendOptions::default()).await
        }
    });
    tokio::spawn(
        hyper::server::conn::http1::Builder::new()
            .preserve_header_case(true)
            .serve_connection(TokioIo::new(near), service),
    );
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nCDN-loop: x\r\n\r\n").await.unwrap();
    let mut far = origin.accept().await;
    assert!(far.request().await.contains("\r\nCDN-loop: x\r\n"));
    far.send("HTTP/1.1 200 OK\r\nx-LOUD: 1\r\nContent-Length: 0\r\n\r\n").await;
    let mut raw = Vec::new();
    while !raw.ends_with(b"\r\n\r\n") {
        soon("the response", client.read_buf(&mut raw)).await.unwrap();
    }
    assert!(String::from_utf8(raw).unwrap().contains("\r\nx-LOUD: 1\r\n"));
}

#[tokio::test]
async fn responses_without_a_body_have_none() {
    for (method, status, fields) in [
        (Method::HEAD, 200, "Content-Length: 5\r\n"),
        (Method::GET, 204, "Content-Length: 5\r\n"),
        (Method::GET, 304, "Transfer-Encoding: gzip\r\n"),
    ] {
        let raw = format!("HTTP/1.1 {status} X\r\n{fields}\r\nstray");
        let response = response_of(request(method, "/", ""), raw).await.unwrap();
        assert!(http_body::Body::is_end_stream(response.body()));
        assert_eq!(text(response).await, (status, String::new()));
    }
}

#[tokio::test]
async fn informational_responses_are_passed_over() {
    let raw = format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{OK}");
    assert_eq!(text(response_of(get("/"), raw).await.unwrap()).await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn the_reason_phrase_comes_along() {
    let response =
        response_of(get("/"), "HTTP/1.1 200 Very Well\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let reason = response.extensions().get::<hyper::ext::ReasonPhrase>().unwrap();
    assert_eq!(reason.as_bytes(), b"Very Well");
}

#[tokio::test]
async fn a_body_may_end_with_the_connection() {
    let response = response_of(get("/"), "HTTP/1.1 200 OK\r\n\r\nto the end").await.unwrap();
    assert_eq!(text(response).await, (200, "to the end".to_owned()));
}

#[tokio::test]
async fn what_is_no_response_is_named() {
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(260 * 1024));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(101));
    for (raw, kind) in [
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n", ErrorKind::Malformed),
        ("HTTP/1.1 abc OK\r\n\r\n", ErrorKind::Malformed),
        ("HTTP/2.0 200 OK\r\n\r\n", ErrorKind::Malformed),
        ("HTTP/1.1 200 OK\r\nBad Field: x\r\n\r\n", ErrorKind::Malformed),
        ("HTTP/1.1 200 OK\r\nFolded: x\r\n y\r\n\r\n", ErrorKind::Malformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", ErrorKind::Malformed),
        ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", ErrorKind::Malformed),
        ("HTTP/1.1 200 OK\r\nX: \0\r\nContent-Length: 0\r\n\r\n", ErrorKind::Malformed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", ErrorKind::Malformed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", ErrorKind::Malformed),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ErrorKind::Malformed),
        (large.as_str(), ErrorKind::HeaderTooLarge),
        (many.as_str(), ErrorKind::HeaderTooLarge),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", ErrorKind::UnaskedUpgrade),
        ("HTTP/1.1 200 OK\r\nContent-Le", ErrorKind::Closed),
        ("H", ErrorKind::Closed),
        ("", ErrorKind::Closed),
    ] {
        let error = response_of(request(Method::POST, "/", "x"), raw).await.unwrap_err();
        let excerpt: String = raw.chars().take(60).collect();
        assert_eq!((error.kind, error.delivered), (kind, Delivered::Maybe), "{excerpt:?}: {error:?}");
        assert_eq!(error.answered, !raw.is_empty(), "{excerpt:?}");
        assert_eq!(error.is_of_dead_connection(), raw.is_empty(), "{excerpt:?}");
    }
}

#[tokio::test]
async fn what_a_proxy_shall_repair_is_repaired() {
    let raw = "HTTP/1.1 200\r\nX-Space : \t 1 \t\r\ncontent-LENGTH:2\r\n\r\nok";
    let response = response_of(get("/"), raw).await.unwrap();
    assert_eq!(response.headers().get_all("x-space").iter().collect::<Vec<_>>(), ["1"]);
    assert_eq!(text(response).await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn a_large_header_section_is_accepted() {
    let value = "x".repeat(250 * 1024);
    let raw = format!("HTTP/1.1 200 OK\r\nX: {value}\r\nContent-Length: 2\r\n\r\nok");
    let response = response_of(get("/"), raw).await.unwrap();
    assert_eq!(response.headers()["x"], value);
    assert_eq!(text(response).await, (200, "ok".to_owned()));
}

#[tokio::test]
async fn a_body_that_breaks_off_fails_and_stays_failed() {
    for (raw, kind) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfirst", ErrorKind::Closed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n", ErrorKind::Closed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n", ErrorKind::Closed),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\nX: y\r\n",
            ErrorKind::Closed,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\nzz\r\n", ErrorKind::Malformed),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirstlong\r\n", ErrorKind::Malformed),
    ] {
        let mut body = response_of(get("/"), raw).await.unwrap().into_body();
        let first = soon("a piece", body.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "first");
        for _ in 0..3 {
            let error = soon("the end", body.frame()).await.unwrap().unwrap_err();
            assert_eq!((error.kind, error.answered), (kind, true), "{raw:?}");
            assert!(!http_body::Body::is_end_stream(&body));
        }
    }
}

#[tokio::test]
async fn a_response_that_is_late_is_given_up() {
    let origin = Origin::plain().await;
    let response_timeout = Some(Duration::from_millis(500));
    let upstream = Upstream::new(Settings { response_timeout, ..origin.settings() }).unwrap();
    let late = sending(&upstream, request(Method::POST, "/", "x"));
    let mut far = origin.accept().await;
    far.request().await;
    let error = late.error().await;
    assert_eq!((error.kind, error.delivered), (ErrorKind::ResponseTimeout, Delivered::Maybe));
    far.closed().await;
    let good = sending(&upstream, get("/"));
    let mut far = origin.accept().await;
    far.request().await;
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
    let response = good.response().await;
    // Only the head has a limit.
    tokio::time::sleep(Duration::from_millis(700)).await;
    far.send("ok").await;
    assert_eq!(text(response).await.1, "ok");
}

#[tokio::test]
async fn a_websocket_becomes_a_tunnel() {
    let origin = Origin::tls(&[b"h2", b"http/1.1"]).await;
    let options = SendOptions { websocket: true, ..SendOptions::default() };
    let asking = sending_with(&origin.upstream(), get("/socket"), options);
    let mut far = origin.accept().await;
    let head = far.request().await;
    assert!(
        head.contains("\r\nConnection: Upgrade\r\n") && head.contains("\r\nUpgrade: websocket\r\n"),
        "{head}"
    );
    far.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\nhello")
        .await;
    let mut response = asking.response().await;
    assert_eq!(response.status(), 101);
    let upgraded = soon("the tunnel", hyper::upgrade::on(&mut response)).await.unwrap();
    let mut tunnel = TokioIo::new(upgraded);
    let mut hello = [0; 5];
    soon("bytes", tunnel.read_exact(&mut hello)).await.unwrap();
    assert_eq!(&hello, b"hello");
    tunnel.write_all(b"world").await.unwrap();
    tunnel.flush().await.unwrap();
    assert_eq!(far.exactly(5).await, "world");
}

#[tokio::test]
async fn a_websocket_that_is_refused_is_an_ordinary_response() {
    let origin = Origin::plain().await;
    let upstream = origin.upstream();
    let options = SendOptions { websocket: true, ..SendOptions::default() };
    let asking = sending_with(&upstream, get("/socket"), options);
    let mut far = origin.accept().await;
    far.request().await;
    far.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(asking.text().await, (401, "no".to_owned()));
    let other = sending_with(&upstream, get("/socket"), options);
    let mut far = origin.accept().await;
    far.request().await;
    far.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n").await;
    assert_eq!(other.error().await.kind, ErrorKind::UnaskedUpgrade);
}

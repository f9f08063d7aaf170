//! Requests with a body.

use std::io::Write as _;

use futures_util::stream;
use http_body::Frame;
use http_body_util::{Empty, StreamBody};
use tokio::sync::mpsc;

use super::*;

type Piece = Result<Frame<Bytes>, BoxError>;

/// A body that a test feeds piece by piece.
pub(super) fn fed(method: Method) -> (mpsc::UnboundedSender<Piece>, Request<RequestBody>) {
    let (feed, pieces) = mpsc::unbounded_channel();
    let pieces = stream::unfold(pieces, async |mut pieces| Some((pieces.recv().await?, pieces)));
    let body = StreamBody::new(Box::pin(pieces)).boxed_unsync();
    (feed, Request::builder().method(method).uri("/upload").body(body).unwrap())
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

#[tokio::test]
async fn a_body_is_framed_by_what_it_is() {
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let origin = Origin::plain().await;
        let upstream = origin.upstream();
        let mut known = request(method.clone(), "/", "four");
        known.headers_mut().insert("content-length", "9".parse().unwrap());
        let sent = sending(&upstream, known);
        let mut far = origin.accept().await;
        let head = far.request().await;
        assert!(head.contains("\r\nContent-Length: 4\r\n") && head.ends_with("\r\n\r\nfour"), "{head}");
        far.send(OK).await;
        sent.text().await;
        turns().await;

        let (feed, mut unknown) = fed(method);
        unknown.headers_mut().insert("trailer", "X-Sum".parse().unwrap());
        unknown.headers_mut().insert("content-length", "4".parse().unwrap());
        let sent = sending(&upstream, unknown);
        feed.send(Ok(data("four"))).unwrap();
        let head = far.until(b"\r\n\r\n").await;
        assert!(
            head.contains("\r\nTransfer-Encoding: chunked\r\n") && !head.contains("Content-Length"),
            "{head}"
        );
        assert_eq!(far.until(b"four\r\n").await, "4\r\nfour\r\n");
        let trailers = [("x-sum".parse().unwrap(), "7".parse().unwrap())].into_iter().collect();
        feed.send(Ok(Frame::trailers(trailers))).unwrap();
        assert_eq!(far.until(b"\r\n\r\n").await, "0\r\nX-Sum: 7\r\n\r\n");
        far.send(OK).await;
        assert_eq!(sent.text().await.0, 200);
    }
}

#[tokio::test]
async fn an_empty_body_has_no_framing_but_where_it_means_something() {
    let origin = Origin::plain().await;
    let upstream = origin.upstream();
    let mut far = pooled(&origin, &upstream).await;
    for (method, length) in
        [(Method::POST, true), (Method::PUT, true), (Method::GET, false), (Method::DELETE, false)]
    {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let sent = sending(&upstream, Request::builder().method(method).uri("/").body(body).unwrap());
        assert_eq!(far.request().await.contains("\r\nContent-Length: 0\r\n"), length);
        far.send(OK).await;
        sent.text().await;
        turns().await;
    }
}

#[tokio::test]
async fn a_large_upload_passes_in_bounded_pieces() {
    const TOTAL: usize = 8 * 1024 * 1024;
    for origin in [Origin::plain().await, Origin::tls(&[]).await] {
        let pieces =
            stream::iter((0..TOTAL / 65_536).map(|_| Ok(Frame::data(Bytes::from(vec![b'x'; 65_536])))));
        let body = StreamBody::new(pieces).boxed_unsync();
        let sent = sending(&origin.upstream(), Request::post("/").body(body).unwrap());
        let mut far = origin.accept().await;
        far.until(b"\r\n\r\n").await;
        let mut left = TOTAL;
        while left > 0 {
            let size = usize::from_str_radix(far.until(b"\r\n").await.trim_end(), 16).unwrap();
            assert_eq!(far.exactly(size).await.len(), size);
            far.until(b"\r\n").await;
            left -= size;
        }
        assert_eq!(far.until(b"\r\n\r\n").await, "0\r\n\r\n");
        far.send(OK).await;
        assert_eq!(sent.text().await.0, 200);
    }
}

#[tokio::test]
async fn a_body_that_fails_is_told_with_its_own_reason() {
    let origin = Origin::plain().await;
    let (feed, request) = fed(Method::POST);
    let sent = sending(&origin.upstream(), request);
    feed.send(Ok(data("first"))).unwrap();
    let mut far = origin.accept().await;
    far.until(b"first\r\n").await;
    feed.send(Err("the client left".into())).unwrap();
    let error = sent.error().await;
    assert_eq!((error.kind, error.delivered), (ErrorKind::RequestBody, Delivered::Maybe));
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the client left");
    // Never completed.
    far.closed().await;
}

#[tokio::test]
async fn a_body_that_is_shorter_than_it_said_is_not_completed() {
    let origin = Origin::plain().await;
    let body = Liar.boxed_unsync();
    let sent = sending(&origin.upstream(), Request::post("/").body(body).unwrap());
    let mut far = origin.accept().await;
    let error = sent.error().await;
    assert_eq!((error.kind, error.delivered), (ErrorKind::RequestBody, Delivered::Nothing));
    far.closed().await;
}

/// Promises ten bytes and has none.
struct Liar;

impl http_body::Body for Liar {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Piece>> {
        std::task::Poll::Ready(None)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(10)
    }
}

#[tokio::test]
async fn an_answer_during_the_upload_arrives_although_the_upload_goes_on() {
    let origin = Origin::plain().await;
    let (feed, request) = fed(Method::POST);
    let sent = sending(&origin.upstream(), request);
    feed.send(Ok(data("first"))).unwrap();
    let mut far = origin.accept().await;
    far.until(b"first\r\n").await;
    far.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\ntoo").await;
    let response = sent.response().await;
    feed.send(Ok(data("second"))).unwrap();
    far.until(b"second\r\n").await;
    assert_eq!(text(response).await, (413, "too".to_owned()));
    drop(feed);
    far.until(b"0\r\n\r\n").await;
}

/// The server responds and closes, with bytes unread, so that its system resets the connection. The write that
/// fails must not hide the response that lies there to be read.
#[tokio::test]
async fn a_response_is_read_although_writing_fails() {
    let origin = Origin::plain().await;
    let (feed, request) = fed(Method::POST);
    let sent = sending(&origin.upstream(), request);
    feed.send(Ok(data("unread"))).unwrap();
    let mut far = origin.accept_tcp().await.into_std().unwrap();
    turns().await;
    // Before the runtime hears of it, the body goes on.
    far.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\ntoo").unwrap();
    drop(far);
    feed.send(Ok(data("more"))).unwrap();
    assert_eq!(sent.text().await, (413, "too".to_owned()));
}

#[tokio::test]
async fn the_time_for_the_response_begins_when_the_upload_has_ended() {
    let origin = Origin::plain().await;
    let response_timeout = Some(Duration::from_millis(100));
    let upstream = Upstream::new(Settings { response_timeout, ..origin.settings() }).unwrap();
    let (feed, request) = fed(Method::POST);
    let sent = sending(&upstream, request);
    let mut far = origin.accept().await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(80)).await;
        feed.send(Ok(data("piece"))).unwrap();
        far.until(b"piece\r\n").await;
    }
    drop(feed);
    far.until(b"0\r\n\r\n").await;
    assert_eq!(sent.error().await.kind, ErrorKind::ResponseTimeout);
}

#[tokio::test]
async fn a_connection_that_ends_before_it_takes_anything_costs_nothing() {
    let origin = Origin::plain().await;
    let upstream = origin.upstream();
    let sent = sending(&upstream, request(Method::POST, "/", "x"));
    // Twice: the first might have been a coincidence.
    for _ in 0..2 {
        drop(origin.accept_tcp().await);
    }
    let error = sent.outcome().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Closed);
}

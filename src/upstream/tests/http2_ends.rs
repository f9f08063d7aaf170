//! How streams and connections of HTTP/2 end, and what that says about delivery.

use http_body::Frame;

use super::origin::Http2Origin;
use super::uploads::fed;
use super::*;

#[tokio::test]
async fn a_reset_says_what_became_of_the_request() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let first = sending(&upstream, get("/"));
    let mut far = origin.accept().await;
    far.request().await.respond_with(200, "ok");
    first.text().await;
    for (reason, delivered, answered) in [
        (h2::Reason::REFUSED_STREAM, Delivered::NotProcessed, false),
        (h2::Reason::INTERNAL_ERROR, Delivered::Maybe, true),
        (h2::Reason::CANCEL, Delivered::Maybe, true),
        (h2::Reason::PROTOCOL_ERROR, Delivered::Maybe, true),
    ] {
        let sent = sending(&upstream, request(Method::POST, "/", "x"));
        far.request().await.respond.send_reset(reason);
        let error = sent.error().await;
        assert_eq!(
            (error.kind, error.delivered, error.answered),
            (ErrorKind::Closed, delivered, answered),
            "{reason:?}"
        );
    }
    assert!(origin.origin.is_left_alone().await);
}

#[tokio::test]
async fn a_connection_that_dies_may_have_delivered() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    for reused in [false, true] {
        let mut far;
        let sent;
        if reused {
            let first = sending(&upstream, get("/"));
            far = origin.accept().await;
            far.request().await.respond_with(200, "ok");
            first.text().await;
            sent = sending(&upstream, request(Method::POST, "/", "x"));
        } else {
            sent = sending(&upstream, request(Method::POST, "/", "x"));
            far = origin.accept().await;
        }
        far.request().await;
        drop(far);
        let error = sent.error().await;
        assert_eq!((error.kind, error.delivered), (ErrorKind::Closed, Delivered::Maybe));
        assert!(error.is_of_dead_connection());
    }
}

#[tokio::test]
async fn a_connection_that_was_shut_down_or_closed_while_idle_costs_nothing() {
    for is_shut_down in [false, true] {
        let origin = Http2Origin::start().await;
        let upstream = origin.origin.upstream();
        let first = sending(&upstream, get("/"));
        let mut far = origin.accept().await;
        far.request().await.respond_with(200, "ok");
        first.text().await;
        if is_shut_down {
            far.shut_down();
            far.closed().await;
        } else {
            drop(far);
        }
        turns().await;
        let second = sending(&upstream, request(Method::POST, "/", "x"));
        let mut far = origin.accept().await;
        assert_eq!(far.request().await.body().await, "x");
        drop(second);
    }
}

#[tokio::test]
async fn streams_go_on_while_the_peer_shuts_down() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let older = sending(&upstream, get("/"));
    let mut far = origin.accept().await;
    let mut arrived = far.request().await;
    far.shut_down();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let newer = sending(&upstream, get("/"));
    let mut other = origin.accept().await;
    other.request().await.respond_with(200, "newer");
    assert_eq!(newer.text().await.1, "newer");
    arrived.respond_with(200, "older");
    assert_eq!(older.text().await.1, "older");
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_complete() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    for reason in [h2::Reason::INTERNAL_ERROR, h2::Reason::CANCEL, h2::Reason::NO_ERROR] {
        let sent = sending(&upstream, get("/"));
        let mut far = origin.accept().await;
        let mut down = far.request().await.begin(200);
        down.send_data(Bytes::from_static(b"half"), false).unwrap();
        let mut body = sent.response().await.into_body();
        let half = soon("a piece", body.frame()).await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(half, "half");
        down.send_reset(reason);
        for _ in 0..2 {
            let error = soon("the end", body.frame()).await.unwrap().unwrap_err();
            assert_eq!((error.kind, error.answered), (ErrorKind::Closed, true), "{reason:?}");
        }
        far.shut_down();
        far.closed().await;
    }
    let sent = sending(&upstream, get("/"));
    let mut far = origin.accept().await;
    let _down = far.request().await.begin(200);
    let mut body = sent.response().await.into_body();
    drop(far);
    assert_eq!(soon("the end", body.frame()).await.unwrap().unwrap_err().kind, ErrorKind::Closed);
}

#[tokio::test]
async fn a_body_that_fails_resets_its_stream_and_is_told() {
    let origin = Http2Origin::start().await;
    let (feed, request) = fed(Method::POST);
    let sent = sending(&origin.origin.upstream(), request);
    feed.send(Ok(Frame::data(Bytes::from_static(b"first")))).unwrap();
    let mut far = origin.accept().await;
    let mut arrived = far.request().await;
    feed.send(Err("the client left".into())).unwrap();
    let error = sent.error().await;
    assert_eq!(error.kind, ErrorKind::RequestBody);
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "the client left");
    arrived.reset().await;
}

#[tokio::test]
async fn a_stream_that_is_late_is_reset() {
    let origin = Http2Origin::start().await;
    let response_timeout = Some(Duration::from_millis(100));
    let upstream = Upstream::new(Settings { response_timeout, ..origin.origin.settings() }).unwrap();
    let sent = sending(&upstream, request(Method::POST, "/", "x"));
    let mut far = origin.accept().await;
    let mut arrived = far.request().await;
    assert_eq!(sent.error().await.kind, ErrorKind::ResponseTimeout);
    assert_eq!(arrived.reset().await, h2::Reason::CANCEL);
}

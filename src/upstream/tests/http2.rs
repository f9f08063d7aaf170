//! Requests that share connections of HTTP/2.

use futures_util::future::join_all;
use http::HeaderMap;
use http_body::Frame;
use tokio::time::Instant;

use super::origin::{Arrived, Http2Origin};
use super::uploads::fed;
use super::*;

#[tokio::test]
async fn requests_share_a_connection() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let mut first = get("/a%2Fb//c?d={e}");
    first.headers_mut().insert("host", "client.example".parse().unwrap());
    let first = sending(&upstream, first);
    let mut far = origin.accept().await;
    let mut one = far.request().await;
    let expected = format!("https://127.0.0.1:{}/a%2Fb//c?d={{e}}", origin.origin.port());
    assert_eq!(one.request.uri().to_string(), expected);
    assert!(one.request.headers().is_empty(), "{:?}", one.request.headers());
    let second = sending(&upstream, request(Method::POST, "/", "four"));
    let mut two = far.request().await;
    assert_eq!(two.request.headers()["content-length"], "4");
    assert_eq!(two.body().await, "four");
    two.respond_with(200, "second");
    assert_eq!(second.text().await, (200, "second".to_owned()));
    one.respond_with(201, "first");
    assert_eq!(first.text().await, (201, "first".to_owned()));
    assert!(origin.origin.is_left_alone().await);
}

#[tokio::test]
async fn a_burst_of_first_requests_needs_one_connection() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let burst: Vec<_> = (0..60).map(|_| sending(&upstream, get("/"))).collect();
    let mut far = origin.accept().await;
    for _ in 0..60 {
        far.request().await.respond_with(200, "ok");
    }
    for one in burst {
        assert_eq!(one.text().await.0, 200);
    }
    assert!(origin.origin.is_left_alone().await);
}

#[tokio::test]
async fn no_request_waits_for_a_stream_while_the_peer_allows_another_connection() {
    let origin = Http2Origin { streams: 2, ..Http2Origin::start().await };
    let upstream = origin.origin.upstream();
    let burst: Vec<_> = (0..5).map(|_| sending(&upstream, get("/"))).collect();
    let mut connections = Vec::new();
    let mut arrived = Vec::new();
    for count in [2, 2, 1] {
        let mut far = origin.accept().await;
        for _ in 0..count {
            arrived.push(far.request().await);
        }
        connections.push(far);
    }
    for one in &mut arrived {
        one.respond_with(200, "ok");
    }
    for one in burst {
        assert_eq!(one.text().await.0, 200);
    }
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let origin = Http2Origin::start().await;
    let (feed, request) = fed(Method::POST);
    let sent = sending(&origin.origin.upstream(), request);
    let mut far = origin.accept().await;
    feed.send(Ok(Frame::data(Bytes::from_static(b"up")))).unwrap();
    let map = |name: &'static str| -> HeaderMap {
        [(name.parse().unwrap(), "1".parse().unwrap())].into_iter().collect()
    };
    feed.send(Ok(Frame::trailers(map("x-up")))).unwrap();
    let mut arrived = far.request().await;
    assert_eq!(arrived.body().await, "up");
    assert_eq!(soon("trailers", arrived.request.body_mut().trailers()).await.unwrap(), Some(map("x-up")));
    let mut down = arrived.begin(200);
    down.send_data(Bytes::from_static(b"down"), false).unwrap();
    down.send_trailers(map("x-down")).unwrap();
    let body = soon("the body", sent.response().await.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers(), Some(&map("x-down")));
    assert_eq!(body.to_bytes(), "down");
}

#[tokio::test]
async fn a_large_body_flows_through_the_small_window() {
    const TOTAL: usize = 3_000_000;
    let origin = Http2Origin::start().await;
    let sent = sending(&origin.origin.upstream(), get("/"));
    let mut far = origin.accept().await;
    let mut down = far.request().await.begin(200);
    down.send_data(Bytes::from(vec![b'x'; TOTAL]), true).unwrap();
    assert_eq!(sent.text().await.1.len(), TOTAL);
}

#[tokio::test]
async fn a_large_upload_flows() {
    const TOTAL: usize = 1_000_000;
    let origin = Http2Origin::start().await;
    let sent = sending(&origin.origin.upstream(), request(Method::POST, "/", vec![b'x'; TOTAL]));
    let mut far = origin.accept().await;
    let mut arrived = far.request().await;
    assert_eq!(arrived.body().await.len(), TOTAL);
    arrived.respond_with(200, "ok");
    assert_eq!(sent.text().await.0, 200);
}

#[tokio::test]
async fn readers_that_stand_still_slow_nobody() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let stalled: Vec<_> = (0..99).map(|_| sending(&upstream, get("/"))).collect();
    let mut far = origin.accept().await;
    for _ in 0..99 {
        far.request().await.begin(200).send_data(Bytes::from(vec![b'x'; 1_000_000]), true).unwrap();
    }
    let unread = join_all(stalled.into_iter().map(Sending::response)).await;
    for _ in 0..5 {
        let brisk = sending(&upstream, get("/"));
        far.request().await.begin(200).send_data(Bytes::from(vec![b'x'; 1_000_000]), true).unwrap();
        assert_eq!(brisk.text().await.1.len(), 1_000_000);
    }
    drop(unread);
}

#[tokio::test]
async fn responses_without_a_body_have_none_whatever_is_sent() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let mut far = None;
    for (method, status) in [(Method::HEAD, 200), (Method::GET, 204), (Method::GET, 304)] {
        let sent = sending(&upstream, request(method, "/", ""));
        let far = match &mut far {
            Some(far) => far,
            none => none.insert(origin.accept().await),
        };
        far.request().await.respond_with(status, "stray");
        let response = sent.response().await;
        assert!(http_body::Body::is_end_stream(response.body()));
        assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(0));
        assert_eq!(text(response).await, (status, String::new()));
    }
    // The length says what GET would have got.
    let sent = sending(&upstream, request(Method::HEAD, "/", ""));
    let head = Response::builder().header("content-length", "99").body(()).unwrap();
    far.as_mut().unwrap().request().await.respond.send_response(head, true).unwrap();
    let response = sent.response().await;
    assert_eq!(response.headers()["content-length"], "99");
    assert_eq!(text(response).await, (200, String::new()));
}

#[tokio::test]
async fn an_answer_during_the_upload_arrives() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    for length in [None, Some("3")] {
        let (feed, request) = fed(Method::POST);
        let sent = sending(&upstream, request);
        feed.send(Ok(Frame::data(Bytes::from_static(b"first")))).unwrap();
        let mut far = origin.accept().await;
        let mut arrived = far.request().await;
        let mut head = Response::builder().status(413);
        if let Some(length) = length {
            head = head.header("content-length", length);
        }
        let mut down = arrived.respond.send_response(head.body(()).unwrap(), false).unwrap();
        down.send_data(Bytes::from_static(b"too"), true).unwrap();
        // The h2 crate resets the stream with NO_ERROR when its request is dropped.
        drop((arrived, down));
        assert_eq!(sent.text().await, (413, "too".to_owned()), "{length:?}");
        far.shut_down();
        far.closed().await;
        drop(feed);
    }
}

#[tokio::test]
async fn a_sender_that_leaves_ends_its_stream_only() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let stays = sending(&upstream, get("/stays"));
    let mut far = origin.accept().await;
    let mut staying = far.request().await;
    let leaves = sending(&upstream, get("/leaves"));
    let mut left = far.request().await;
    drop(leaves);
    assert_eq!(left.reset().await, h2::Reason::CANCEL);
    let reads = sending(&upstream, get("/reads"));
    let mut unread = far.request().await;
    let mut body = unread.begin(200);
    drop(reads.response().await);
    let reset = soon("a reset", std::future::poll_fn(|cx| body.poll_reset(cx))).await;
    assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
    staying.respond_with(200, "ok");
    assert_eq!(stays.text().await.0, 200);
}

#[tokio::test]
async fn a_connection_with_many_resets_takes_no_new_streams() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let stays = sending(&upstream, get("/stays"));
    let mut far = origin.accept().await;
    let mut staying = far.request().await;
    for _ in 0..50 {
        let leaves = sending(&upstream, get("/leaves"));
        let mut left = far.request().await;
        drop(leaves);
        left.reset().await;
    }
    let next = sending(&upstream, get("/next"));
    let mut other = origin.accept().await;
    other.request().await.respond_with(200, "ok");
    assert_eq!(next.text().await.0, 200);
    staying.respond_with(200, "still served");
    assert_eq!(stays.text().await.1, "still served");
    far.closed().await;
}

#[tokio::test]
async fn streams_and_resets_together_stay_bounded() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let mut far = None;
    let mut leave = async |count: usize| {
        let leaving: Vec<_> = (0..count).map(|_| sending(&upstream, get("/leaves"))).collect();
        let far = match &mut far {
            Some(far) => far,
            none => none.insert(origin.accept().await),
        };
        let mut left: Vec<Arrived> = Vec::new();
        for _ in 0..count {
            left.push(far.request().await);
        }
        drop(leaving);
        for one in &mut left {
            one.reset().await;
        }
    };
    leave(40).await;
    // 60 more may be open, since even if all of them are reset there are no more than 100.
    let open: Vec<_> = (0..60).map(|_| sending(&upstream, get("/"))).collect();
    let far = far.as_mut().unwrap();
    for _ in 0..60 {
        far.request().await;
    }
    let _one_more = sending(&upstream, get("/"));
    origin.accept().await.request().await;
    drop(open);
}

#[tokio::test]
async fn an_unused_connection_is_closed_when_it_grows_old() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let sent = sending(&upstream, get("/"));
    let mut far = origin.accept().await;
    let mut arrived = far.request().await;
    let start = Instant::now();
    for second in [5, 60, 120] {
        upstream.sweep(start + Duration::from_secs(second));
    }
    arrived.respond_with(200, "ok");
    assert_eq!(sent.text().await.0, 200, "a stream was open");
    upstream.sweep(start + Duration::from_secs(121));
    upstream.sweep(start + Duration::from_secs(160));
    let again = sending(&upstream, get("/"));
    far.request().await.respond_with(200, "ok");
    assert_eq!(again.text().await.0, 200, "it was used meanwhile");
    upstream.sweep(start + Duration::from_secs(200));
    upstream.sweep(start + Duration::from_secs(251));
    far.closed().await;
}

#[tokio::test]
async fn connections_end_with_their_upstream() {
    let origin = Http2Origin::start().await;
    let upstream = origin.origin.upstream();
    let sent = sending(&upstream, get("/"));
    let mut far = origin.accept().await;
    let mut down = far.request().await.begin(200);
    let response = sent.response().await;
    drop(upstream);
    down.send_data(Bytes::from_static(b"served"), true).unwrap();
    assert_eq!(text(response).await.1, "served");
    far.closed().await;
}

//! Streams of a shared HTTP/2 connection that end too early, or are never taken.

use h2::Reason;
use http::HeaderMap;

use crate::support::{Http2Upstream, get, in_time, request, whole};

#[tokio::test]
async fn a_connection_that_goes_away_finishes_its_streams_and_takes_no_more() {
    let upstream = Http2Upstream::start().await;
    let setup = upstream.setup().await;
    // One client connection, so that one core of the program, with one pool, serves it all.
    let http2 = setup.http2().await;
    let (slow, _) = http2.begin(http2.request("GET", "/slow"), true).await;
    let mut connection = upstream.accept().await;
    let held = connection.request().await;
    connection.go_away();
    setup.proxy.idle().await;
    for _ in 0..2 {
        let asking = tokio::spawn({
            let http2 = http2.clone();
            async move { http2.fetch(http2.request("POST", "/next"), b"hello", HeaderMap::new()).await }
        });
        let mut next = upstream.accept().await;
        let arrived = next.request().await;
        assert_eq!(arrived.request.uri().path(), "/next");
        arrived.respond_with("next");
        assert_eq!(in_time("the answer", asking).await.unwrap().unwrap().body, b"next");
        next.go_away();
        setup.proxy.idle().await;
    }
    held.respond_with("slow");
    assert_eq!(whole(in_time("the slow answer", slow).await.unwrap()).await.unwrap().body, b"slow");
}

/// The old connection is open for as long as its streams; each request must not find that out anew.
#[tokio::test]
async fn a_connection_that_goes_away_is_replaced_by_one_and_not_by_one_for_each_request() {
    let upstream = Http2Upstream::start().await;
    let setup = upstream.setup().await;
    let http2 = setup.http2().await;
    let (slow, _) = http2.begin(http2.request("GET", "/slow"), true).await;
    let mut connection = upstream.accept().await;
    let held = connection.request().await;
    connection.go_away();
    setup.proxy.idle().await;
    let mut next = None;
    for number in 0..3 {
        let target = format!("/next/{number}");
        let (answer, _) = http2.begin(http2.request("GET", &target), true).await;
        let next = match &mut next {
            None => next.insert(upstream.accept().await),
            Some(next) => next,
        };
        next.request().await.respond_with("next");
        assert_eq!(whole(in_time("the answer", answer).await.unwrap()).await.unwrap().body, b"next");
    }
    held.respond_with("slow");
    assert_eq!(whole(in_time("the slow answer", slow).await.unwrap()).await.unwrap().body, b"slow");
}

/// Requests whose shared connection dies need one new connection, not one each.
#[tokio::test]
async fn streams_that_lose_their_connection_share_the_next_one() {
    let upstream = Http2Upstream::start().await;
    let setup = upstream.setup().await;
    let http2 = setup.http2().await;
    let (first, _) = http2.begin(http2.request("GET", "/first"), true).await;
    let mut connection = upstream.accept().await;
    connection.request().await.respond_with("first");
    assert_eq!(whole(in_time("the answer", first).await.unwrap()).await.unwrap().body, b"first");
    let mut answers = Vec::new();
    let mut lost = Vec::new();
    for _ in 0..20 {
        answers.push(http2.begin(http2.request("GET", "/lost"), true).await.0);
        lost.push(connection.request().await);
    }
    connection.break_off();
    let mut next = upstream.accept().await;
    for _ in 0..20 {
        next.request().await.respond_with("found");
    }
    for answer in answers {
        assert_eq!(whole(in_time("an answer", answer).await.unwrap()).await.unwrap().body, b"found");
    }
}

#[tokio::test]
async fn a_refused_stream_was_not_processed_and_even_a_post_is_sent_again() {
    let upstream = Http2Upstream::start().await;
    let setup = upstream.setup().await;
    let mut client = setup.connect().await;
    client.send(get("/first")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.respond_with("first");
    assert_eq!(client.response().await.unwrap().text(), "first");
    client.send(request("POST", "/second", "", "hello")).await;
    connection.request().await.respond.send_reset(Reason::REFUSED_STREAM);
    let mut next = upstream.accept().await;
    next.request().await.respond_with("second");
    assert_eq!(client.response().await.unwrap().text(), "second");
}

#[tokio::test]
async fn a_stream_that_is_reset_is_502_and_not_sent_again() {
    let upstream = Http2Upstream::start().await;
    let setup = upstream.setup().await;
    let mut client = setup.connect().await;
    client.send(get("/first")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.respond_with("first");
    assert_eq!(client.response().await.unwrap().text(), "first");
    client.send(get("/second")).await;
    connection.request().await.respond.send_reset(Reason::INTERNAL_ERROR);
    assert_eq!(client.response().await.unwrap().status(), 502);
    assert!(upstream.stays_unconnected().await);
    // The connection itself goes on.
    client.send(get("/third")).await;
    connection.request().await.respond_with("third");
    assert_eq!(client.response().await.unwrap().text(), "third");
}

//! Resets of streams, sent by us and by the upstream: they cost no other request.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{
    Frame, FrameConnection, Http2Upstream, Message, eventually, get, in_time, request, whole,
};

/// The most resets that the upstream takes on one connection, as servers do since CVE-2023-44487.
const MOST_RESETS: usize = 100;

/// What the defended upstream has seen.
#[derive(Default)]
struct Seen {
    /// The most resets on one connection.
    resets: AtomicU64,
    posts: AtomicU64,
    gets: AtomicU64,
}

/// Responds to requests with a body once `finish` says so, and to others never. Closes the connection after too
/// many resets.
async fn defended(mut connection: FrameConnection, seen: Arc<Seen>, mut finish: watch::Receiver<bool>) {
    let (mut resets, mut posts) = (0, HashSet::new());
    loop {
        let frame = tokio::select! {
            frame = connection.next() => frame,
            // Nothing of a frame is lost: what has been read stays in the connection's buffer.
            Ok(()) = finish.changed() => {
                for stream in posts.drain() {
                    connection.respond(stream, "done").await;
                }
                continue;
            }
        };
        let Some(frame) = frame else { return };
        match frame.kind {
            Frame::HEADERS if frame.ends_stream() => {
                seen.gets.fetch_add(1, Ordering::Relaxed);
            }
            Frame::DATA if frame.ends_stream() => {
                posts.insert(frame.stream);
                seen.posts.fetch_add(1, Ordering::Relaxed);
            }
            Frame::PING if frame.flags & Frame::ACK == 0 => {
                connection.try_send(Frame::PING, Frame::ACK, 0, &frame.payload).await;
            }
            Frame::RST_STREAM => {
                resets += 1;
                seen.resets.fetch_max(resets, Ordering::Relaxed);
                if resets > u64::try_from(MOST_RESETS).unwrap() {
                    // ENHANCE_YOUR_CALM
                    connection.try_send(Frame::GOAWAY, 0, 0, [0, 0, 0, 0, 0, 0, 0, 11]).await;
                    return;
                }
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn cancelled_requests_of_one_client_cost_no_request_of_another() {
    let upstream = Arc::new(Http2Upstream::with_streams(1000).await);
    let setup = upstream.setup().await;
    let (finish, finished) = watch::channel(false);
    let seen = Arc::new(Seen::default());
    let _serving = upstream.serve_frames({
        let seen = seen.clone();
        move |connection| defended(connection, seen.clone(), finished.clone())
    });
    // One client connection, so that one core of the program, with one upstream connection, serves it all.
    let http2 = setup.http2().await;
    let mut posts = Vec::new();
    for _ in 0..4 {
        let (response, mut stream) = http2.begin(http2.request("POST", "/work"), false).await;
        stream.send_data(Bytes::from_static(b"work"), true).unwrap();
        posts.push(response);
    }
    eventually("the POSTs", async || (seen.posts.load(Ordering::Relaxed) == 4).then_some(())).await;
    for number in 1..=130_u64 {
        let (response, mut stream) = http2.begin(http2.request("GET", "/cancelled"), true).await;
        eventually("the GET", async || (seen.gets.load(Ordering::Relaxed) == number).then_some(())).await;
        stream.send_reset(Reason::CANCEL);
        drop(response);
    }
    setup.in_flight(4).await;
    finish.send(true).unwrap();
    for post in posts {
        let response = whole(in_time("a response", post).await.unwrap()).await.unwrap();
        assert_eq!((response.status, response.body.as_slice()), (200, &b"done"[..]));
    }
    assert_eq!(seen.posts.load(Ordering::Relaxed), 4, "no POST was sent twice");
    let resets = seen.resets.load(Ordering::Relaxed);
    assert!(resets < u64::try_from(MOST_RESETS).unwrap(), "{resets} resets on one connection");
}

#[tokio::test]
async fn a_stream_that_is_refused_on_a_new_connection_is_sent_again() {
    let upstream = Http2Upstream::start().await;
    let setup = upstream.setup().await;
    for post in [false, true] {
        let mut client = setup.connect().await;
        let text = if post { request("POST", "/first", "", "hello") } else { get("/first") };
        client.send(text).await;
        let mut connection = upstream.accept().await;
        connection.request().await.respond.send_reset(Reason::REFUSED_STREAM);
        // On this connection or on another one.
        let again = tokio::select! {
            again = connection.request() => again,
            mut other = upstream.accept() => {
                let again = other.request().await;
                // It must not get the next request: nobody listens there any more.
                std::mem::replace(&mut connection, other).break_off();
                again
            }
        };
        again.respond_with("second");
        assert_eq!(client.response().await.unwrap().text(), "second", "POST: {post}");
        connection.go_away();
        setup.proxy.idle().await;
    }
}

/// GOAWAY names the last stream that was processed; what is above it was not (RFC 9113 section 6.8).
#[tokio::test]
async fn a_post_above_the_last_stream_of_a_goaway_is_sent_again() {
    let upstream = Http2Upstream::start().await;
    let setup = upstream.setup().await;
    let mut client = setup.connect().await;
    client.send(request("POST", "/first", "", "hello")).await;
    let mut first = upstream.accept_frames().await;
    assert_eq!(first.end_of_request().await, Some(1));
    // Last stream 0, NO_ERROR.
    first.send(Frame::GOAWAY, 0, 0, [0; 8]).await;
    let mut second = upstream.accept_frames().await;
    let stream = second.end_of_request().await.unwrap();
    second.respond(stream, "second").await;
    assert_eq!(client.response().await.unwrap().text(), "second");
}

#[tokio::test]
async fn the_hint_does_not_speak_of_a_request_carried_out_where_that_is_impossible() {
    let upstream = Arc::new(Http2Upstream::start().await);
    let setup = upstream.setup().await;
    let _serving = upstream.serve(|mut arrived| arrived.respond.send_reset(Reason::REFUSED_STREAM));
    let response = setup.fetch(request("POST", "/", "", "hello")).await;
    assert_eq!(response.status(), 502, "{}", response.text());
    assert!(!response.text().contains("may have been carried out"), "{}", response.text());
}

/// Serves like nginx with `keepalive_requests`: says GOAWAY after so many, and ignores what comes above.
async fn turned_over(mut connection: FrameConnection, processed: Arc<AtomicU64>) {
    const REQUESTS: usize = 50;
    let mut served = 0;
    while let Some(stream) = connection.end_of_request().await {
        if served == REQUESTS {
            continue;
        }
        served += 1;
        processed.fetch_add(1, Ordering::Relaxed);
        connection.respond(stream, "ok").await;
        if served == REQUESTS {
            let last = [stream.to_be_bytes(), [0; 4]].concat();
            connection.try_send(Frame::GOAWAY, 0, 0, last).await;
        }
    }
}

#[tokio::test]
async fn no_post_is_lost_while_connections_with_few_streams_are_turned_over() {
    const CLIENTS: u64 = 40;
    const EACH: u64 = 20;
    let upstream = Arc::new(Http2Upstream::with_streams(8).await);
    let setup = upstream.setup().await;
    let processed = Arc::<AtomicU64>::default();
    let _serving = upstream.serve_frames({
        let processed = processed.clone();
        move |connection| turned_over(connection, processed.clone())
    });
    let failures = Arc::<Mutex<Vec<Message>>>::default();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (mut client, failures) = (setup.connect().await, failures.clone());
        clients.spawn(async move {
            for _ in 0..EACH {
                let response = client.fetch(request("POST", "/", "", "hello")).await;
                if response.status() != 200 {
                    failures.lock().unwrap().push(response);
                }
            }
        });
    }
    clients.join_all().await;
    let failures = failures.lock().unwrap();
    assert!(failures.is_empty(), "{} failed, such as {:?}", failures.len(), failures.first());
    assert_eq!(processed.load(Ordering::Relaxed), CLIENTS * EACH, "each was processed once");
}

#[tokio::test]
async fn a_client_that_breaks_its_upload_off_disturbs_no_other_stream() {
    let upstream = Http2Upstream::start().await;
    let setup = upstream.setup().await;
    let http2 = setup.http2().await;
    let (stays, _) = http2.begin(http2.request("GET", "/stays"), true).await;
    let mut connection = upstream.accept().await;
    let held = connection.request().await;
    let (_, mut leaving) = http2.begin(http2.request("POST", "/leaves"), false).await;
    leaving.send_data(Bytes::from_static(b"half"), false).unwrap();
    let broken = connection.request().await;
    leaving.send_reset(Reason::CANCEL);
    let mut body = broken.request.into_body();
    while let Some(Ok(piece)) = in_time("the end of the upload", body.data()).await {
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    held.respond_with("stayed");
    let response = whole(in_time("a response", stays).await.unwrap()).await.unwrap();
    assert_eq!(response.body, b"stayed");
    let next = http2.begin(http2.request("GET", "/next"), true).await.0;
    connection.request().await.respond_with("next");
    assert_eq!(whole(in_time("a response", next).await.unwrap()).await.unwrap().body, b"next");
}

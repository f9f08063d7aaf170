//! Who takes too long.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::support::{Server, eventually, get, limits, post};
use crate::server::Limits;

const SHORT: Duration = Duration::from_millis(400);
/// Well beyond the time-outs of these tests.
const LATE: Duration = Duration::from_secs(5);

fn impatient() -> Limits {
    Limits { header_timeout: SHORT, ..limits() }
}

#[tokio::test]
async fn a_slow_head_is_408_or_the_end_of_the_connection() {
    let server = Server::with(impatient());
    for (start, document) in [
        ("", ""),
        ("\r\n", ""),
        ("G", "HeaderTimeout"),
        ("GET / HTTP/1.1\r\nHost: a\r\n", "HeaderTimeout"),
        ("PRI * HTTP/2.0\r\n", "HeaderTimeout"),
    ] {
        let begun = Instant::now();
        let mut client = server.client().await;
        client.send(start).await;
        if !document.is_empty() {
            let reply = client.reply().await;
            assert_eq!((reply.status(), reply.text()), (408, document), "{start:?}");
        }
        assert!(client.rest().await.is_empty() && !client.was_reset, "{start:?}");
        assert!(begun.elapsed() >= SHORT && begun.elapsed() < LATE, "{start:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn drops_of_a_head_do_not_buy_time() {
    let server = Server::with(impatient());
    let mut client = server.client().await;
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\nX: ").await;
    while client.is_quiet(Duration::from_millis(50)).await {
        assert!(begun.elapsed() < LATE, "it is still listening");
        client.try_send("x").await;
    }
    assert_eq!(client.reply().await.status(), 408);
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_later_head_is_timed_from_its_first_byte() {
    let server = Server::with(impatient());
    let mut client = server.client().await;
    assert_eq!(client.ask(get("/a")).await.status(), 200);
    // Idle for longer than a head may take; an empty line is no head.
    assert!(client.is_quiet(SHORT * 2).await);
    client.send("\r\n").await;
    assert!(client.is_quiet(SHORT * 2).await);
    client.send("GET /b HT").await;
    assert!(client.is_quiet(SHORT / 2).await);
    assert_eq!(client.ask("TP/1.1\r\nHost: a\r\n\r\n").await.text(), "/b");
    // Also where it came together with the request before.
    for before in [get("/c"), post("/echo", "c"), post("/unread", "c")] {
        let mut client = server.client().await;
        let begun = Instant::now();
        assert_eq!(client.ask(before + "GET ").await.status(), 200);
        assert_eq!(client.reply().await.status(), 408);
        assert!(begun.elapsed() >= SHORT && begun.elapsed() < LATE, "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn idle_connections_are_closed_after_the_idle_timeout() {
    let server = Server::with(Limits { idle_timeout: SHORT, ..limits() });
    let mut client = server.client().await;
    for _ in 0..2 {
        assert_eq!(client.ask(get("/a")).await.status(), 200);
        assert!(client.is_quiet(SHORT / 2).await);
    }
    assert_eq!(client.ask(get("/a")).await.status(), 200);
    let begun = Instant::now();
    assert_eq!(client.rest().await, b"");
    assert!(begun.elapsed() >= SHORT * 7 / 8 && begun.elapsed() < LATE);
}

/// After two seconds hyper's buffers are given back.
#[tokio::test]
async fn a_parked_connection_goes_on_where_it_was() {
    let server = Server::start();
    let mut client = server.client().await;
    assert_eq!(client.ask(get("/<a>")).await.text(), "/%3Ca%3E");
    assert!(client.is_quiet(Duration::from_millis(2300)).await);
    client.send("GET /<b> HT").await;
    assert!(client.is_quiet(Duration::from_millis(100)).await);
    assert_eq!(client.ask("TP/1.1\r\nHost: a\r\n\r\n").await.text(), "/%3Cb%3E");
    assert_eq!(client.ask(post("/echo", "c")).await.text(), "c");
    assert_eq!(server.scene.connections.load(Ordering::Relaxed), 1);
}

fn stalling() -> Limits {
    Limits { stall_timeout: Some(SHORT), ..limits() }
}

#[tokio::test]
async fn a_client_that_owes_its_body_is_cut_off() {
    let server = Server::with(stalling());
    let mut client = server.client().await;
    let begun = Instant::now();
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx").await;
    server.scene.serving(1).await;
    client.rest().await;
    assert!(begun.elapsed() >= SHORT && begun.elapsed() < LATE, "{:?}", begun.elapsed());
    server.scene.serving(0).await;
    eventually("the end of the connection", || server.connections.open() == 0).await;
}

#[tokio::test]
async fn a_slow_upload_is_no_stall() {
    let server = Server::with(stalling());
    let mut client = server.client().await;
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n").await;
    // The first look comes within two seconds.
    for _ in 0..12 {
        assert!(client.is_quiet(SHORT / 2).await);
        client.send("x").await;
    }
    assert_eq!(client.reply().await.text(), "x".repeat(12));
}

#[tokio::test]
async fn a_client_that_does_not_take_its_response_is_cut_off() {
    let server = Server::with(stalling());
    let mut client = server.client().await;
    client.send(get("/large")).await;
    // Reading little by little is progress.
    for _ in 0..8 {
        client.exactly(500_000).await;
        tokio::time::sleep(SHORT / 2).await;
    }
    assert_eq!(server.connections.open(), 1);
    tokio::time::sleep(SHORT).await;
    eventually("the end of the connection", || server.connections.open() == 0).await;
    client.rest().await;
    assert!(client.was_reset, "it must not look complete");
}

#[tokio::test]
async fn waiting_for_the_upstream_is_no_stall() {
    let server = Server::with(stalling());
    let mut client = server.client().await;
    client.send(get("/wait")).await;
    assert!(client.is_quiet(SHORT * 4).await);
    server.scene.go.notify_one();
    assert_eq!(client.reply().await.text(), "waited");
    // Nor is an upload that nobody takes.
    let mut client = server.client().await;
    client.send(post("/hold", &"x".repeat(500))).await;
    assert!(client.is_quiet(SHORT * 4).await);
    server.scene.go.notify_one();
    assert_eq!(client.reply().await.text(), "held");
}

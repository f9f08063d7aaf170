//! Requests that make no progress while their client is to act are cut off, and give their places back.

use std::time::Duration;

use bytes::Bytes;

use super::unread;
use crate::support::{Launch, RawConnection, Setup, Upstream, eventually, get, ok};

/// More than twice the stall time-out.
const LONG: Duration = Duration::from_millis(2500);

fn limited(launch: Launch) -> Launch {
    launch.flag("stall-timeout", "1s").flag("in-flight", "20")
}

/// Waits until there is a place for a good request again.
async fn a_place_is_free(setup: &Setup) {
    eventually("a free place", async || {
        let response = setup.get("/api/v2/users/me").await;
        assert!(matches!(response.status(), 200 | 503), "{}", response.start);
        (response.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn uploads_that_never_come_give_their_places_back() {
    let setup = Setup::launched(limited).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = setup.connect().await;
        client.send("POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n").await;
        clients.push(client);
    }
    a_place_is_free(&setup).await;
    setup.in_flight(0).await;
    for mut client in clients {
        // A response may say why, but the connection ends.
        client.rest().await;
    }
}

#[tokio::test]
async fn responses_that_are_not_read_give_their_places_back() {
    let setup = Setup::launched(limited).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(unread(&setup, "/api/v2/large?bytes=50000000").await);
    }
    setup.proxy.idle().await;
    a_place_is_free(&setup).await;
    setup.in_flight(0).await;
    for mut client in clients {
        match client.response().await {
            Err(_) => {}
            // A request of the test itself had its place for a moment.
            Ok(response) => assert_eq!(response.status(), 503, "it looks complete"),
        }
    }
}

#[tokio::test]
async fn http_2_streams_that_stall_give_their_places_back() {
    let setup = Setup::launched(limited).await;
    let http2 = setup.http2().await;
    let (mut unread, mut unsent) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        // The client library gives no credit beyond the first window unless the body is read.
        unread.push(http2.begin(http2.request("GET", "/api/v2/large?bytes=5000000"), true).await);
        unsent.push(http2.begin(http2.request("POST", "/api/v2/upload"), false).await);
    }
    a_place_is_free(&setup).await;
    setup.in_flight(0).await;
}

#[tokio::test]
async fn waiting_for_the_upstream_is_no_stall() {
    let setup = Setup::launched(limited).await;
    let http2 = setup.http2().await;
    let slow = http2.get("/api/v2/long-poll?ms=3000");
    let (over_http1, over_http2) = tokio::join!(setup.get("/api/v2/long-poll?ms=3000"), slow);
    assert_eq!((over_http1.status(), over_http2.unwrap().status), (304, 304));
    // Pauses of the upstream within a response are none either.
    let response = setup.get("/api/v2/stream?chunks=2&size=10&interval_ms=2500").await;
    assert_eq!((response.status(), response.body.len()), (200, 20));
}

#[tokio::test]
async fn slow_progress_is_no_stall() {
    let setup = Setup::launched(limited).await;
    let mut client = setup.connect().await;
    client.send("POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\n").await;
    let http2 = setup.http2().await;
    let (response, mut stream) = http2.begin(http2.request("POST", "/api/v2/upload"), false).await;
    for _ in 0..8 {
        // Each pause is shorter than the stall time-out; together they are twice as long.
        assert!(client.is_quiet(Duration::from_millis(300)).await);
        client.send("x").await;
        stream.send_data(Bytes::from_static(b"y"), false).unwrap();
    }
    stream.send_data(Bytes::new(), true).unwrap();
    assert_eq!(client.response().await.unwrap().json()["bytes"], 8);
    assert_eq!(response.await.unwrap().status(), 200);
}

const OPENING: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A tunnel, both of its ends.
async fn tunnel(setup: &Setup, upstream: &Upstream) -> (RawConnection, RawConnection) {
    let mut client = setup.connect().await;
    client.send(OPENING).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(client.head().await.unwrap().status(), 101);
    (client, connection)
}

#[tokio::test]
async fn tunnels_are_in_flight() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch.flag("in-flight", "1")).await;
    let (client, connection) = tunnel(&setup, &upstream).await;
    assert_eq!(setup.get("/").await.status(), 503);
    assert_eq!(setup.status().await["requests"]["in_flight"], 1);
    drop((client, connection));
    setup.in_flight(0).await;
    let mut next = setup.connect().await;
    next.send(get("/")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection.send(ok("", "served")).await;
    assert_eq!(next.response().await.unwrap().text(), "served");
}

#[tokio::test]
async fn a_quiet_tunnel_is_no_stall() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(limited).await;
    let (mut client, mut connection) = tunnel(&setup, &upstream).await;
    assert!(client.is_quiet(LONG).await);
    client.send("still").await;
    assert_eq!(connection.up_to(5).await, b"still");
    connection.send("there").await;
    assert_eq!(client.up_to(5).await, b"there");
}

#[tokio::test]
async fn a_tunnel_whose_client_does_not_read_is_cut_off() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(limited).await;
    let (_client, mut connection) = tunnel(&setup, &upstream).await;
    let sending = tokio::spawn(async move {
        let piece = vec![0; 100_000];
        // Until the program gives up, and takes the upstream's connection down with it.
        while connection.try_send(&piece).await.is_ok() {}
    });
    setup.in_flight(0).await;
    sending.await.unwrap();
}

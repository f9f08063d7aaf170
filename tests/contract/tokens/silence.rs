//! A peer that falls silent on a kept connection is found within a minute. A long poll is not taken for one.
//!
//! The tests here take a minute of waiting and no processor time, so they are one test.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::support::{Http2Upstream, Message, RawConnection, Setup, Upstream, get, ok, request, silence};

/// A minute, with a margin for timers that double and for a busy machine.
const MINUTE: Duration = Duration::from_secs(75);
/// Longer than any time-out for silence.
const POLL: Duration = Duration::from_secs(70);

/// The response, for which a client waits longer than tests usually do.
async fn patiently(client: &mut RawConnection, what: &str) -> Message {
    timeout(MINUTE, client.first()).await.unwrap_or_else(|_| panic!("{what}: still silent after {MINUTE:?}"));
    client.response().await.unwrap()
}

/// A GET is sent again on a new connection; a POST may have arrived, so it fails.
async fn a_silent_http_1_connection() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut clients = Vec::new();
    for text in [get("/second"), request("POST", "/second", "", "hello")] {
        let mut client = setup.connect().await;
        client.send(get("/first")).await;
        let (mut connection, socket) = upstream.accept_socket().await;
        connection.request().await.unwrap();
        connection.send(ok("", "first")).await;
        assert_eq!(client.response().await.unwrap().text(), "first");
        silence(&socket);
        client.send(text).await;
        clients.push((client, connection, socket));
    }
    let begun = Instant::now();
    let (mut posting, _kept_post, _) = clients.pop().unwrap();
    let (mut getting, _kept_get, _) = clients.pop().unwrap();
    let found = async {
        let next = timeout(MINUTE, upstream.accept_socket()).await;
        let (mut connection, _) = next.expect("a GET over HTTP/1.1: still silent");
        assert_eq!(connection.request().await.unwrap().method(), "GET");
        connection.send(ok("", "second")).await;
        connection
    };
    let posted = patiently(&mut posting, "a POST over HTTP/1.1");
    let (_connection, posted) = tokio::join!(found, posted);
    assert!(matches!(posted.status(), 502 | 504), "{}", posted.start);
    assert_eq!(patiently(&mut getting, "a GET over HTTP/1.1").await.text(), "second");
    assert!(begun.elapsed() < MINUTE, "{:?}", begun.elapsed());
}

async fn a_silent_http_2_connection() {
    let upstream = Http2Upstream::start().await;
    let setup = upstream.setup().await;
    let mut client = setup.connect().await;
    client.send(get("/first")).await;
    let (mut connection, socket) = upstream.accept_socket().await;
    connection.request().await.respond_with("first");
    assert_eq!(client.response().await.unwrap().text(), "first");
    setup.proxy.idle().await;
    silence(&socket);
    client.send(get("/second")).await;
    let (mut next, _) = timeout(MINUTE, upstream.accept_socket()).await.expect("HTTP/2: still silent");
    next.request().await.respond_with("second");
    assert_eq!(patiently(&mut client, "a GET over HTTP/2").await.text(), "second");
}

/// The upstream says nothing for more than a minute, but its machine acknowledges what it gets.
async fn a_long_poll() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send(get("/poll")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    assert!(connection.is_quiet(POLL).await, "the program gave the poll up");
    connection.send(ok("", "at last")).await;
    assert_eq!(client.response().await.unwrap().text(), "at last");
}

async fn a_long_poll_over_http_2() {
    let upstream = Http2Upstream::start().await;
    let setup: Setup = upstream.setup().await;
    let mut client = setup.connect().await;
    client.send(get("/poll")).await;
    let mut connection = upstream.accept().await;
    let held = connection.request().await;
    assert!(client.is_quiet(POLL).await, "the program gave the poll up");
    held.respond_with("at last");
    assert_eq!(client.response().await.unwrap().text(), "at last");
}

#[tokio::test]
async fn silent_peers_are_found_within_a_minute_and_long_polls_are_not_taken_for_them() {
    tokio::join!(
        a_silent_http_1_connection(),
        a_silent_http_2_connection(),
        a_long_poll(),
        a_long_poll_over_http_2()
    );
}

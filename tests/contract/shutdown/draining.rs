//! Open requests finish; nothing new begins.

use rustix::process::Signal;
use tokio::net::TcpStream;

use super::{ENDLESS, STREAM, draining, pieces, setup, under_way};
use crate::support::{Upstream, get, request};

#[tokio::test]
async fn an_open_request_finishes_and_its_connection_is_closed() {
    let mut setup = setup("1m").await;
    let mut client = setup.connect().await;
    client.send(get(STREAM)).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    setup.proxy.signal(Signal::TERM);
    draining(&setup).await;
    assert_eq!(pieces(&mut client).await, Some(1000));
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
    assert_eq!(client.rest().await, b"\r\n", "the end of the last chunk, and of the connection");
}

#[tokio::test]
async fn a_request_without_a_response_yet_gets_one() {
    let upstream = Upstream::start().await;
    let mut setup = upstream.setup(|launch| launch.flag("drain-timeout", "1m")).await;
    let mut client = setup.connect().await;
    client.send(request("POST", "/slow", "", "body")).await;
    let mut connection = upstream.accept().await;
    assert_eq!(connection.request().await.unwrap().body, b"body");
    setup.proxy.signal(Signal::TERM);
    draining(&setup).await;
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let response = client.response().await.unwrap();
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    assert_eq!(response.only("connection"), Some("close"));
    assert!(client.rest().await.is_empty());
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn an_upload_goes_on() {
    let mut setup = setup("1m").await;
    let mut client = setup.connect().await;
    let head = "POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfirst";
    client.send(head).await;
    crate::support::eventually("the upload's arrival", async || {
        let journal = setup.region.journal();
        journal.iter().any(|entry| entry.target == "/api/v2/upload").then_some(())
    })
    .await;
    setup.proxy.signal(Signal::TERM);
    draining(&setup).await;
    client.send("later").await;
    let response = client.response().await.unwrap();
    assert_eq!((response.status(), response.json()["bytes"].as_u64()), (200, Some(10)));
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_request_whose_head_has_begun_to_arrive_is_served() {
    let mut setup = setup("1m").await;
    let mut reused = setup.connect().await;
    assert_eq!(reused.fetch(get("/api/v2/users/me")).await.status(), 200);
    let mut fresh = setup.connect().await;
    for client in [&mut reused, &mut fresh] {
        client.send("GET /api/v2/users/me HTTP/1.1\r\nHo").await;
    }
    // The bytes are there before the signal is.
    setup.proxy.idle().await;
    setup.proxy.signal(Signal::TERM);
    draining(&setup).await;
    for client in [&mut reused, &mut fresh] {
        let response = client.fetch("st: localhost\r\n\r\n").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.only("connection"), Some("close"));
        assert!(client.rest().await.is_empty());
    }
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn no_new_connection_is_accepted_while_requests_finish() {
    let mut setup = setup("1m").await;
    let mut client = setup.connect().await;
    client.send(get(STREAM)).await;
    under_way(&setup, 1).await;
    let address = setup.proxy.proxy_address();
    setup.proxy.signal(Signal::TERM);
    draining(&setup).await;
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(client.response().await.unwrap().body.len(), 1000);
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn after_the_drain_timeout_what_is_left_is_cut_off() {
    let mut setup = setup("300ms").await;
    let mut client = setup.connect().await;
    client.send(get(ENDLESS)).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    setup.proxy.signal(Signal::TERM);
    assert_eq!(pieces(&mut client).await, None, "an abort, not an end");
    assert_eq!(setup.proxy.ended().await.code(), Some(1));
}

#[tokio::test]
async fn a_head_that_never_comes_does_not_hold_the_drain_up() {
    let mut setup = setup("300ms").await;
    let mut client = setup.connect().await;
    client.send("GET /api/v2/users/me HTTP/1.1\r\nHo").await;
    setup.proxy.idle().await;
    setup.proxy.signal(Signal::TERM);
    assert_eq!(setup.proxy.ended().await.code(), Some(1));
}

/// A body that ends with its connection has no other mark of its end.
#[tokio::test]
async fn a_response_that_is_cut_off_never_looks_complete_to_an_http_1_0_client() {
    let mut setup = setup("100ms").await;
    let mut client = setup.connect().await;
    client.send(format!("GET {ENDLESS} HTTP/1.0\r\n\r\n")).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    client.some(1).await;
    setup.proxy.signal(Signal::TERM);
    assert_eq!(setup.proxy.ended().await.code(), Some(1));
    client.rest().await;
    assert!(client.was_reset);
}

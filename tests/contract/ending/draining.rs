//! Open exchanges finish; nothing new begins.

use std::time::Duration;

use rustix::process::Signal;
use tokio::net::TcpStream;

use super::{ENDLESS, STREAM, draining, pieces, stage, under_way};
use crate::support::{Upstream, get, request};

/// A busy machine may deliver a signal before bytes that were sent earlier.
const ARRIVAL: Duration = Duration::from_millis(300);

#[tokio::test]
async fn an_open_exchange_finishes_and_its_connection_is_closed() {
    let mut stage = stage("1m").await;
    let mut client = stage.wire().await;
    client.send(get(STREAM)).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    stage.proxy.signal(Signal::TERM);
    draining(&stage).await;
    assert_eq!(pieces(&mut client).await, Some(1000));
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
    assert_eq!(client.rest().await, b"\r\n", "the end of the last chunk, and of the connection");
}

#[tokio::test]
async fn an_exchange_that_has_no_answer_yet_gets_it() {
    let upstream = Upstream::start().await;
    let mut stage = upstream.stage(|launch| launch.flag("drain-timeout", "1m")).await;
    let mut client = stage.wire().await;
    client.send(request("POST", "/slow", "", "body")).await;
    let mut far = upstream.accept().await;
    assert_eq!(far.request().await.unwrap().body, b"body");
    stage.proxy.signal(Signal::TERM);
    draining(&stage).await;
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let reply = client.reply().await.unwrap();
    assert_eq!((reply.status(), reply.text().as_str()), (200, "ok"));
    assert_eq!(reply.only("connection"), Some("close"));
    assert!(client.rest().await.is_empty());
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn an_upload_goes_on() {
    let mut stage = stage("1m").await;
    let mut client = stage.wire().await;
    let head = "POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfirst";
    client.send(head).await;
    crate::support::eventually("the upload's arrival", async || {
        let journal = stage.region.journal();
        journal.iter().any(|entry| entry.target == "/api/v2/upload").then_some(())
    })
    .await;
    stage.proxy.signal(Signal::TERM);
    draining(&stage).await;
    client.send("later").await;
    let reply = client.reply().await.unwrap();
    assert_eq!((reply.status(), reply.json()["bytes"].as_u64()), (200, Some(10)));
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_request_whose_head_has_begun_to_arrive_is_served() {
    let mut stage = stage("1m").await;
    let mut reused = stage.wire().await;
    assert_eq!(reused.ask(get("/api/v2/users/me")).await.status(), 200);
    let mut fresh = stage.wire().await;
    for client in [&mut reused, &mut fresh] {
        client.send("GET /api/v2/users/me HTTP/1.1\r\nHo").await;
    }
    tokio::time::sleep(ARRIVAL).await;
    stage.proxy.signal(Signal::TERM);
    draining(&stage).await;
    for client in [&mut reused, &mut fresh] {
        let reply = client.ask("st: localhost\r\n\r\n").await;
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.only("connection"), Some("close"));
        assert!(client.rest().await.is_empty());
    }
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn nobody_new_is_let_in_while_others_finish() {
    let mut stage = stage("1m").await;
    let mut client = stage.wire().await;
    client.send(get(STREAM)).await;
    under_way(&stage, 1).await;
    let address = stage.proxy.proxy_address();
    stage.proxy.signal(Signal::TERM);
    draining(&stage).await;
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(client.reply().await.unwrap().body.len(), 1000);
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn after_the_drain_timeout_what_is_left_is_cut_off() {
    let mut stage = stage("300ms").await;
    let mut client = stage.wire().await;
    client.send(get(ENDLESS)).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    stage.proxy.signal(Signal::TERM);
    assert_eq!(pieces(&mut client).await, None, "an abort, not an end");
    assert_eq!(stage.proxy.ended().await.code(), Some(1));
    stage.proxy.event("drain cut off by its time-out").await;
}

#[tokio::test]
async fn a_head_that_never_comes_does_not_hold_the_drain_up() {
    let mut stage = stage("300ms").await;
    let mut client = stage.wire().await;
    client.send("GET /api/v2/users/me HTTP/1.1\r\nHo").await;
    tokio::time::sleep(ARRIVAL).await;
    stage.proxy.signal(Signal::TERM);
    assert_eq!(stage.proxy.ended().await.code(), Some(1));
}

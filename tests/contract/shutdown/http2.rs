//! HTTP/2 ends by the same rules.

use http::HeaderMap;
use rustix::process::Signal;
use tokio::time::Instant;

use super::{AT_ONCE, ENDLESS, STREAM, draining, setup, under_way};
use crate::support::whole;

#[tokio::test]
async fn idle_http2_connections_are_closed_at_once() {
    let mut setup = setup("1m").await;
    let client = setup.http2().await;
    assert_eq!(client.get("/api/v2/users/me").await.unwrap().status, 200);
    let begun = Instant::now();
    setup.proxy.signal(Signal::TERM);
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE);
}

#[tokio::test]
async fn an_idle_http2_client_that_does_not_listen_does_not_hold_the_drain_up() {
    let mut setup = setup("1m").await;
    let mut client = setup.connect().await;
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(!client.up_to(9).await.is_empty(), "the proxy's settings");
    let begun = Instant::now();
    setup.proxy.signal(Signal::TERM);
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE);
}

#[tokio::test]
async fn open_streams_finish() {
    let mut setup = setup("1m").await;
    let client = setup.http2().await;
    let (response, _stream) = client.begin(client.request("GET", STREAM), true).await;
    under_way(&setup, 1).await;
    setup.proxy.signal(Signal::TERM);
    draining(&setup).await;
    let response = whole(response.await.unwrap()).await.unwrap();
    assert_eq!((response.status, response.body.len()), (200, 1000));
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn streams_that_do_not_finish_in_time_are_broken_off() {
    let mut setup = setup("300ms").await;
    let client = setup.http2().await;
    let head = client.request("GET", ENDLESS);
    let answer = tokio::spawn(async move { client.fetch(head, b"", HeaderMap::new()).await });
    under_way(&setup, 1).await;
    setup.proxy.signal(Signal::TERM);
    assert_eq!(setup.proxy.ended().await.code(), Some(1));
    assert!(answer.await.unwrap().is_err());
}

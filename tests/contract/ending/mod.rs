//! Section 8: Ending.

mod draining;
mod http2;
mod signals;

use std::time::Duration;

use cxone_proxy::simulator::Settings;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Launch, Stage, Wire, eventually, get};

/// Less than every drain time-out here: who ends within it has not waited for one.
const AT_ONCE: Duration = Duration::from_secs(10);

async fn stage(drain_timeout: &str) -> Stage {
    let launch = |launch: Launch| launch.flag("drain-timeout", drain_timeout);
    Stage::with(Settings::default(), launch).await
}

/// Waits until the program has begun to drain: nobody is let in any more.
async fn draining(stage: &Stage) {
    stage.proxy.event("draining").await;
    let address = stage.proxy.proxy_address();
    eventually("the listener's end", async || TcpStream::connect(address).await.is_err().then_some(())).await;
}

/// Waits until the API has begun to answer so many requests.
async fn under_way(stage: &Stage, count: usize) {
    eventually("the request's arrival at the API", async || {
        let journal = stage.region.journal();
        let begun = journal.iter().filter(|entry| entry.target.starts_with("/api/v2/stream")).count();
        (begun >= count).then_some(())
    })
    .await;
}

/// A stream of ten pieces that takes about a second.
const STREAM: &str = "/api/v2/stream?chunks=10&size=100&interval_ms=100";
/// A stream that outlives every drain here.
const ENDLESS: &str = "/api/v2/stream?chunks=100000&size=100&interval_ms=100";

#[tokio::test]
async fn idle_connections_are_closed_at_once() {
    let mut stage = stage("1m").await;
    let mut used = stage.wire().await;
    assert_eq!(used.ask(get("/api/v2/users/me")).await.status(), 200);
    let mut fresh = stage.wire().await;
    let begun = Instant::now();
    stage.proxy.signal(Signal::TERM);
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE);
    assert!(used.rest().await.is_empty() && fresh.rest().await.is_empty());
}

#[tokio::test]
async fn tunnels_are_closed() {
    let mut stage = stage("1m").await;
    let mut client = stage.wire().await;
    let handshake = "GET /api/v2/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(client.ask(handshake).await.status(), 101);
    let begun = Instant::now();
    stage.proxy.signal(Signal::TERM);
    client.rest().await;
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE);
}

#[tokio::test]
async fn the_admin_pages_stay_until_the_end_and_readyz_turns_503() {
    let mut stage = stage("1m").await;
    let mut client = stage.wire().await;
    client.send(get(STREAM)).await;
    under_way(&stage, 1).await;
    assert_eq!(stage.admin("/readyz").await.status(), 200);
    stage.proxy.signal(Signal::TERM);
    draining(&stage).await;
    let readyz = stage.admin("/readyz").await;
    assert_eq!(readyz.status(), 503);
    assert!(readyz.text().contains("drain"), "{}", readyz.text());
    assert_eq!(stage.admin("/livez").await.status(), 200);
    assert_eq!(stage.admin("/status").await.json()["draining"], true);
    assert_eq!(pieces_of(&mut client).await, Some(1000));
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_end_is_logged() {
    let mut stage = stage("1m").await;
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 200);
    stage.proxy.signal(Signal::TERM);
    stage.proxy.event("draining").await;
    stage.proxy.event("drained").await;
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}

/// Reads a stream's head, and its pieces to its end.
async fn pieces_of(wire: &mut Wire) -> Option<usize> {
    wire.head().await?;
    pieces(wire).await
}

/// Reads a stream's pieces to its end.
async fn pieces(wire: &mut Wire) -> Option<usize> {
    let mut length = 0;
    loop {
        let chunk = wire.chunk().await?;
        if chunk.is_empty() {
            return Some(length);
        }
        length += chunk.len();
    }
}

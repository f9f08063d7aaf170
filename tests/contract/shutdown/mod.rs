//! Section 8: ending.

mod draining;
mod http2;
mod restarts;
mod signals;

use std::time::Duration;

use cxone_simulator::Settings;
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{Launch, RawConnection, Setup, eventually, get};

/// Less than the long drain time-out here: a program that ends within it has not waited for that.
const AT_ONCE: Duration = Duration::from_secs(10);

async fn setup(drain_timeout: &str) -> Setup {
    let launch = |launch: Launch| launch.flag("drain-timeout", drain_timeout);
    Setup::with(Settings::default(), launch).await
}

/// Waits until the program has begun to drain: it accepts no connection any more.
async fn draining(setup: &Setup) {
    setup.proxy.event("draining").await;
    let address = setup.proxy.proxy_address();
    eventually("the listener's end", async || TcpStream::connect(address).await.is_err().then_some(())).await;
}

/// Waits until so many requests have arrived at the API.
async fn under_way(setup: &Setup, count: usize) {
    eventually("the request's arrival at the API", async || {
        let journal = setup.region.journal();
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
    let mut setup = setup("1m").await;
    let mut used = setup.connect().await;
    assert_eq!(used.fetch(get("/api/v2/users/me")).await.status(), 200);
    let mut fresh = setup.connect().await;
    let begun = Instant::now();
    setup.proxy.signal(Signal::TERM);
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE);
    assert!(used.rest().await.is_empty() && fresh.rest().await.is_empty());
}

#[tokio::test]
async fn tunnels_are_closed() {
    let mut setup = setup("1m").await;
    let mut client = setup.connect().await;
    let handshake = "GET /api/v2/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert_eq!(client.fetch(handshake).await.status(), 101);
    let begun = Instant::now();
    setup.proxy.signal(Signal::TERM);
    client.rest().await;
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE);
}

#[tokio::test]
async fn the_admin_pages_stay_until_the_end_and_readyz_turns_503() {
    let mut setup = setup("1m").await;
    let mut client = setup.connect().await;
    client.send(get(STREAM)).await;
    under_way(&setup, 1).await;
    assert_eq!(setup.admin("/readyz").await.status(), 200);
    setup.proxy.signal(Signal::TERM);
    draining(&setup).await;
    let readyz = setup.admin("/readyz").await;
    assert_eq!(readyz.status(), 503);
    assert!(readyz.text().contains("drain"), "{}", readyz.text());
    assert_eq!(setup.admin("/livez").await.status(), 200);
    assert_eq!(setup.admin("/status").await.json()["draining"], true);
    assert_eq!(pieces_of(&mut client).await, Some(1000));
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn beginning_and_end_of_the_drain_are_logged() {
    let mut setup = setup("1m").await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup.proxy.signal(Signal::TERM);
    let event = setup.proxy.event("draining").await;
    assert_eq!(event["signal"], 15);
    setup.proxy.event("drained").await;
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

/// Reads a stream's head, and its pieces to its end.
async fn pieces_of(client: &mut RawConnection) -> Option<usize> {
    client.head().await?;
    pieces(client).await
}

/// Reads a stream's pieces to its end.
async fn pieces(client: &mut RawConnection) -> Option<usize> {
    let mut length = 0;
    loop {
        let chunk = client.chunk().await?;
        if chunk.is_empty() {
            return Some(length);
        }
        length += chunk.len();
    }
}

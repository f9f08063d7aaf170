//! The program under test, the peers on both sides of it, and patience.

mod http2;
mod http2_upstream;
mod message;
mod process;
mod stage;
mod tunnels;
mod upstream;
mod wire;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

pub(crate) use http2::{Http2, whole};
pub(crate) use http2_upstream::Http2Upstream;
pub(crate) use message::{Message, get, request};
pub(crate) use process::{Launch, Process};
pub(crate) use stage::{CLIENT_ID, CLIENT_SECRET, Stage, serve};
pub(crate) use tunnels::Tunnels;
pub(crate) use upstream::Upstream;
pub(crate) use wire::{Cut, Wire};

/// Longer than anything here takes on a busy machine, short enough to fail a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

/// Looks again and again until there is something to see; fails with `what` after a while.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// What `future` comes to; fails with `what` where that takes too long.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

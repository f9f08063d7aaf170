//! The program under test, the peers on both sides of it, and deadlines.

mod certificate;
mod forward_proxy;
mod frames;
mod http2;
mod http2_upstream;
mod message;
mod metrics;
mod nginx;
mod process;
mod raw;
mod server;
mod setup;
mod upstream;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

pub(crate) use certificate::Certificate;
pub(crate) use forward_proxy::ForwardProxy;
pub(crate) use frames::{Frame, FrameConnection, STATUS_200, field_block};
pub(crate) use http2::{Http2Client, whole};
pub(crate) use http2_upstream::Http2Upstream;
pub(crate) use message::{Message, get, ok, request, token_response};
pub(crate) use metrics::Metrics;
pub(crate) use nginx::Nginx;
pub(crate) use process::{Launch, Process};
pub(crate) use raw::{Incomplete, RawConnection};
pub(crate) use server::Server;
pub(crate) use setup::{CLIENT_ID, CLIENT_SECRET, Setup, serve};
pub(crate) use upstream::{Upstream, silence};

/// Longer than anything here takes on a busy machine, short enough to fail a test that hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How long a test listens for what must not come. The program does such things at once or not at all, so a
/// longer time finds no more; a busy machine can only make a wrong program pass, never a right one fail.
pub(crate) const QUIET: Duration = Duration::from_millis(200);

/// Looks again and again until there is something to see; fails with `what` at the deadline.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// The output of `future`; fails with `what` where it is not there at the deadline.
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("timed out waiting for {what}"))
}

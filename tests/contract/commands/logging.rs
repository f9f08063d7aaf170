//! Standard error carries logs, and whoever reads them has no hold on the proxy.

use rustix::process::Signal;

use crate::support::{Stage, get};

/// A pipe holds some 64 KiB, and each failure here is a line of a few hundred bytes.
const FAILURES: usize = 1500;

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    let mut stage = Stage::new().await;
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 200);
    stage.region.kill().await;
    stage.proxy.leave_log_unread();
    let mut client = stage.wire().await;
    for number in 0..FAILURES {
        assert_eq!(client.ask(get("/api/v2/users/me")).await.status(), 502, "request {number}");
    }
    stage.proxy.signal(Signal::TERM);
    drop(client);
    assert_eq!(stage.proxy.ended().await.code(), Some(0));
}

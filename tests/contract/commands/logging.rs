//! Standard error carries logs, and a reader that stops reading does not stop the proxy.

use rustix::process::Signal;

use crate::support::{Setup, get};

/// A pipe holds some 64 KiB, and each failure here is a line of a few hundred bytes.
const FAILURES: usize = 1500;

#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    let mut setup = Setup::new().await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup.region.kill().await;
    setup.proxy.leave_log_unread();
    let mut client = setup.connect().await;
    for number in 0..FAILURES {
        assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 502, "request {number}");
    }
    setup.proxy.signal(Signal::TERM);
    drop(client);
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

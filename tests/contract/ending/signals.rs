//! A second signal ends it at once.

use rustix::process::Signal;
use tokio::time::Instant;

use super::{AT_ONCE, ENDLESS, draining, pieces_of, stage, under_way};
use crate::support::get;

#[tokio::test]
async fn a_second_signal_ends_it_at_once_with_its_own_number() {
    for (first, second, status) in
        [(Signal::TERM, Signal::TERM, 143), (Signal::INT, Signal::INT, 130), (Signal::TERM, Signal::INT, 130)]
    {
        let mut stage = stage("1m").await;
        let mut client = stage.wire().await;
        client.send(get(ENDLESS)).await;
        under_way(&stage, 1).await;
        stage.proxy.signal(first);
        draining(&stage).await;
        let begun = Instant::now();
        stage.proxy.signal(second);
        assert_eq!(stage.proxy.ended().await.code(), Some(status));
        assert!(begun.elapsed() < AT_ONCE);
        assert_eq!(pieces_of(&mut client).await, None, "an abort, not an end");
    }
}

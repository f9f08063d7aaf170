//! Many reloads while many clients are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::{ME, Reloading};
use crate::support::{RawConnection, get};

const CLIENTS: usize = 8;
const RELOADS: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_fail_no_request() {
    let own = Reloading::of("").await;
    let address = own.setup.proxy.proxy_address();
    let (stop, served) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (stop, served) = (stop.clone(), served.clone());
        clients.spawn(async move {
            let mut client = RawConnection::to(address).await;
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.fetch(get(ME)).await.status(), 200);
                served.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for round in 0..RELOADS {
        // Each changes something of every part: rules, limits, the way to the upstream, pace.
        let text = format!(
            "[access]\ndeny = [\"* /other-{round}*\"]\n[limits]\nin_flight = {}\n[upstream]\nconnect_timeout = \"{}s\"\n\
             [rate]\nqueue = {}\n",
            1000 + round,
            5 + round % 3,
            500 + round
        );
        let state = own.reload(&text).await;
        assert_eq!(state["failed"], 0, "{state}");
    }
    stop.store(true, Ordering::Relaxed);
    clients.join_all().await;
    assert_eq!(own.setup.region.token_requests(), 1, "the token was kept");
    let state = own.setup.status().await;
    assert_eq!(state["reload"]["succeeded"], RELOADS);
    assert_eq!(state["requests"]["total"].as_u64().unwrap(), served.load(Ordering::Relaxed));
    assert!(served.load(Ordering::Relaxed) > 500);
}

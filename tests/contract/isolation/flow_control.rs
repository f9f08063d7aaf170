//! Readers that stall keep their own responses back, and nobody else's.

use cxone_simulator::{Alpn, Settings, Tls};
use tokio::time::Instant;

use super::unread;
use crate::support::{Setup, get};

const STALLED: usize = 100;
const LIMIT: u64 = 96 * 1024;

#[tokio::test]
async fn a_hundred_readers_that_stall_slow_nobody_down() {
    for alpn in [vec![Alpn::Http2, Alpn::Http1], vec![Alpn::Http1]] {
        let name = format!("{alpn:?}");
        let tls = Tls { alpn, ..Tls::default() };
        let setup = Setup::of(Settings { tls: Some(tls), ..Settings::default() }).await;
        let mut stalled = Vec::new();
        for _ in 0..STALLED {
            let mut client = unread(&setup, "/api/v2/large?bytes=20000000").await;
            assert_eq!(client.head().await.unwrap().status(), 200);
            stalled.push(client);
        }
        setup.proxy.idle().await;
        let begun = Instant::now();
        // On one connection for each core at least, and over both versions.
        for _ in 0..8 {
            let response = setup.get("/api/v2/large?bytes=3000000").await;
            assert_eq!(response.body.len(), 3_000_000, "{name}");
        }
        let http2 = setup.http2().await;
        assert_eq!(http2.get("/api/v2/large?bytes=3000000").await.unwrap().body.len(), 3_000_000, "{name}");
        eprintln!("{name}: nine downloads beside {STALLED} stalled ones took {:?}", begun.elapsed());
        let peak = setup.proxy.peak_memory();
        assert!(peak < LIMIT, "{name}: {peak} KiB");
    }
}

/// The stalled ones get the rest as soon as they read again.
#[tokio::test]
async fn a_reader_that_comes_back_gets_the_rest() {
    let tls = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
    let setup = Setup::of(Settings { tls: Some(tls), ..Settings::default() }).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(unread(&setup, "/api/v2/large?bytes=4000000").await);
    }
    setup.proxy.idle().await;
    for client in &mut stalled {
        assert_eq!(client.response().await.unwrap().body.len(), 4_000_000);
        assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200);
    }
}

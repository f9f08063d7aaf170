//! Frames that ask for nothing keep no connection open.

use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::support::{Frame, FrameConnection, Setup, in_time};

/// Sends this frame again and again until the program closes the connection; how long that took.
async fn until_closed(mut client: FrameConnection, kind: u8, payload: &[u8]) -> Duration {
    let begun = Instant::now();
    let stream = u32::from(kind == Frame::PRIORITY);
    // Frames of the program that come meanwhile are read, so that it cannot wait for that.
    while client.try_send(kind, 0, stream, payload).await {
        let next = tokio::time::timeout(Duration::from_millis(50), client.any()).await;
        if matches!(next, Ok(None)) {
            break;
        }
    }
    begun.elapsed()
}

/// Depends on no stream, with a weight of 16 (RFC 9113 section 6.3).
const PRIORITY: [u8; 5] = [0, 0, 0, 0, 15];

#[tokio::test]
async fn frames_that_ask_for_nothing_do_not_outstay_the_idle_timeout() {
    let setup = Setup::launched(|launch| launch.flag("idle-timeout", "1s")).await;
    for (kind, payload) in [(Frame::PRIORITY, &PRIORITY[..]), (Frame::SETTINGS, &[]), (Frame::PING, &[0; 8])]
    {
        let client = FrameConnection::client(setup.proxy.proxy_address(), &[]).await;
        let what = format!("the end of the connection despite frames of type {kind}");
        let open = in_time(&what, until_closed(client, kind, payload)).await;
        assert!(open >= Duration::from_millis(900), "frame {kind}: {open:?}");
        assert!(open < Duration::from_secs(15), "frame {kind}: {open:?}");
    }
}

#[tokio::test]
async fn frames_that_ask_for_nothing_do_not_hold_a_drain_up() {
    for (kind, payload) in [(Frame::PRIORITY, &PRIORITY[..]), (Frame::PING, &[0; 8])] {
        let mut setup = Setup::launched(|launch| launch.flag("drain-timeout", "1m")).await;
        let mut client = FrameConnection::client(setup.proxy.proxy_address(), &[]).await;
        // One request first, so that the connection has been used.
        client.try_get(1, "/api/v2/users/me").await;
        while client.any().await.is_some_and(|frame| !frame.ends_stream()) {}
        let talking = tokio::spawn(async move { until_closed(client, kind, payload).await });
        let begun = Instant::now();
        eprintln!("draining while frames of type {kind} arrive");
        setup.proxy.signal(Signal::TERM);
        assert_eq!(setup.proxy.ended().await.code(), Some(0), "frame {kind}");
        assert!(begun.elapsed() < Duration::from_secs(15), "frame {kind}: {:?}", begun.elapsed());
        in_time("the client's end", talking).await.unwrap();
    }
}

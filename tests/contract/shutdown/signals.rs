//! Which signals drain, which end at once, and which do nothing.

use rustix::process::Signal;
use tokio::time::Instant;

use super::{AT_ONCE, ENDLESS, STREAM, draining, pieces_of, setup, under_way};
use crate::support::get;

#[tokio::test]
async fn a_second_signal_ends_it_at_once_with_its_own_number() {
    for (first, second, status) in
        [(Signal::TERM, Signal::TERM, 143), (Signal::INT, Signal::INT, 130), (Signal::TERM, Signal::INT, 130)]
    {
        let mut setup = setup("1m").await;
        let mut client = setup.connect().await;
        client.send(get(ENDLESS)).await;
        under_way(&setup, 1).await;
        setup.proxy.signal(first);
        draining(&setup).await;
        let begun = Instant::now();
        setup.proxy.signal(second);
        assert_eq!(setup.proxy.ended().await.code(), Some(status));
        assert!(begun.elapsed() < AT_ONCE);
        assert_eq!(pieces_of(&mut client).await, None, "an abort, not an end");
    }
}

#[tokio::test]
async fn quit_drains_like_term() {
    let mut setup = setup("1m").await;
    let mut client = setup.connect().await;
    client.send(get(STREAM)).await;
    under_way(&setup, 1).await;
    setup.proxy.signal(Signal::QUIT);
    draining(&setup).await;
    assert_eq!(pieces_of(&mut client).await, Some(1000));
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

/// SIGHUP ends a process by default, and so do the other two.
#[tokio::test]
async fn hup_usr1_and_usr2_disturb_nothing() {
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2] {
        let mut setup = setup("1m").await;
        let mut client = setup.connect().await;
        client.send(get(STREAM)).await;
        under_way(&setup, 1).await;
        for _ in 0..3 {
            setup.proxy.signal(signal);
        }
        assert_eq!(pieces_of(&mut client).await, Some(1000), "{signal:?}");
        // The end of the last chunk.
        assert_eq!(client.line().await.as_deref(), Some(""), "{signal:?}");
        assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200, "{signal:?}");
        assert_eq!(setup.status().await["draining"], false, "{signal:?}");
        setup.proxy.signal(Signal::TERM);
        assert_eq!(setup.proxy.ended().await.code(), Some(0), "{signal:?}");
    }
}

#[tokio::test]
async fn hup_is_logged() {
    let setup = setup("1m").await;
    setup.proxy.signal(Signal::HUP);
    crate::support::eventually("a word about SIGHUP", async || {
        let about = |event: &serde_json::Value| {
            let text = event.to_string().to_ascii_lowercase();
            text.contains("sighup") || text.contains("reload")
        };
        setup.proxy.events().into_iter().find(about)
    })
    .await;
}

//! `retry.replay_memory`: what all kept bodies together may take; beyond it a body streams and is not replayed.

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script};

use crate::support::{Message, RawConnection, Setup, eventually, request};

/// More than half of the memory for all.
const SIZE: usize = 200 * 1024;

async fn setup() -> Setup {
    let setup = Setup::launched(|launch| launch.flag("replay-memory", "256KiB")).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup
}

/// An upload whose first attempt meets a 429.
async fn rejected_once(setup: &Setup) -> Message {
    let canned = Canned::new(429).field("Retry-After", "0").body("rejected");
    let fault = Fault::new(Action::Status(canned)).at(Endpoint::Api).path("/api/v2/upload").times(1);
    setup.region.script(Script::of([fault]));
    setup.fetch(request("POST", "/api/v2/upload", "", &"x".repeat(SIZE))).await
}

#[tokio::test]
async fn bodies_beyond_the_memory_for_all_stream_and_are_not_replayed() {
    let setup = setup().await;
    assert_eq!(rejected_once(&setup).await.status(), 200, "there is room for one");
    // One upload that waits for its end holds most of the memory.
    let mut holding: RawConnection = setup.connect().await;
    let head =
        format!("POST /api/v2/upload?held HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n");
    holding.send(head).await;
    holding.send("x".repeat(SIZE - 1)).await;
    eventually("the held upload", async || {
        setup.region.journal().iter().any(|entry| entry.target.ends_with("?held")).then_some(())
    })
    .await;
    setup.proxy.idle().await;
    let response = rejected_once(&setup).await;
    assert_eq!((response.status(), response.text().as_str()), (429, "rejected"));
    let status = response.only("Proxy-Status").expect("no reason");
    assert!(status.starts_with("cxone-proxy; received-status=429; details=\""), "{status}");
    // It still streamed: the next one passes whole.
    let streamed = setup.fetch(request("POST", "/api/v2/upload", "", &"x".repeat(SIZE))).await;
    assert_eq!(streamed.json()["bytes"], SIZE);
    holding.send("x").await;
    assert_eq!(holding.response().await.unwrap().status(), 200);
    assert_eq!(rejected_once(&setup).await.status(), 200, "the memory is free again");
}

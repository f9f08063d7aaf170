use std::time::{Duration, Instant};

use super::client::{Bearer, Wire, assert_clean, region};
use crate::Outcome;
use crate::clock::Now;

fn now() -> Instant {
    Now::read().steady.into_std()
}

#[tokio::test]
async fn streams_pieces_with_pauses() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let mut wire = Wire::to(&region).await;
    let start = now();
    wire.send(bearer.text("GET", "/api/v2/stream?chunks=3&size=10&interval_ms=400", "", "")).await;
    assert_eq!(wire.head().await.unwrap().status, 200);
    assert_eq!(wire.chunk().await.unwrap(), (0..10).collect::<Vec<u8>>());
    assert!(now() - start < Duration::from_millis(400), "the first piece waits for nothing");
    assert_eq!(wire.chunk().await.unwrap(), (10..20).collect::<Vec<u8>>());
    assert_eq!(wire.chunk().await.unwrap(), (20..30).collect::<Vec<u8>>());
    assert_eq!(wire.chunk().await.unwrap(), b"");
    assert!(now() - start >= Duration::from_millis(800));
}

#[tokio::test]
async fn sends_events_one_by_one() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let mut wire = Wire::to(&region).await;
    wire.send(bearer.text("GET", "/api/v2/events?interval_ms=5", "", "")).await;
    let head = wire.head().await.unwrap();
    assert_eq!(head.first("content-type"), Some("text/event-stream"));
    for number in 1..=3 {
        let event = String::from_utf8(wire.chunk().await.unwrap()).unwrap();
        assert!(event.starts_with(&format!("id: {number}\n")) && event.ends_with("\n\n"), "{event:?}");
    }
    let finite = bearer.get("/api/v2/events?count=2&interval_ms=1").await;
    assert_eq!(String::from_utf8(finite.body).unwrap().matches("event: contact").count(), 2);
}

#[tokio::test]
async fn long_polls_end_in_304() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let start = now();
    let reply = bearer.get("/api/v2/long-poll?ms=150").await;
    assert_eq!(reply.status, 304);
    assert_eq!((reply.first("content-length"), reply.first("transfer-encoding")), (None, None));
    assert!(now() - start >= Duration::from_millis(150));
}

#[tokio::test]
async fn notices_that_a_client_has_left() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    for target in ["/api/v2/long-poll?seconds=60", "/api/v2/events?interval_ms=60000"] {
        let mut wire = Wire::to(&region).await;
        wire.send(bearer.text("GET", target, "", "")).await;
        while region.journal().last().unwrap().target != target {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(region.journal().last().unwrap().outcome, None);
        drop(wire);
        let gone = async {
            while region.journal().last().unwrap().outcome != Some(Outcome::ClientGone) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.expect(target);
    }
}

#[tokio::test]
async fn sends_a_body_back_while_it_arrives() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let mut wire = Wire::to(&region).await;
    let fields = "Transfer-Encoding: chunked\r\nContent-Type: text/odd\r\n";
    wire.send(bearer.text("POST", "/api/v2/echo-body", fields, "")).await;
    let head = wire.head().await.unwrap();
    assert_eq!(head.first("content-type"), Some("text/odd"));
    for piece in ["first", "second"] {
        wire.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
        assert_eq!(wire.chunk().await.unwrap(), piece.as_bytes());
    }
    wire.send("0\r\nX-After: all\r\n\r\n").await;
    assert_eq!(wire.chunk().await.unwrap(), b"");
    assert_eq!(wire.line().await.unwrap(), "X-After: all");
    assert_eq!(wire.line().await.unwrap(), "");

    let reply = wire.ask(bearer.text("POST", "/api/v2/echo-body", "", "sized")).await.unwrap();
    assert_eq!((reply.first("content-length"), reply.body.as_slice()), (Some("5"), &b"sized"[..]));
    assert_clean(&region);
}

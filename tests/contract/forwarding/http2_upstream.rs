//! An upstream that speaks HTTP/2, to clients of either version.

use std::time::Duration;

use bytes::Bytes;
use cxone_proxy::simulator::{
    Action, Alpn, Canned, Ending, Endpoint, Fault, Outcome, Rest, Script, Settings, Tls,
};
use http::{HeaderMap, HeaderValue};
use tokio::time::sleep;

use crate::support::{Cut, Stage, eventually, get, request, soon};

async fn stage() -> Stage {
    let tls = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
    Stage::of(Settings { tls: Some(tls), ..Settings::default() }).await
}

fn at_api(action: Action) -> Script {
    Script::of([Fault::new(action).at(Endpoint::Api)])
}

#[tokio::test]
async fn both_directions_of_a_stream_flow_at_the_same_time() {
    let stage = stage().await;
    let http2 = stage.http2().await;
    let head = http2.request("POST", "/api/v2/echo-body").header("te", "trailers");
    let (response, mut up) = http2.begin(head, false).await;
    up.send_data(Bytes::from_static(b"first"), false).unwrap();
    let mut down = soon("the response", response).await.unwrap().into_body();
    for (back, next) in [("first", "second"), ("second", "third")] {
        assert_eq!(soon("a piece", down.data()).await.unwrap().unwrap(), back);
        up.send_data(Bytes::from_static(next.as_bytes()), false).unwrap();
    }
    assert_eq!(soon("a piece", down.data()).await.unwrap().unwrap(), "third");
    let mut trailers = HeaderMap::new();
    trailers.append("grpc-status", HeaderValue::from_static("0"));
    up.send_trailers(trailers).unwrap();
    assert!(soon("the end", down.data()).await.is_none());
    let trailers = soon("the trailers", down.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers.get_all("grpc-status").iter().collect::<Vec<_>>(), ["0"]);
}

#[tokio::test]
async fn each_piece_of_an_answer_is_passed_on_when_it_arrives() {
    let stage = stage().await;
    let mut client = stage.wire().await;
    client.send(get("/api/v2/events?interval_ms=200")).await;
    client.head().await.unwrap();
    let http2 = stage.http2().await;
    let (response, _) = http2.begin(http2.request("GET", "/api/v2/events?interval_ms=200"), true).await;
    let mut down = soon("the response", response).await.unwrap().into_body();
    for number in 1..=3 {
        let due = format!("id: {number}\n");
        assert!(client.chunk().await.unwrap().starts_with(due.as_bytes()));
        let piece = soon("an event", down.data()).await.unwrap().unwrap();
        assert!(piece.starts_with(due.as_bytes()), "{piece:?}");
    }
}

#[tokio::test]
async fn a_truncated_answer_never_looks_complete() {
    let stage = stage().await;
    for how in [Ending::Close, Ending::Reset] {
        for query in ["bytes=300000", "bytes=300000&framing=chunked"] {
            stage.region.script(at_api(Action::Truncate { after: 100, how }));
            let target = format!("/api/v2/large?{query}");
            let mut client = stage.wire().await;
            client.send(get(&target)).await;
            let reply = client.reply().await;
            assert!(matches!(reply, Err(Cut::Midway(_))), "{how:?} {query}: {reply:?}");
            let mut old = stage.wire().await;
            old.send(format!("GET {target} HTTP/1.0\r\n\r\n")).await;
            let reply = old.reply().await;
            assert!(matches!(reply, Err(Cut::Midway(_))), "{how:?} {query}: {reply:?}");
            let answer = stage.http2().await.get(&target).await;
            assert!(answer.is_err(), "{how:?} {query}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn informational_answers_and_those_without_a_body_are_passed_on() {
    let stage = stage().await;
    stage.region.script(at_api(Action::Informational { status: 103, fields: vec![] }));
    let mut client = stage.wire().await;
    client.send(get("/api/v2/users/7")).await;
    let mut reply = client.reply().await.unwrap();
    if reply.status() == 103 {
        reply = client.reply().await.unwrap();
    }
    assert_eq!(reply.json()["id"], "7");
    stage.region.script(Script::default());
    for status in [204, 304] {
        let reply = client.ask(get(&format!("/api/v2/status/{status}"))).await;
        assert_eq!((reply.status(), reply.only("Transfer-Encoding")), (status, None));
    }
    client.send(request("HEAD", "/api/v2/large?bytes=12345", "", "")).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status(), head.only("Content-Length")), (200, Some("12345")));
    assert_eq!(client.ask(get("/api/v2/users/7")).await.status(), 200);
}

#[tokio::test]
async fn an_answer_that_comes_during_the_upload_reaches_the_client() {
    let stage = stage().await;
    // Closing the connection might overtake the answer, over HTTP/2.
    for rest in [Rest::Read, Rest::Linger] {
        let answer = Canned::new(413).body("too large");
        stage.region.script(at_api(Action::EarlyAnswer { answer, read: 10, rest }));
        let mut client = stage.wire().await;
        client
            .send("POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        client.send_chunk("x".repeat(1000)).await;
        let reply = client.reply().await.unwrap();
        assert_eq!((reply.status(), reply.text()), (413, "too large".to_owned()), "{rest:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_stream_only() {
    let stage = stage().await;
    let mut stays = stage.wire().await;
    stays.send(get("/api/v2/events?interval_ms=50")).await;
    stays.head().await.unwrap();
    let mut leaves = stage.wire().await;
    leaves.send(get("/api/v2/events?interval_ms=51")).await;
    leaves.head().await.unwrap();
    drop(leaves);
    eventually("the stream is cancelled", async || {
        let journal = stage.region.journal();
        let entry = journal.iter().find(|entry| entry.target.ends_with("=51"))?;
        (entry.outcome == Some(Outcome::ClientGone)).then_some(())
    })
    .await;
    for _ in 0..3 {
        assert!(!stays.chunk().await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn slow_readers_on_both_sides_cost_bounded_memory() {
    const TOTAL: usize = 60_000_000;
    let stage = stage().await;
    let http2 = stage.http2().await;
    let target = format!("/api/v2/large?bytes={TOTAL}");
    let (response, _) = http2.begin(http2.request("GET", &target), true).await;
    let mut down = soon("the response", response).await.unwrap().into_body();
    sleep(Duration::from_millis(300)).await;
    let mut left = TOTAL;
    while let Some(piece) = soon("a piece", down.data()).await {
        let piece = piece.unwrap();
        left -= piece.len();
        down.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(left, 0);
    let mut client = stage.wire().await;
    client.send(get(&target)).await;
    client.head().await.unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(client.up_to(TOTAL).await.len(), TOTAL);
    let peak = stage.proxy.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

//! An upstream that speaks HTTP/2, to clients of either version.

use bytes::Bytes;
use cxone_simulator::{Action, Alpn, Canned, Ending, Endpoint, Fault, Outcome, Rest, Script, Settings, Tls};
use http::{HeaderMap, HeaderValue};

use crate::support::{Incomplete, Setup, eventually, get, in_time, request};

async fn setup() -> Setup {
    let tls = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
    Setup::of(Settings { tls: Some(tls), ..Settings::default() }).await
}

fn at_api(action: Action) -> Script {
    Script::of([Fault::new(action).at(Endpoint::Api)])
}

#[tokio::test]
async fn both_directions_of_a_stream_flow_at_the_same_time() {
    let setup = setup().await;
    let http2 = setup.http2().await;
    let head = http2.request("POST", "/api/v2/echo-body").header("te", "trailers");
    let (response, mut up) = http2.begin(head, false).await;
    up.send_data(Bytes::from_static(b"first"), false).unwrap();
    let mut down = in_time("the response", response).await.unwrap().into_body();
    for (back, next) in [("first", "second"), ("second", "third")] {
        assert_eq!(in_time("a piece", down.data()).await.unwrap().unwrap(), back);
        up.send_data(Bytes::from_static(next.as_bytes()), false).unwrap();
    }
    assert_eq!(in_time("a piece", down.data()).await.unwrap().unwrap(), "third");
    let mut trailers = HeaderMap::new();
    trailers.append("grpc-status", HeaderValue::from_static("0"));
    up.send_trailers(trailers).unwrap();
    assert!(in_time("the end", down.data()).await.is_none());
    let trailers = in_time("the trailers", down.trailers()).await.unwrap().unwrap();
    assert_eq!(trailers.get_all("grpc-status").iter().collect::<Vec<_>>(), ["0"]);
}

#[tokio::test]
async fn each_piece_of_a_response_is_passed_on_when_it_arrives() {
    let setup = setup().await;
    let mut client = setup.connect().await;
    client.send(get("/api/v2/events?interval_ms=200")).await;
    client.head().await.unwrap();
    let http2 = setup.http2().await;
    let (response, _) = http2.begin(http2.request("GET", "/api/v2/events?interval_ms=200"), true).await;
    let mut down = in_time("the response", response).await.unwrap().into_body();
    for number in 1..=3 {
        let expected = format!("id: {number}\n");
        assert!(client.chunk().await.unwrap().starts_with(expected.as_bytes()));
        let piece = in_time("an event", down.data()).await.unwrap().unwrap();
        assert!(piece.starts_with(expected.as_bytes()), "{piece:?}");
    }
}

#[tokio::test]
async fn a_truncated_response_never_looks_complete() {
    let setup = setup().await;
    for how in [Ending::Close, Ending::Reset] {
        for query in ["bytes=300000", "bytes=300000&framing=chunked"] {
            setup.region.script(at_api(Action::Truncate { after: 100, how }));
            let target = format!("/api/v2/large?{query}");
            let mut client = setup.connect().await;
            client.send(get(&target)).await;
            let response = client.response().await;
            assert!(matches!(response, Err(Incomplete::Midway(_))), "{how:?} {query}: {response:?}");
            let mut old = setup.connect().await;
            old.send(format!("GET {target} HTTP/1.0\r\n\r\n")).await;
            let response = old.response().await;
            assert!(matches!(response, Err(Incomplete::Midway(_))), "{how:?} {query}: {response:?}");
            let answer = setup.http2().await.get(&target).await;
            assert!(answer.is_err(), "{how:?} {query}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn informational_responses_and_those_without_a_body_are_handled() {
    let setup = setup().await;
    setup.region.script(at_api(Action::Informational { status: 103, fields: vec![] }));
    let mut client = setup.connect().await;
    client.send(get("/api/v2/users/7")).await;
    let mut response = client.response().await.unwrap();
    if response.status() == 103 {
        response = client.response().await.unwrap();
    }
    assert_eq!(response.json()["id"], "7");
    setup.region.script(Script::default());
    for status in [204, 304] {
        let response = client.fetch(get(&format!("/api/v2/status/{status}"))).await;
        assert_eq!((response.status(), response.only("Transfer-Encoding")), (status, None));
    }
    client.send(request("HEAD", "/api/v2/large?bytes=12345", "", "")).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status(), head.only("Content-Length")), (200, Some("12345")));
    assert_eq!(client.fetch(get("/api/v2/users/7")).await.status(), 200);
}

#[tokio::test]
async fn a_response_that_comes_during_the_upload_reaches_the_client() {
    let setup = setup().await;
    // Closing the connection might overtake the response, over HTTP/2.
    for rest in [Rest::Read, Rest::Linger] {
        let answer = Canned::new(413).body("too large");
        setup.region.script(at_api(Action::EarlyResponse { response: answer, read: 10, rest }));
        let mut client = setup.connect().await;
        client
            .send("POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await;
        client.send_chunk("x".repeat(1000)).await;
        let response = client.response().await.unwrap();
        assert_eq!((response.status(), response.text()), (413, "too large".to_owned()), "{rest:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_stream_only() {
    let setup = setup().await;
    let mut stays = setup.connect().await;
    stays.send(get("/api/v2/events?interval_ms=50")).await;
    stays.head().await.unwrap();
    let mut leaves = setup.connect().await;
    leaves.send(get("/api/v2/events?interval_ms=51")).await;
    leaves.head().await.unwrap();
    drop(leaves);
    eventually("the stream is cancelled", async || {
        let journal = setup.region.journal();
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
    let setup = setup().await;
    let http2 = setup.http2().await;
    let target = format!("/api/v2/large?bytes={TOTAL}");
    let (response, _) = http2.begin(http2.request("GET", &target), true).await;
    let mut down = in_time("the response", response).await.unwrap().into_body();
    setup.proxy.idle().await;
    let mut left = TOTAL;
    while let Some(piece) = in_time("a piece", down.data()).await {
        let piece = piece.unwrap();
        left -= piece.len();
        down.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(left, 0);
    let mut client = setup.connect().await;
    client.send(get(&target)).await;
    client.head().await.unwrap();
    setup.proxy.idle().await;
    assert_eq!(client.up_to(TOTAL).await.len(), TOTAL);
    let peak = setup.proxy.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

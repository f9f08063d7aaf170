//! Bodies stream in both directions with back-pressure, each piece passed on when it arrives.

use std::time::Duration;

use cxone_proxy::simulator::{Action, Canned, Endpoint, Fault, Outcome, Rest, Script};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::support::{Stage, Upstream, Wire, eventually, get, request};

const UPLOAD: &str = "POST /up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn each_piece_of_an_answer_is_passed_on_before_the_next_one_is_sent() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    client.send(get("/events")).await;
    let mut far = upstream.accept().await;
    far.request().await.unwrap();
    far.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    // The head alone is passed on, too.
    assert_eq!(client.head().await.unwrap().status(), 200);
    for number in 1..=3 {
        let event = format!("data: {number}\n\n");
        far.send_chunk(&event).await;
        assert_eq!(client.chunk().await.unwrap(), event.as_bytes());
    }
    far.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"");
}

#[tokio::test]
async fn each_piece_of_a_request_is_passed_on_before_the_next_one_is_sent() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    client.send(UPLOAD).await;
    let mut far = upstream.accept().await;
    assert_eq!(far.head().await.unwrap().target(), "/up");
    for piece in ["one", "two", "three"] {
        client.send_chunk(piece).await;
        assert_eq!(far.chunk().await.unwrap(), piece.as_bytes());
    }
    // An answer that begins before the request has ended does not end it.
    far.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    far.send_chunk("early").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.chunk().await.unwrap(), b"early");
    client.send_chunk("late").await;
    assert_eq!(far.chunk().await.unwrap(), b"late");
    client.send("0\r\n\r\n").await;
    assert_eq!(far.chunk().await.unwrap(), b"");
    far.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"");
}

/// The beginning of JSON is held back to look for links, and its client takes nothing of it yet.
#[tokio::test]
async fn an_upload_goes_on_while_the_beginning_of_its_answer_cannot_be_delivered() {
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("proxy.toml");
    std::fs::write(&path, "[[profile]]\nname = \"api\"\nrewrite_json_links = true\n").unwrap();
    let upstream = Upstream::start().await;
    // A Unix socket holds less than the beginning; TCP over loopback might take all of it.
    let socket = files.path().join("proxy.sock");
    let listen = format!("unix:{}", socket.display());
    let _stage = upstream.stage(|launch| launch.flag("config", &path).flag("listen", listen)).await;
    let mut client = Wire::over(UnixStream::connect(&socket).await.unwrap());
    client.send(UPLOAD).await;
    let mut far = upstream.accept().await;
    far.head().await.unwrap();
    far.send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    far.send_chunk("1".repeat(1_200_000)).await;
    let taking = tokio::spawn(async move {
        let mut count = 0;
        loop {
            match far.chunk().await.unwrap().len() {
                0 => break,
                taken => count += taken,
            }
        }
        far.send("0\r\n\r\n").await;
        count
    });
    for _ in 0..16 {
        client.send_chunk("x".repeat(1_000_000)).await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(taking.await.unwrap(), 16_000_000);
    assert_eq!(client.reply().await.unwrap().body.len(), 1_200_000);
}

#[tokio::test]
async fn server_sent_events_of_the_region_arrive_one_by_one() {
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    client.send(get("/api/v2/events?interval_ms=300")).await;
    assert_eq!(client.head().await.unwrap().only("Content-Type"), Some("text/event-stream"));
    for number in 1..=3 {
        let event = String::from_utf8(client.chunk().await.unwrap()).unwrap();
        assert!(event.starts_with(&format!("id: {number}\n")), "{event}");
        assert_eq!(event.matches("id: ").count(), 1);
    }
}

#[tokio::test]
async fn a_slow_reader_of_200_mb_costs_bounded_memory() {
    const TOTAL: usize = 200_000_000;
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    client.send(get(&format!("/api/v2/large?bytes={TOTAL}"))).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    // A reader that is away for a while, and then takes its time.
    sleep(Duration::from_millis(300)).await;
    let mut left = TOTAL;
    let mut pieces = 0;
    while left > 0 {
        let piece = client.some(left).await.len();
        assert!(piece > 0, "it broke off with {left} bytes missing");
        left -= piece;
        pieces += 1;
        if pieces % 64 == 0 {
            sleep(Duration::from_millis(1)).await;
        }
    }
    let peak = stage.proxy.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

#[tokio::test]
async fn an_upload_to_a_slow_upstream_costs_bounded_memory() {
    const TOTAL: usize = 100_000_000;
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    let sending = tokio::spawn(async move {
        client.send(format!("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {TOTAL}\r\n\r\n")).await;
        let piece = vec![b'x'; 1_000_000];
        for _ in 0..TOTAL / piece.len() {
            client.send(&piece).await;
        }
        client
    });
    let mut far = upstream.accept().await;
    far.head().await.unwrap();
    sleep(Duration::from_millis(300)).await;
    assert!(!sending.is_finished(), "somebody has swallowed 100 MB");
    let mut left = TOTAL;
    while left > 0 {
        let piece = far.some(left).await.len();
        assert!(piece > 0, "it broke off with {left} bytes missing");
        left -= piece;
    }
    far.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(sending.await.unwrap().reply().await.unwrap().status(), 204);
    let peak = stage.proxy.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_upstream_exchange() {
    let stage = Stage::new().await;
    for target in
        ["/api/v2/long-poll?seconds=60", "/api/v2/events?interval_ms=50", "/api/v2/large?bytes=1000000000"]
    {
        let mut client = stage.wire().await;
        client.send(get(target)).await;
        let entry = eventually("the request arrives", async || {
            stage.region.journal().into_iter().find(|entry| entry.target == target)
        })
        .await;
        if !target.contains("long-poll") {
            client.head().await.unwrap();
        }
        assert_eq!(entry.outcome, None);
        drop(client);
        eventually("the exchange ends", async || {
            let entry = stage.region.journal().into_iter().find(|entry| entry.target == target)?;
            (entry.outcome == Some(Outcome::ClientGone)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_breaks_its_upload_off_breaks_the_upstream_s_off() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    for head in [UPLOAD, "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"] {
        let mut client = stage.wire().await;
        client.send(head).await;
        client.send("4\r\nhalf\r\n").await;
        let mut far = upstream.accept().await;
        far.head().await.unwrap();
        drop(client);
        let rest = far.rest().await;
        assert!(rest.len() < 50 && !rest.ends_with(b"0\r\n\r\n"), "{}", rest.escape_ascii());
    }
}

#[tokio::test]
async fn an_answer_that_comes_during_the_upload_reaches_the_client() {
    let stage = Stage::new().await;
    for rest in [Rest::Read, Rest::Linger, Rest::Close] {
        let answer = Canned::new(413).body("too large");
        let fault = Fault::new(Action::EarlyAnswer { answer, read: 10, rest }).at(Endpoint::Api);
        stage.region.script(Script::of([fault]));
        let mut client = stage.wire().await;
        client.send(UPLOAD.replace("/up", "/api/v2/upload")).await;
        client.send_chunk("x".repeat(1000)).await;
        let reply = client.reply().await.unwrap();
        assert_eq!((reply.status(), reply.text()), (413, "too large".to_owned()), "{rest:?}");
    }
    stage.region.script(Script::default());
    assert_eq!(stage.ask(request("POST", "/api/v2/upload", "", "hello")).await.json()["bytes"], 5);
}

#[tokio::test]
async fn a_reader_that_never_reads_holds_the_upstream_back() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    client.send(get("/endless")).await;
    let mut far = upstream.accept().await;
    far.request().await.unwrap();
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    let piece = vec![b'x'; 100_000];
    let mut sent = 0;
    // Until the buffers of three kernel sockets and the program are full.
    while timeout(Duration::from_millis(500), far.try_send(&piece)).await.is_ok() {
        sent += piece.len();
        assert!(sent < 100_000_000, "somebody swallows everything");
    }
    assert_eq!(client.head().await.unwrap().status(), 200);
    let peak = stage.proxy.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

//! Bodies stream in both directions with back-pressure, each piece passed on when it arrives.

use cxone_simulator::{Action, Canned, Endpoint, Fault, Outcome, Rest, Script};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::support::{QUIET, RawConnection, Setup, Upstream, eventually, get, request};

const UPLOAD: &str = "POST /up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn each_piece_of_a_response_is_passed_on_before_the_next_one_is_sent() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send(get("/events")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    // The head alone is passed on, too.
    assert_eq!(client.head().await.unwrap().status(), 200);
    for number in 1..=3 {
        let event = format!("data: {number}\n\n");
        connection.send_chunk(&event).await;
        assert_eq!(client.chunk().await.unwrap(), event.as_bytes());
    }
    connection.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"");
}

#[tokio::test]
async fn each_piece_of_a_request_is_passed_on_before_the_next_one_is_sent() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send(UPLOAD).await;
    let mut connection = upstream.accept().await;
    assert_eq!(connection.head().await.unwrap().target(), "/up");
    for piece in ["one", "two", "three"] {
        client.send_chunk(piece).await;
        assert_eq!(connection.chunk().await.unwrap(), piece.as_bytes());
    }
    // A response that begins before the request has ended does not end it.
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    connection.send_chunk("early").await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.chunk().await.unwrap(), b"early");
    client.send_chunk("late").await;
    assert_eq!(connection.chunk().await.unwrap(), b"late");
    client.send("0\r\n\r\n").await;
    assert_eq!(connection.chunk().await.unwrap(), b"");
    connection.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await.unwrap(), b"");
}

/// The beginning of JSON is held back to look for links, and its client takes nothing of it yet.
#[tokio::test]
async fn an_upload_goes_on_while_the_beginning_of_its_response_cannot_be_delivered() {
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("proxy.toml");
    std::fs::write(&path, "[[profile]]\nname = \"api\"\nrewrite_json_links = true\n").unwrap();
    let upstream = Upstream::start().await;
    // A Unix socket holds less than the beginning; TCP over loopback might take all of it.
    let socket = files.path().join("proxy.sock");
    let listen = format!("unix:{}", socket.display());
    let _stage = upstream.setup(|launch| launch.flag("config", &path).flag("listen", listen)).await;
    let mut client = RawConnection::over(UnixStream::connect(&socket).await.unwrap());
    client.send(UPLOAD).await;
    let mut connection = upstream.accept().await;
    connection.head().await.unwrap();
    connection
        .send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    connection.send_chunk("1".repeat(1_200_000)).await;
    let taking = tokio::spawn(async move {
        let mut count = 0;
        loop {
            match connection.chunk().await.unwrap().len() {
                0 => break,
                taken => count += taken,
            }
        }
        connection.send("0\r\n\r\n").await;
        count
    });
    for _ in 0..16 {
        client.send_chunk("x".repeat(1_000_000)).await;
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(taking.await.unwrap(), 16_000_000);
    assert_eq!(client.response().await.unwrap().body.len(), 1_200_000);
}

#[tokio::test]
async fn server_sent_events_of_the_region_arrive_one_by_one() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
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
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    client.send(get(&format!("/api/v2/large?bytes={TOTAL}"))).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    let mut left = TOTAL;
    while left > 0 {
        // Each time all buffers between the region and the reader have filled.
        setup.proxy.idle().await;
        let next = left.saturating_sub(TOTAL / 8);
        while left > next {
            let piece = client.some(left - next).await.len();
            assert!(piece > 0, "it broke off with {left} bytes missing");
            left -= piece;
        }
    }
    let peak = setup.proxy.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

#[tokio::test]
async fn an_upload_to_a_slow_upstream_costs_bounded_memory() {
    const TOTAL: usize = 100_000_000;
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    let sending = tokio::spawn(async move {
        client.send(format!("PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {TOTAL}\r\n\r\n")).await;
        let piece = vec![b'x'; 1_000_000];
        for _ in 0..TOTAL / piece.len() {
            client.send(&piece).await;
        }
        client
    });
    let mut connection = upstream.accept().await;
    connection.head().await.unwrap();
    setup.proxy.idle().await;
    assert!(!sending.is_finished(), "100 MB went into buffers");
    let mut left = TOTAL;
    while left > 0 {
        let piece = connection.some(left).await.len();
        assert!(piece > 0, "it broke off with {left} bytes missing");
        left -= piece;
    }
    connection.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(sending.await.unwrap().response().await.unwrap().status(), 204);
    let peak = setup.proxy.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_upstream_request() {
    let setup = Setup::new().await;
    for target in
        ["/api/v2/long-poll?seconds=60", "/api/v2/events?interval_ms=50", "/api/v2/large?bytes=1000000000"]
    {
        let mut client = setup.connect().await;
        client.send(get(target)).await;
        let entry = eventually("the request arrives", async || {
            setup.region.journal().into_iter().find(|entry| entry.target == target)
        })
        .await;
        if !target.contains("long-poll") {
            client.head().await.unwrap();
        }
        assert_eq!(entry.outcome, None);
        drop(client);
        eventually("the exchange ends", async || {
            let entry = setup.region.journal().into_iter().find(|entry| entry.target == target)?;
            (entry.outcome == Some(Outcome::ClientGone)).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_breaks_its_upload_off_breaks_the_upstream_s_off() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for head in [UPLOAD, "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"] {
        let mut client = setup.connect().await;
        client.send(head).await;
        client.send("4\r\nhalf\r\n").await;
        let mut connection = upstream.accept().await;
        connection.head().await.unwrap();
        drop(client);
        let rest = connection.rest().await;
        assert!(rest.len() < 50 && !rest.ends_with(b"0\r\n\r\n"), "{}", rest.escape_ascii());
    }
}

#[tokio::test]
async fn a_response_that_comes_during_the_upload_reaches_the_client() {
    let setup = Setup::new().await;
    for rest in [Rest::Read, Rest::Linger, Rest::Close] {
        let answer = Canned::new(413).body("too large");
        let fault = Fault::new(Action::EarlyResponse { response: answer, read: 10, rest }).at(Endpoint::Api);
        setup.region.script(Script::of([fault]));
        let mut client = setup.connect().await;
        client.send(UPLOAD.replace("/up", "/api/v2/upload")).await;
        client.send_chunk("x".repeat(1000)).await;
        let response = client.response().await.unwrap();
        assert_eq!((response.status(), response.text()), (413, "too large".to_owned()), "{rest:?}");
    }
    setup.region.script(Script::default());
    assert_eq!(setup.fetch(request("POST", "/api/v2/upload", "", "hello")).await.json()["bytes"], 5);
}

#[tokio::test]
async fn a_reader_that_never_reads_holds_the_upstream_back() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send(get("/endless")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    let piece = vec![b'x'; 100_000];
    let mut sent = 0;
    // Until the buffers of three kernel sockets and of the program are full. Where they are full a little
    // early, because the machine is busy, the test asks for less.
    while timeout(QUIET, connection.try_send(&piece)).await.is_ok() {
        sent += piece.len();
        assert!(sent < 100_000_000, "everything goes into buffers");
    }
    assert_eq!(client.head().await.unwrap().status(), 200);
    let peak = setup.proxy.peak_memory();
    assert!(peak < 64 * 1024, "{peak} KiB");
}

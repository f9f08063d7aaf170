//! Too large, too much.

use std::time::Duration;

use tokio::time::sleep;

use super::{problem, reached};
use crate::support::{Stage, Wire, get, request};

#[tokio::test]
async fn a_header_section_that_is_too_large_is_431() {
    let stage = Stage::launched(|launch| launch.flag("header-size", "8KiB")).await;
    let one = format!("X-Large: {}\r\n", "x".repeat(9000));
    let many = "X-Small: 0123456789\r\n".repeat(500);
    for fields in [&one, &many] {
        let mut client = stage.wire().await;
        let reply = client.ask(request("GET", "/api/v2/users/me", fields, "")).await;
        assert_eq!(reply.status(), 431);
        assert!(problem(&reply, 431, "http_request_error").contains("limits.header_size"));
        assert_eq!(reply.only("connection"), Some("close"));
        assert!(client.rest().await.is_empty());
    }
    let target = format!("/api/v2/echo?{}", "x".repeat(9000));
    assert_eq!(stage.get(&target).await.status(), 431);
    assert_eq!(reached(&stage), [""; 0]);
    let fits = format!("X-Large: {}\r\n", "x".repeat(7000));
    assert_eq!(stage.ask(request("GET", "/api/v2/users/me", &fits, "")).await.status(), 200);
}

/// What has been read of it fills the program's buffer, and the client is still sending.
#[tokio::test]
async fn a_431_does_not_reset_the_connection_under_a_client_that_is_still_sending() {
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    client.send(format!("GET / HTTP/1.1\r\nX-Large: {}", "x".repeat(70_000))).await;
    sleep(Duration::from_millis(300)).await;
    client.send("x".repeat(10_000)).await;
    client.send("\r\n\r\n").await;
    assert_eq!(client.reply().await.unwrap().status(), 431);
    assert!(client.rest().await.is_empty() && !client.was_reset);
}

#[tokio::test]
async fn a_head_without_end_is_not_read_for_ever() {
    let stage = Stage::launched(|launch| launch.flag("header-size", "8KiB")).await;
    for start in ["GET /", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Endless: ", "P", "\r\n"] {
        let mut client = stage.wire().await;
        client.send(start).await;
        for _ in 0..64 {
            // The proxy may have closed already.
            let _ = client.try_send(vec![b'x'; 4096]).await;
        }
        match client.reply().await {
            Ok(reply) => assert!(matches!(reply.status(), 400 | 431), "{start:?}: {}", reply.start),
            Err(_) => assert!(client.was_reset, "{start:?}: closed without an answer"),
        }
    }
}

#[tokio::test]
async fn over_http2_a_header_section_that_is_too_large_ends_its_stream() {
    let stage = Stage::launched(|launch| launch.flag("header-size", "8KiB")).await;
    let client = stage.http2().await;
    let head = client.request("GET", "/api/v2/users/me").header("x-large", "x".repeat(12_000));
    // An error of the stream will do.
    if let Ok(reply) = client.ask(head, b"", http::HeaderMap::new()).await {
        assert_eq!(reply.status, 431);
    }
    assert_eq!(client.get("/api/v2/users/me").await.unwrap().status, 200, "others are not disturbed");
    assert_eq!(reached(&stage), ["/api/v2/users/me"]);
}

#[tokio::test]
async fn too_much_in_flight_is_503_with_retry_after() {
    let stage = Stage::launched(|launch| launch.flag("in-flight", "2")).await;
    let stream = "/api/v2/stream?chunks=100000&size=10&interval_ms=50";
    let mut busy: Vec<Wire> = Vec::new();
    for _ in 0..2 {
        let mut client = stage.wire().await;
        client.send(get(stream)).await;
        assert_eq!(client.head().await.unwrap().status(), 200);
        busy.push(client);
    }
    let mut client = stage.wire().await;
    let reply = client.ask(get("/api/v2/users/me")).await;
    assert!(problem(&reply, 503, "connection_limit_reached").contains("limits.in_flight"));
    assert!(reply.only("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // Room again as soon as one has left.
    busy.pop();
    crate::support::eventually("room for another exchange", async || {
        let reply = client.ask(get("/api/v2/users/me")).await;
        (reply.status() == 200).then_some(())
    })
    .await;
    drop(busy);
}

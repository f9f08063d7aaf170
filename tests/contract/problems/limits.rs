//! Too large, too much.

use super::{problem, reached};
use crate::support::{RawConnection, Setup, get, request};

#[tokio::test]
async fn a_header_section_that_is_too_large_is_431() {
    let setup = Setup::launched(|launch| launch.flag("header-size", "8KiB")).await;
    let one = format!("X-Large: {}\r\n", "x".repeat(9000));
    let many = "X-Small: 0123456789\r\n".repeat(500);
    for fields in [&one, &many] {
        let mut client = setup.connect().await;
        let response = client.fetch(request("GET", "/api/v2/users/me", fields, "")).await;
        assert_eq!(response.status(), 431);
        assert!(problem(&response, 431, "http_request_error").contains("limits.header_size"));
        assert_eq!(response.only("connection"), Some("close"));
        assert!(client.rest().await.is_empty());
    }
    assert_eq!(reached(&setup), [""; 0]);
    let fits = format!("X-Large: {}\r\n", "x".repeat(7000));
    assert_eq!(setup.fetch(request("GET", "/api/v2/users/me", &fits, "")).await.status(), 200);
}

#[tokio::test]
async fn a_target_that_is_too_large_is_414() {
    // Larger than a header section may be; and larger than any target may be.
    for (header_size, length) in [("8KiB", 9000), ("128KiB", 65_535)] {
        let setup = Setup::launched(|launch| launch.flag("header-size", header_size)).await;
        let mut client = setup.connect().await;
        let target = format!("/api/v2/echo?{}", "x".repeat(length - "/api/v2/echo?".len()));
        let response = client.fetch(get(&target)).await;
        problem(&response, 414, "http_request_error");
        assert_eq!(response.only("connection"), Some("close"));
        assert!(client.rest().await.is_empty());
        assert_eq!(reached(&setup), [""; 0]);
    }
    let setup = Setup::launched(|launch| launch.flag("header-size", "128KiB")).await;
    let largest = format!("/api/v2/echo?{}", "x".repeat(65_534 - "/api/v2/echo?".len()));
    assert_eq!(setup.get(&largest).await.json()["target"], largest.as_str());
}

/// What has been read of it fills the program's buffer, and the client is still sending.
#[tokio::test]
async fn a_431_does_not_reset_the_connection_under_a_client_that_is_still_sending() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    client.send(format!("GET / HTTP/1.1\r\nX-Large: {}", "x".repeat(70_000))).await;
    setup.proxy.idle().await;
    client.send("x".repeat(10_000)).await;
    client.send("\r\n\r\n").await;
    assert_eq!(client.response().await.unwrap().status(), 431);
    assert!(client.rest().await.is_empty() && !client.was_reset);
}

#[tokio::test]
async fn a_head_without_end_is_not_read_for_ever() {
    let setup = Setup::launched(|launch| launch.flag("header-size", "8KiB")).await;
    for start in ["GET /", "GET / HTTP/1.1\r\nHost: localhost\r\nX-Endless: ", "P", "\r\n"] {
        let mut client = setup.connect().await;
        client.send(start).await;
        for _ in 0..64 {
            // The proxy may have closed already.
            let _ = client.try_send(vec![b'x'; 4096]).await;
        }
        match client.response().await {
            Ok(response) => {
                assert!(matches!(response.status(), 400 | 414 | 431), "{start:?}: {}", response.start);
            }
            Err(_) => assert!(client.was_reset, "{start:?}: closed without an answer"),
        }
    }
}

#[tokio::test]
async fn over_http2_a_header_section_that_is_too_large_ends_its_stream() {
    let setup = Setup::launched(|launch| launch.flag("header-size", "8KiB")).await;
    let client = setup.http2().await;
    let head = client.request("GET", "/api/v2/users/me").header("x-large", "x".repeat(12_000));
    match client.fetch(head, b"", http::HeaderMap::new()).await {
        Ok(response) => assert_eq!(response.status, 431),
        Err(error) => assert!(error.is_reset(), "an error of the stream alone: {error}"),
    }
    assert_eq!(client.get("/api/v2/users/me").await.unwrap().status, 200, "others are not disturbed");
    assert_eq!(reached(&setup), ["/api/v2/users/me"]);
}

#[tokio::test]
async fn too_much_in_flight_is_503_with_retry_after() {
    let setup = Setup::launched(|launch| launch.flag("in-flight", "2")).await;
    let stream = "/api/v2/stream?chunks=100000&size=10&interval_ms=50";
    let mut busy: Vec<RawConnection> = Vec::new();
    for _ in 0..2 {
        let mut client = setup.connect().await;
        client.send(get(stream)).await;
        assert_eq!(client.head().await.unwrap().status(), 200);
        busy.push(client);
    }
    let mut client = setup.connect().await;
    let response = client.fetch(get("/api/v2/users/me")).await;
    assert!(problem(&response, 503, "connection_limit_reached").contains("limits.in_flight"));
    assert!(response.only("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // Room again as soon as one has left.
    busy.pop();
    crate::support::eventually("room for another request", async || {
        let response = client.fetch(get("/api/v2/users/me")).await;
        (response.status() == 200).then_some(())
    })
    .await;
    drop(busy);
}

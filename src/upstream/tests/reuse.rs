//! Which connections serve again.

use std::io::Write as _;

use tokio::time::Instant;

use super::*;

#[tokio::test]
async fn a_connection_serves_request_after_request() {
    for origin in [Origin::plain().await, Origin::tls(&[]).await] {
        let upstream = origin.upstream();
        let mut far = pooled(&origin, &upstream).await;
        for (method, status, raw) in [
            (Method::GET, 200, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
            (Method::HEAD, 200, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
            (Method::HEAD, 200, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (Method::DELETE, 204, "HTTP/1.1 204 No Content\r\n\r\n"),
            (Method::GET, 304, "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
            (Method::POST, 200, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ] {
            let next = sending(&upstream, request(method, "/next", ""));
            far.request().await;
            far.send(raw).await;
            let (found, body) = next.text().await;
            assert_eq!((found, body.len()), (status, if raw.ends_with("ok\r\n0\r\n\r\n") { 2 } else { 0 }));
            turns().await;
        }
        assert!(origin.is_left_alone().await);
    }
}

#[tokio::test]
async fn bytes_after_a_finished_response_end_the_connection() {
    for (method, raw) in [
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\n\r\n"),
        (Method::GET, OK),
    ] {
        for is_late in [false, true] {
            let origin = Origin::plain().await;
            let upstream = origin.upstream();
            let first = sending(&upstream, request(method.clone(), "/", ""));
            let mut far = origin.accept().await;
            far.request().await;
            let stray = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray";
            if is_late {
                far.send(raw).await;
                text(first.response().await).await;
                turns().await;
                far.send(stray).await;
            } else {
                far.send(format!("{raw}{stray}")).await;
                text(first.response().await).await;
            }
            let second = sending(&upstream, request(Method::POST, "/", "x"));
            let mut far = origin.accept().await;
            far.request().await;
            far.send(OK).await;
            assert_eq!(second.text().await, (200, "ok".to_owned()), "{method} {raw:?} {is_late}");
        }
    }
}

/// The runtime hears of events between tasks only. What has arrived by then must not be missed.
#[tokio::test]
async fn the_socket_is_looked_at_before_each_request() {
    for stray in [&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"[..], b""] {
        let origin = Origin::plain().await;
        let upstream = origin.upstream();
        let first = sending(&upstream, get("/"));
        let far = origin.accept_tcp().await;
        let mut far = far.into_std().unwrap();
        far.set_nonblocking(false).unwrap();
        turns().await;
        far.write_all(OK.as_bytes()).unwrap();
        first.text().await;
        turns().await;
        // Without giving the runtime a chance to hear of it.
        far.write_all(stray).unwrap();
        far.shutdown(std::net::Shutdown::Write).unwrap();
        let mut second =
            std::pin::pin!(upstream.send(request(Method::POST, "/", "x"), SendOptions::default()));
        let serving = async {
            let mut far = origin.accept().await;
            far.request().await;
            far.send(OK).await;
        };
        let (second, ()) = soon("the response", futures_util::future::join(&mut second, serving)).await;
        assert_eq!(text(second.unwrap()).await, (200, "ok".to_owned()));
    }
}

#[tokio::test]
async fn a_request_never_meets_a_connection_that_was_closed_while_it_waited() {
    for origin in [Origin::plain().await, Origin::tls(&[]).await] {
        let upstream = origin.upstream();
        let mut far = Vec::new();
        let first: Vec<_> = (0..5).map(|_| sending(&upstream, get("/"))).collect();
        for _ in 0..5 {
            let mut one = origin.accept().await;
            one.request().await;
            one.send(OK).await;
            far.push(one);
        }
        for one in first {
            one.text().await;
        }
        turns().await;
        drop(far);
        let post = sending(&upstream, request(Method::POST, "/", "x"));
        let mut far = origin.accept().await;
        far.request().await;
        far.send(OK).await;
        assert_eq!(post.text().await.0, 200);
    }
}

#[tokio::test]
async fn some_responses_end_their_connection() {
    for raw in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    ] {
        let origin = Origin::plain().await;
        let upstream = origin.upstream();
        let first = sending(&upstream, get("/"));
        let mut far = origin.accept().await;
        far.request().await;
        far.send(raw).await;
        assert_eq!(first.text().await, (200, "ok".to_owned()), "{raw:?}");
        far.closed().await;
        let _second = sending(&upstream, get("/"));
        origin.accept().await.request().await;
    }
}

#[tokio::test]
async fn reuse_may_be_forbidden() {
    let origin = Origin::plain().await;
    let upstream = origin.upstream();
    let _far = pooled(&origin, &upstream).await;
    let options = SendOptions { reuse: Reuse::Forbidden, ..SendOptions::default() };
    let second = sending_with(&upstream, get("/"), options);
    let mut far = origin.accept().await;
    far.request().await;
    far.send(OK).await;
    assert_eq!(second.text().await.0, 200);
}

#[tokio::test]
async fn a_response_that_nobody_reads_gives_its_connection_back_where_it_is_at_hand() {
    let origin = Origin::plain().await;
    let upstream = origin.upstream();
    let mut far = pooled(&origin, &upstream).await;
    let second = sending(&upstream, get("/"));
    far.request().await;
    far.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nagain").await;
    drop(second.response().await);
    turns().await;
    let third = sending(&upstream, get("/"));
    far.request().await;
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nmore to come").await;
    drop(third.response().await);
    far.closed().await;
}

#[tokio::test]
async fn a_sender_that_leaves_closes_its_connection() {
    let origin = Origin::plain().await;
    let upstream = origin.upstream();
    let mut far = pooled(&origin, &upstream).await;
    let leaves = sending(&upstream, get("/"));
    far.request().await;
    drop(leaves);
    far.closed().await;
}

/// Two sweeps without a request between them.
async fn park(upstream: &Upstream<RequestBody>) {
    for _ in 0..2 {
        upstream.sweep(Instant::now());
        turns().await;
    }
}

#[tokio::test]
async fn idle_connections_are_parked_and_serve_again() {
    for origin in [Origin::plain().await, Origin::tls(&[]).await] {
        let upstream = origin.upstream();
        let mut far = pooled(&origin, &upstream).await;
        for _ in 0..3 {
            park(&upstream).await;
            let next = sending(&upstream, request(Method::POST, "/next", "x"));
            assert!(far.request().await.ends_with("\r\n\r\nx"));
            far.send(OK).await;
            assert_eq!(next.text().await, (200, "ok".to_owned()));
            turns().await;
        }
        assert!(origin.is_left_alone().await);
    }
}

#[tokio::test]
async fn a_parked_connection_that_has_died_is_not_used() {
    for is_swept in [false, true] {
        let origin = Origin::plain().await;
        let upstream = origin.upstream();
        let far = pooled(&origin, &upstream).await;
        park(&upstream).await;
        drop(far);
        if is_swept {
            upstream.sweep(Instant::now());
        }
        let next = sending(&upstream, request(Method::POST, "/next", "x"));
        let mut far = origin.accept().await;
        far.request().await;
        far.send(OK).await;
        assert_eq!(next.text().await.0, 200);
    }
}

#[tokio::test]
async fn a_connection_that_waits_too_long_is_closed() {
    for is_parked in [false, true] {
        let origin = Origin::plain().await;
        let upstream = origin.upstream();
        let mut far = pooled(&origin, &upstream).await;
        let start = Instant::now();
        if is_parked {
            park(&upstream).await;
        }
        assert!(far.is_kept().await);
        upstream.sweep(start + Duration::from_secs(51));
        far.closed().await;
    }
}

#[tokio::test]
async fn connections_end_with_their_upstream() {
    let origin = Origin::plain().await;
    let upstream = origin.upstream();
    let mut idle = pooled(&origin, &upstream).await;
    let mut far = Vec::new();
    let busy = sending_with(&upstream, get("/"), SendOptions { reuse: Reuse::Forbidden, websocket: false });
    far.push(origin.accept().await);
    far[0].request().await;
    far[0].send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha").await;
    let response = busy.response().await;
    drop(upstream);
    idle.closed().await;
    far[0].send("lf").await;
    assert_eq!(text(response).await, (200, "half".to_owned()));
    far[0].closed().await;
}

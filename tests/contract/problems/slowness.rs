//! Clients and upstreams that take too long.

use std::net::SocketAddr;
use std::time::Duration;

use cxone_simulator::{Action, Endpoint, Fault, Script};
use socket2::{Domain, Socket, Type};
use tokio::time::Instant;

use super::problem;
use crate::support::{QUIET, Setup, get, in_time};

/// Well beyond any time-out that these tests set.
const LATE: Duration = Duration::from_secs(10);

async fn impatient() -> Setup {
    Setup::launched(|launch| launch.flag("header-timeout", "2s")).await
}

/// The upstream accepts every connection and never speaks TLS.
#[tokio::test]
async fn requests_that_cannot_connect_do_not_wait_for_each_other() {
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("https://localhost:{}", mute.local_addr().unwrap().port());
    let setup = Setup::launched(|launch| launch.api_at(base_url).flag("connect-timeout", "1s")).await;
    // One client connection, so that one core of the program serves it all.
    let http2 = setup.http2().await;
    let begun = Instant::now();
    let mut responses = Vec::new();
    for _ in 0..8 {
        responses.push(http2.begin(http2.request("GET", "/api/v2/users/me"), true).await.0);
    }
    for response in responses {
        assert_eq!(in_time("a response", response).await.unwrap().status(), 504);
    }
    // One after the other would take eight seconds.
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

/// Old clients send one after the body of a POST (RFC 9112 section 2.2).
#[tokio::test]
async fn an_empty_line_after_a_request_begins_no_header_section() {
    let setup = impatient().await;
    let mut client = setup.connect().await;
    for _ in 0..2 {
        let posted = "POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi\r\n";
        assert_eq!(client.fetch(posted).await.status(), 200);
        // Longer than the header time-out.
        assert!(client.is_quiet(Duration::from_millis(2500)).await);
    }
}

#[tokio::test]
async fn a_slow_header_section_is_408_or_the_connections_end() {
    let setup = impatient().await;
    for start in ["", "G", "GET /api/v2/users/me HTTP/1.1\r\nHost: localhost\r\n", "PRI * HTTP/2.0\r\n"] {
        let begun = Instant::now();
        let mut client = setup.connect().await;
        client.send(start).await;
        if let Ok(response) = client.response().await {
            assert!(problem(&response, 408, "http_request_error").contains("limits.header_timeout"));
        }
        assert!(client.rest().await.is_empty());
        assert!(begun.elapsed() >= Duration::from_millis(1900) && begun.elapsed() < LATE, "{start:?}");
    }
}

#[tokio::test]
async fn drops_of_a_header_section_do_not_buy_time() {
    let setup = impatient().await;
    let mut client = setup.connect().await;
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\nX: ").await;
    // Twenty drops in the header time-out.
    while client.is_quiet(Duration::from_millis(100)).await {
        assert!(begun.elapsed() < LATE, "it is still listening");
        let _ = client.try_send("x").await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(1900));
    if let Ok(response) = client.response().await {
        problem(&response, 408, "http_request_error");
    }
}

#[tokio::test]
async fn the_second_header_section_is_timed_from_its_first_byte() {
    let setup = impatient().await;
    let mut client = setup.connect().await;
    assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200);
    // Idle for longer than a header section may take.
    assert!(client.is_quiet(Duration::from_millis(2500)).await);
    client.send("GET /api/v2/users/me HTTP/1.1\r\nHost: ").await;
    // Within the time of the second header section, though beyond that of the first.
    assert!(client.is_quiet(QUIET).await);
    assert_eq!(client.fetch("localhost\r\n\r\n").await.status(), 200);
    client.send("GET ").await;
    if let Ok(response) = client.response().await {
        problem(&response, 408, "http_request_error");
    }
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn a_client_that_says_nothing_over_http2_is_closed() {
    let setup = impatient().await;
    let mut client = setup.connect().await;
    let begun = Instant::now();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    client.rest().await;
    assert!(begun.elapsed() < LATE);
}

#[tokio::test]
async fn idle_connections_are_closed_after_the_idle_timeout() {
    let setup = Setup::launched(|launch| launch.flag("idle-timeout", "1s")).await;
    let mut client = setup.connect().await;
    assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200);
    let begun = Instant::now();
    assert_eq!(client.rest().await, b"");
    assert!(begun.elapsed() >= Duration::from_millis(900) && begun.elapsed() < LATE);
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_504() {
    let setup = Setup::launched(|launch| launch.flag("response-timeout", "300ms")).await;
    let late = Fault::new(Action::Delay { ms: 60_000 }).at(Endpoint::Api);
    setup.region.script(Script::of([late.path("/api/v2/users")]));
    let begun = Instant::now();
    let response = setup.get("/api/v2/users/me").await;
    assert!(problem(&response, 504, "http_response_timeout").contains("upstream.response_timeout"));
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < LATE);
    // It counts up to the head: a response that has begun may take longer.
    let response = setup.get("/api/v2/stream?chunks=3&size=10&interval_ms=300").await;
    assert_eq!((response.status(), response.body.len()), (200, 30));
    // It counts from the end of the request: an upload may take longer.
    let mut client = setup.connect().await;
    client.send("POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\na").await;
    // More than twice the response time-out.
    assert!(client.is_quiet(Duration::from_millis(700)).await);
    assert_eq!(client.fetch("b").await.status(), 200);
}

/// A listener with a full queue: a connection is neither accepted nor refused.
fn deaf() -> (Socket, Vec<Socket>) {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&any.into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = (0..8)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).unwrap();
            // In progress for ever.
            let _ = socket.connect(&address);
            socket
        })
        .collect();
    (listener, waiting)
}

#[tokio::test]
async fn an_upstream_that_cannot_be_connected_to_in_time_is_504() {
    let (listener, _waiting) = deaf();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let setup =
        Setup::launched(|launch| launch.api_at(format!("http://{address}")).flag("connect-timeout", "300ms"))
            .await;
    let begun = Instant::now();
    let response = setup.get("/api/v2/users/me").await;
    assert!(problem(&response, 504, "connection_timeout").contains("upstream.connect_timeout"));
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < LATE);
}

#[tokio::test]
async fn tls_that_takes_too_long_is_504() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let setup = Setup::launched(|launch| {
        launch.api_at(format!("https://{address}")).flag("connect-timeout", "300ms")
    })
    .await;
    problem(&setup.get("/api/v2/users/me").await, 504, "connection_timeout");
}

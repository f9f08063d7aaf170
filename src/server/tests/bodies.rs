//! Bodies in both directions.

use std::time::Duration;

use super::support::{Server, eventually, fed, get, limits, post, unix};
use crate::server::ClientError;

const CHUNKED: &str = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[tokio::test]
async fn bodies_arrive_whatever_their_framing() {
    let server = Server::start();
    let mut client = server.client().await;
    assert_eq!(client.ask(post("/echo", "")).await.text(), "");
    assert_eq!(client.ask(post("/echo", "hello")).await.text(), "hello");
    let chunks = "3;ext=\"v\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n";
    assert_eq!(client.ask(format!("{CHUNKED}{chunks}")).await.text(), "abc0123456789");
    let large = "x".repeat(1_000_000);
    assert_eq!(client.ask(post("/echo", &large)).await.body.len(), large.len());
    assert_eq!(client.ask(get("/after")).await.text(), "/after");
}

#[tokio::test]
async fn leave_to_send_is_given_when_the_body_is_read() {
    let server = Server::start();
    let mut client = server.client().await;
    let with = |target: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
    };
    for _ in 0..2 {
        client.send(with("/echo")).await;
        assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(client.ask("hello").await.text(), "hello");
    }
    let reply = client.ask(with("/refuse")).await;
    assert_eq!((reply.status(), reply.field("Connection")), (403, Some("close")));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_broken_chunk_is_a_malformed_body_and_nothing_follows_it() {
    let server = Server::start();
    for chunks in ["zz\r\n", "1\r\nxx\r\n", "ffffffffffffffffff\r\n", "0\r\n X: b\r\n\r\n", "1;a\rb\r\nx\r\n"]
    {
        let mut client = server.client().await;
        let reply = client.ask(format!("{CHUNKED}{chunks}{}", get("/smuggled"))).await;
        assert_eq!((reply.status(), reply.field("Connection")), (400, Some("close")), "{chunks:?}");
        assert_eq!(client.rest().await, b"", "{chunks:?}");
    }
    assert_eq!(server.scene.bodies(), [Err(ClientError::Malformed); 5]);
    assert_eq!(server.scene.targets(), ["/echo"; 5]);
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_never_complete() {
    let server = Server::start();
    let length = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";
    for head in [CHUNKED, length] {
        let mut client = server.client().await;
        client.send(format!("{head}5\r\nhello\r\n")).await;
        server.scene.serving(1).await;
        drop(client);
        server.scene.serving(0).await;
    }
    assert!(server.scene.bodies().iter().all(|body| *body == Err(ClientError::Gone)));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let server = Server::start();
    let mut client = server.client().await;
    client.send(get("/wait")).await;
    server.scene.serving(1).await;
    drop(client);
    server.scene.serving(0).await;
    eventually("the end of the connection", || server.connections.open() == 0).await;
}

/// hyper does not read while nobody takes the body.
#[tokio::test]
async fn a_client_that_leaves_while_its_upload_waits_cancels_its_request() {
    let server = Server::start();
    let mut client = server.client().await;
    client.send(post("/hold", &"x".repeat(50_000))).await;
    client.try_send(vec![b'x'; 100]).await;
    server.scene.serving(1).await;
    drop(client);
    server.scene.serving(0).await;
}

#[tokio::test]
async fn responses_without_a_body_keep_their_length() {
    let server = Server::start();
    let mut client = server.client().await;
    for (request, length) in [
        (get("/304"), "99"),
        ("HEAD /head HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "12345"),
        ("HEAD /304 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "99"),
    ] {
        client.send(request).await;
        let head = client.head().await;
        assert!(head.contains(&format!("\r\nContent-Length: {length}\r\n")), "{head}");
    }
    // None of them was followed by anything.
    assert_eq!(client.ask(get("/last")).await.text(), "/last");
}

#[tokio::test]
async fn each_piece_of_a_response_leaves_at_once() {
    let server = Server::start();
    let (sender, body) = fed();
    *server.scene.next.lock().unwrap() = Some(body);
    let mut client = server.client().await;
    client.send(get("/fed")).await;
    assert!(client.head().await.contains("Transfer-Encoding: chunked"));
    for piece in ["one", "two"] {
        sender.send(Ok(piece.into())).unwrap();
        assert_eq!(client.exactly(8).await, format!("3\r\n{piece}\r\n").as_bytes());
    }
    drop(sender);
    assert_eq!(client.exactly(5).await, b"0\r\n\r\n");
    assert_eq!(client.ask(get("/a")).await.text(), "/a");
}

/// Sends a large piece and an error at once to a client that is slow to read.
async fn broken_off(server: &Server, request: &str, client: &mut super::support::Client) {
    let (sender, body) = fed();
    *server.scene.next.lock().unwrap() = Some(body);
    sender.send(Ok(vec![b'x'; 3_000_000].into())).unwrap();
    sender.send(Ok("last".into())).unwrap();
    sender.send(Err("the upstream broke off".into())).unwrap();
    client.send(request).await;
    client.head().await;
}

#[tokio::test]
async fn what_came_before_an_error_leaves_and_then_the_response_breaks_off() {
    let server = Server::start();
    let mut client = server.client().await;
    broken_off(&server, &get("/fed"), &mut client).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let rest = client.rest().await;
    assert!(rest.ends_with(b"4\r\nlast\r\n"), "{}", rest[rest.len() - 20..].escape_ascii());
    assert!(rest.len() > 3_000_000);
}

#[tokio::test]
async fn a_response_that_ends_with_the_connection_breaks_off_with_a_reset() {
    let server = Server::start();
    let mut client = server.client().await;
    broken_off(&server, "GET /fed HTTP/1.0\r\n\r\n", &mut client).await;
    client.rest().await;
    assert!(client.was_reset);
    // One that does not break off ends in good order.
    let (sender, body) = fed();
    *server.scene.next.lock().unwrap() = Some(body);
    sender.send(Ok("whole".into())).unwrap();
    drop(sender);
    let mut client = server.client().await;
    client.send("GET /fed HTTP/1.0\r\n\r\n").await;
    assert!(!client.head().await.contains("Transfer-Encoding"));
    assert_eq!(client.rest().await, b"whole");
    assert!(!client.was_reset);
}

/// A Unix socket knows no reset: an end would look like the end of a whole response.
#[tokio::test]
async fn on_a_unix_socket_such_a_response_does_not_end() {
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("proxy.sock");
    let server = Server::on(&format!("unix:{}", path.display()), limits());
    let mut client = unix(&path).await;
    broken_off(&server, "GET /fed HTTP/1.0\r\n\r\n", &mut client).await;
    client.exactly(3_000_004).await;
    assert!(client.is_quiet(Duration::from_millis(300)).await);
    // Over HTTP/1.1 the end is no end of the body.
    let mut client = unix(&path).await;
    broken_off(&server, &get("/fed"), &mut client).await;
    assert!(client.rest().await.ends_with(b"4\r\nlast\r\n"));
}

#[tokio::test]
async fn a_body_whose_end_is_in_doubt_is_refused_and_nothing_follows_it() {
    let server = Server::start();
    for fields in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 4, 4\r\n",
        "Content-Length: \r\n",
    ] {
        let mut client = server.client().await;
        let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n{}", get("/smuggled"));
        let reply = client.ask(head).await;
        assert_eq!((reply.status(), reply.text()), (400, "Malformed"), "{fields:?}");
        assert_eq!(reply.field("Connection"), Some("close"), "{fields:?}");
        assert_eq!(client.rest().await, b"", "{fields:?}");
    }
    assert_eq!(server.scene.targets(), [""; 0]);
}

#[tokio::test]
async fn an_upload_goes_on_after_its_response() {
    let server = Server::start();
    let mut client = server.client().await;
    let reply = client.ask("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst").await;
    assert_eq!(reply.text(), "early");
    // Longer than an idle connection keeps its buffers.
    assert!(client.is_quiet(Duration::from_millis(2500)).await);
    client.send("later").await;
    eventually("the end of the body", || server.scene.bodies() == [Ok(10)]).await;
    assert_eq!(client.ask(get("/<a>")).await.text(), "/%3Ca%3E");
    // A client that breaks it off is noticed.
    client.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst").await;
    assert_eq!(client.reply().await.text(), "early");
    drop(client);
    eventually("the failure", || server.scene.bodies() == [Ok(10), Err(ClientError::Gone)]).await;
}

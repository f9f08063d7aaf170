//! Heads: what hyper carries, what the gate changes, and what is refused with a document.

use std::time::Duration;

use super::support::{Server, get, limits, post};
use crate::server::Limits;

#[tokio::test]
async fn requests_come_one_after_the_other() {
    let server = Server::start();
    let mut client = server.client().await;
    for _ in 0..3 {
        let reply = client.ask(get("/a?b")).await;
        assert_eq!((reply.status(), reply.text()), (200, "/a?b"));
        assert_eq!((reply.field("Date"), reply.field("Connection")), (None, None));
    }
    assert_eq!(server.connections.open(), 1);
}

#[tokio::test]
async fn names_are_written_in_title_case() {
    let server = Server::start();
    let reply = server.client().await.ask(get("/")).await;
    assert!(reply.head.contains("\r\nContent-Length: 1\r\n"), "{}", reply.head);
}

#[tokio::test]
async fn odd_bytes_are_encoded_and_everything_else_is_not() {
    let server = Server::start();
    let mut client = server.client().await;
    for (target, arrives) in [
        ("//a/../%2f{x}|^\\`\"é?{\"q\"}<>", "//a/../%2f{x}|^\\%60\"é?{%22q%22}%3C%3E"),
        ("/ü", "/ü"),
        ("/<", "/%3C"),
    ] {
        assert_eq!(client.ask(get(target)).await.text(), arrives);
    }
    // Byte by byte, and again for the next request.
    for _ in 0..2 {
        for byte in get("/é<`?\"é").as_bytes() {
            client.send([*byte]).await;
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(client.reply().await.text(), "/é%3C%60?%22é");
    }
    let latin = [&b"GET /caf\xe9 HTTP/1.1\r\nHost: a\r\n\r\n"[..]].concat();
    assert_eq!(client.ask(latin).await.text(), "/caf%E9");
    // After a body, too.
    assert_eq!(client.ask(post("/echo", "<body>`\"")).await.text(), "<body>`\"");
    assert_eq!(client.ask(get("/<after>")).await.text(), "/%3Cafter%3E");
    assert_eq!(client.ask(post("/unread", "body")).await.text(), "/unread");
    assert_eq!(client.ask(get("/<after>")).await.text(), "/%3Cafter%3E");
}

/// The gate must not take the middle of a head for its beginning.
#[tokio::test]
async fn nothing_but_a_request_line_is_changed() {
    let server = Server::start();
    let mut client = server.client().await;
    let first = post("/echo", "x");
    let second = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\nX: a\r\n\r\nGET /<`\"\r\n GET /<";
    for cut in 0..second.len() {
        // The first piece comes together with the request before.
        client.send(format!("{first}{}", &second[..cut])).await;
        assert_eq!(client.reply().await.text(), "x");
        client.send(&second[cut..]).await;
        assert_eq!(client.reply().await.text(), "GET /<`\"\r\n GET /<", "{cut}");
    }
    let head = "GET /fields HTTP/1.1\r\nHost: a\r\nX: 1\r\nGET /<>: 2\r\n\r\n";
    let tail = "GET /fields HTTP/1.1\r\nHost: a\r\nX: G /<# \"\r\nY: 2\r\n\r\n";
    assert_eq!(head.len(), head.len());
    for cut in 1..tail.len() {
        client.send(format!("{}{}", get("/"), &tail[..cut])).await;
        assert_eq!(client.reply().await.text(), "/");
        client.send(&tail[cut..]).await;
        assert_eq!(client.reply().await.text(), "3", "{cut}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let server = Server::start();
    let mut client = server.client().await;
    let all: Vec<_> = (0..50).map(|number| post(&format!("/echo?{number}"), &number.to_string())).collect();
    client.send(all.concat() + get("/last").as_str()).await;
    for number in 0..50 {
        assert_eq!(client.reply().await.text(), number.to_string());
    }
    assert_eq!(client.reply().await.text(), "/last");
}

#[tokio::test]
async fn what_is_no_request_gets_a_document_and_the_end() {
    let server = Server::start();
    for (sent, status, document) in [
        ("GET  / HTTP/1.1\r\n\r\n", 400, "Malformed"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", 400, "Malformed"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400, "Malformed"),
        ("GET / HTTP/2.0\r\n\r\n", 400, "Malformed"),
        ("POST / HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n", 400, "Malformed"),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400, "Malformed"),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "Fragment"),
        ("GET /a#", 400, "Fragment"),
        ("\x16\x03\x01\x02\0\x01\0\x01\0\x03\x03", 400, "Tls"),
    ] {
        let mut client = server.client().await;
        client.send(sent).await;
        let reply = client.reply().await;
        assert_eq!((reply.status(), reply.text()), (status, document), "{sent:?}");
        assert_eq!(reply.field("Connection"), Some("close"), "{sent:?}");
        assert_eq!(reply.field("Content-Type"), Some("text/plain"), "{sent:?}");
        assert_eq!(client.rest().await, b"", "{sent:?}: nothing after the response");
        assert!(!client.was_reset, "{sent:?}");
    }
    assert_eq!(server.scene.targets(), [""; 0]);
    // The second request of a connection as well.
    let mut client = server.client().await;
    assert_eq!(client.ask(get("/")).await.status(), 200);
    assert_eq!(client.ask("GET / HTTP/1.1\r\nno colon\r\n\r\n").await.text(), "Malformed");
    // And one that came together with another.
    let mut client = server.client().await;
    assert_eq!(client.ask(get("/") + "GET / HTTP/1.1\r\nno colon\r\n\r\n").await.status(), 200);
    assert_eq!(client.reply().await.text(), "Malformed");
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_gets_the_document() {
    let server = Server::start();
    let mut client = server.client().await;
    client.send("nonsense\r\n\r\n").await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    assert_eq!(client.reply().await.text(), "Malformed");
}

#[tokio::test]
async fn more_fields_than_hyper_has_places_for_are_served() {
    let server = Server::start();
    let mut client = server.client().await;
    let with = |count: usize| format!("GET /fields HTTP/1.1\r\n{}\r\n", "X-A: b\r\n".repeat(count));
    for count in [100, 101, 99, 1024] {
        assert_eq!(client.ask(with(count)).await.text(), count.to_string());
    }
    let reply = client.ask(with(1025)).await;
    assert_eq!((reply.status(), reply.text()), (431, "HeadTooLarge"));
}

#[tokio::test]
async fn what_is_too_large_is_told_apart() {
    let server = Server::with(Limits { header_size: 8 * 1024, ..limits() });
    let large = "x".repeat(9000);
    for (sent, status, document) in [
        (format!("GET / HTTP/1.1\r\nX: {large}\r\n\r\n"), 431, "HeadTooLarge"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "X: 0123456789\r\n".repeat(700)), 431, "HeadTooLarge"),
        (format!("GET / HTTP/1.1\r\nX: {large}"), 431, "HeadTooLarge"),
        (format!("GET /{large} HTTP/1.1\r\nHost: a\r\n\r\n"), 414, "TargetTooLong"),
        (format!("GET /{large}"), 414, "TargetTooLong"),
    ] {
        let mut client = server.client().await;
        client.send(&sent).await;
        let reply = client.reply().await;
        assert_eq!((reply.status(), reply.text()), (status, document), "{sent:.40}");
        assert!(client.rest().await.is_empty() && !client.was_reset);
    }
    let fits = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(8000));
    assert_eq!(server.client().await.ask(fits).await.status(), 200);
    // The limit may be larger than what `http::Uri` takes.
    let server = Server::with(Limits { header_size: 100_000, ..limits() });
    let target = "x".repeat(66_000);
    let reply = server.client().await.ask(get(&format!("/{target}"))).await;
    assert_eq!((reply.status(), reply.text()), (414, "TargetTooLong"));
    let target = "x".repeat(60_000);
    assert_eq!(server.client().await.ask(get(&format!("/{target}"))).await.status(), 200);
}

#[tokio::test]
async fn a_document_reaches_a_client_that_is_still_sending() {
    let server = Server::start();
    let mut client = server.client().await;
    client.send(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(70_000))).await;
    assert!(!client.is_quiet(Duration::from_millis(300)).await);
    client.try_send("x".repeat(10_000)).await;
    assert_eq!(client.reply().await.status(), 431);
    assert!(client.rest().await.is_empty() && !client.was_reset);
}

#[tokio::test]
async fn old_and_odd_line_ends_are_understood() {
    let server = Server::start();
    let mut client = server.client().await;
    assert_eq!(client.ask("GET /a HTTP/1.1\nHost: a\n\n").await.text(), "/a");
    // Old clients send one after a body (RFC 9112 section 2.2).
    assert_eq!(client.ask(post("/echo", "hi") + "\r\n").await.text(), "hi");
    assert_eq!(client.ask(get("/b")).await.text(), "/b");
    // HTTP/1.0.
    let reply = client.ask("GET /c HTTP/1.0\r\n\r\n").await;
    assert_eq!((reply.status(), reply.text()), (200, "/c"));
    assert!(client.rest().await.is_empty() && !client.was_reset);
}

#[tokio::test]
async fn a_length_beside_chunks_is_served_by_the_chunks_and_the_connection_closed() {
    let server = Server::start();
    let mut client = server.client().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n";
    let reply = client.ask(format!("{head}2\r\nhi\r\n0\r\n\r\n{}", get("/smuggled"))).await;
    assert_eq!(reply.text(), "hi");
    assert!(client.rest().await.is_empty());
    assert_eq!(server.scene.targets(), ["/echo"]);
}

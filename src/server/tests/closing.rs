//! The end of a connection loses nothing.

use super::support::{Server, get, post};

#[tokio::test]
async fn a_client_that_says_close_is_closed() {
    let server = Server::start();
    let mut client = server.client().await;
    let reply = client.ask("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!((reply.text(), reply.field("Connection")), ("/a", Some("close")));
    assert_eq!(client.rest().await, b"");
    let mut client = server.client().await;
    for _ in 0..2 {
        let reply = client.ask("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!((reply.text(), reply.field("Connection")), ("/a", Some("keep-alive")));
    }
}

/// Closing at once would reset the connection under a client that is still sending.
#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = Server::start();
    // hyper ends a connection in another manner once an upgrade was asked for.
    for fields in
        ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\n"]
    {
        let mut client = server.client().await;
        let head = format!("POST /refuse HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: 300000\r\n\r\n");
        client.send(head).await;
        client.send(vec![b'x'; 100_000]).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        client.try_send(vec![b'x'; 100_000]).await;
        let reply = client.reply().await;
        assert_eq!((reply.status(), reply.field("Connection")), (403, Some("close")), "{fields}");
        assert!(client.rest().await.is_empty() && !client.was_reset, "{fields}");
    }
}

#[tokio::test]
async fn an_upgrade_that_nobody_makes_leaves_the_connection_as_it_is() {
    let server = Server::start();
    let mut client = server.client().await;
    for _ in 0..2 {
        let asked = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
        assert_eq!(client.ask(asked).await.text(), "/a");
        assert_eq!(client.ask(post("/echo", "<b>")).await.text(), "<b>");
        assert_eq!(client.ask(get("/<")).await.text(), "/%3C");
    }
}

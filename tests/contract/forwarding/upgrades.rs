//! A WebSocket is tunnelled; any other `Upgrade` is dropped.

use std::net::SocketAddr;

use cxone_simulator::{Action, Alpn, Endpoint, Fault, Script, Settings, Tls};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{Setup, Upstream, eventually, in_time, request};

const OPENING: &str = "GET /api/v2/ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: chat\r\n\r\n";

/// Opens a WebSocket at this address, has things sent back, and closes it.
pub(super) async fn converse(address: SocketAddr) {
    let url = format!("ws://{address}/api/v2/ws");
    let (mut socket, response) = in_time("a WebSocket", tokio_tungstenite::connect_async(url)).await.unwrap();
    assert_eq!(response.status(), 101);
    let large = Message::binary(vec![7; 1_000_000]);
    for message in [Message::text("hello"), Message::binary(vec![0, 255]), large] {
        socket.send(message.clone()).await.unwrap();
        let back = in_time("the echo", socket.next()).await.unwrap().unwrap();
        assert!(back == message, "the message was changed");
    }
    socket.close(None).await.unwrap();
    loop {
        match in_time("the end", socket.next()).await {
            None | Some(Err(Error::ConnectionClosed)) => break,
            Some(Ok(Message::Close(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_websocket_is_tunnelled() {
    let setup = Setup::new().await;
    converse(setup.proxy.proxy_address()).await;
}

#[tokio::test]
async fn a_websocket_goes_over_http_1_1_whatever_alpn_would_choose() {
    let tls = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
    let setup = Setup::of(Settings { tls: Some(tls), ..Settings::default() }).await;
    assert_eq!(setup.get("/api/v2/echo").await.json()["protocol"], "HTTP/2");
    converse(setup.proxy.proxy_address()).await;
    let journal = setup.region.journal();
    let entry = journal.iter().find(|entry| entry.target == "/api/v2/ws").unwrap();
    assert_eq!(entry.protocol, "HTTP/1.1");
}

#[tokio::test]
async fn a_401_in_place_of_the_101_renews_the_token() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup.region.revoke_all();
    converse(setup.proxy.proxy_address()).await;
    let statuses: Vec<_> =
        setup.region.journal().into_iter().filter(|entry| entry.target == "/api/v2/ws").collect();
    assert_eq!(statuses.len(), 2, "{statuses:?}");
}

#[tokio::test]
async fn the_handshake_s_fields_pass_and_upgrade_arrives_as_websocket_alone() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send(OPENING.replace("Upgrade: WebSocket", "Upgrade: h2c, websocket")).await;
    let mut connection = upstream.accept().await;
    let arrived = connection.request().await.unwrap();
    assert_eq!(arrived.only("Upgrade"), Some("websocket"));
    assert!(arrived.only("Connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(arrived.only("Sec-WebSocket-Key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_eq!(arrived.only("Sec-WebSocket-Protocol"), Some("chat"));
    // What comes right behind the 101 belongs to the tunnel.
    connection
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nfirst",
        )
        .await;
    let response = client.head().await.unwrap();
    assert_eq!((response.status(), response.only("Upgrade")), (101, Some("websocket")));
    assert!(response.only("Connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(response.only("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(client.up_to(5).await, b"first");
    client.send("from the client").await;
    assert_eq!(connection.up_to(15).await, b"from the client");
    // An end in one direction leaves the other one open.
    client.finish().await;
    assert_eq!(connection.rest().await, b"");
    connection.send("last words").await;
    drop(connection);
    assert_eq!(client.rest().await, b"last words");
}

#[tokio::test]
async fn what_a_client_sends_before_the_101_is_not_lost() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send(format!("{OPENING}eager")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(client.head().await.unwrap().status(), 101);
    assert_eq!(connection.up_to(5).await, b"eager");
}

#[tokio::test]
async fn a_refused_handshake_is_passed_on_and_the_connection_goes_on() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    // The region responds with 426 to another version.
    let response = client.fetch(OPENING.replace("Version: 13", "Version: 8")).await;
    assert_eq!(response.status(), 426);
    assert_eq!(client.fetch(crate::support::get("/api/v2/users/7")).await.status(), 200);
}

#[tokio::test]
async fn a_client_that_leaves_a_tunnel_ends_it_at_the_upstream() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send(OPENING).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection
        .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    client.head().await.unwrap();
    drop(client);
    assert_eq!(connection.rest().await, b"");
}

#[tokio::test]
async fn an_upgrade_to_h2c_is_dropped_and_the_request_served_without_it() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let fields =
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n";
    for _ in 0..2 {
        let response = client.fetch(request("POST", "/api/v2/echo", fields, "hello")).await;
        assert_eq!(response.status(), 200);
        let fields = response.json()["fields"].to_string().to_ascii_lowercase();
        assert!(!fields.contains("upgrade") && !fields.contains("http2-settings"), "{fields}");
    }
}

#[tokio::test]
async fn an_unrequested_101_is_502() {
    let setup = Setup::new().await;
    setup.region.script(Script::of([Fault::new(Action::Unasked101 {}).at(Endpoint::Api)]));
    let response = setup.get("/api/v2/users/7").await;
    assert_eq!(response.status(), 502);
    // Nor is one with another protocol than the requested one.
    let response = setup.fetch(OPENING).await;
    assert_eq!(response.status(), 502);
    let http2 = setup.http2().await;
    assert_eq!(http2.get("/api/v2/users/7").await.unwrap().status, 502);
    eventually("all exchanges are over", async || {
        setup.region.journal().iter().all(|entry| entry.outcome.is_some()).then_some(())
    })
    .await;
}

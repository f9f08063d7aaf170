use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::client::{Bearer, Wire, assert_clean, region};

#[tokio::test]
async fn echoes_messages() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let mut request = format!("ws://{}/api/v2/ws", region.address()).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", bearer.token).parse().unwrap());
    request.headers_mut().insert("sec-websocket-protocol", "chat, other".parse().unwrap());
    let (mut socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    for message in [Message::text("hello"), Message::binary(vec![0; 70_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_close());
    assert_eq!(region.journal().last().unwrap().status, Some(101));
    assert_clean(&region);
}

#[tokio::test]
async fn refuses_a_handshake_without_a_good_token() {
    let region = region().await;
    let mut request = format!("ws://{}/api/v2/ws", region.address()).into_client_request().unwrap();
    request.headers_mut().insert("authorization", "Bearer stale".parse().unwrap());
    let refused = tokio_tungstenite::connect_async(request).await.unwrap_err();
    let Error::Http(response) = refused else { panic!("{refused}") };
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn takes_messages_that_come_with_the_handshake() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let mut wire = Wire::to(&region).await;
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut text = bearer.text("GET", "/api/v2/ws", fields, "").into_bytes();
    text.extend_from_slice(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']);
    let response = wire.ask(text).await.unwrap();
    assert_eq!(response.first("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(wire.exactly(4).await.unwrap(), [0x81, 2, b'h', b'i']);
}

#[tokio::test]
async fn asks_for_an_upgrade_where_there_is_none() {
    let region = region().await;
    let reply = Bearer::of(&region).await.get("/api/v2/ws").await;
    assert_eq!((reply.status, reply.first("upgrade")), (426, Some("websocket")));
}

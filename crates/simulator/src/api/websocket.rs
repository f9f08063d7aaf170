//! `/api/v2/ws`: a WebSocket (RFC 6455) that sends every message back.

use bytes::BytesMut;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{After, Broken, Exchange, Framing, Response, bad_request};
use crate::wire::{Protocol, Socket};

/// Answers the opening handshake; the connection then goes on with [`converse`].
pub(super) async fn respond(exchange: &mut Exchange<'_, '_>) -> Result<After, Broken> {
    let head = exchange.head;
    let says = |name: &str, wanted: &str| {
        head.values(name)
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|option| option.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    };
    if head.method() != "GET"
        || head.protocol != Protocol::Http11
        || !says("connection", "upgrade")
        || !says("upgrade", "websocket")
        || head.only("sec-websocket-version") != Some("13")
    {
        let response = Response::new(426, Framing::None)
            .field("Upgrade", "websocket")
            .field("Sec-WebSocket-Version", "13");
        return exchange.bytes(response, "this is a WebSocket\n".into()).await;
    }
    let Some(key) = head.only("sec-websocket-key").filter(|key| key.len() == 24) else {
        return bad_request(exchange, "Sec-WebSocket-Key is missing").await;
    };
    let mut response = Response::new(101, Framing::None)
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Accept", accept(key));
    let protocols = head.only("sec-websocket-protocol").and_then(|protocols| protocols.split(',').next());
    if let Some(protocol) = protocols {
        response = response.field("Sec-WebSocket-Protocol", protocol.trim().to_owned());
    }
    exchange.begin(response).await?;
    Ok(After::WebSocket)
}

/// The proof that the key was read (RFC 6455 4.2.2).
fn accept(key: &str) -> String {
    use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    use base64::Engine as _;
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// Sends every message back until the client closes. `ahead` is what came right behind the handshake.
pub(crate) async fn converse(socket: Socket, ahead: BytesMut) {
    let mut stream = WebSocketStream::from_partially_read(socket, ahead.to_vec(), Role::Server, None).await;
    while let Some(Ok(message)) = stream.next().await {
        if (message.is_text() || message.is_binary()) && stream.send(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn accepts_as_the_rfc_s_example_does() {
        assert_eq!(super::accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}

//! One connection, from its acceptance to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::api;
use super::exchange::{After, LastToken, serve};
use super::script::Ending;
use super::settings::Alpn;
use super::state::State;
use super::tls::Identity;
use super::wire::http1::{Connection, NoHead};
use super::wire::{Broken, Head, Socket, Wire, http1, http2};
use crate::clock::Now;

/// How long the rest of an upload is read after a response that did not wait for it.
const LINGER: Duration = Duration::from_secs(5);

/// Serves a connection until either side ends it. Dropping the future drops the connection.
pub(super) async fn run(region: Arc<State>, stream: TcpStream, number: u64, tls: Option<Identity>) {
    // Without it, small responses would wait for acknowledgements; a socket that refuses it is dead.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match tls {
        None => Box::pin(serve_http1(&region, Socket::Clear(stream), number)).await,
        Some(identity) => {
            let Ok(stream) = identity.acceptor.accept(stream).await else { return };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(Alpn::Http2.name());
            let socket = Socket::Tls(Box::new(stream));
            if is_http2 {
                Box::pin(serve_http2(&region, socket, number)).await;
            } else {
                Box::pin(serve_http1(&region, socket, number)).await;
            }
        }
    }
}

async fn serve_http1(region: &State, socket: Socket, number: u64) {
    let mut connection = Connection::new(socket);
    let mut last_token: LastToken = None;
    for ordinal in 1.. {
        let mut head = match connection.head().await {
            Ok(head) => head,
            Err(NoHead::Closed) => return,
            Err(NoHead::Bad(why)) => return refuse(region, &mut connection, why).await,
        };
        (head.connection, head.ordinal) = (number, ordinal);
        let stream = match http1::Stream::new(&mut connection, &head) {
            Ok(stream) => stream,
            Err(why) => return refuse(region, &mut connection, why).await,
        };
        let mut wire = Wire::Http1(stream);
        let result = serve(region, &head, &mut wire, &mut last_token).await;
        let Wire::Http1(stream) = &mut wire else { return };
        let (goes_on, has_begun) = (stream.may_go_on(), stream.has_begun());
        match result {
            Ok(After::Next) if goes_on => {
                // A refusal may have come before the body was read; the rest of it stands before the next request.
                if !drained(&mut wire).await {
                    return;
                }
            }
            Ok(After::Next | After::Linger) => return connection.linger(LINGER).await,
            Ok(After::CloseIdle(wait)) => {
                tokio::time::sleep(wait).await;
                // The other side may be gone already.
                let _ = connection.socket.shutdown().await;
                return;
            }
            Ok(After::WebSocket) => {
                let (socket, ahead) = connection.into_parts();
                return Box::pin(api::converse(socket, ahead)).await;
            }
            Err(Broken::Bad(why)) if !has_begun => return refuse(region, &mut connection, why).await,
            Err(Broken::Scripted(Ending::Reset)) => return connection.socket.reset_on_drop(),
            Err(Broken::Scripted(Ending::Stall)) => {
                wire.gone().await;
                return;
            }
            Ok(After::Close) | Err(Broken::Gone(_) | Broken::Bad(_) | Broken::Scripted(Ending::Close)) => {
                return;
            }
        }
    }
}

/// Reads what is left of a request; false if it has no end.
async fn drained(wire: &mut Wire<'_>) -> bool {
    loop {
        match wire.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

async fn refuse(region: &State, connection: &mut Connection, why: &'static str) {
    region.referee.doubtful(why, region.at(Now::read()));
    if connection.refuse(why).await.is_ok() {
        connection.linger(LINGER).await;
    }
}

/// A stream that takes its connection down with it. It is kept until that is gone, since a stream that is dropped
/// resets itself, and the client would see an orderly end.
type Ruin = Option<Box<http2::Stream>>;

async fn serve_http2(region: &Arc<State>, socket: Socket, number: u64) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let mut streams: JoinSet<Ruin> = JoinSet::new();
    for ordinal in 1.. {
        let opened = loop {
            tokio::select! {
                opened = connection.accept() => break opened,
                Some(ended) = streams.join_next() => {
                    if let Ok(Some(_ruin)) = ended {
                        return drop(connection);
                    }
                }
            }
        };
        let Some(Ok((request, respond))) = opened else { return };
        let (mut head, stream) = http2::Stream::new(request, respond);
        (head.connection, head.ordinal) = (number, ordinal);
        streams.spawn(serve_stream(Arc::clone(region), head, stream));
    }
}

async fn serve_stream(region: Arc<State>, head: Head, stream: http2::Stream) -> Ruin {
    let mut wire = Wire::Http2(stream);
    let result = serve(&region, &head, &mut wire, &mut None).await;
    if matches!(result, Err(Broken::Scripted(Ending::Stall))) {
        wire.gone().await;
        return None;
    }
    let Wire::Http2(mut stream) = wire else { return None };
    match result {
        Ok(After::Next | After::Linger | After::CloseIdle(_) | After::WebSocket) => None,
        Ok(After::Close) | Err(Broken::Scripted(Ending::Close)) => Some(Box::new(stream)),
        Err(Broken::Bad(_)) => {
            stream.reset(h2::Reason::PROTOCOL_ERROR);
            None
        }
        Err(Broken::Scripted(Ending::Reset | Ending::Stall) | Broken::Gone(_)) => {
            stream.reset(h2::Reason::INTERNAL_ERROR);
            None
        }
    }
}

//! A client that speaks HTTP/2 with prior knowledge.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::in_time;

/// One connection, cheap to clone.
#[derive(Clone)]
pub(crate) struct Http2Client {
    send: SendRequest<Bytes>,
    address: SocketAddr,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Http2Response {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Http2Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Http2Client {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self {
            address,
            ..Self::over(in_time("a connection", TcpStream::connect(address)).await.unwrap()).await
        }
    }

    /// Over a stream that is there already. [`Self::request`] does not know its address.
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        // Ends with its last stream and handle.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { send, address: ([127, 0, 0, 1], 0).into() }
    }

    /// A request for `target` at this proxy; fields may be added.
    pub(crate) fn request(&self, method: &str, target: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("http://{}{target}", self.address))
    }

    /// Sends a head whose body, if there is to be one, follows on the stream.
    pub(crate) async fn begin(
        &self,
        head: http::request::Builder,
        ends: bool,
    ) -> (ResponseFuture, SendStream<Bytes>) {
        let mut send = in_time("room for a stream", self.send.clone().ready()).await.unwrap();
        send.send_request(head.body(()).unwrap(), ends).unwrap()
    }

    /// A whole exchange; the body goes in one piece, followed by the trailers.
    pub(crate) async fn fetch(
        &self,
        head: http::request::Builder,
        body: &'static [u8],
        trailers: HeaderMap,
    ) -> Result<Http2Response, h2::Error> {
        let ends = body.is_empty() && trailers.is_empty();
        let (response, mut stream) = self.begin(head, ends).await;
        if !ends {
            stream.send_data(Bytes::from_static(body), trailers.is_empty())?;
            if !trailers.is_empty() {
                stream.send_trailers(trailers)?;
            }
        }
        whole(in_time("a response", response).await?).await
    }

    /// A GET.
    pub(crate) async fn get(&self, target: &str) -> Result<Http2Response, h2::Error> {
        self.fetch(self.request("GET", target), b"", HeaderMap::new()).await
    }
}

/// Reads a response to its end.
pub(crate) async fn whole(response: Response<RecvStream>) -> Result<Http2Response, h2::Error> {
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = in_time("content", stream.data()).await {
        let piece = piece?;
        body.extend_from_slice(&piece);
        stream.flow_control().release_capacity(piece.len())?;
    }
    let trailers = in_time("trailers", stream.trailers()).await?;
    Ok(Http2Response { status: parts.status.as_u16(), fields: parts.headers, body, trailers })
}

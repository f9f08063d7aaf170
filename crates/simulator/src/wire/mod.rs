//! The region's own HTTP: requests in, responses out, over HTTP/1.1 or HTTP/2.
//!
//! Written independently of the proxy's protocol code, because two programs that share a parser agree on its
//! mistakes. Knows nothing of tokens or endpoints. HTTP/1.1 is done by hand, so that it can be
//! wrong on purpose in every way.

mod chunked;
mod head;
pub(super) mod http1;
pub(super) mod http2;
mod socket;

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use bytes::Bytes;

use super::script::Ending;
pub(super) use head::{Head, Protocol};
pub(super) use socket::Socket;

/// Long enough for a connection's task to be scheduled and to write.
const SETTLING: Duration = Duration::from_millis(20);

/// Name and value of one line of a trailer section.
pub(super) type Line = (String, String);

/// Why an exchange did not end with a whole response.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// The client is gone.
    #[error("the client is gone")]
    Gone(#[source] io::Error),
    /// The client's message is not what it says.
    #[error("the request is malformed: {0}")]
    Bad(&'static str),
    /// Broken on purpose.
    #[error("the script breaks it off")]
    Scripted(Ending),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

impl Broken {
    /// The client left without an error that says why.
    pub(super) fn gone() -> Self {
        Self::Gone(io::ErrorKind::UnexpectedEof.into())
    }
}

/// The head of a response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    pub(super) framing: Framing,
}

/// How a response's body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none, and no length either (1xx, 204, 304).
    None,
    /// So many bytes.
    Length(u64),
    /// By chunks; trailers may follow.
    Chunked,
    /// By the end of the connection.
    Close,
}

impl Response {
    pub(super) fn new(status: u16, framing: Framing) -> Self {
        Self { status, fields: Vec::new(), framing }
    }

    pub(super) fn field(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The first value of the field.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}

/// The connection or stream of one exchange.
pub(super) enum Wire<'c> {
    Http1(http1::Stream<'c>),
    Http2(http2::Stream),
}

impl Wire<'_> {
    /// The next piece of the request's body; `None` at its end, again and again. A piece is lost where the
    /// future is dropped over HTTP/2 only if the stream is dropped as well.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        match self {
            Self::Http1(stream) => stream.chunk().await,
            Self::Http2(stream) => stream.chunk().await,
        }
    }

    /// The request's trailers, known once its body has been read to the end.
    pub(super) fn trailers(&self) -> &[Line] {
        match self {
            Self::Http1(stream) => stream.trailers(),
            Self::Http2(stream) => stream.trailers(),
        }
    }

    /// Sends a response whose body is at hand, in one piece.
    pub(super) async fn whole(&mut self, response: &Response, body: &Bytes) -> Result<(), Broken> {
        match self {
            Self::Http1(stream) => stream.whole(response, body).await,
            Self::Http2(stream) => {
                stream.begin(response, body.is_empty())?;
                if body.is_empty() { Ok(()) } else { stream.send(body.clone(), true).await }
            }
        }
    }

    /// Sends the head of a response whose body follows; after it, [`Wire::finish`] must be called.
    pub(super) async fn begin(&mut self, response: &Response) -> Result<(), Broken> {
        match self {
            Self::Http1(stream) => stream.begin(response).await,
            Self::Http2(stream) => stream.begin(response, false),
        }
    }

    /// Sends a response that only prepares for another one (RFC 9110 15.2).
    pub(super) async fn inform(&mut self, response: &Response) -> Result<(), Broken> {
        match self {
            Self::Http1(stream) => stream.inform(response).await,
            Self::Http2(stream) => stream.inform(response),
        }
    }

    /// Sends a piece of the response's body, waiting until the client has room for it.
    pub(super) async fn send(&mut self, piece: Bytes) -> Result<(), Broken> {
        match self {
            Self::Http1(stream) => stream.send(piece).await,
            Self::Http2(stream) => stream.send(piece, false).await,
        }
    }

    /// Ends the response's body.
    pub(super) async fn finish(&mut self, trailers: &[Line]) -> Result<(), Broken> {
        match self {
            Self::Http1(stream) => stream.finish(trailers).await,
            Self::Http2(stream) => stream.finish(trailers),
        }
    }

    /// Lets what was sent go out before the exchange is broken off: a reset of an HTTP/2 stream overtakes
    /// what still waits for the connection's task, and nothing says when that has written.
    pub(super) async fn settle(&mut self) {
        match self {
            Self::Http1(_) => {}
            Self::Http2(_) => tokio::time::sleep(SETTLING).await,
        }
    }

    /// Sends text that is no response, where the protocol lets it.
    pub(super) async fn raw(&mut self, text: &[u8]) -> Result<(), Broken> {
        match self {
            Self::Http1(stream) => stream.raw(text).await,
            Self::Http2(_) => Err(Broken::Scripted(Ending::Reset)),
        }
    }

    /// Resolves when the client has gone.
    pub(super) async fn gone(&mut self) -> Broken {
        match self {
            Self::Http1(stream) => stream.gone().await,
            Self::Http2(stream) => stream.gone().await,
        }
    }
}

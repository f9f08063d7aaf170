//! The body of a request, as the client sends it.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;

use super::signals::Signals;
use super::streams::StreamState;
use super::waiting::Waiting;

/// Why a request's body could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClientError {
    /// The client has gone, or has reset the stream: nobody waits for a response.
    #[error("the client went away")]
    Gone,
    /// What it sent is no body (RFC 9112 section 7.1): respond 400.
    #[error("its framing is broken")]
    Malformed,
}

/// The usual way to say it to those who know nothing of this server: by the error's kind.
impl From<ClientError> for io::Error {
    fn from(error: ClientError) -> Self {
        let kind = match error {
            ClientError::Gone => io::ErrorKind::ConnectionAborted,
            ClientError::Malformed => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// A request's body. Once it has failed it stays failed: it never reads as ended after an error.
///
/// Dropping it early lets the connection decide: over HTTP/1.1 a short rest is read, and a long one
/// ends the connection after the response.
#[derive(Debug)]
pub struct RequestBody {
    /// `None` where the request has no body.
    incoming: Option<Incoming>,
    owner: Owner,
    /// Everything has been read. hyper is not asked again: after a response that came early it does not
    /// say so before the next request (`Dispatcher::poll_read`).
    is_ended: bool,
    failed: Option<ClientError>,
}

/// Who keeps count of what moves.
#[derive(Debug)]
pub(super) enum Owner {
    Http1(Arc<Signals>),
    Http2(Arc<StreamState>),
    Nobody,
}

impl Owner {
    fn waiting(&self) -> Option<&Waiting> {
        match self {
            Self::Http1(signals) => Some(&signals.waiting),
            Self::Http2(stream) => Some(&stream.waiting),
            Self::Nobody => None,
        }
    }

    fn owes(&self, owes: bool) {
        if let Some(waiting) = self.waiting() {
            waiting.set_owes(owes);
        }
    }
}

impl RequestBody {
    /// The body of a request without one.
    pub(super) fn none() -> Self {
        Self { incoming: None, owner: Owner::Nobody, is_ended: true, failed: None }
    }

    /// A body that hyper reads.
    pub(super) fn new(incoming: Incoming, owner: Owner) -> Self {
        Self { incoming: Some(incoming), owner, is_ended: false, failed: None }
    }

    fn ended(&mut self) {
        self.is_ended = true;
        if let Owner::Http1(signals) = &self.owner {
            signals.body_ended();
        }
    }

    fn look(&mut self, frame: &Frame<Bytes>) {
        if let Owner::Http2(stream) = &self.owner {
            stream.waiting.arrived();
        }
        if frame.is_trailers() || self.incoming.as_ref().is_some_and(Body::is_end_stream) {
            self.ended();
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(error) = this.failed {
            return Poll::Ready(Some(Err(error.into())));
        }
        if this.is_ended {
            return Poll::Ready(None);
        }
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        let frame = Pin::new(incoming).poll_frame(cx);
        this.owner.owes(frame.is_pending());
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                this.look(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                let error = classify(&error);
                this.failed = Some(error);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.ended();
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed.is_none() && (self.is_ended || self.incoming.as_ref().is_none_or(Body::is_end_stream))
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.owner.owes(false);
        if let Owner::Http1(signals) = &self.owner {
            signals.drop_body();
        }
    }
}

/// hyper tells a broken chunk from a broken connection by the kind of the `io::Error` alone
/// (`decode.rs`); over HTTP/2 a malformed body resets its stream, and nobody waits any more.
fn classify(error: &hyper::Error) -> ClientError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<io::Error>() {
            let is_malformed =
                matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput);
            return if is_malformed { ClientError::Malformed } else { ClientError::Gone };
        }
        cause = inner.source();
    }
    ClientError::Gone
}

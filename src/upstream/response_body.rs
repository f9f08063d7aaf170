//! The body of a response, whichever version carries it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::error::{BoxError, ErrorKind, SendError, read};
use super::http2::Stream;

/// The body of a response. Empty for HEAD, 204 and 304, whatever the upstream sends; ends with an error where
/// the upstream broke off, and stays failed.
///
/// Cancellation: dropping it before its end closes the HTTP/1.1 connection, unless the rest has arrived already,
/// or resets the HTTP/2 stream.
pub struct ResponseBody {
    /// Kept where nothing of it is delivered: dropped early, it would reset a stream that is about to end.
    body: Incoming,
    is_bodiless: bool,
    /// Absent over HTTP/1.1.
    stream: Option<Stream>,
    has_ended: bool,
    failed: Option<ErrorKind>,
}

impl ResponseBody {
    pub(super) fn new(body: Incoming, is_bodiless: bool, stream: Option<Stream>) -> Self {
        Self { body, is_bodiless, stream, has_ended: is_bodiless, failed: None }
    }

    fn end(&mut self) {
        self.has_ended = true;
        if let Some(stream) = &mut self.stream {
            stream.end();
        }
    }

    fn fail(&mut self, kind: ErrorKind, source: Option<BoxError>) -> SendError {
        self.end();
        self.failed = Some(kind);
        SendError::of_body(kind, source)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let this = self.get_mut();
        if let Some(kind) = this.failed {
            return Poll::Ready(Some(Err(SendError::of_body(kind, None))));
        }
        if this.has_ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(error)) => Some(Err(this.fail(read(&error).kind, Some(Box::new(error))))),
            // hyper takes a stream that was reset without an error for one that has ended.
            None if this.stream.is_some() && !this.body.is_end_stream() => {
                Some(Err(this.fail(ErrorKind::Closed, None)))
            }
            None => {
                this.end();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.failed.is_none() && (self.has_ended || self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_bodiless { SizeHint::with_exact(0) } else { self.body.size_hint() }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.end();
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("is_bodiless", &self.is_bodiless).finish_non_exhaustive()
    }
}

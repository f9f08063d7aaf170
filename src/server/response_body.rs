//! The body of a response that goes to an HTTP/1 client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::BoxError;
use super::signals::Signals;

/// How much hyper may hold of a response before the client takes it, and one piece more. hyper's own bound has to be as
/// large as the largest head.
const UNFLUSHED: usize = 16 * 1024;

pin_project! {
    /// Tells the connection when hyper has taken everything, and keeps an error back until all that
    /// came before it has left: hyper throws away what it has not written yet when a body fails
    /// (`Dispatcher::poll_write`). Gives hyper no more than [`UNFLUSHED`] before that has left.
    pub(super) struct ResponseBody<B> {
        #[pin]
        body: B,
        signals: Arc<Signals>,
        // The length that an empty body claims: 304 keeps its `Content-Length` (RFC 9110 section 8.6).
        claimed: Option<u64>,
        held: Option<BoxError>,
        // What hyper was given since a flush was last asked for.
        given: usize,
    }

    impl<B> PinnedDrop for ResponseBody<B> {
        fn drop(this: Pin<&mut Self>) {
            this.signals.response_ended();
        }
    }
}

impl<B> ResponseBody<B> {
    /// `claimed`: the length that an empty body is to claim.
    pub(super) fn new(body: B, signals: Arc<Signals>, claimed: Option<u64>) -> Self {
        Self { body, signals, claimed, held: None, given: 0 }
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if *this.given >= UNFLUSHED {
            if this.signals.wants_flush() {
                return Poll::Pending;
            }
            *this.given = 0;
        }
        if this.held.is_none() {
            match ready!(this.body.poll_frame(cx)) {
                Some(Err(error)) => {
                    *this.held = Some(error.into());
                    this.signals.want_flush();
                }
                frame => {
                    let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
                    *this.given += data.map_or(0, Bytes::len);
                    if *this.given >= UNFLUSHED {
                        this.signals.want_flush();
                    }
                    return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
                }
            }
        }
        if this.signals.wants_flush() {
            // The flush wakes the connection's task (`Signals::flushed`).
            return Poll::Pending;
        }
        this.signals.set_broke_off();
        Poll::Ready(this.held.take().map(Err))
    }

    fn is_end_stream(&self) -> bool {
        self.claimed.is_none() && self.held.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.claimed.map_or_else(|| self.body.size_hint(), SizeHint::with_exact)
    }
}

//! The body of a response that goes to an HTTP/1 client.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::BoxError;
use super::signals::Signals;

pin_project! {
    /// Tells the connection when hyper has taken everything, and keeps an error back until all that
    /// came before it has left: hyper throws away what it has not written yet when a body fails
    /// (`Dispatcher::poll_write`).
    pub(super) struct ResponseBody<B> {
        #[pin]
        body: B,
        signals: Arc<Signals>,
        // The length that an empty body claims: 304 keeps its `Content-Length` (RFC 9110 section 8.6).
        claimed: Option<u64>,
        held: Option<BoxError>,
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
        Self { body, signals, claimed, held: None }
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
        if this.held.is_none() {
            match ready!(this.body.poll_frame(cx)) {
                Some(Err(error)) => {
                    *this.held = Some(error.into());
                    this.signals.want_flush();
                }
                frame => return Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
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

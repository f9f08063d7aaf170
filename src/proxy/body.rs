//! The body of a response to a client.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::budget::Reserved;
use super::hop_by_hop::remove_forbidden_trailers;
use super::in_flight::InFlight;
use crate::upstream::{ResponseBody, SendError};

/// What is handed on at once of what was kept.
const PIECE: usize = 32 * 1024;

/// The beginning of a body that was kept in memory, and its part of the budget.
#[derive(Debug)]
pub(super) struct Ahead {
    pub(super) bytes: Bytes,
    pub(super) room: Reserved,
}

/// A response's body: the upstream's, streamed, or one that is there already.
///
/// Cancellation: dropping it before its end breaks the upstream's response off. The request counts as
/// in flight until then.
#[derive(Debug, Default)]
pub struct Body {
    /// What comes first.
    ahead: Bytes,
    /// What `ahead` takes of the budget, where it counts.
    room: Option<Reserved>,
    upstream: Option<ResponseBody>,
    /// What comes last, where no upstream does.
    trailers: Option<HeaderMap>,
    /// The upstream did not say how long its body is, so the proxy does not say it to the client.
    hides_length: bool,
    /// Apart, because the body moves from hand to hand on its way to the client.
    in_flight: Option<Box<InFlight>>,
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { ahead: bytes, ..Self::default() }
    }
}

impl Body {
    /// The upstream's body as it comes.
    pub(super) fn streamed(upstream: ResponseBody) -> Self {
        Self { upstream: Some(upstream), ..Self::default() }
    }

    /// The upstream's body behind what was read of it before.
    pub(super) fn continued(ahead: Ahead, upstream: ResponseBody) -> Self {
        let Ahead { bytes, room } = ahead;
        Self { ahead: bytes, room: Some(room), upstream: Some(upstream), ..Self::default() }
    }

    /// A body that is there as a whole, with its trailers. The client learns its length only where the
    /// upstream said it.
    pub(super) fn whole(ahead: Ahead, mut trailers: Option<HeaderMap>, has_length: bool) -> Self {
        if let Some(trailers) = &mut trailers {
            remove_forbidden_trailers(trailers);
        }
        let trailers = trailers.filter(|trailers| !trailers.is_empty());
        let Ahead { bytes, room } = ahead;
        Self { ahead: bytes, room: Some(room), trailers, hides_length: !has_length, ..Self::default() }
    }

    /// A gRPC message that is there as a whole, with its trailers. Its length is in the message itself.
    pub(super) fn message(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { ahead: bytes, trailers, hides_length: true, ..Self::default() }
    }

    /// What comes next of what is there already. Kept bytes are copied in pieces: a slice would keep all of them in
    /// memory until the client has taken the last one, without a part of the budget.
    fn next_ahead(&mut self) -> Bytes {
        if self.room.is_some() && self.ahead.len() > PIECE {
            return Bytes::copy_from_slice(&self.ahead.split_to(PIECE));
        }
        let last = std::mem::take(&mut self.ahead);
        if self.room.take().is_some() { Bytes::copy_from_slice(&last) } else { last }
    }

    /// Counts the request as in flight until this body has ended.
    pub(super) fn counted(mut self, in_flight: Box<InFlight>) -> Self {
        self.in_flight = Some(in_flight);
        self
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        if !self.ahead.is_empty() {
            let next = self.next_ahead();
            if let Some(in_flight) = &mut self.in_flight {
                in_flight.passed_on(next.len());
            }
            return Poll::Ready(Some(Ok(Frame::data(next))));
        }
        let Some(upstream) = &mut self.upstream else {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        let frame = match ready!(Pin::new(upstream).poll_frame(cx)) {
            None => {
                self.upstream = None;
                return Poll::Ready(None);
            }
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                if let Some(in_flight) = &mut self.in_flight {
                    in_flight.broke_off(&error);
                }
                self.upstream = None;
                return Poll::Ready(Some(Err(error)));
            }
        };
        if let Some(data) = frame.data_ref() {
            let length = data.len();
            if let Some(in_flight) = &mut self.in_flight {
                in_flight.passed_on(length);
            }
            return Poll::Ready(Some(Ok(frame)));
        }
        let Ok(mut trailers) = frame.into_trailers() else { return Poll::Ready(None) };
        remove_forbidden_trailers(&mut trailers);
        Poll::Ready((!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty()
            && self.trailers.is_none()
            && self.upstream.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.len() as u64;
        match &self.upstream {
            None if self.hides_length => SizeHint::default(),
            None => SizeHint::with_exact(ahead),
            Some(upstream) => match upstream.size_hint().exact() {
                Some(length) => SizeHint::with_exact(ahead + length),
                None => SizeHint::default(),
            },
        }
    }
}

//! A request's content on its way out over HTTP/1.1.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::failure::Failure;
use crate::http1::Outbox;
use crate::message::{Content, ContentError, FieldSink, Fields, Framing, Next};

/// How far the sending has come.
#[derive(Debug)]
pub(super) enum Upload {
    /// Content follows; `chunked` says how.
    Content { chunked: bool },
    /// Everything is in the outbox.
    Flushing,
    /// Everything has left.
    Done,
    /// The peer takes no more. Its answer may be on the way all the same.
    Failed(Option<io::Error>),
}

impl Upload {
    pub(super) fn of(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Flushing,
            Framing::Length(_) => Self::Content { chunked: false },
            Framing::Open => Self::Content { chunked: true },
        }
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Done | Self::Failed(_))
    }

    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        if let Self::Failed(error) = self { error.take() } else { None }
    }

    /// Sends what can be sent. Ready when nothing is left to do; an error is the client's, while a
    /// failure to write is kept for whoever reads the answer. `sent` is set before the first byte
    /// can have left.
    pub(super) fn poll<W: AsyncWrite + Unpin, C: Content>(
        &mut self,
        io: &mut W,
        outbox: &mut Outbox,
        content: &mut C,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ContentError>> {
        loop {
            let step = match self {
                Self::Done | Self::Failed(_) => return Poll::Ready(Ok(())),
                Self::Flushing => ready!(outbox.poll_flush(io, cx)).map(|()| Self::Done),
                Self::Content { chunked } => {
                    let chunked = *chunked;
                    match content.poll_next(cx)? {
                        Poll::Ready(Next::Bytes) => {
                            let bytes = content.bytes();
                            let taken = if chunked {
                                outbox.poll_send_chunk(io, cx, bytes)
                            } else {
                                outbox.poll_send(io, cx, bytes)
                            };
                            ready!(taken).map(|count| {
                                content.consume(count);
                                Self::Content { chunked }
                            })
                        }
                        Poll::Ready(Next::End) => {
                            if chunked {
                                finish_chunks(outbox.buffer(), content);
                            }
                            Ok(Self::Flushing)
                        }
                        Poll::Pending => match outbox.poll_flush(io, cx) {
                            Poll::Ready(Err(error)) => Err(error),
                            Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
                        },
                    }
                }
            };
            *self = step.unwrap_or_else(|error| Self::Failed(Some(error)));
        }
    }
}

/// What `upload` came to means for the exchange: it goes on, unless the client has failed. A client is
/// looked for when it has sent everything, and when what it sent waits for the peer to take it; while it
/// is being read its end shows by itself.
pub(super) fn settle<C: Content>(
    upload: Poll<Result<(), Failure>>,
    content: &mut C,
    cx: &mut Context<'_>,
) -> Result<(), Failure> {
    let is_watched = match upload {
        Poll::Ready(Err(failure)) => return Err(failure),
        Poll::Ready(Ok(())) => true,
        Poll::Pending => !content.bytes().is_empty(),
    };
    if is_watched && content.poll_gone(cx).is_ready() { Err(Failure::client_gone()) } else { Ok(()) }
}

/// The last chunk and the trailer section (RFC 9112 section 7.1).
fn finish_chunks<C: Content>(out: &mut Vec<u8>, content: &C) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in content.trailers().into_iter().flat_map(Fields::iter) {
        out.line(name, value);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::super::failure::FailureKind;
    use super::*;

    /// Content of which some is at hand or not, and whose sender is there or not.
    struct Waiting {
        at_hand: &'static [u8],
        gone: bool,
    }

    impl Content for Waiting {
        fn framing(&self) -> Framing {
            Framing::Open
        }
        fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
            Poll::Pending
        }
        fn bytes(&self) -> &[u8] {
            self.at_hand
        }
        fn consume(&mut self, _: usize) {}
        fn trailers(&self) -> Option<&Fields> {
            None
        }
        fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
            if self.gone { Poll::Ready(()) } else { Poll::Pending }
        }
    }

    /// Where the peer takes nothing, nobody reads the content, and its end would never be seen.
    #[test]
    fn a_client_is_looked_for_whenever_it_is_not_being_read() {
        let mut cx = Context::from_waker(Waker::noop());
        for (is_done, at_hand, watched) in
            [(true, &b""[..], true), (false, b"waits for the peer", true), (false, b"", false)]
        {
            for gone in [false, true] {
                let polled = if is_done { Poll::Ready(Ok(())) } else { Poll::Pending };
                let found = settle(polled, &mut Waiting { at_hand, gone }, &mut cx).err();
                let due = (watched && gone).then_some(FailureKind::ClientGone);
                assert_eq!(found.map(|failure| failure.kind), due, "{is_done} {at_hand:?} {gone}");
            }
        }
    }
}

//! A request's content on its way out over HTTP/1.1.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

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
        sent: &mut bool,
    ) -> Poll<Result<(), ContentError>> {
        loop {
            let step = match self {
                Self::Done | Self::Failed(_) => return Poll::Ready(Ok(())),
                Self::Flushing => {
                    let flushed = outbox.poll_flush(io, cx);
                    *sent |= !matches!(flushed, Poll::Ready(Err(_)));
                    ready!(flushed).map(|()| Self::Done)
                }
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
                            *sent |= !matches!(taken, Poll::Ready(Err(_)));
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
                        Poll::Pending => {
                            let flushed = outbox.poll_flush(io, cx);
                            *sent |= !matches!(flushed, Poll::Ready(Err(_)));
                            match flushed {
                                Poll::Ready(Err(error)) => Err(error),
                                Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
                            }
                        }
                    }
                }
            };
            *self = step.unwrap_or_else(|error| Self::Failed(Some(error)));
        }
    }
}

/// The last chunk and the trailer section (RFC 9112 section 7.1).
fn finish_chunks<C: Content>(out: &mut Vec<u8>, content: &C) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in content.trailers().into_iter().flat_map(Fields::iter) {
        out.line(name, value);
    }
    out.extend_from_slice(b"\r\n");
}

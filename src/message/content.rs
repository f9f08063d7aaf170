//! Content that is pulled: whoever wants more asks for it, so back-pressure needs no channel.

use std::task::{Context, Poll};

use thiserror::Error;

use super::Fields;

/// How a message's content is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// Until it says so: chunks, HTTP/2's end of stream, or the end of the connection.
    Open,
}

/// What [`Content::poll_next`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// [`Content::bytes`] is not empty.
    Bytes,
    /// The content is complete; [`Content::trailers`] has what followed it.
    End,
}

/// Why content could not be read to its end.
#[derive(Debug, Error)]
pub enum ContentError {
    /// The peer closed or reset the connection, or the stream.
    #[error("the sender went away before its content was complete")]
    Gone(#[source] Option<Box<dyn std::error::Error + Send + Sync>>),
    /// The framing was broken (RFC 9112 section 7.1).
    #[error("the content's framing is malformed: {0}")]
    Malformed(&'static str),
}

/// A source of content.
///
/// Cancellation: every method may be abandoned between calls; nothing is lost by it, since bytes
/// are taken only by [`Content::consume`].
pub trait Content {
    /// How the content is delimited, as far as the head told.
    fn framing(&self) -> Framing;

    /// Waits until there are bytes to look at or the content has ended. Ready at once while bytes
    /// that have not been consumed are there. After [`Next::End`] it goes on to answer that.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ContentError>>;

    /// The bytes at hand.
    fn bytes(&self) -> &[u8];

    /// Takes the first `count` of the bytes at hand away.
    fn consume(&mut self, count: usize);

    /// The trailer section, once the content has ended (RFC 9110 section 6.5).
    fn trailers(&self) -> Option<&Fields>;

    /// Ready when the sender of this content has gone away for good. May read ahead, within
    /// bounds, to find that out.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// No content at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Empty;

impl Content for Empty {
    fn framing(&self) -> Framing {
        Framing::None
    }
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
        Poll::Ready(Ok(Next::End))
    }
    fn bytes(&self) -> &[u8] {
        &[]
    }
    fn consume(&mut self, _: usize) {}
    fn trailers(&self) -> Option<&Fields> {
        None
    }
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

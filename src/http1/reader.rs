//! One direction of a connection: heads and content out of a buffer that is filled on demand.

use std::io;
use std::task::{Context, Poll, ready};

use thiserror::Error;
use tokio::io::AsyncRead;

use super::buffer::Buffer;
use super::chunked::{Chunked, Step};
use crate::message::{ContentError, Fields, Next};

/// The most content that waits unread. A buffer's growth to it means that the peer is fast.
const CONTENT_LIMIT: usize = 64 * 1024;

/// How the content that is being read ends.
#[derive(Debug)]
pub enum Body {
    /// It has ended, or there was none.
    Done,
    /// After so many bytes.
    Length(u64),
    /// As its chunks say.
    Chunked(Box<Chunked>),
    /// When the connection does.
    UntilClose,
}

/// Why nothing more can be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// The connection failed.
    #[error("reading failed")]
    Io(#[from] io::Error),
}

/// What has been read, and what it is part of.
#[derive(Debug)]
pub struct Reader {
    /// Bytes not yet used.
    pub buffer: Buffer,
    body: Body,
    /// So many of the buffered bytes are content that may be handed out.
    available: usize,
    closed: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::starting_with(Buffer::default())
    }
}

impl Reader {
    /// A reader that has read something already.
    pub fn starting_with(buffer: Buffer) -> Self {
        Self { buffer, body: Body::Done, available: 0, closed: false }
    }

    /// Reads once. Ready means: there is more in the buffer than before.
    pub fn poll_more<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<Result<(), ReadError>> {
        if self.closed {
            return Poll::Ready(Err(ReadError::Closed));
        }
        match ready!(self.buffer.poll_read(io, cx, limit)) {
            Ok(0) => {
                self.closed = true;
                Poll::Ready(Err(ReadError::Closed))
            }
            Ok(_) => Poll::Ready(Ok(())),
            Err(error) => {
                self.closed = true;
                Poll::Ready(Err(ReadError::Io(error)))
            }
        }
    }

    /// From now on what is read is content.
    pub fn begin(&mut self, body: Body) {
        self.available = 0;
        if let Body::Length(length) = body
            && length > CONTENT_LIMIT as u64
        {
            self.buffer.widen();
        }
        self.body = if matches!(body, Body::Length(0)) { Body::Done } else { body };
    }

    /// True where the content has been read to its end.
    pub fn is_complete(&self) -> bool {
        match &self.body {
            Body::Done => true,
            Body::Chunked(chunked) => chunked.is_done(),
            Body::Length(_) | Body::UntilClose => false,
        }
    }

    /// True where the peer will send no more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// See [`crate::message::Content::poll_next`].
    pub fn poll_next<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Next, ContentError>> {
        loop {
            if self.available > 0 {
                return Poll::Ready(Ok(Next::Bytes));
            }
            if self.advance()? {
                return Poll::Ready(Ok(Next::End));
            }
            if self.available == 0 {
                if self.buffer.is_full(CONTENT_LIMIT) {
                    let what = "the trailer section is too large";
                    return Poll::Ready(Err(ContentError::Malformed(what)));
                }
                match ready!(self.poll_more(io, cx, CONTENT_LIMIT)) {
                    Ok(()) => {}
                    Err(ReadError::Closed) if matches!(self.body, Body::UntilClose) => {
                        self.body = Body::Done;
                    }
                    Err(ReadError::Closed) => return Poll::Ready(Err(ContentError::Gone(None))),
                    Err(ReadError::Io(error)) => {
                        return Poll::Ready(Err(ContentError::Gone(Some(Box::new(error)))));
                    }
                }
            }
        }
    }

    /// The content at hand.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.filled().get(..self.available).unwrap_or_default()
    }

    /// Takes content away.
    pub fn consume(&mut self, count: usize) {
        let count = count.min(self.available);
        self.available -= count;
        self.buffer.consume(count);
        match &mut self.body {
            Body::Length(left) => {
                *left -= count as u64;
                if *left == 0 {
                    self.body = Body::Done;
                }
            }
            Body::Chunked(chunked) => chunked.took(count as u64),
            Body::Done | Body::UntilClose => {}
        }
    }

    /// The trailer section of chunked content that has ended.
    pub fn trailers(&self) -> Option<&Fields> {
        match &self.body {
            Body::Chunked(chunked) => chunked.trailers(),
            Body::Done | Body::Length(_) | Body::UntilClose => None,
        }
    }

    /// Ready when the peer is gone. Reads ahead up to a bound: what a peer sends before its turn
    /// is kept, and past the bound its going away is noticed later.
    pub fn poll_gone<R: AsyncRead + Unpin>(&mut self, io: &mut R, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.buffer.is_full(CONTENT_LIMIT) {
                return Poll::Pending;
            }
            if ready!(self.poll_more(io, cx, CONTENT_LIMIT)).is_err() {
                return Poll::Ready(());
            }
        }
    }

    /// Looks at what is buffered; true where the content has ended.
    fn advance(&mut self) -> Result<bool, ContentError> {
        let here = self.buffer.len();
        match &mut self.body {
            Body::Done => return Ok(true),
            Body::Length(left) => self.available = at_most(here, *left),
            Body::UntilClose => self.available = here,
            Body::Chunked(chunked) => loop {
                match chunked.step(self.buffer.filled())? {
                    Step::More => break,
                    Step::Skip(count) => self.buffer.consume(count),
                    Step::Data(most) => {
                        self.available = at_most(self.buffer.len(), most);
                        break;
                    }
                    Step::End(count) => {
                        self.buffer.consume(count);
                        return Ok(true);
                    }
                }
            },
        }
        Ok(false)
    }
}

fn at_most(here: usize, limit: u64) -> usize {
    usize::try_from(limit).map_or(here, |limit| here.min(limit))
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn trailers_that_do_not_fit_are_malformed_and_their_sender_is_not_gone() {
        let sent = [b"0\r\nX-Large: ".as_slice(), &vec![b'x'; 2 * CONTENT_LIMIT]].concat();
        let mut io = sent.as_slice();
        let mut reader = Reader::default();
        reader.begin(Body::Chunked(Box::new(Chunked::new(4 * CONTENT_LIMIT))));
        let outcome = poll_fn(|cx| reader.poll_next(&mut io, cx)).await;
        assert!(matches!(outcome, Err(ContentError::Malformed(_))), "{outcome:?}");
    }
}

//! Bytes that have been read and not yet used.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// Enough for nearly every head, with a small message behind it.
const FIRST: usize = 8 * 1024;
/// What a read for streamed content may take at once: four TLS records. More bought nothing.
const LARGEST: usize = 64 * 1024;

/// A buffer that grows with what it is used for and gives its memory back when idle.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// A buffer that holds `bytes` already.
    pub fn holding(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), start: 0, end: bytes.len() }
    }

    /// What is there.
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// True where nothing is there.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How much is there.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Takes the first `count` bytes away.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Gives the memory back, where nothing is in it.
    pub fn shed(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Reads once, growing up to `limit` bytes of unused content. `Ok(0)` is the end of the stream,
    /// or a full buffer: ask [`Buffer::is_full`] first.
    ///
    /// Cancellation: nothing is lost; what was read is in the buffer.
    pub fn poll_read<R: AsyncRead + Unpin>(
        &mut self,
        io: &mut R,
        cx: &mut Context<'_>,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        self.make_room(limit);
        let Some(room) = self.bytes.get_mut(self.end..) else { return Poll::Ready(Ok(0)) };
        let mut into = ReadBuf::new(room);
        ready!(Pin::new(io).poll_read(cx, &mut into))?;
        let count = into.filled().len();
        self.end += count;
        Poll::Ready(Ok(count))
    }

    /// True where `limit` bytes wait to be used, so that no more may be read.
    pub fn is_full(&self, limit: usize) -> bool {
        self.len() >= limit
    }

    /// Makes room for a read: first by moving what is there to the front, then by growing. A buffer
    /// that a read has filled to the brim doubles, because more of the same is likely.
    fn make_room(&mut self, limit: usize) {
        if self.bytes.is_empty() {
            self.bytes.resize(FIRST, 0);
        }
        if self.end < self.bytes.len() {
            return;
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.end < self.bytes.len() / 2 {
                return;
            }
        }
        let grown = (self.bytes.len() * 2).min(limit.max(FIRST));
        if grown > self.bytes.len() {
            self.bytes.resize(grown, 0);
        }
    }

    /// Prepares for a long stream: the next reads may take as much as is worth while at once.
    pub fn widen(&mut self) {
        if self.bytes.len() < LARGEST {
            self.bytes.resize(LARGEST, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn what_is_written_is_read_in_order_whatever_the_consumption() {
        let sent: Vec<u8> = (0..200_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut io = &sent[..];
        let mut buffer = Buffer::default();
        let mut got = Vec::new();
        let mut step = 1;
        loop {
            let count = poll_fn(|cx| buffer.poll_read(&mut io, cx, 64 * 1024)).await.unwrap();
            if count == 0 && !buffer.is_full(64 * 1024) && buffer.is_empty() {
                break;
            }
            step = (step * 7 + 3) % 9000;
            let take = step.min(buffer.len());
            got.extend_from_slice(&buffer.filled()[..take]);
            buffer.consume(take);
        }
        assert_eq!(got, sent);
    }

    #[tokio::test]
    async fn it_never_holds_more_than_the_limit() {
        let sent = vec![b'x'; 300_000];
        let mut io = &sent[..];
        let mut buffer = Buffer::default();
        while poll_fn(|cx| buffer.poll_read(&mut io, cx, 20_000)).await.unwrap() > 0 {}
        assert!(buffer.is_full(20_000));
        assert_eq!(buffer.len(), 20_000);
    }
}

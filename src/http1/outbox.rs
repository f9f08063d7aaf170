//! Bytes on their way out: small pieces are gathered into one write, large ones pass uncopied.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Up to here copying is cheaper than a second system call or a second TLS record.
const COPY: usize = 16 * 1024;
/// More than this is not gathered before it is written.
const GATHER: usize = 64 * 1024;
/// An idle connection keeps no larger buffer than this.
const KEEP: usize = 4 * 1024;

/// What waits to be written to one peer.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
    has_written: bool,
}

impl Outbox {
    /// Where heads and framing are written to.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Starts a message: from here on it counts whether anything of it has left.
    pub fn begin(&mut self) {
        self.has_written = false;
    }

    /// True where a byte has left since [`Outbox::begin`].
    pub fn has_written(&self) -> bool {
        self.has_written
    }

    /// True where everything has been handed to the operating system.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    /// Writes until nothing waits.
    ///
    /// Cancellation: what was written is remembered.
    pub fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(waiting) = self.bytes.get(self.sent..)
            && !waiting.is_empty()
        {
            let count = ready!(Pin::new(&mut *io).poll_write(cx, waiting))?;
            self.took(count)?;
        }
        self.bytes.clear();
        self.sent = 0;
        Pin::new(io).poll_flush(cx)
    }

    /// Sends `content` after what waits; says how much of it was taken. Small content is only
    /// gathered: whoever has nothing more to add calls [`Outbox::poll_flush`].
    pub fn poll_send<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
        content: &[u8],
    ) -> Poll<io::Result<usize>> {
        if content.len() <= COPY && self.bytes.len() + content.len() <= GATHER {
            self.bytes.extend_from_slice(content);
            return Poll::Ready(Ok(content.len()));
        }
        loop {
            let waiting = self.bytes.get(self.sent..).unwrap_or_default();
            if waiting.is_empty() {
                self.bytes.clear();
                self.sent = 0;
                let count = nonzero(ready!(Pin::new(&mut *io).poll_write(cx, content))?)?;
                self.has_written = true;
                return Poll::Ready(Ok(count));
            }
            let both = [IoSlice::new(waiting), IoSlice::new(content)];
            let ahead = waiting.len();
            let count = ready!(Pin::new(&mut *io).poll_write_vectored(cx, &both))?;
            self.took(count.min(ahead))?;
            if count > ahead {
                return Poll::Ready(Ok(count - ahead));
            }
        }
    }

    /// Sends one chunk (RFC 9112 section 7.1) of the beginning of `content`; says how much it
    /// holds. Gathered like small content.
    pub fn poll_send_chunk<W: AsyncWrite + Unpin>(
        &mut self,
        io: &mut W,
        cx: &mut Context<'_>,
        content: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.bytes.len() > COPY {
            ready!(self.poll_flush(io, cx))?;
        }
        let chunk = content.get(..COPY).unwrap_or(content);
        push_hex(&mut self.bytes, chunk.len());
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(chunk);
        self.bytes.extend_from_slice(b"\r\n");
        Poll::Ready(Ok(chunk.len()))
    }

    /// Gives memory beyond a small buffer back, where nothing waits.
    pub fn shed(&mut self) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            *self = Self::default();
        }
    }

    /// Gives unusually much memory back, where nothing waits.
    pub fn trim(&mut self) {
        if self.is_empty() && self.bytes.capacity() > KEEP {
            *self = Self::default();
        }
    }

    fn took(&mut self, count: usize) -> io::Result<()> {
        self.sent += nonzero(count)?;
        self.has_written = true;
        Ok(())
    }
}

fn nonzero(count: usize) -> io::Result<usize> {
    if count == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(count) }
}

/// `number` in hexadecimal.
fn push_hex(out: &mut Vec<u8>, number: usize) {
    let digits = (usize::BITS - number.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = u32::try_from((number >> (place * 4)) & 0xf).unwrap_or_default();
        out.push(char::from_digit(digit, 16).map_or(b'0', |digit| u8::try_from(digit).unwrap_or(b'0')));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[test]
    fn sizes_in_hexadecimal() {
        for number in [0, 1, 9, 10, 15, 16, 255, 256, 4096, 0xdead_beef] {
            let mut out = Vec::new();
            push_hex(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number:x}"));
        }
    }

    /// Takes a few bytes, then fails.
    struct Breaking(usize);

    impl AsyncWrite for Breaking {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let count = bytes.len().min(self.0);
            self.0 -= count;
            Poll::Ready(if count == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(count) })
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_left_before_a_failure_has_left() {
        for (takes, due) in [(0, false), (3, true)] {
            let mut outbox = Outbox::default();
            outbox.begin();
            outbox.buffer().extend_from_slice(b"POST / HTTP/1.1");
            let mut io = Breaking(takes);
            assert!(poll_fn(|cx| outbox.poll_flush(&mut io, cx)).await.is_err());
            assert_eq!(outbox.has_written(), due);
        }
    }

    #[tokio::test]
    async fn small_and_large_pieces_leave_in_order() {
        let (mut near, mut far) = tokio::io::duplex(1000);
        let large: Vec<u8> = (0..100_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let expected = [b"head".as_slice(), b"small", &large].concat();
        let writer = async {
            let mut outbox = Outbox::default();
            outbox.buffer().extend_from_slice(b"head");
            assert_eq!(poll_fn(|cx| outbox.poll_send(&mut near, cx, b"small")).await.unwrap(), 5);
            let mut left = &large[..];
            while !left.is_empty() {
                let count = poll_fn(|cx| outbox.poll_send(&mut near, cx, left)).await.unwrap();
                left = &left[count..];
            }
            poll_fn(|cx| outbox.poll_flush(&mut near, cx)).await.unwrap();
            drop(near);
        };
        let reader = async {
            let mut got = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut far, &mut got).await.unwrap();
            got
        };
        let ((), got) = tokio::join!(writer, reader);
        assert!(got == expected);
    }
}

//! The byte stream under a client connection, in two halves: reading goes on while writing waits.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio_util::either::Either;

use crate::http1::Buffer;

/// A connection as it was accepted, on whichever worker.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// Hands the connection to the current worker's runtime.
    pub(super) fn split(self) -> io::Result<(ReadHalf, WriteHalf)> {
        match self {
            Self::Tcp(stream) => {
                let stream = TcpStream::from_std(stream)?;
                // Without it a reply in two pieces may wait for an acknowledgement.
                let _ = stream.set_nodelay(true);
                // A client that vanished without a word during a long poll or in a tunnel is found out.
                let keepalive = socket2::TcpKeepalive::new()
                    .with_time(Duration::from_mins(1))
                    .with_interval(Duration::from_secs(15))
                    .with_retries(4);
                let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                let (read, write) = stream.into_split();
                Ok((Either::Left(read), Either::Left(write)))
            }
            Self::Unix(stream) => {
                let (read, write) = UnixStream::from_std(stream)?.into_split();
                Ok((Either::Right(read), Either::Right(write)))
            }
        }
    }
}

/// The reading half.
pub(super) type ReadHalf = Either<tcp::OwnedReadHalf, unix::OwnedReadHalf>;

/// The writing half.
pub(super) type WriteHalf = Either<tcp::OwnedWriteHalf, unix::OwnedWriteHalf>;

/// Waits until there may be something to read. Cancel safe.
pub(super) async fn readable(half: &ReadHalf) -> io::Result<()> {
    match half {
        Either::Left(half) => half.readable().await,
        Either::Right(half) => half.readable().await,
    }
}

/// Makes the close that follows a reset, so that content which ends with the connection does not look
/// complete. Takes the half, because dropping it would end the stream in good order.
pub(super) fn reset_on_close(half: WriteHalf) {
    if let Either::Left(half) = half {
        let stream: &TcpStream = half.as_ref();
        let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        half.forget();
    }
}

/// Both halves together again, with what has been read already in front.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) read: ReadHalf,
    pub(super) write: WriteHalf,
    pub(super) first: Buffer,
    /// Set with every arrival.
    pub(super) heard: Arc<AtomicBool>,
}

impl AsyncRead for Whole {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            let before = into.filled().len();
            ready!(Pin::new(&mut self.read).poll_read(cx, into))?;
            if into.filled().len() > before {
                self.heard.store(true, Ordering::Relaxed);
            }
            return Poll::Ready(Ok(()));
        }
        let filled = self.first.filled();
        let piece = filled.get(..into.remaining()).unwrap_or(filled);
        into.put_slice(piece);
        let count = piece.len();
        self.first.consume(count);
        self.first.shed();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Whole {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.write).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.write).poll_shutdown(cx)
    }
}

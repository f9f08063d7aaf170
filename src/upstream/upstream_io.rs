//! The byte stream that hyper reads and writes: clear text or TLS, with what hyper does not tell.
//!
//! - Whether anything of a request was written, and anything of a response read ([`Wire`]).
//! - A failed write is not reported. The peer may have responded before it stopped reading, and hyper would give
//!   up that response; the next read finds out how the connection ended.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncBufRead as _, AsyncReadExt as _, AsyncWrite, Take};
use tokio_rustls::client::TlsStream;

use super::socket::Socket;
use super::wire::Wire;

/// The most that hyper is given at once. hyper doubles its buffer when a read fills it; a little less than 32 KiB stops
/// that at 32 KiB, while its limit must be as large as the largest header section. A whole cache line less: after a
/// limit that is odd, all copies that follow are between places that are not aligned, and large ones take twice as long.
const READ_LIMIT: usize = 32 * 1024 - 64;

pub(super) struct UpstreamIo {
    stream: Stream,
    wire: Arc<Wire>,
    /// Writing has failed; what is written from now on goes nowhere.
    is_cut: bool,
}

enum Stream {
    Plain(Take<Socket>),
    /// TLS state is large and lives behind a pointer.
    Tls(Box<TlsStream<Socket>>),
}

impl UpstreamIo {
    pub(super) fn plain(socket: Socket, wire: Arc<Wire>) -> Self {
        Self { stream: Stream::Plain(socket.take(0)), wire, is_cut: false }
    }

    pub(super) fn tls(stream: TlsStream<Socket>, wire: Arc<Wire>) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), wire, is_cut: false }
    }

    pub(super) fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// False where the peer has closed or has said something. Asks the system.
    pub(super) fn is_quiet(&self) -> bool {
        let socket = match &self.stream {
            Stream::Plain(socket) => socket.get_ref(),
            Stream::Tls(stream) => stream.get_ref().0,
        };
        !self.is_cut && socket.is_quiet()
    }

    /// The outcome of a write, as hyper sees it; `count` is all there was to write.
    fn swallow(&mut self, count: usize, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let Poll::Ready(Err(error)) = outcome else { return outcome };
        tracing::debug!(%error, "the upstream takes no more bytes");
        self.is_cut = true;
        Poll::Ready(Ok(count))
    }
}

impl Stream {
    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Send + Unpin)> {
        match self {
            Self::Plain(socket) => Pin::new(socket.get_mut()),
            Self::Tls(stream) => Pin::new(stream.as_mut()),
        }
    }
}

/// Takes as many records as are at hand: each piece that hyper gets costs two turns of the runtime's queue.
fn poll_records(
    stream: &mut TlsStream<Socket>,
    cx: &mut Context<'_>,
    into: &mut ReadBufCursor<'_>,
) -> Poll<io::Result<usize>> {
    let mut count = 0;
    loop {
        let limit = into.remaining().min(READ_LIMIT - count);
        let plaintext = match Pin::new(&mut *stream).poll_fill_buf(cx) {
            Poll::Ready(Ok(plaintext)) => plaintext,
            // An error comes again with the next read.
            _ if count > 0 => return Poll::Ready(Ok(count)),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        let taken = plaintext.len().min(limit);
        into.put_slice(plaintext.get(..taken).unwrap_or_default());
        Pin::new(&mut *stream).consume(taken);
        count += taken;
        let (socket, session) = stream.get_ref();
        let is_at_hand = socket.has_ahead() || !session.wants_read();
        if taken == 0 || taken == limit || !is_at_hand {
            return Poll::Ready(Ok(count));
        }
    }
}

impl Read for UpstreamIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let count = match &mut this.stream {
            Stream::Plain(socket) => {
                socket.set_limit(READ_LIMIT as u64);
                ready!(Pin::new(&mut TokioIo::new(&mut *socket)).poll_read(cx, into))?;
                READ_LIMIT - usize::try_from(socket.limit()).unwrap_or(READ_LIMIT)
            }
            Stream::Tls(stream) => ready!(poll_records(stream, cx, &mut into))?,
        };
        if count > 0 {
            this.wire.note_received(count);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for UpstreamIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_cut {
            return Poll::Ready(Ok(bytes.len()));
        }
        this.wire.note_written();
        let outcome = match &mut this.stream {
            Stream::Plain(socket) => Pin::new(socket.get_mut()).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        };
        this.swallow(bytes.len(), outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let count = pieces.iter().map(|piece| piece.len()).sum();
        if this.is_cut {
            return Poll::Ready(Ok(count));
        }
        this.wire.note_written();
        let outcome = match &mut this.stream {
            Stream::Plain(socket) => Pin::new(socket.get_mut()).poll_write_vectored(cx, pieces),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, pieces),
        };
        this.swallow(count, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_cut {
            let outcome = ready!(this.stream.writer().poll_flush(cx)).map(|()| 0);
            let _ = this.swallow(0, Poll::Ready(outcome));
        }
        this.wire.note_flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_cut { Poll::Ready(Ok(())) } else { this.stream.writer().poll_shutdown(cx) }
    }
}

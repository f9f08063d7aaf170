//! A TCP connection that can be looked at, and that reads ahead of TLS.

use std::io::{self, Read as _};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::wire::Wire;

/// What is read at once while a large response arrives over TLS. rustls asks for 4 KiB, which would be sixteen
/// system calls instead of one; more than this gains nothing measurable.
const AHEAD: usize = 64 * 1024;

/// The socket under a connection.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    wire: Arc<Wire>,
    /// What was read and not yet asked for.
    ahead: BytesMut,
    /// The last read filled all the room it had: more is on the way.
    is_flowing: bool,
    /// TLS is spoken over it.
    reads_ahead: bool,
}

/// What is there to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Nothing,
    Bytes,
    End,
}

impl Socket {
    pub(super) fn new(tcp: TcpStream, wire: Arc<Wire>, reads_ahead: bool) -> Self {
        Self { tcp, wire, ahead: BytesMut::new(), is_flowing: false, reads_ahead }
    }

    /// True where bytes are at hand without asking the system.
    pub(super) fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// True where there is nothing to read and no end.
    pub(super) fn is_quiet(&self) -> bool {
        self.ahead.is_empty() && self.look().is_ok_and(|sight| sight == Sight::Nothing)
    }

    /// Asks the system, not the runtime's memory of what the system said: on a busy core the runtime has not
    /// heard yet of what arrived in the last millisecond.
    fn look(&self) -> io::Result<Sight> {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(&self.tcp).peek(&mut byte) {
            Ok(0) => Ok(Sight::End),
            Ok(_) => Ok(Sight::Bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Sight::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Takes what the runtime does not know of yet.
    fn take_unannounced(&mut self) -> io::Result<()> {
        let held = self.ahead.len();
        self.ahead.resize(held + 4096, 0);
        let into = self.ahead.get_mut(held..).unwrap_or_default();
        let read = (&*SockRef::from(&self.tcp)).read(into);
        self.ahead.truncate(held + *read.as_ref().unwrap_or(&0));
        match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            read => read.map(|_| ()),
        }
    }

    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.tcp.poll_read_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => {
                    // A connection that waits holds no buffer.
                    self.ahead = BytesMut::new();
                    return Poll::Pending;
                }
            }
            self.ahead.reserve(AHEAD);
            match self.tcp.try_read_buf(&mut self.ahead) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.wire.take_look() {
            match this.look()? {
                Sight::Nothing => {}
                Sight::Bytes => this.take_unannounced()?,
                Sight::End => return Poll::Ready(Ok(())),
            }
        }
        let asked = into.remaining();
        if this.ahead.is_empty() && this.is_flowing {
            ready!(this.poll_ahead(cx))?;
            // A short read is the last one for a while.
            this.is_flowing = this.ahead.len() >= asked;
            if this.ahead.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        if this.ahead.is_empty() {
            let filled = into.filled().len();
            ready!(Pin::new(&mut this.tcp).poll_read(cx, into))?;
            this.is_flowing = this.reads_ahead && into.filled().len() - filled == asked;
            return Poll::Ready(Ok(()));
        }
        let count = asked.min(this.ahead.len());
        into.put_slice(this.ahead.get(..count).unwrap_or_default());
        this.ahead.advance(count);
        if this.ahead.is_empty() && !this.is_flowing {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

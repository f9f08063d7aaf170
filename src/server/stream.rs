//! The socket of a client connection: TCP, TLS over TCP, or Unix.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use socket2::{SockRef, Socket, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// A connection as it was accepted, before a worker's runtime has it.
#[derive(Debug)]
pub(super) enum Accepted {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// A connection that belongs to a worker's runtime.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How much may wait in the kernel beyond what is on the network. A client that takes its response
/// slowly moves something each time it has taken about half of it: with a queue of megabytes it would
/// look as if it took nothing (see `waiting`).
#[cfg(target_os = "linux")]
const UNSENT: u32 = 128 * 1024;

/// Sets the options of a client connection. On Linux a listener hands them on to what it accepts.
pub(super) fn set_options(socket: &Socket) -> io::Result<()> {
    // Without it a response in two pieces may wait for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    // A client that vanished without a word during a long poll or in a tunnel is found out.
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_mins(1))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

impl Accepted {
    /// Hands the connection to the current runtime.
    pub(super) fn start(self) -> io::Result<Stream> {
        match self {
            Self::Tcp(stream) => {
                #[cfg(not(target_os = "linux"))]
                let _ = set_options(&SockRef::from(&stream));
                TcpStream::from_std(stream).map(Stream::Tcp)
            }
            Self::Unix(stream) => UnixStream::from_std(stream).map(Stream::Unix),
        }
    }
}

impl Stream {
    /// The user at the other end of a Unix socket, as of the connection's beginning.
    pub(super) fn peer_uid(&self) -> Option<u32> {
        match self {
            Self::Tcp(_) | Self::Tls(_) => None,
            Self::Unix(stream) => stream.peer_cred().ok().map(|peer| peer.uid()),
        }
    }

    /// The client's address and ours, where it comes by a network.
    pub(super) fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        let tcp = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Unix(_) => return (None, None),
        };
        (tcp.peer_addr().ok(), tcp.local_addr().ok())
    }

    /// Ready when there may be something to read, or the client has ended the stream.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
            Self::Tls(stream) => {
                let (socket, session) = stream.get_ref();
                // What has been decrypted already is in no socket.
                if session.wants_read() { socket.poll_read_ready(cx) } else { Poll::Ready(Ok(())) }
            }
        }
    }

    /// True where the client has ended its side, or the connection has failed, even if bytes wait to
    /// be read.
    pub(super) fn is_read_closed(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let readiness = match self {
            Self::Tcp(stream) => pin!(stream.ready(Interest::READABLE)).poll(&mut cx),
            Self::Unix(stream) => pin!(stream.ready(Interest::READABLE)).poll(&mut cx),
            Self::Tls(stream) => pin!(stream.get_ref().0.ready(Interest::READABLE)).poll(&mut cx),
        };
        matches!(readiness, Poll::Ready(Ok(ready)) if ready.is_read_closed())
    }

    /// Makes the close that follows a reset, so that a body which ends with the connection does not look
    /// complete. False where the socket knows no reset (Unix).
    pub(super) fn reset_on_close(&self) -> bool {
        match self {
            Self::Tcp(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)).is_ok(),
            Self::Tls(stream) => SockRef::from(stream.get_ref().0).set_linger(Some(Duration::ZERO)).is_ok(),
            Self::Unix(_) => false,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

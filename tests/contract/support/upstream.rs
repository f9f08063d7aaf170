//! An upstream whose test reads what arrives and writes the response itself.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;

use socket2::{SockFilter, Socket};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{Launch, QUIET, RawConnection, Setup, in_time};

/// Listens; it answers nothing by itself.
pub(crate) struct Upstream {
    listener: TcpListener,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// `http://` and the address.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The program's next connection.
    pub(crate) async fn accept(&self) -> RawConnection {
        let (stream, _) = in_time("a connection from the program", self.listener.accept()).await.unwrap();
        RawConnection::over(stream)
    }

    /// The program's next connection, and its socket. Waits without a deadline.
    pub(crate) async fn accept_socket(&self) -> (RawConnection, Socket) {
        let (stream, _) = self.listener.accept().await.unwrap();
        let socket = socket_of(&stream);
        (RawConnection::over(stream), socket)
    }

    /// True where the program makes no further connection.
    pub(crate) async fn stays_unconnected(&self) -> bool {
        timeout(QUIET, self.listener.accept()).await.is_err()
    }

    /// This as the API of a program that gets its tokens from a region.
    pub(crate) async fn setup(&self, launch: impl FnOnce(Launch) -> Launch) -> Setup {
        Setup::launched(|program| launch(program.api_at(self.base_url()))).await
    }
}

/// Another handle of this stream's socket.
pub(crate) fn socket_of(stream: &TcpStream) -> Socket {
    stream.as_fd().try_clone_to_owned().unwrap().into()
}

/// From now on the kernel drops every packet that arrives for this socket, unseen and without an
/// acknowledgement: to its peer it is a machine that has vanished.
pub(crate) fn silence(socket: &Socket) {
    const RETURN: u16 = 0x06;
    socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)]).unwrap();
}

//! Accepts connections from all listeners, whatever goes wrong.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::time::{Instant, sleep};

use super::Arrival;
use super::listener::{Bound, Listener, Removal};
use super::stream::Accepted;
use super::tls::Tls;
use crate::log::{Due, Repeats};

/// Out of file descriptors, most likely: some will be closed.
const PAUSE: Duration = Duration::from_millis(100);
/// The least time between two lines about connections that cannot be accepted.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// A connection that no worker has yet.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) accepted: Accepted,
    pub(super) arrival: Arrival,
    /// What has to be spoken first.
    pub(super) tls: Option<Tls>,
}

/// Listeners at work. Dropping it closes them.
pub(super) struct Acceptor {
    sockets: Vec<Socket>,
    /// The socket to look at first: each has its turn.
    first: usize,
    failures: Repeats<()>,
    _removals: Vec<Removal>,
}

struct Socket {
    kind: Kind,
    listener: usize,
}

enum Kind {
    Tcp {
        socket: TcpListener,
        /// Where it listens; `None` where that is every address, and each connection has to be asked.
        local: Option<SocketAddr>,
        tls: Option<Tls>,
    },
    Unix(UnixListener),
}

impl Acceptor {
    /// Hands the listeners to the current runtime.
    pub(super) fn new(listeners: Vec<Listener>) -> io::Result<Self> {
        let mut sockets = Vec::new();
        let mut removals = Vec::new();
        for (index, listener) in listeners.into_iter().enumerate() {
            let Listener { bound, sockets: opened, removal, tls } = listener;
            removals.extend(removal);
            for (place, socket) in opened.into_iter().enumerate() {
                let kind = match &bound {
                    Bound::Tcp(addresses) => Kind::Tcp {
                        socket: TcpListener::from_std(socket.into())?,
                        local: addresses.get(place).copied().filter(|bound| !bound.ip().is_unspecified()),
                        tls: tls.clone(),
                    },
                    Bound::Unix(_) => Kind::Unix(UnixListener::from_std(socket.into())?),
                };
                sockets.push(Socket { kind, listener: index });
            }
        }
        Ok(Self { sockets, first: 0, failures: Repeats::every(BETWEEN_LINES), _removals: removals })
    }

    /// Waits for a connection. Failures are logged, at most once in ten seconds, and waited out.
    /// Cancel safe.
    pub(super) async fn accept(&mut self) -> Incoming {
        loop {
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Ok(incoming) => return incoming,
                // The client has gone between its connection and its turn.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if let Some(due) = self.failures.met((), Instant::now()) {
                        log(&error, due);
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Closes the listeners. Returns the connections that the kernel has completed and nobody has accepted yet. The
    /// kernel itself is asked: the runtime may not have heard of them.
    pub(super) fn close(self) -> Vec<Incoming> {
        let mut found = Vec::new();
        for Socket { kind, listener } in self.sockets {
            let outcome = match kind {
                Kind::Tcp { socket, local, tls } => take_tcp(socket, (local, tls), listener, &mut found),
                Kind::Unix(socket) => take_unix(socket, listener, &mut found),
            };
            if let Err(error) = outcome
                && error.kind() != io::ErrorKind::WouldBlock
            {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a listener is closed with an error"
                );
            }
        }
        found
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let count = self.sockets.len();
        for step in 0..count {
            let index = (self.first + step) % count;
            if let Some(Poll::Ready(accepted)) = self.sockets.get(index).map(|socket| socket.poll_accept(cx))
            {
                self.first = index + 1;
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    }
}

impl Socket {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Incoming>> {
        let listener = self.listener;
        match &self.kind {
            Kind::Tcp { socket, local, tls } => socket.poll_accept(cx).map(|accepted| {
                let (stream, peer) = accepted?;
                let local = local.or_else(|| stream.local_addr().ok());
                let arrival = Arrival::new(listener, local, Some(peer));
                Ok(Incoming { accepted: Accepted::Tcp(stream.into_std()?), arrival, tls: tls.clone() })
            }),
            Kind::Unix(socket) => socket.poll_accept(cx).map(|accepted| {
                let (stream, _) = accepted?;
                let arrival = Arrival::new(listener, None, None);
                Ok(Incoming { accepted: Accepted::Unix(stream.into_std()?), arrival, tls: None })
            }),
        }
    }
}

/// Accepts until there is no connection left: the error says so.
fn take_tcp(
    socket: TcpListener,
    (local, tls): (Option<SocketAddr>, Option<Tls>),
    listener: usize,
    found: &mut Vec<Incoming>,
) -> io::Result<()> {
    let socket = socket.into_std()?;
    loop {
        match socket.accept() {
            Ok((stream, peer)) => {
                stream.set_nonblocking(true)?;
                let local = local.or_else(|| stream.local_addr().ok());
                let arrival = Arrival::new(listener, local, Some(peer));
                found.push(Incoming { accepted: Accepted::Tcp(stream), arrival, tls: tls.clone() });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Accepts until there is no connection left: the error says so.
fn take_unix(socket: UnixListener, listener: usize, found: &mut Vec<Incoming>) -> io::Result<()> {
    let socket = socket.into_std()?;
    loop {
        match socket.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                let arrival = Arrival::new(listener, None, None);
                found.push(Incoming { accepted: Accepted::Unix(stream), arrival, tls: None });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// True for errors that say nothing about the next connection (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

fn log(error: &io::Error, due: Due) {
    use rustix::io::Errno;
    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    if is(Errno::MFILE) || is(Errno::NFILE) {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        tracing::warn!(
            limit,
            more = due.more(),
            "no connection can be accepted: the process has all the files open that it may have. \
             Raise the limit (`ulimit -n`, LimitNOFILE= of systemd), or lower limits.connections"
        );
    } else {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            more = due.more(),
            "a connection cannot be accepted; the next one is tried in {} ms",
            PAUSE.as_millis()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(listen: &str) -> Listener {
        super::super::listener::bind(&listen.parse().unwrap()).unwrap()
    }

    /// The runtime hears of connections only when it looks; the kernel knows them before.
    #[tokio::test]
    async fn connections_that_nobody_has_heard_of_are_found_at_the_close() {
        let files = tempfile::TempDir::new().unwrap();
        let path = files.path().join("proxy.sock");
        let (tcp, unix) = (listener("127.0.0.1:0"), listener(&format!("unix:{}", path.display())));
        let address = tcp.bound.addresses()[0];
        let mut acceptor = Acceptor::new(vec![tcp, unix]).unwrap();
        let nobody = poll_fn(|cx| Poll::Ready(acceptor.poll_accept(cx).is_pending())).await;
        assert!(nobody);
        // No await until the close: the runtime does not look.
        let _clients = (std::net::TcpStream::connect(address).unwrap(), {
            std::os::unix::net::UnixStream::connect(&path).unwrap()
        });
        let found: Vec<usize> = acceptor.close().iter().map(|incoming| incoming.arrival.listener).collect();
        assert_eq!(found, [0, 1]);
        assert!(std::net::TcpStream::connect(address).is_err());
    }
}

//! Where clients come in: an address and a port, or a path in the file system.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};

use super::io::Accepted;

/// The kernel caps it; a burst of connections must not be refused.
const BACKLOG: i32 = 4096;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port; port 0 picks one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// Where is listened, really: as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The address with the port that was picked.
    Tcp(SocketAddr),
    /// The socket's path.
    Unix(PathBuf),
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why listening failed.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Somebody else listens there.
    #[error("{0} is in use: stop the other program, or listen elsewhere")]
    InUse(Bound),
    /// Something that is no socket is at the path.
    #[error("{} exists and is not a socket: remove it, or listen elsewhere", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    #[error("cannot listen on {0}")]
    Io(Bound, #[source] io::Error),
}

/// A listener that no runtime has yet.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    /// Where it listens.
    pub bound: Bound,
    removal: Option<Removal>,
}

/// Removes the socket's path at the end, where it is still ours.
#[derive(Debug)]
struct Removal {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for Removal {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Starts listening. Connections wait in the kernel's queue until a worker accepts them.
pub fn bind(listen: &Listen) -> Result<Listener, ListenError> {
    match listen {
        Listen::Tcp(address) => bind_tcp(*address),
        Listen::Unix(path) => bind_unix(path),
    }
}

fn bind_tcp(address: SocketAddr) -> Result<Listener, ListenError> {
    let failed = |error: io::Error| {
        if error.kind() == io::ErrorKind::AddrInUse {
            ListenError::InUse(Bound::Tcp(address))
        } else {
            ListenError::Io(Bound::Tcp(address), error)
        }
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(failed)?;
    // So that a restart does not wait for old connections. Not SO_REUSEPORT: a second proxy must
    // notice the first, and nobody may take a share of its connections.
    socket.set_reuse_address(true).map_err(failed)?;
    socket.bind(&address.into()).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
    Ok(Listener { socket, bound: Bound::Tcp(bound), removal: None })
}

fn bind_unix(path: &Path) -> Result<Listener, ListenError> {
    let bound = Bound::Unix(path.to_owned());
    let failed = |error: io::Error| ListenError::Io(bound.clone(), error);
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(ListenError::NotASocket(path.to_owned()));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(ListenError::InUse(bound));
        }
        std::fs::remove_file(path).map_err(failed)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(failed)?;
    socket.bind(&SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
    // Before listening, so that there is no moment at which somebody else could connect.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    let removal = Removal { path: path.to_owned(), identity: identity(path).map_err(failed)? };
    Ok(Listener { socket, bound: bound.clone(), removal: Some(removal) })
}

impl Listener {
    /// Hands the listener to the current runtime.
    pub(super) fn start(self) -> io::Result<Accepting> {
        let Self { socket, bound, removal } = self;
        let acceptor = match bound {
            Bound::Tcp(_) => Acceptor::Tcp(TcpListener::from_std(socket.into())?),
            Bound::Unix(_) => Acceptor::Unix(UnixListener::from_std(socket.into())?),
        };
        Ok(Accepting { acceptor, _removal: removal })
    }
}

/// A listener at work.
pub(super) struct Accepting {
    acceptor: Acceptor,
    _removal: Option<Removal>,
}

enum Acceptor {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    /// Waits for a connection. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        Ok(match &self.acceptor {
            Acceptor::Tcp(listener) => Accepted::Tcp(listener.accept().await?.0.into_std()?),
            Acceptor::Unix(listener) => Accepted::Unix(listener.accept().await?.0.into_std()?),
        })
    }
}

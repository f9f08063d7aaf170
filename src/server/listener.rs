//! Opens listening sockets, and takes them away at the end.

mod inherited;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use thiserror::Error;

pub use inherited::{InheritError, Inherited};

use super::listen::Listen;
use super::stream::set_options;
use super::tls::Tls;

/// The kernel caps it; a burst of connections must not be refused.
const BACKLOG: i32 = 4096;
/// How often another port is tried where `localhost:0` finds one that only one of both addresses has.
const PORTS_TRIED: usize = 16;

/// Where a listener really listens: as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The addresses, with the port that was picked. Two for `localhost`.
    Tcp(Vec<SocketAddr>),
    /// The path of the socket.
    Unix(PathBuf),
}

impl Bound {
    /// The TCP addresses; none for a Unix socket.
    pub fn addresses(&self) -> &[SocketAddr] {
        match self {
            Self::Tcp(addresses) => addresses,
            Self::Unix(_) => &[],
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addresses) => {
                for (index, address) in addresses.iter().enumerate() {
                    write!(f, "{}{address}", if index == 0 { "" } else { "," })?;
                }
                Ok(())
            }
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why listening failed. Each says what to do next.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Another program listens there.
    #[error(
        "{0} is in use: stop the program that listens there (`ss -ltnxp` shows it), or choose another address"
    )]
    InUse(Bound),
    /// The port needs a privilege.
    #[error(
        "port {} needs a privilege: choose a port from 1024 on, or give the program CAP_NET_BIND_SERVICE", .0.port()
    )]
    Privileged(SocketAddr),
    /// No network interface has the address.
    #[error("this machine has no address {}: choose one that `ip address` shows, or 127.0.0.1", .0.ip())]
    NoSuchAddress(SocketAddr),
    /// The directory of the socket does not exist.
    #[error("the directory {} does not exist: create it, or choose another path", .0.display())]
    NoDirectory(PathBuf),
    /// The user of the program may not create the socket.
    #[error(
        "no permission to create {}: give this user write permission in its directory, or choose another path",
        .0.display()
    )]
    Denied(PathBuf),
    /// Something that is no socket is at the path.
    #[error("{} exists and is not a socket: remove it, or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// The system refused for another reason.
    #[error("cannot listen on {0}")]
    Io(Bound, #[source] io::Error),
}

/// A listener that no runtime has yet. Dropping it closes it, and removes a Unix socket's path.
#[derive(Debug)]
pub struct Listener {
    /// Where it listens.
    pub bound: Bound,
    pub(super) sockets: Vec<Socket>,
    pub(super) removal: Option<Removal>,
    pub(super) tls: Option<Tls>,
}

impl Listener {
    /// The same with TLS, where it is one of TCP.
    #[must_use]
    pub fn with_tls(self, tls: &Tls) -> Self {
        let speaks = matches!(self.bound, Bound::Tcp(_));
        Self { tls: speaks.then(|| tls.clone()), ..self }
    }
}

/// Removes the path of a socket at the end, where it is still ours.
#[derive(Debug)]
pub(super) struct Removal {
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
        Listen::Tcp(address) => {
            let (socket, bound) = bind_tcp(*address)?;
            Ok(Listener { bound: Bound::Tcp(vec![bound]), sockets: vec![socket], removal: None, tls: None })
        }
        Listen::Localhost(port) => bind_localhost(*port),
        Listen::Unix { path, mode } => bind_unix(path, *mode),
    }
}

/// Both loopback addresses, with the same port. A machine may have only one of them.
fn bind_localhost(port: u16) -> Result<Listener, ListenError> {
    let mut tried = 0;
    loop {
        tried += 1;
        let first = bind_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let picked = first.as_ref().map_or(port, |(_, bound)| bound.port());
        let second = bind_tcp(SocketAddr::from((Ipv6Addr::LOCALHOST, picked)));
        let both = match (first, second) {
            (Ok(first), Ok(second)) => vec![first, second],
            (Ok(only), Err(ListenError::NoSuchAddress(_)))
            | (Err(ListenError::NoSuchAddress(_)), Ok(only)) => {
                vec![only]
            }
            (Ok(_), Err(ListenError::InUse(_))) if port == 0 && tried < PORTS_TRIED => continue,
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let (sockets, addresses) = both.into_iter().unzip();
        return Ok(Listener { bound: Bound::Tcp(addresses), sockets, removal: None, tls: None });
    }
}

fn bind_tcp(address: SocketAddr) -> Result<(Socket, SocketAddr), ListenError> {
    let failed = |error: io::Error| tcp_error(address, error);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))
        .map_err(failed)?;
    // So that a restart does not wait for old connections. Not SO_REUSEPORT: a second proxy must
    // notice the first, and nobody may take a share of its connections.
    socket.set_reuse_address(true).map_err(failed)?;
    set_options(&socket).map_err(failed)?;
    socket.bind(&address.into()).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    let bound = socket.local_addr().map_err(failed)?.as_socket().unwrap_or(address);
    Ok((socket, bound))
}

fn bind_unix(path: &Path, mode: u32) -> Result<Listener, ListenError> {
    let bound = Bound::Unix(path.to_owned());
    let failed = |error: io::Error| unix_error(path, error);
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        if !metadata.file_type().is_socket() {
            return Err(ListenError::NotASocket(path.to_owned()));
        }
        if is_served(path) {
            return Err(ListenError::InUse(bound));
        }
        std::fs::remove_file(path).map_err(failed)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).map_err(failed)?;
    socket.bind(&SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
    let removal = Removal { path: path.to_owned(), identity: identity(path).map_err(failed)? };
    // Before listening, so that there is no moment at which somebody else could connect.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    Ok(Listener { bound: bound.clone(), sockets: vec![socket], removal: Some(removal), tls: None })
}

fn tcp_error(address: SocketAddr, error: io::Error) -> ListenError {
    let bound = Bound::Tcp(vec![address]);
    let kind = error.kind();
    let no_family = error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    if kind == io::ErrorKind::AddrInUse {
        ListenError::InUse(bound)
    } else if kind == io::ErrorKind::PermissionDenied && address.port() < 1024 {
        ListenError::Privileged(address)
    } else if kind == io::ErrorKind::AddrNotAvailable || no_family {
        ListenError::NoSuchAddress(address)
    } else {
        ListenError::Io(bound, error)
    }
}

fn unix_error(path: &Path, error: io::Error) -> ListenError {
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        ListenError::InUse(Bound::Unix(path.to_owned()))
    } else if kind == io::ErrorKind::NotFound {
        ListenError::NoDirectory(directory(path))
    } else if kind == io::ErrorKind::PermissionDenied {
        ListenError::Denied(path.to_owned())
    } else {
        ListenError::Io(Bound::Unix(path.to_owned()), error)
    }
}

/// True unless the kernel says that nobody listens there. A server whose queue is full (`WouldBlock`)
/// or that does not admit this user still serves it. Does not wait.
fn is_served(path: &Path) -> bool {
    let connected = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)
        .and_then(|socket| socket.connect(&SockAddr::unix(path)?));
    !connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn directory(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;

//! Sockets that somebody has opened for this process: systemd (`sd_listen_fds(3)`), or the process before it.
//!
//! Such a socket stays open while processes come and go, so that no client is refused in between.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use listenfd::ListenFd;
use socket2::Socket;
use thiserror::Error;

use super::{Bound, Listener};
use crate::server::listen::Listen;
use crate::server::stream::set_options;

/// The sockets that nobody has taken yet.
#[derive(Debug, Default)]
pub struct Inherited(VecDeque<Passed>);

#[derive(Debug)]
struct Passed {
    /// `FileDescriptorName=` of a socket unit.
    name: Option<String>,
    bound: Bound,
    socket: Socket,
}

/// What was passed cannot be listened on.
#[derive(Debug, Error)]
#[error(
    "LISTEN_FDS: descriptor number {number} of those that were passed is no listening socket of TCP or Unix: pass sockets of the types that `ListenStream=` makes"
)]
pub struct InheritError {
    number: usize,
    #[source]
    error: io::Error,
}

impl Inherited {
    /// Takes over what `LISTEN_FDS` says. To be called before there are other threads, since the variables are
    /// removed: no child process is to think that it has these sockets.
    /// `names` is the value of `LISTEN_FDNAMES`.
    pub fn of_process(names: &str) -> Result<Self, InheritError> {
        let mut names = names.split(':').map(|name| (!name.is_empty()).then(|| name.to_owned()));
        let mut passed = ListenFd::from_env();
        let sockets = (0..passed.len()).map(|index| {
            let name = names.next().flatten();
            let (bound, socket) =
                take(&mut passed, index).map_err(|error| InheritError { number: index + 1, error })?;
            Ok(Passed { name, bound, socket })
        });
        sockets.collect::<Result<_, _>>().map(Self)
    }

    /// The socket that is bound where the configuration says.
    pub fn at(&mut self, listen: &Listen) -> Option<Listener> {
        let is_there = |bound: &Bound| match (listen, bound) {
            (Listen::Tcp(wanted), Bound::Tcp(addresses)) => addresses.contains(wanted),
            (Listen::Localhost(port), Bound::Tcp(addresses)) => {
                let loopback =
                    [SocketAddr::from((Ipv4Addr::LOCALHOST, *port)), (Ipv6Addr::LOCALHOST, *port).into()];
                addresses.iter().any(|address| loopback.contains(address))
            }
            (Listen::Unix { path, .. }, Bound::Unix(own)) => path == own,
            _ => false,
        };
        self.take(|passed| is_there(&passed.bound), matches!(listen, Listen::Localhost(_)))
    }

    /// The socket with this name.
    pub fn named(&mut self, name: &str) -> Option<Listener> {
        self.take(|passed| passed.name.as_deref() == Some(name), false)
    }

    /// The first socket that nobody has taken.
    pub fn first(&mut self) -> Option<Listener> {
        self.take(|_| true, false)
    }

    /// Takes the first socket that fits, or all of them as one listener.
    fn take(&mut self, fits: impl Fn(&Passed) -> bool, all: bool) -> Option<Listener> {
        let mut found: Option<Listener> = None;
        let mut rest = VecDeque::new();
        for passed in std::mem::take(&mut self.0) {
            match &mut found {
                None if fits(&passed) => {
                    let (bound, sockets) = (passed.bound, vec![passed.socket]);
                    found = Some(Listener { bound, sockets, removal: None, tls: None });
                }
                Some(Listener { bound: Bound::Tcp(addresses), sockets, .. }) if all && fits(&passed) => {
                    addresses.extend_from_slice(passed.bound.addresses());
                    sockets.push(passed.socket);
                }
                None | Some(_) => rest.push_back(passed),
            }
        }
        self.0 = rest;
        found
    }
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<(Bound, Socket)> {
    let gone = || io::Error::other("it has been taken");
    // Of another type it stays where it is.
    let (bound, socket) = if let Ok(listener) = passed.take_tcp_listener(index) {
        let listener = listener.ok_or_else(gone)?;
        (Bound::Tcp(vec![listener.local_addr()?]), Socket::from(listener))
    } else {
        let listener = passed.take_unix_listener(index)?.ok_or_else(gone)?;
        let address = listener.local_addr()?;
        let path = address.as_pathname().map_or_else(|| PathBuf::from("(no path)"), PathBuf::from);
        (Bound::Unix(path), Socket::from(listener))
    };
    if !socket.is_listener()? {
        return Err(io::Error::other("it does not listen"));
    }
    socket.set_nonblocking(true)?;
    if !bound.addresses().is_empty() {
        set_options(&socket)?;
    }
    Ok((bound, socket))
}

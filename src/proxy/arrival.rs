//! How a request came in.

use std::net::IpAddr;
use std::sync::Arc;

use crate::peer::Peer;

/// How a request came in: the same for all requests of one connection.
#[derive(Clone, Debug, Default)]
pub struct Arrival {
    /// By which listener, counted from 0.
    pub listener: usize,
    /// The address of ours that the client connected to; `None` over a Unix socket.
    pub local_ip: Option<IpAddr>,
    /// Over TLS.
    pub is_secure: bool,
    /// What it proves of its client, where that is anything.
    pub peer: Option<Arc<Peer>>,
}

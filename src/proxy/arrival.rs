//! How a request came in.

use std::net::IpAddr;

/// How a request came in: the same for all requests of one connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    /// By which listener, counted from 0.
    pub listener: usize,
    /// The address of ours that the client connected to; `None` over a Unix socket.
    pub local_ip: Option<IpAddr>,
    /// The user at the other end of a Unix socket, where the system says so.
    pub uid: Option<u32>,
}

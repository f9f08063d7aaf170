//! Who is at the other end of a client connection, as the connection proves it. Pure.

use std::sync::Arc;

/// What a connection proves of its client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The user at the other end of a Unix socket.
    pub uid: Option<u32>,
    /// The names of its certificate; `None` where it showed none.
    pub names: Option<Arc<[SubjectName]>>,
}

/// A name of a client's certificate (RFC 5280 section 4.2.1.6).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SubjectName {
    /// A DNS name.
    Dns(String),
    /// A URI, such as a SPIFFE ID.
    Uri(String),
}

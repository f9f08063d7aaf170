//! What is left of a connection after 101: bytes in both directions.

use tokio::io::{AsyncRead, AsyncWrite};

use super::buffer::Buffer;

/// The far side of a tunnel.
pub struct Tunnel {
    /// Its byte stream.
    pub io: Box<dyn TunnelIo>,
    /// What has been read from it already.
    pub read: Buffer,
}

/// A byte stream.
pub trait TunnelIo: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> TunnelIo for T {}

//! The byte stream under an upstream connection.

use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

/// Clear text or TLS. TLS state is large and lives behind a pointer.
pub(super) type UpstreamIo = Either<TcpStream, Box<TlsStream<TcpStream>>>;

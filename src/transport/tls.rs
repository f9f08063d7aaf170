//! Stand-in.
use thiserror::Error;
/// e
#[derive(Debug, Error)]
pub enum TlsError {
    /// n
    #[error("`{0}` is not a name that TLS can verify")]
    Name(String),
}

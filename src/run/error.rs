//! Why the proxy cannot start.

use std::io;

use thiserror::Error;

use crate::log::LogError;
use crate::server::ListenError;
use crate::tokens::HttpClientError;
use crate::traces::TracesError;
use crate::upstream::tls::TlsError;

/// Why the proxy cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address is taken, or not ours to take.
    #[error("{name}: {error}")]
    Listen {
        /// The key, with its variable.
        name: &'static str,
        /// What is wrong.
        error: ListenError,
    },
    /// A socket was passed to the process that no listener needs.
    #[error(
        "the socket {0} was passed to this process, and no listener needs it: pass one for `listen`, then one for each profile with a `listen` of its own, and name that of the admin pages `admin` (FileDescriptorName=admin)"
    )]
    NeedlessSocket(String),
    /// A socket was passed to the process that other machines can reach, although nobody has said who may use it.
    #[error(
        "{name}: the socket {address} that was passed to this process can be reached from other machines; set guard.allowed_hosts (CXONE_PROXY_ALLOWED_HOSTS) to the host names that clients use, or pass one on a loopback address"
    )]
    PublicSocket {
        /// The key, with its variable.
        name: &'static str,
        /// Where it is bound.
        address: String,
    },
    /// TLS cannot be set up as configured.
    #[error("upstream: {0}")]
    Tls(#[from] TlsError),
    /// The token endpoint or the discovery cannot be asked as configured.
    #[error("the token endpoint or the discovery cannot be asked as configured")]
    Client(#[from] HttpClientError),
    /// Traces cannot be sent as configured.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The filter of the log cannot be changed.
    #[error("the log's filter cannot be changed")]
    Log(#[from] LogError),
    /// There is no listener at all.
    #[error("there is no listener")]
    NoListener,
    /// The machine refuses what every program needs.
    #[error("the program cannot be set up")]
    Machine(#[from] io::Error),
}

impl StartError {
    /// True where the configuration is at fault rather than the machine.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Self::Tls(_)
                | Self::Client(_)
                | Self::Traces(_)
                | Self::NeedlessSocket(_)
                | Self::PublicSocket { .. }
        )
    }
}

//! What works but should be looked at.

use std::{fmt, path::PathBuf};

use jiff::Timestamp;

/// Something that works but should be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Every user of the machine can read a secret's file.
    SecretReadableByAll(PathBuf),
    /// One body may be kept that is larger than all together may be.
    ReplayBufferTooLarge,
    /// The listener's certificate expires within a week, or has expired.
    CertificateEnds {
        /// The file.
        path: PathBuf,
        /// The last moment of its validity.
        end: Timestamp,
    },
    /// Clients send their keys over a network in the clear.
    KeysInTheClear,
    /// An entry of `NO_PROXY` that can match no host.
    UnknownNoProxy {
        /// The variable.
        variable: &'static str,
        /// The entry, fit to be shown.
        entry: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretReadableByAll(path) => write!(
                f,
                "every user of this machine can read the secret in {0}: run `chmod 600 {0}`",
                path.display()
            ),
            Self::ReplayBufferTooLarge => f.write_str(
                "retry.replay_buffer is larger than retry.replay_memory, so a body that needs more than \
                 retry.replay_memory is never kept: raise CXONE_PROXY_REPLAY_MEMORY or lower \
                 CXONE_PROXY_REPLAY_BUFFER",
            ),
            Self::CertificateEnds { path, end } => write!(
                f,
                "the certificate in {} is valid until {}, and no client accepts it afterwards: replace it; the program \
                 takes the new one over by itself",
                path.display(),
                end.strftime("%Y-%m-%d %H:%M UTC")
            ),
            Self::KeysInTheClear => f.write_str(
                "clients send their keys to a listener that other machines can reach, and everybody on the way can read \
                 them: set CXONE_PROXY_TLS_CERT and CXONE_PROXY_TLS_KEY, or let a proxy with TLS stand before this one",
            ),
            Self::UnknownNoProxy { variable, entry } => write!(
                f,
                "{variable} has the entry `{entry}`, which matches no host; accepted: `name`, `.name`, \
                 `*.name`, `name:port`, an IP address, a network such as `10.0.0.0/8`, or `*`"
            ),
        }
    }
}

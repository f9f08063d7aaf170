//! Credentials as the configuration gives them: an identifier, and where its secret comes from.

use std::path::PathBuf;

use crate::secret::Secret;

/// An identifier with its secret: a client's (RFC 6749 section 2.3.1) or an access key's. `Debug` shows no
/// secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The identifier. Not secret.
    pub id: String,
    /// Where the secret comes from.
    pub secret: SecretSource,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Given once, good until the end.
    Value(Secret),
    /// Read again for every token request, so that a rotated secret needs no restart.
    File {
        /// Its path.
        path: PathBuf,
        /// What it held at start: used while the file is gone or invalid, until it has been read once.
        at_start: Secret,
    },
}

impl SecretSource {
    /// The secret as it was at start.
    pub fn at_start(&self) -> &Secret {
        match self {
            Self::Value(secret) | Self::File { at_start: secret, .. } => secret,
        }
    }
}

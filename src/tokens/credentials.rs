//! Credentials as the configuration gives them: an identifier, and where its secret comes from.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::secret::{Secret, SecretFault};

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
    Read {
        /// From where.
        place: SecretPlace,
        /// What it held at start: used while it gives none, until it has been read once.
        at_start: Secret,
    },
}

/// What a secret is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// A file.
    File(PathBuf),
    /// What a command prints: the program and its arguments.
    Command(Arc<[String]>),
}

/// How long a command may take: it may have to ask a server.
pub const COMMAND_TIME_OUT: Duration = Duration::from_secs(10);

impl SecretPlace {
    /// Reads the secret. Blocks as long as a file system does; a command is killed after [`COMMAND_TIME_OUT`].
    pub(super) fn read(&self) -> Result<Secret, SecretFault> {
        match self {
            Self::File(path) => Secret::from_file(path),
            Self::Command(command) => Secret::from_command(command, COMMAND_TIME_OUT),
        }
    }
}

impl fmt::Display for SecretPlace {
    /// Arguments of a command may be nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the secret file {}", path.display()),
            Self::Command(command) => {
                write!(f, "the command {}", command.first().map_or("", String::as_str))
            }
        }
    }
}

impl SecretSource {
    /// The secret as it was at start.
    pub fn at_start(&self) -> &Secret {
        match self {
            Self::Value(secret) | Self::Read { at_start: secret, .. } => secret,
        }
    }
}

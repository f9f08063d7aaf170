//! How a command ends.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did its work.
    Well,
    /// It could not.
    Failed,
    /// It did not try: its configuration is wrong.
    Misconfigured,
    /// This signal, the second one, ended it at once.
    Signalled(u8),
}

impl Ending {
    /// The exit status: 0, 1, 2, or 128 plus the signal's number.
    pub fn status(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Failed => 1,
            Self::Misconfigured => 2,
            Self::Signalled(signal) => 128_u8.saturating_add(signal),
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.status())
    }
}

//! Text that `Debug` does not show.

use std::fmt;

/// The secret of a client or of an access key.
///
/// There is no `Display`; [`Secret::reveal`] returns the text. Unlike the proxy's, it is not cleared
/// from memory: the secrets of a simulated region are made up.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

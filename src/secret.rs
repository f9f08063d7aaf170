//! Text that must not be seen: cleared from memory when dropped, never printed.

use std::fmt;

use zeroize::Zeroizing;

/// A client secret, an access token or a refresh token.
///
/// `Debug` shows nothing of it and there is no `Display`; [`Secret::reveal`] is the only way to the
/// text, so that every use can be found by its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, for the one place that must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

//! Names of certificates, and the patterns that clients are known by. Pure.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;
use crate::peer::SubjectName;
use crate::text::printable_bytes;

/// A DNS name or a URI such as a SPIFFE ID, exact or with a star at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    /// Without the star; a DNS name in small letters.
    text: String,
    is_uri: bool,
    is_prefix: bool,
}

impl NamePattern {
    /// How well a name fits: exactly, then by the length of the pattern. `None` where it does not.
    pub(super) fn fit(&self, name: &SubjectName) -> Option<(bool, usize)> {
        let fits = match (self.is_uri, name) {
            (true, SubjectName::Uri(uri)) => self.covers(uri),
            (false, SubjectName::Dns(name)) => self.covers(&name.to_ascii_lowercase()),
            (true, SubjectName::Dns(_)) | (false, SubjectName::Uri(_)) => false,
        };
        fits.then_some((!self.is_prefix, self.text.len()))
    }

    fn covers(&self, name: &str) -> bool {
        if self.is_prefix { name.starts_with(&self.text) } else { name == self.text }
    }
}

impl FromStr for NamePattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (bare, is_prefix) = text.strip_suffix('*').map_or((text, false), |bare| (bare, true));
        let is_uri = bare.contains("://");
        if bare.is_empty() {
            return Err(Invalid::because("fits every certificate"));
        }
        if bare.contains('*') {
            return Err(Invalid::because("has a star that is not at its end"));
        }
        if !bare.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Invalid::because("has a character that no name of a certificate has"));
        }
        // Beyond the trust domain anybody may be anything.
        if is_uri && is_prefix && !bare.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) {
            return Err(Invalid::because("has a star in the trust domain"));
        }
        let text = if is_uri { bare.to_owned() } else { bare.to_ascii_lowercase() };
        Ok(Self { text, is_uri, is_prefix })
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.text, if self.is_prefix { "*" } else { "" })
    }
}

/// A name for a person.
pub(super) fn text(name: &SubjectName) -> String {
    let (SubjectName::Dns(text) | SubjectName::Uri(text)) = name;
    printable_bytes(text.as_bytes())
}

//! How field names are written over HTTP/1.1, towards clients and upstream alike.

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

/// The spelling of field names on an HTTP/1.1 connection. HTTP/2 knows lower case only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderCase {
    /// `Content-Type`, whatever the sender wrote.
    #[default]
    Title,
    /// As the sender wrote it, where that came over HTTP/1.1; else as [`HeaderCase::Title`]. Costs a map
    /// of original names for each message.
    Preserve,
}

impl FromStr for HeaderCase {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "title" => Ok(Self::Title),
            "preserve" => Ok(Self::Preserve),
            _ => Err(Invalid::because("is not a known spelling")),
        }
    }
}

impl fmt::Display for HeaderCase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Title => "title",
            Self::Preserve => "preserve",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for case in [HeaderCase::Title, HeaderCase::Preserve] {
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        for text in ["", "Title", "lower", "title "] {
            assert!(text.parse::<HeaderCase>().is_err(), "{text:?}");
        }
    }
}

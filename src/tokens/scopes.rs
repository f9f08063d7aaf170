//! A list of scopes (RFC 6749 section 3.3).

use std::fmt;
use std::str::FromStr;

use crate::invalid::Invalid;

/// Scopes to request, perhaps none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<String>);

impl Scopes {
    /// True where none is requested.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes in their order.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Scopes {
    type Err = Invalid;

    /// Scopes are separated by white space.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let names: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        let is_legal = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if names.iter().all(|name| name.bytes().all(is_legal)) {
            Ok(Self(names))
        } else {
            Err(Invalid::because("contains a character that no scope may have"))
        }
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_white_space_separates(names in proptest::collection::vec("[a-z:._-]{1,9}", 0..5), gap in "[ \\t]{1,3}") {
            let scopes: Scopes = names.join(&gap).parse().unwrap();
            prop_assert_eq!(scopes.names(), &names[..]);
            prop_assert_eq!(scopes.to_string(), names.join(" "));
        }

        #[test]
        fn no_text_upsets_the_parser(text in "\\PC*") {
            let _ = text.parse::<Scopes>();
        }
    }

    #[test]
    fn scopes_are_separated_by_white_space_and_joined_by_one_space() {
        let scopes: Scopes = "  users:read\t calls ".parse().unwrap();
        assert_eq!(scopes.names(), ["users:read", "calls"]);
        assert_eq!(scopes.to_string(), "users:read calls");
        assert!("  ".parse::<Scopes>().unwrap().is_empty());
        for text in ["a\"b", "a\\b", "\u{e4}", "a\u{7f}"] {
            assert!(text.parse::<Scopes>().is_err(), "{text}");
        }
    }
}

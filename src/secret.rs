//! Text that must not be seen: cleared from memory when dropped, never printed.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// The most of a secret file that is read. A secret is a line of text; whoever names a disk image
/// by mistake should not see it loaded into memory.
const LONGEST_FILE: u64 = 64 * 1024;

/// A client secret, an access token or a refresh token.
///
/// `Debug` shows nothing of it and there is no `Display`; [`Secret::reveal`] is the only way to the
/// text, so that every use can be found by its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Why a text or a file holds no usable secret. Says nothing of the text itself.
#[derive(Debug, thiserror::Error)]
pub enum SecretFault {
    /// The file could not be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file is larger than any secret.
    #[error("it is larger than 64 KiB")]
    TooLarge,
    /// The file holds bytes that are no UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Nothing is there.
    #[error("it is empty")]
    Empty,
    /// White space stands before or after the secret, as a careless copy leaves it.
    #[error("it has white space before or after the secret")]
    SurroundingSpace,
}

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A secret as a person gives it: not empty, no white space around it.
    pub fn given(text: String) -> Result<Self, SecretFault> {
        let text = Zeroizing::new(text);
        if text.is_empty() {
            Err(SecretFault::Empty)
        } else if text.trim() != text.as_str() {
            Err(SecretFault::SurroundingSpace)
        } else {
            Ok(Self(text))
        }
    }

    /// The secret in a file. One line end (`\n` or `\r\n`) at its end is not part of it.
    ///
    /// Blocks while the file system does.
    pub fn from_file(path: &Path) -> Result<Self, SecretFault> {
        let mut bytes = Zeroizing::new(Vec::new());
        File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LONGEST_FILE {
            return Err(SecretFault::TooLarge);
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| SecretFault::NotText)?;
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        Self::given(line.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file(bytes: &[u8]) -> Result<Secret, SecretFault> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, bytes).unwrap();
        Secret::from_file(&path)
    }

    #[test]
    fn one_line_end_is_ignored() {
        for bytes in [b"s3cret".as_slice(), b"s3cret\n", b"s3cret\r\n"] {
            assert_eq!(in_file(bytes).unwrap().reveal(), "s3cret");
        }
        assert_eq!(in_file(b"two words").unwrap().reveal(), "two words");
    }

    #[test]
    fn other_white_space_is_an_error_that_says_so() {
        for bytes in [b" s3cret".as_slice(), b"s3cret ", b"s3cret\n\n", b"\ns3cret", b"s3cret\r", b"\n\n"] {
            let fault = in_file(bytes).unwrap_err();
            assert!(matches!(fault, SecretFault::SurroundingSpace), "{bytes:?}");
            assert!(!fault.to_string().contains("s3cret"));
        }
    }

    #[test]
    fn what_holds_no_secret_is_told_apart() {
        assert!(matches!(in_file(b""), Err(SecretFault::Empty)));
        assert!(matches!(in_file(b"\n"), Err(SecretFault::Empty)));
        assert!(matches!(in_file(b"\xff\xfe"), Err(SecretFault::NotText)));
        assert!(matches!(in_file(&vec![b'x'; 70_000]), Err(SecretFault::TooLarge)));
        assert!(matches!(Secret::from_file(Path::new("/nowhere/at/all")), Err(SecretFault::Unreadable(_))));
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("s3cret".to_owned())), "Secret(…)");
    }
}

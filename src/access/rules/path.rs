//! A path as rules see it: decoded once, without repeated slashes, and read in one way only. Pure.
//!
//! Not `percent_encoding::percent_decode`: it passes invalid encodings on as they are, and does not say which
//! bytes were encoded, which is what matters here.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// Why two servers could read a path differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ambiguity {
    /// `%2F`
    EncodedSlash,
    /// `\` or `%5C`
    Backslash,
    /// `;` or `%3B`
    Parameter,
    /// `%2E`
    EncodedDot,
    /// A segment `.` or `..`
    DotSegment,
    /// A segment that ends with a dot or a space, or begins with a space
    SegmentEnd,
    /// `%25`, with which a second decoding would find something else
    DoubleEncoding,
    /// `%3F` or `%23`
    EncodedDelimiter,
    /// A percent sign without two hexadecimal digits
    InvalidEncoding,
    /// `%00` and other control characters
    Control,
    /// Bytes that are not UTF-8, such as an overlong slash
    NotUtf8,
    /// A character that some servers read as an ASCII character
    LookAlike,
    /// `//` at the beginning, which may be read as a host
    TwoSlashes,
}

impl fmt::Display for Ambiguity {
    /// The predicate of a sentence about the path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EncodedSlash => "has an encoded slash (`%2F`)",
            Self::Backslash => "has a backslash",
            Self::Parameter => "has a semicolon",
            Self::EncodedDot => "has an encoded dot (`%2E`)",
            Self::DotSegment => "has a segment `.` or `..`",
            Self::SegmentEnd => "has a segment with a space at its beginning, or a space or dot at its end",
            Self::DoubleEncoding => "has an encoded percent sign (`%25`)",
            Self::EncodedDelimiter => "has an encoded `?` or `#`",
            Self::InvalidEncoding => "has a `%` without two hexadecimal digits behind it",
            Self::Control => "has a control character",
            Self::NotUtf8 => "has bytes that are not UTF-8",
            Self::LookAlike => "has a character that some servers read as an ASCII character",
            Self::TwoSlashes => "begins with two slashes",
        })
    }
}

/// The path that every server reads, or why there is none. An empty one is `/`.
pub(super) fn plain(path: &str) -> Result<String, Ambiguity> {
    if path.starts_with("//") {
        return Err(Ambiguity::TwoSlashes);
    }
    let mut plain = Vec::with_capacity(path.len() + 1);
    let mut rest = path.bytes();
    while let Some(written) = rest.next() {
        let is_encoded = written == b'%';
        let byte = if is_encoded { encoded(rest.next(), rest.next())? } else { written };
        match byte {
            b'/' if is_encoded => return Err(Ambiguity::EncodedSlash),
            b'.' if is_encoded => return Err(Ambiguity::EncodedDot),
            b'\\' => return Err(Ambiguity::Backslash),
            b';' => return Err(Ambiguity::Parameter),
            b'%' => return Err(Ambiguity::DoubleEncoding),
            b'?' | b'#' => return Err(Ambiguity::EncodedDelimiter),
            0..=0x1f | 0x7f => return Err(Ambiguity::Control),
            b'/' if plain.last() == Some(&b'/') => {}
            byte => plain.push(byte),
        }
    }
    if plain.is_empty() {
        plain.push(b'/');
    }
    let plain = String::from_utf8(plain).map_err(|_| Ambiguity::NotUtf8)?;
    if !plain.is_ascii() && plain.chars().any(looks_like_ascii) {
        return Err(Ambiguity::LookAlike);
    }
    for segment in plain.split('/') {
        if matches!(segment, "." | "..") {
            return Err(Ambiguity::DotSegment);
        }
        if segment.starts_with(' ') || segment.ends_with([' ', '.']) {
            return Err(Ambiguity::SegmentEnd);
        }
    }
    Ok(plain)
}

/// The byte that two hexadecimal digits are.
fn encoded(high: Option<u8>, low: Option<u8>) -> Result<u8, Ambiguity> {
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (high, low) = digit(high).zip(digit(low)).ok_or(Ambiguity::InvalidEncoding)?;
    Ok(high * 16 + low)
}

/// True for characters that compatibility forms (U+FF0F, a wide slash) or a change of case (U+017F, a long s)
/// turn into ASCII characters.
fn looks_like_ascii(character: char) -> bool {
    if character.is_ascii() {
        return false;
    }
    let has_ascii = |mut characters: Box<dyn Iterator<Item = char>>| characters.any(|one| one.is_ascii());
    let mut upper = character.to_uppercase();
    // More than one is no simple mapping: a sharp s becomes two letters, and no server compares so.
    let is_upper_ascii = upper.len() == 1 && upper.next().is_some_and(|one| one.is_ascii());
    is_upper_ascii
        || has_ascii(Box::new(character.to_lowercase()))
        || has_ascii(Box::new(std::iter::once(character).nfkc()))
}

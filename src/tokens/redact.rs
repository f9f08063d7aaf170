//! Makes foreign text fit to be shown. Pure.
//!
//! A token endpoint, or whatever responds in its place, may send anything back: control characters that
//! forge log lines, a page of text, or the very secret that it was sent, in any encoding.

mod spelling;
mod words;

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::text::printable;

/// The most characters of a text that are shown. An explanation fits; an attack on a log does not.
pub(crate) const LONGEST: usize = 200;
/// Shorter secrets are not searched for inside of other encodings: chance would find them everywhere.
const SHORTEST_ENCODED: usize = 8;

const WITHHELD: &str = "[withheld]";

/// What must not be shown, in whatever encoding a text repeats it. `Debug` shows nothing of it.
#[derive(Debug, Default)]
pub(crate) struct Redactor {
    needles: Vec<Needle>,
}

/// One text to search for.
#[derive(Debug)]
struct Needle {
    text: Secret,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The secret itself. Percent-encoded, escaped and otherwise spelled forms are found too.
    Secret,
    /// A secret that is an ordinary word: in running text it is part of an explanation, and cutting it out
    /// would give it away.
    Word,
    /// A part of a Base64 or hexadecimal text that holds the secret. All of that text is withheld.
    Encoded,
}

impl Redactor {
    /// Withholds this secret.
    pub(crate) fn add(&mut self, secret: &Secret) {
        let text = secret.reveal();
        if text.is_empty() {
            return;
        }
        let kind = if words::is_ordinary(text) { Kind::Word } else { Kind::Secret };
        self.needles.push(Needle { text: secret.clone(), kind });
        if text.len() >= SHORTEST_ENCODED {
            let encoded = base64_parts(text).into_iter().chain([hexadecimal(text)]);
            self.needles.extend(encoded.map(|text| Needle { text, kind: Kind::Encoded }));
        }
    }

    /// Withholds an identifier and a secret in one Base64 text (RFC 7617).
    pub(crate) fn add_pair(&mut self, id: &str, secret: &Secret) {
        let pair = Zeroizing::new(format!("{id}:{}", secret.reveal()));
        let encoded = STANDARD.encode(pair.as_bytes());
        let text = Secret::new(encoded.trim_end_matches('=').to_owned());
        self.needles.push(Needle { text, kind: Kind::Encoded });
    }

    /// Whether the text repeats a secret.
    pub(crate) fn finds_in(&self, text: &str) -> bool {
        text.char_indices().any(|(at, _)| self.found_at(text, at).is_some())
    }

    /// `text` without secrets, without anything but letters, digits, ASCII punctuation and spaces, and no
    /// longer than 200 characters.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text = text.trim();
        let mut shown = String::new();
        let mut characters = 0;
        let (mut rest, mut withheld_to) = (0, 0);
        // What comes after the longest text that is shown need not be searched.
        while characters <= LONGEST
            && let Some(c) = text.get(rest..).unwrap_or_default().chars().next()
        {
            if let Some(found) = self.found_at(text, rest) {
                // An encoded text begins before the part of it that was found.
                shown.truncate(shown.len() - (rest - found.start.max(withheld_to)));
                shown.push_str(WITHHELD);
                characters = shown.chars().count();
                (rest, withheld_to) = (found.end, found.end);
            } else {
                shown.push(c);
                characters += 1;
                rest += c.len_utf8();
            }
        }
        printable(shown.trim(), LONGEST)
    }

    /// The secret that begins at `at`, or the encoded text whose part does; the longest of several.
    fn found_at(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let found = self.needles.iter().filter_map(|needle| needle.found_at(text, at));
        found.max_by_key(|range| range.end)
    }
}

impl Needle {
    fn found_at(&self, text: &str, at: usize) -> Option<Range<usize>> {
        let end = spelling::end_of(self.text.reveal(), text, at)?;
        match self.kind {
            Kind::Secret => Some(at..end),
            Kind::Word => words::is_quoted(text, at..end).then_some(at..end),
            Kind::Encoded => Some(encoded_run(text, at..end)),
        }
    }
}

/// What every Base64 text has in it that encodes `text` at any place: three alignments, two alphabets.
fn base64_parts(text: &str) -> Vec<Secret> {
    let mut parts = Vec::new();
    for before in 0..3_usize {
        let bytes = Zeroizing::new([vec![0; before].as_slice(), text.as_bytes()].concat());
        let encoded = Zeroizing::new(STANDARD.encode(&*bytes));
        // The characters at both ends also encode what stands beside the text.
        let first = (before * 8).div_ceil(6);
        let last = bytes.len() * 8 / 6;
        let inner = encoded.get(first..last).unwrap_or_default();
        parts.push(Secret::new(inner.to_owned()));
        if inner.contains(['+', '/']) {
            parts.push(Secret::new(inner.replace('+', "-").replace('/', "_")));
        }
    }
    parts
}

fn hexadecimal(text: &str) -> Secret {
    let mut digits = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        for half in [byte >> 4, byte & 15] {
            digits.extend(char::from_digit(u32::from(half), 16));
        }
    }
    Secret::new(digits)
}

/// The whole Base64 or hexadecimal text around `found`.
fn encoded_run(text: &str, found: Range<usize>) -> Range<usize> {
    let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=' | '%');
    let before = text.get(..found.start).unwrap_or_default();
    let after = text.get(found.end..).unwrap_or_default();
    before.trim_end_matches(belongs).len()..text.len() - after.trim_start_matches(belongs).len()
}

#[cfg(test)]
mod tests;

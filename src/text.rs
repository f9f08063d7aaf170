//! Text for people: what others wrote, made safe to read, and durations in words. Pure.

use std::time::Duration;

/// As much of a client's text is repeated to a person, in characters.
const LONGEST: usize = 200;
/// The most bytes that a character has in UTF-8.
const LONGEST_CHARACTER: usize = 4;

/// The first `longest` characters of `text`, in a form that cannot harm its reader. Letters, digits, visible
/// ASCII and spaces stay. Everything else becomes U+FFFD: control characters, and those that are invisible or
/// change the direction of writing, so that a line looks other than it is.
pub fn printable(text: &str, longest: usize) -> String {
    let mut characters = text
        .chars()
        .map(|character| if is_harmless(character) { character } else { char::REPLACEMENT_CHARACTER });
    let mut shown: String = characters.by_ref().take(longest).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Bytes that a client chose, as [`printable`] text.
pub fn printable_bytes(bytes: &[u8]) -> String {
    // No more is decoded than is needed to see that the text is cut.
    let start = bytes.get(..=LONGEST * LONGEST_CHARACTER).unwrap_or(bytes);
    printable(&String::from_utf8_lossy(start), LONGEST)
}

/// A duration for a sentence.
pub fn spoken(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        millis @ 1000..120_000 => format!("{} s", millis.div_ceil(1000)),
        millis @ 120_000..7_200_000 => format!("{} min", millis.div_ceil(60_000)),
        millis => format!("{} h", millis.div_ceil(3_600_000)),
    }
}

/// A sentence of these words: with a capital, without a full stop.
pub fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", characters.as_str().trim_end_matches('.'))
}

fn is_harmless(character: char) -> bool {
    character == ' ' || character.is_ascii_graphic() || character.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_deceive_a_reader_is_replaced() {
        assert_eq!(
            printable_bytes("a\u{1b}[2J\nb\u{202e}c\u{2028}\u{200b}".as_bytes()),
            "a\u{fffd}[2J\u{fffd}b\u{fffd}c\u{fffd}\u{fffd}"
        );
        assert_eq!(printable_bytes("Zürich 1".as_bytes()), "Zürich 1");
        assert_eq!(printable_bytes(b"\xff"), "\u{fffd}");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        for character in ["x", "ü", "\u{10400}"] {
            let whole = character.repeat(LONGEST);
            assert_eq!(printable_bytes(whole.as_bytes()), whole);
            assert_eq!(printable_bytes(format!("{whole}{character}").as_bytes()), format!("{whole}…"));
        }
    }
}

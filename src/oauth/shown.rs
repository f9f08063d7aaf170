//! Makes text that somebody else wrote fit to be shown.
//!
//! A token endpoint, or whatever answers in its place, may send anything back: control characters
//! that forge log lines, a page of text, or the very secret it was sent.

use url::form_urlencoded::byte_serialize;

use crate::secret::Secret;

/// The most characters of a text that are shown. An explanation fits; an attack on a log does not.
pub(super) const LONGEST: usize = 200;

const WITHHELD: &str = "[withheld]";

/// `text` without the `secrets`, plain or form-encoded, without what is neither letter, digit,
/// ASCII punctuation nor space, and no longer than 200 characters.
pub fn shown(text: &str, secrets: &[&Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        text = withhold(text, secret.reveal());
        let encoded: String = byte_serialize(secret.reveal().as_bytes()).collect();
        text = withhold(text, &encoded);
    }
    let mut characters = text.trim().chars().map(|c| if is_harmless(c) { c } else { '\u{fffd}' });
    let mut plain: String = characters.by_ref().take(LONGEST).collect();
    if characters.next().is_some() {
        plain.push('…');
    }
    plain
}

fn withhold(text: String, secret: &str) -> String {
    if secret.is_empty() || !text.contains(secret) { text } else { text.replace(secret, WITHHELD) }
}

fn is_harmless(c: char) -> bool {
    c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn plain_words_pass() {
        assert_eq!(shown(" Client-ID ungültig (42). ", &[]), "Client-ID ungültig (42).");
    }

    #[test]
    fn the_secret_is_withheld_plain_and_encoded() {
        let secret = secret("p&ss w0rd");
        assert_eq!(shown("no p&ss w0rd, no p%26ss+w0rd", &[&secret]), "no [withheld], no [withheld]");
    }

    #[test]
    fn a_secret_at_the_cut_is_not_halved() {
        let secret = secret("0123456789");
        let text = format!("{}0123456789", "x".repeat(LONGEST - 5));
        assert!(!shown(&text, &[&secret]).contains("01234"));
    }

    #[test]
    fn control_characters_cannot_forge_a_line() {
        assert_eq!(shown("a\r\nb\u{1b}[31m\u{202e}c", &[]), "a\u{fffd}\u{fffd}b\u{fffd}[31m\u{fffd}c");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_short_and_without_the_secret(
            before in any::<String>(), secret_text in "[!-~]{12,40}", after in any::<String>()
        ) {
            let text = shown(&format!("{before}{secret_text}{after}"), &[&secret(&secret_text)]);
            prop_assert!(!text.contains(&secret_text));
            prop_assert!(text.chars().count() <= LONGEST + 1);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}

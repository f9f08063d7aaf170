use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE};
use proptest::prelude::*;

use super::*;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn redactor(text: &str) -> Redactor {
    let mut redactor = Redactor::default();
    redactor.add(&secret(text));
    redactor
}

fn redacted(text: &str, secret: &str) -> String {
    redactor(secret).redact(text)
}

#[test]
fn plain_words_pass() {
    assert_eq!(
        Redactor::default().redact(" Client-ID ung\u{fc}ltig (42). "),
        "Client-ID ung\u{fc}ltig (42)."
    );
}

#[test]
fn a_secret_is_withheld_in_every_encoding() {
    let secret = "p&s\"s w\u{f6}rd/1";
    for spelling in [
        "p&s\"s w\u{f6}rd/1",
        "P&S\"S W\u{f6}RD/1",
        "p%26s%22s+w%C3%B6rd%2F1",
        "p%26s%22s%20w%c3%b6rd/1",
        "p%2526s%2522s%2520w%25C3%25B6rd%252F1",
        "p&amp;s&quot;s w&#246;rd/1",
        "p&#x26;s&#34;s&#32;w&#xF6;rd&#47;1",
        "p&s\\\"s w\\u00f6rd\\/1",
        "p\\u0026s\\u0022s\\u0020w\\u00F6rd\\u002F1",
        "p\\x26s%22s w&#246;rd/1",
    ] {
        assert_eq!(redacted(&format!("bad <{spelling}>!"), secret), "bad <[withheld]>!", "{spelling}");
    }
}

#[test]
fn base64_and_hexadecimal_texts_that_hold_it_are_withheld_whole() {
    let secret = "s3cret~with?odd>bytes";
    for before in ["", "a:", "my app:", "client_secret=", "four"] {
        for after in ["", "&", "&x=1", "..."] {
            let text = format!("{before}{secret}{after}");
            for encoded in [
                STANDARD.encode(&text),
                STANDARD_NO_PAD.encode(&text),
                URL_SAFE.encode(&text),
                hexadecimal(&text).reveal().to_uppercase(),
            ] {
                assert_eq!(
                    redacted(&format!("Basic {encoded}, no"), secret),
                    "Basic [withheld], no",
                    "{text}"
                );
            }
            let escaped = STANDARD.encode(&text).replace('+', "%2B").replace('=', "%3D").replace('/', "%2F");
            assert_eq!(redacted(&format!("got {escaped}"), secret), "got [withheld]", "{text}");
        }
    }
}

#[test]
fn a_pair_is_withheld_however_short_its_secret_is() {
    let mut redactor = Redactor::default();
    redactor.add_pair("app", &secret("pw"));
    assert_eq!(redactor.redact("Basic YXBwOnB3."), "Basic [withheld].");
}

#[test]
fn an_ordinary_word_stays_in_an_explanation() {
    for (text, word) in [
        ("The secret is wrong.", "secret"),
        ("The secret is wrong.", "wrong"),
        ("Invalid client or Invalid client credentials", "client"),
        ("client_secret is missing (secret)", "secret"),
        ("invalid_client", "invalid"),
        ("a token was revoked, a client was disabled", "a"),
        ("test-client is unknown", "test"),
    ] {
        assert_eq!(redacted(text, word), text, "{word}");
    }
}

#[test]
fn an_ordinary_word_is_withheld_where_it_is_quoted_or_assigned() {
    for (text, word, shown) in [
        ("the secret 'secret' is wrong", "secret", "the secret '[withheld]' is wrong"),
        ("no \"Password\" here", "password", "no \"[withheld]\" here"),
        ("client_secret=test&x=1", "test", "client_secret=[withheld]&x=1"),
        ("client_secret: demo", "demo", "client_secret: [withheld]"),
        ("<secret>demo</secret>", "demo", "<secret>[withheld]</secret>"),
        ("demo", "demo", "[withheld]"),
    ] {
        assert_eq!(redacted(text, word), shown, "{word}");
    }
}

#[test]
fn every_other_secret_is_withheld_in_a_sentence_too() {
    assert_eq!(redacted("the secret hunter is wrong", "hunter"), "the secret [withheld] is wrong");
    assert_eq!(redacted("the secret s3cret is wrong", "s3cret"), "the secret [withheld] is wrong");
    assert_eq!(redacted("xs3cretx", "s3cret"), "x[withheld]x");
}

#[test]
fn a_secret_at_the_cut_is_not_halved() {
    let secret = "0123456789";
    let text = format!("{}{secret}", "x".repeat(LONGEST - 5));
    assert!(!redacted(&text, secret).contains("01234"));
    let many = format!("{secret} ").repeat(1000);
    let shown = redacted(&many, secret);
    assert!(shown.starts_with("[withheld] [withheld]") && !shown.contains('0'), "{shown}");
}

#[test]
fn control_characters_cannot_forge_a_line() {
    let text = "a\r\nb\u{1b}[31m\u{202e}c";
    assert_eq!(Redactor::default().redact(text), "a\u{fffd}\u{fffd}b\u{fffd}[31m\u{fffd}c");
}

#[test]
fn a_large_text_is_read_in_little_time() {
    let mut redactor = Redactor::default();
    redactor.add(&secret(&"%".repeat(4000)));
    redactor.add(&secret(&"a".repeat(4000)));
    let began = tokio::time::Instant::now();
    for text in ["%25".repeat(20_000), "a".repeat(60_000), "&amp;".repeat(12_000)] {
        redactor.redact(&text);
    }
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

proptest! {
    #[test]
    fn every_text_becomes_short_and_holds_no_secret(
        before in any::<String>(), secret_text in "[!-~]{12,40}", after in any::<String>()
    ) {
        let text = redacted(&format!("{before}{secret_text}{after}"), &secret_text);
        prop_assert!(!text.contains(&secret_text));
        prop_assert!(text.chars().count() <= LONGEST + 1);
        prop_assert!(!text.chars().any(char::is_control));
    }

    #[test]
    fn no_encoding_by_a_library_hides_it(secret in "[ -~\u{e4}\u{20ac}]{8,40}", id in "[a-z:=]{0,9}") {
        let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let path = percent_encoding::utf8_percent_encode(&secret, percent_encoding::NON_ALPHANUMERIC).to_string();
        let json = serde_json::to_string(&secret).unwrap();
        let basic = STANDARD.encode(format!("{id}:{secret}"));
        let redactor = redactor(&secret);
        for text in [secret.clone(), form, path, json, basic] {
            prop_assert!(redactor.finds_in(&text), "{text}");
        }
    }

    #[test]
    fn nothing_is_found_where_nothing_is(text in "[ -~]{0,300}") {
        let found = redactor("\u{20ac}uro-s3cret").finds_in(&text);
        prop_assert!(!found);
    }
}

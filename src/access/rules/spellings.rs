//! No spelling of a denied path gets through.

use proptest::prelude::*;

use super::tests::{check, rules};

/// What can be done to a path so that some server still reads the same.
#[derive(Clone, Debug)]
enum Trick {
    /// Percent-encodes the byte there, with capital or small digits.
    Encode(usize, bool),
    /// The same twice.
    EncodeTwice(usize),
    /// Changes the case of the letter there.
    Case(usize),
    /// Doubles the slash there.
    Slash(usize),
    /// Puts this behind the segment there.
    Segment(usize, &'static str),
    /// Writes the slash there in another way.
    OtherSlash(usize, &'static str),
    /// Puts this behind everything.
    End(&'static str),
}

fn trick() -> impl Strategy<Value = Trick> {
    let at = || 0..64_usize;
    let segment = prop::sample::select(vec![
        "/.",
        "/x/..",
        "/%2e",
        "/x/%2E%2e",
        ";p",
        ";p=1",
        "%3bp",
        "%20",
        "%00",
        ".",
    ]);
    let slash =
        prop::sample::select(vec!["%2f", "%2F", "\\", "%5c", "%252f", "%c0%af", "%ef%bc%8f", "%u2215"]);
    let end = prop::sample::select(vec!["/", "//", "/.", "/x/..", ";p", "%00", "%20", ".", "%3f", "%23"]);
    prop_oneof![
        4 => (at(), any::<bool>()).prop_map(|(at, capital)| Trick::Encode(at, capital)),
        1 => at().prop_map(Trick::EncodeTwice),
        2 => at().prop_map(Trick::Case),
        2 => at().prop_map(Trick::Slash),
        1 => (at(), segment).prop_map(|(at, text)| Trick::Segment(at, text)),
        1 => (at(), slash).prop_map(|(at, text)| Trick::OtherSlash(at, text)),
        1 => end.prop_map(Trick::End),
    ]
}

/// Applies tricks to the path, given as pieces that stand for one byte each, so that no trick breaks another's.
fn spelled(path: &str, tricks: &[Trick]) -> String {
    let mut pieces: Vec<String> = path.chars().map(String::from).collect();
    let mut end = String::new();
    let slashes: Vec<usize> = path.char_indices().filter(|(_, one)| *one == '/').map(|(at, _)| at).collect();
    for trick in tricks {
        match trick {
            Trick::Encode(at, capital) => {
                let at = at % pieces.len();
                if pieces[at].len() == 1 && at > 0 {
                    let byte = pieces[at].as_bytes()[0];
                    pieces[at] = if *capital { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
                }
            }
            Trick::EncodeTwice(at) => {
                let at = at % pieces.len();
                if pieces[at].len() == 1 && at > 0 {
                    pieces[at] = format!("%25{:02x}", pieces[at].as_bytes()[0]);
                }
            }
            Trick::Case(at) => {
                let at = at % pieces.len();
                if pieces[at].len() == 1 {
                    let letter = pieces[at].as_bytes()[0];
                    let other = if letter.is_ascii_lowercase() {
                        letter.to_ascii_uppercase()
                    } else {
                        letter.to_ascii_lowercase()
                    };
                    pieces[at] = char::from(other).to_string();
                }
            }
            Trick::Slash(at) => pieces[slashes[at % slashes.len()]].push('/'),
            Trick::Segment(at, text) => {
                let at = slashes[at % slashes.len()];
                if at > 0 {
                    pieces[at] = format!("{text}{}", pieces[at]);
                }
            }
            Trick::OtherSlash(at, text) => {
                let at = slashes[at % slashes.len()];
                if at > 0 {
                    pieces[at] = (*text).to_owned();
                }
            }
            Trick::End(text) => end.push_str(text),
        }
    }
    pieces.concat() + end.as_str()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_spelling_of_a_denied_path_gets_through(
        denied in "/[a-z]{1,8}(/[a-zA-Z0-9.-]{0,6}[a-z0-9]){1,4}",
        is_prefix in any::<bool>(),
        tricks in prop::collection::vec(trick(), 0..5),
    ) {
        let star = if is_prefix { "*" } else { "" };
        let rules = rules(&["* /*"], &[&format!("* {denied}{star}")], false);
        let spelled = spelled(&denied, &tricks);
        prop_assert!(check(&rules, "GET", &spelled).is_err(), "{denied} as {spelled}");
        let below = format!("{spelled}/more");
        prop_assert!(!is_prefix || check(&rules, "GET", &below).is_err(), "{denied} as {below}");
    }

    #[test]
    fn a_plain_path_is_never_ambiguous(path in "(/[a-zA-Z0-9_~:@!$&'()*+,=-]{1,8}){1,5}/?") {
        let rules = rules(&["* /*"], &["* /\u{1F512}*"], false);
        prop_assert_eq!(check(&rules, "GET", &path), Ok(()));
    }

    #[test]
    fn any_path_and_any_rule_are_survived(path in any::<String>(), rule in any::<String>()) {
        let _ = check(&rules(&[], &["* /a*"], false), "GET", &path);
        let _ = rule.parse::<super::Rule>();
    }
}

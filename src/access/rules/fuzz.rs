//! Paths, read once more as careless servers read them: none of them may find what is denied.

use bolero::check;

use super::tests::{check, rules};
use crate::fuzz::text;

const WORDS: &[&str] = &[
    "/",
    "//",
    "secret",
    "SECRET",
    "/secret",
    "public",
    "/../",
    "/./",
    "..",
    ".",
    "%2e",
    "%2E",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    "%25",
    "2f",
    ";",
    ";a=b",
    "%3b",
    "%",
    "%00",
    "%20",
    "%73ecret",
    "%c0%ae",
    "%ef%bc%8f",
    "\u{ff0f}",
    "\u{17f}ecret",
    "%C5%BFecret",
    "%3f",
    "%23",
    "?",
    "#",
    " ",
    "s",
    "e",
    "c",
    "r",
    "t",
];

/// Decodes what can be decoded, and leaves the rest.
fn decoded(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

/// Resolves dot segments, and takes path parameters, repeated slashes and case away.
fn resolved(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        let segment = segment.split(';').next().unwrap_or_default();
        match segment.trim_matches([' ', '\0']) {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment.trim_end_matches('.')),
        }
    }
    format!("/{}", segments.join("/")).to_uppercase()
}

#[test]
fn fuzz() {
    let rules = rules(&[], &["* /secret*"], false);
    check!().with_generator(text(WORDS)).for_each(|rest| {
        let path = format!("/{rest}");
        if check(&rules, "GET", &path).is_err() {
            return;
        }
        let once = decoded(&path);
        let twice = decoded(&once);
        for read in [&path, &once, &twice] {
            for read in [read.clone(), read.replace('\\', "/")] {
                for end in ['\0', '?', '#'] {
                    let read = read.split(end).next().unwrap_or_default();
                    assert!(!resolved(read).starts_with("/SECRET"), "{path:?} is read as {read:?}");
                }
            }
        }
    });
}

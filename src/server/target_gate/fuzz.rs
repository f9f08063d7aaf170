//! The request line, in any bytes and any pieces.

use bolero::{check, produce};
use percent_encoding::percent_decode;

use super::*;
use crate::fuzz::text;

const WORDS: &[&str] = &[
    "GET ",
    "OPTIONS * ",
    "\r\n",
    "\n",
    "/",
    "?",
    "#",
    "%",
    "%2F",
    "<",
    ">",
    "`",
    "\"",
    "{",
    "}",
    "|",
    "\\",
    "^",
    "http://a",
    "//",
    ":80",
    " HTTP/1.1\r\n",
    "Host: a\r\n",
    "\t",
    "\u{e9}",
    "\u{20ac}",
    "\u{0}",
];

/// What comes out for these pieces; `None` where there is a fragment.
fn through<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut gate = TargetGate::default();
    let mut out = Vec::new();
    for piece in pieces {
        match gate.examine(piece) {
            Finding::Unchanged => out.extend_from_slice(piece),
            Finding::Replaced(bytes) => out.extend(bytes),
            Finding::Fragment => return None,
        }
    }
    Some(out)
}

#[test]
fn fuzz() {
    let input = (text(WORDS), produce::<Vec<u8>>().with().len(0..=6_usize), text(WORDS));
    check!().with_generator(input).for_each(|(before, bytes, after)| {
        // A whole head, so that no beginning of a character is still held back.
        let head = [before.as_bytes(), bytes, after.as_bytes(), b" HTTP/1.1\r\n\r\n"].concat();
        let whole = through(std::iter::once(head.as_slice()));
        assert_eq!(through(head.chunks(1)), whole, "pieces change nothing");
        let Some(out) = whole else { return };
        let decoded = |bytes: &[u8]| percent_decode(bytes).collect::<Vec<u8>>();
        assert_eq!(decoded(&out), decoded(&head), "bytes are encoded, and nothing else happens to them");
        assert_eq!(
            through(std::iter::once(out.as_slice())),
            Some(out),
            "what it has let through passes as it is"
        );
    });
}

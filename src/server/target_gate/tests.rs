//! Checked against `http::Uri` itself: what the gate lets through is what hyper takes.

use http::Uri;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Sends `head` through a gate in pieces that end where `cuts` says.
fn through(head: &[u8], cuts: &[usize]) -> Result<Vec<u8>, Finding> {
    let mut gate = TargetGate::default();
    let mut out = Vec::new();
    let mut from = 0;
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (head.len() + 1)).collect();
    ends.push(head.len());
    ends.sort_unstable();
    for end in ends {
        let piece = &head[from..end];
        from = end;
        match gate.examine(piece) {
            Finding::Unchanged => out.extend_from_slice(piece),
            Finding::Replaced(bytes) => out.extend(bytes),
            Finding::Fragment => return Err(Finding::Fragment),
        }
    }
    Ok(out)
}

fn head(target: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\nX: <\"`#\xff\r\n\r\n"].concat()
}

fn served(target: &[u8]) -> Vec<u8> {
    let out = through(&head(target), &[]).unwrap();
    let rest = out.strip_prefix(b"GET ").unwrap();
    let end = rest.iter().position(|byte| *byte == b' ').unwrap();
    assert_eq!(&rest[end..], &head(b"")[4..], "the rest of the head is not changed");
    rest[..end].to_vec()
}

/// As hyper reads it: httparse first, then `http::Uri`.
fn is_accepted(head: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 8];
    let mut request = httparse::Request::new(&mut headers);
    matches!(request.parse(head), Ok(status) if status.is_complete())
        && request.path.is_some_and(|path| path.parse::<Uri>().is_ok())
}

#[test]
fn what_hyper_carries_is_not_changed() {
    for target in [
        "/",
        "*",
        "//api///v2//echo",
        "/a%2Fb%2fc?%zz&%",
        "/MiXeD?Q=CaSe",
        "/{id}|a^b\\c\"d",
        "/?filter={a:1}|^\\`",
        "/é?q=ü→",
        "/?url=http://a/b?c",
        "http://localhost:80/a?b",
        "localhost:443",
    ] {
        assert_eq!(served(target.as_bytes()), target.as_bytes(), "{target}");
        assert!(is_accepted(&head(target.as_bytes())), "{target}");
    }
}

#[test]
fn what_hyper_refuses_is_percent_encoded() {
    for (target, encoded) in [
        (&b"/a<b>`c"[..], "/a%3Cb%3E%60c"),
        (b"/?filter={\"a\":1}", "/?filter={%22a%22:1}"),
        (b"/?<x>", "/?%3Cx%3E"),
        (b"/caf\xe9", "/caf%E9"),
        (b"/\xff?\xc3\xa9\xc3", "/%FF?\u{e9}%C3"),
        // Cut off, too long, a surrogate, above the last character.
        (b"/\xe2\x82/", "/%E2%82/"),
        (b"/\xc0\xaf", "/%C0%AF"),
        (b"/\xed\xa0\x80", "/%ED%A0%80"),
        (b"/\xf4\x90\x80\x80", "/%F4%90%80%80"),
        // A beginning that is followed by a whole character.
        (b"/\xe2\xc3\xa9", "/%E2\u{e9}"),
        (b"http://localhost/<", "http://localhost/%3C"),
        (b"http://localhost?\"", "http://localhost?%22"),
    ] {
        let shown = target.escape_ascii();
        assert_eq!(served(target), encoded.as_bytes(), "{shown}");
        assert!(!is_accepted(&head(target)), "{shown}: there is nothing to do");
        assert!(is_accepted(&head(encoded.as_bytes())), "{shown}");
    }
}

#[test]
fn a_hash_is_reported_wherever_it_is_in_the_target() {
    for target in ["/#", "/a#b", "/?#", "#", "http://a#b", "/<#", "/\u{e9}#"] {
        assert_eq!(through(&head(target.as_bytes()), &[]), Err(Finding::Fragment), "{target}");
    }
    // It may be part of a method (RFC 9110 section 5.6.2), and of a field.
    assert!(through(b"G#T / HTTP/1.1\r\nX: #\r\n\r\n", &[]).is_ok());
}

#[test]
fn only_the_path_and_the_query_are_changed() {
    for head in [
        &b"\r\n\r\nGET / HTTP/1.1\r\nX: <\r\n\r\n<body>"[..],
        b"G<T /<> HTTP/1.1\r\n\r\n",
        b"GET  /<> HTTP/1.1\r\n\r\n",
        b"GET\t/<> HTTP/1.1\r\n\r\n",
        b" GET /<> HTTP/1.1\r\n\r\n",
        b"GET / <>` HTTP/1.1\r\n\r\n",
        b"GET /\x00<> HTTP/1.1\r\n\r\n",
        b"GET /\x7f<> HTTP/1.1\r\n\r\n",
        b"GET http://us<er@host/ HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01<\xff#",
    ] {
        assert_eq!(through(head, &[]).unwrap(), head, "{}", head.escape_ascii());
    }
}

#[test]
fn a_head_begins_with_more_than_empty_lines() {
    let mut gate = TargetGate::default();
    assert_eq!(gate.examine(b"\r\n\n"), Finding::Unchanged);
    assert!(!gate.has_begun());
    gate.examine(b"\r\nP");
    assert!(gate.has_begun());
    assert_eq!(gate.first_byte(), b'P');
    let mut tls = TargetGate::default();
    tls.examine(&[0x16, 3, 1]);
    assert!(tls.has_begun());
    assert_eq!(tls.first_byte(), 0x16);
}

#[test]
fn a_target_that_is_too_long_is_told_from_a_head_that_is() {
    let mut gate = TargetGate::default();
    gate.examine(b"GET /");
    assert!(gate.is_in_target(100), "it has no end yet");
    gate.examine(&[b'x'; 9]);
    gate.examine(b" HTTP/1.1\r\nX: ");
    gate.examine(&[b'x'; 1000]);
    assert!(gate.is_in_target(9) && !gate.is_in_target(10), "{gate:?}");
}

proptest! {
    #[test]
    fn a_target_without_blanks_is_served(
        prefix in prop_oneof!["/", "/\\?", "/a", "http://h/"],
        bytes in vec(any::<u8>().prop_filter("no control", |byte| *byte > b' ' && *byte != 0x7f && *byte != b'#'), 0..40),
        cuts in vec(any::<usize>(), 0..4),
    ) {
        let target = [prefix.as_bytes(), &bytes].concat();
        let head = head(&target);
        let out = through(&head, &cuts).unwrap();
        prop_assert!(is_accepted(&out), "{}", out.escape_ascii());
        // And it says the same: what is decoded is what was sent.
        let decode = |bytes: &[u8]| percent_encoding::percent_decode(bytes).collect::<Vec<u8>>();
        prop_assert_eq!(decode(&out), decode(&head));
    }

    #[test]
    fn what_hyper_accepts_is_not_changed(
        target in "/[a-z%{}^|\"é→]{0,12}([?][a-z%{}^|`é→]{0,12})?",
        cuts in vec(any::<usize>(), 0..4),
    ) {
        let head = head(target.as_bytes());
        prop_assert!(is_accepted(&head));
        prop_assert_eq!(through(&head, &cuts).unwrap(), head);
    }

    #[test]
    fn pieces_make_no_difference(
        bytes in vec(prop_oneof![any::<u8>(), Just(b' '), Just(b'/'), Just(b'<'), Just(0xe2), Just(0x82), Just(b'?')], 0..60),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        let head = [b"GET /", &bytes[..], b" HTTP/1.1\r\n\r\n"].concat();
        prop_assert_eq!(through(&head, &cuts), through(&head, &[]));
    }
}

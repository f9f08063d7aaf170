//! Heads, strictly (RFC 9112 sections 2 to 5). Pure: bytes in, values out.
//!
//! Whatever two parsers might read differently is refused: bare line feeds and carriage returns,
//! folded lines, white space before a colon or around the request line, control characters.
//! Lenient only where no meaning depends on it: any bytes but white space and controls in a
//! request target, `obs-text` in values, a reason phrase that is missing.

use http::Method;
use memchr::memchr;
use thiserror::Error;

use crate::message::{FieldSink, Fields, RequestHead, ResponseHead, Version};

/// What an HTTP/2 connection with prior knowledge starts with (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Why a head was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HeadError {
    /// It is larger than the limit.
    #[error("the header section is larger than the limit")]
    TooLarge,
    /// The start line is not `method SP target SP version` or `version SP status SP reason`.
    #[error("the start line is malformed")]
    StartLine,
    /// The version is not HTTP/1.0 or HTTP/1.1.
    #[error("the HTTP version is not supported")]
    Version,
    /// A line ends in something other than CRLF.
    #[error("a line does not end in CRLF")]
    LineEnd,
    /// A field line starts with white space (obs-fold, RFC 9112 section 5.2).
    #[error("a field line is folded")]
    Folded,
    /// A field name is empty, not a token, or followed by white space.
    #[error("a field name is malformed")]
    FieldName,
    /// A field value holds a control character.
    #[error("a field value holds a control character")]
    FieldValue,
}

/// Parses a request head at the start of `bytes` into `head`. `Ok(None)`: more bytes are needed.
/// `Ok(Some(n))`: the head took `n` bytes. `scanned` remembers where the search for the end goes
/// on, so that a head that arrives byte by byte is searched once; it starts at nought.
pub fn parse_request(
    bytes: &[u8],
    scanned: &mut usize,
    limit: usize,
    head: &mut RequestHead,
) -> Result<Option<usize>, HeadError> {
    // A client may send an empty line after the last content (RFC 9112 section 2.2).
    let skipped = bytes.chunks_exact(2).take(2).take_while(|pair| *pair == b"\r\n").count() * 2;
    let Some((start_line, fields, length)) = split(bytes, skipped, scanned, limit)? else {
        return Ok(None);
    };
    request_line(start_line, head)?;
    head.authority = None;
    head.fields.clear();
    field_lines(fields, &mut head.fields)?;
    Ok(Some(length))
}

/// Parses a response head; see [`parse_request`].
pub fn parse_response(
    bytes: &[u8],
    scanned: &mut usize,
    limit: usize,
    head: &mut ResponseHead,
) -> Result<Option<usize>, HeadError> {
    // Nothing but a status line can come first: say so before megabytes of something else pile up.
    if !b"HTTP/1.".iter().zip(bytes).all(|(due, found)| due == found) {
        return Err(HeadError::StartLine);
    }
    let Some((start_line, fields, length)) = split(bytes, 0, scanned, limit)? else {
        return Ok(None);
    };
    status_line(start_line, head)?;
    head.fields.clear();
    field_lines(fields, &mut head.fields)?;
    Ok(Some(length))
}

/// Parses a trailer section with its closing empty line (RFC 9112 section 7.1.2).
pub fn parse_trailers(bytes: &[u8], limit: usize, fields: &mut Fields) -> Result<Option<usize>, HeadError> {
    if bytes.starts_with(b"\r\n") {
        return Ok(Some(2));
    }
    let Some(end) = section_end(bytes) else {
        return if bytes.len() > limit { Err(HeadError::TooLarge) } else { Ok(None) };
    };
    if end > limit {
        return Err(HeadError::TooLarge);
    }
    field_lines(bytes.get(..end + 2).unwrap_or_default(), fields)?;
    Ok(Some(end + 4))
}

/// Start line, field lines (each with its CRLF), and the length of the whole.
type Split<'a> = (&'a [u8], &'a [u8], usize);

fn split<'a>(
    bytes: &'a [u8],
    skipped: usize,
    scanned: &mut usize,
    limit: usize,
) -> Result<Option<Split<'a>>, HeadError> {
    let from = (*scanned).max(skipped);
    let found = section_end(bytes.get(from..).unwrap_or_default()).map(|at| at + from);
    let Some(end) = found else {
        // A head without a proper end might never show one: look at its line ends now.
        if bytes.len() > limit + skipped {
            return Err(HeadError::TooLarge);
        }
        only_crlf(bytes.get(from..).unwrap_or_default(), from > 0)?;
        // The end may straddle what is here and what comes.
        *scanned = bytes.len().saturating_sub(3).max(skipped);
        return Ok(None);
    };
    if end + 4 - skipped > limit {
        return Err(HeadError::TooLarge);
    }
    let head = bytes.get(skipped..end + 2).unwrap_or_default();
    let line_end = memchr(b'\n', head).ok_or(HeadError::StartLine)?;
    let (start_line, fields) = head.split_at(line_end + 1);
    let start_line = start_line.strip_suffix(b"\r\n").ok_or(HeadError::LineEnd)?;
    Ok(Some((start_line, fields, end + 4)))
}

/// Refuses a line feed without its carriage return in a head that is still arriving.
fn only_crlf(bytes: &[u8], continued: bool) -> Result<(), HeadError> {
    let mut before = if continued { b'\r' } else { 0 };
    for byte in bytes {
        if *byte == b'\n' && before != b'\r' {
            return Err(HeadError::LineEnd);
        }
        before = *byte;
    }
    Ok(())
}

fn request_line(line: &[u8], head: &mut RequestHead) -> Result<(), HeadError> {
    let method_end = memchr(b' ', line).ok_or(HeadError::StartLine)?;
    let (method, rest) = line.split_at(method_end);
    let rest = rest.get(1..).unwrap_or_default();
    let target_end = memchr(b' ', rest).ok_or(HeadError::StartLine)?;
    let (target, version) = rest.split_at(target_end);
    head.version = match version {
        b" HTTP/1.1" => Version::Http11,
        b" HTTP/1.0" => Version::Http10,
        version if version.starts_with(b" HTTP/") => return Err(HeadError::Version),
        _ => return Err(HeadError::StartLine),
    };
    if !is_target(target) {
        return Err(HeadError::StartLine);
    }
    head.method = Method::from_bytes(method).map_err(|_| HeadError::StartLine)?;
    head.target.clear();
    head.target.extend_from_slice(target);
    Ok(())
}

fn status_line(line: &[u8], head: &mut ResponseHead) -> Result<(), HeadError> {
    let (version, rest) = line.split_at_checked(9).ok_or(HeadError::StartLine)?;
    head.version = match version {
        b"HTTP/1.1 " => Version::Http11,
        b"HTTP/1.0 " => Version::Http10,
        version if version.starts_with(b"HTTP/") => return Err(HeadError::Version),
        _ => return Err(HeadError::StartLine),
    };
    let (digits, rest) = rest.split_at_checked(3).ok_or(HeadError::StartLine)?;
    let mut status = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(HeadError::StartLine);
        }
        status = status * 10 + u16::from(digit - b'0');
    }
    if status < 100 {
        return Err(HeadError::StartLine);
    }
    let reason = match rest {
        [] => &[][..],
        [b' ', reason @ ..] => reason,
        _ => return Err(HeadError::StartLine),
    };
    if !is_value(reason) {
        return Err(HeadError::StartLine);
    }
    head.status = status;
    head.reason.clear();
    head.reason.extend_from_slice(reason);
    Ok(())
}

fn field_lines(mut bytes: &[u8], fields: &mut Fields) -> Result<(), HeadError> {
    while !bytes.is_empty() {
        let line_end = memchr(b'\n', bytes).ok_or(HeadError::LineEnd)?;
        let (line, rest) = bytes.split_at(line_end + 1);
        let line = line.strip_suffix(b"\r\n").ok_or(HeadError::LineEnd)?;
        field_line(line, fields)?;
        bytes = rest;
    }
    Ok(())
}

fn field_line(line: &[u8], fields: &mut Fields) -> Result<(), HeadError> {
    if matches!(line, [b' ' | b'\t', ..]) {
        return Err(HeadError::Folded);
    }
    let colon = memchr(b':', line).ok_or(HeadError::FieldName)?;
    let (name, value) = line.split_at(colon);
    if !is_token(name) {
        return Err(HeadError::FieldName);
    }
    let value = trim(value.get(1..).unwrap_or_default());
    if !is_value(value) {
        return Err(HeadError::FieldValue);
    }
    fields.line(name, value);
    Ok(())
}

/// Without the optional white space around it (RFC 9112 section 5.1).
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// `tchar` of RFC 9110 section 5.6.2, by byte.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_usize;
    while byte < 128 {
        #[allow(clippy::cast_possible_truncation, reason = "below 128")]
        let is_token = (byte as u8).is_ascii_alphanumeric()
            || matches!(
                byte as u8,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        #[allow(clippy::indexing_slicing, reason = "below 128, and evaluated by the compiler")]
        {
            table[byte] = is_token;
        }
        byte += 1;
    }
    table
};

fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| TOKEN.get(usize::from(*byte)) == Some(&true))
}

/// Visible characters, `obs-text`, space and tab (RFC 9110 section 5.5). Looks at every byte, which
/// the compiler does many at a time, rather than stop at the first bad one.
fn is_value(value: &[u8]) -> bool {
    none(value, |byte| (byte < 0x20 && byte != b'\t') || byte == 0x7f)
}

/// No white space and no control character.
fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && none(target, |byte| byte <= 0x20 || byte == 0x7f)
}

fn none(bytes: &[u8], is_bad: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(0, |bad, byte| bad | u8::from(is_bad(*byte))) == 0
}

/// Where the empty line that ends a section begins: at the CRLF before it.
fn section_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let line_end = memchr(b'\n', bytes.get(from..)?)? + from;
        if bytes.get(line_end + 1..line_end + 3)? == b"\r\n"
            && line_end > 0
            && bytes.get(line_end - 1) == Some(&b'\r')
        {
            return Some(line_end - 1);
        }
        from = line_end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(text: &str) -> Result<Option<RequestHead>, HeadError> {
        let mut head = RequestHead::default();
        parse_request(text.as_bytes(), &mut 0, 65536, &mut head).map(|found| found.map(|_| head))
    }

    #[test]
    fn a_head_keeps_its_bytes() {
        let head = request("GET //api/a%2Fb?x=<1>|\u{e9}#f HTTP/1.1\r\nhOsT:  a \r\nX: 1\r\nx:\t2\r\n\r\n");
        let head = head.unwrap().unwrap();
        assert_eq!(head.target, "//api/a%2Fb?x=<1>|\u{e9}#f".as_bytes());
        let lines: Vec<_> = head.fields.iter().collect();
        assert_eq!(lines, [(&b"hOsT"[..], &b"a"[..]), (b"X", b"1"), (b"x", b"2")]);
    }

    #[test]
    fn what_two_parsers_might_read_differently_is_refused() {
        for (text, due) in [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", HeadError::LineEnd),
            ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", HeadError::LineEnd),
            ("GET / HTTP/1.1\nHost: a\n\n", HeadError::LineEnd),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", HeadError::Folded),
            ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", HeadError::Folded),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", HeadError::FieldName),
            ("GET / HTTP/1.1\r\n: a\r\n\r\n", HeadError::FieldName),
            ("GET / HTTP/1.1\r\nHost\r\n\r\n", HeadError::FieldName),
            ("GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", HeadError::FieldValue),
            ("GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", HeadError::FieldValue),
            ("GET  / HTTP/1.1\r\n\r\n", HeadError::StartLine),
            ("GET / HTTP/1.1 \r\n\r\n", HeadError::Version),
            ("GET /a b HTTP/1.1\r\n\r\n", HeadError::StartLine),
            ("GET /\r\n\r\n", HeadError::StartLine),
            ("GET / HTTP/2.0\r\n\r\n", HeadError::Version),
            ("G(T / HTTP/1.1\r\n\r\n", HeadError::StartLine),
        ] {
            assert_eq!(request(text).err(), Some(due), "{text:?}");
        }
    }

    #[test]
    fn the_limit_holds_with_and_without_an_end() {
        let mut head = RequestHead::default();
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(200));
        assert_eq!(parse_request(long.as_bytes(), &mut 0, 100, &mut head), Err(HeadError::TooLarge));
        assert_eq!(parse_request(&long.as_bytes()[..150], &mut 0, 100, &mut head), Err(HeadError::TooLarge));
        assert_eq!(parse_request(long.as_bytes(), &mut 0, long.len(), &mut head), Ok(Some(long.len())));
    }

    #[test]
    fn a_response_without_a_reason_is_fine_and_garbage_is_found_out_early() {
        let mut head = ResponseHead::default();
        assert_eq!(parse_response(b"HTTP/1.1 204\r\n\r\n", &mut 0, 999, &mut head), Ok(Some(16)));
        assert_eq!(head.status, 204);
        assert_eq!(parse_response(b"SSH-2.0", &mut 0, 999, &mut head), Err(HeadError::StartLine));
        assert_eq!(
            parse_response(b"HTTP/1.1 20x OK\r\n\r\n", &mut 0, 999, &mut head),
            Err(HeadError::StartLine)
        );
    }

    proptest! {
        /// However a head is cut into pieces, it parses to the same, and never early.
        #[test]
        fn pieces_make_no_difference(cuts in proptest::collection::vec(1_usize..20, 1..30)) {
            let whole = b"\r\nPOST /x HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\nContent-Length: 3\r\n\r\nabc";
            let mut head = RequestHead::default();
            let (mut have, mut scanned) = (0, 0);
            let mut found = None;
            for cut in cuts.iter().cycle() {
                have = (have + cut).min(whole.len());
                found = parse_request(&whole[..have], &mut scanned, 999, &mut head).unwrap();
                if found.is_some() || have == whole.len() { break; }
                prop_assert!(have < whole.len() - 3);
            }
            prop_assert_eq!(found, Some(whole.len() - 3));
            prop_assert_eq!(head.fields.len(), 3);
        }

        /// No bytes whatever make the parser panic or accept a control character.
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut head = RequestHead::default();
            if let Ok(Some(length)) = parse_request(&bytes, &mut 0, 999, &mut head) {
                prop_assert!(length <= bytes.len());
                for (name, value) in head.fields.iter() {
                    prop_assert!(!name.is_empty());
                    prop_assert!(value.iter().all(|b| *b == b'\t' || (*b >= 0x20 && *b != 0x7f)));
                }
            }
            let _ = parse_response(&bytes, &mut 0, 999, &mut ResponseHead::default());
            let _ = parse_trailers(&bytes, 999, &mut Fields::default());
        }
    }
}

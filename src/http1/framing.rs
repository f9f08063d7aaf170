//! Where a message's content ends (RFC 9112 section 6), and whether its connection goes on after
//! it. Pure.

use thiserror::Error;

use crate::message::{Fields, Framing, RequestHead, ResponseHead, Version, list_members};

/// Why the end of a message's content cannot be told beyond doubt.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FramingError {
    /// `Content-Length` is no decimal number.
    #[error("Content-Length is not a number")]
    Length,
    /// `Content-Length` values differ.
    #[error("there are several Content-Length fields and they differ")]
    Lengths,
    /// Both ways at once: the classic of request smuggling.
    #[error("there are both Content-Length and Transfer-Encoding")]
    Both,
    /// HTTP/1.0 knows no transfer codings.
    #[error("Transfer-Encoding in an HTTP/1.0 message")]
    Version,
    /// Anything but a single `chunked`.
    #[error("the transfer coding is not supported; only chunked is")]
    Coding,
}

/// How a request's content is delimited.
pub fn request_framing(head: &RequestHead) -> Result<Framing, FramingError> {
    let length = content_length(&head.fields)?;
    let mut codings = transfer_codings(&head.fields);
    let Some(coding) = codings.next() else {
        return Ok(length.map_or(Framing::None, Framing::Length));
    };
    if head.version == Version::Http10 {
        return Err(FramingError::Version);
    }
    if length.is_some() {
        return Err(FramingError::Both);
    }
    if !coding.eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
        return Err(FramingError::Coding);
    }
    Ok(Framing::Open)
}

/// How a response's content is delimited on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseFraming {
    /// There is none, whatever the fields say.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
    /// Until the connection closes.
    UntilClose,
}

/// How a response's content is delimited. `to_head`: it answers a HEAD request.
pub fn response_framing(head: &ResponseHead, to_head: bool) -> Result<ResponseFraming, FramingError> {
    if to_head || matches!(head.status, 100..=199 | 204 | 304) {
        return Ok(ResponseFraming::None);
    }
    let mut codings = transfer_codings(&head.fields).peekable();
    if codings.peek().is_some() {
        if head.version == Version::Http10 {
            return Err(FramingError::Version);
        }
        let coding = codings.next().unwrap_or_default();
        // RFC 9112 section 6.3: Transfer-Encoding overrides Content-Length.
        return match (coding.eq_ignore_ascii_case(b"chunked"), codings.next()) {
            (true, None) => Ok(ResponseFraming::Chunked),
            _ => Err(FramingError::Coding),
        };
    }
    Ok(content_length(&head.fields)?.map_or(ResponseFraming::UntilClose, ResponseFraming::Length))
}

/// True where the connection stays open after this message, as far as its sender wishes
/// (RFC 9112 section 9.3).
pub fn keeps_alive(version: Version, fields: &Fields) -> bool {
    if fields.lists(b"Connection", b"close") {
        return false;
    }
    version != Version::Http10 || fields.lists(b"Connection", b"keep-alive")
}

fn transfer_codings(fields: &Fields) -> impl Iterator<Item = &[u8]> {
    // An empty field names no coding; it is there all the same and must not hide.
    fields.all(b"Transfer-Encoding").flat_map(|value| {
        let empty = list_members(value).next().is_none().then_some(&b""[..]);
        empty.into_iter().chain(list_members(value))
    })
}

/// The one value of all `Content-Length` lines and list members (RFC 9110 section 8.6).
fn content_length(fields: &Fields) -> Result<Option<u64>, FramingError> {
    let mut found = None;
    for value in fields.all(b"Content-Length").flat_map(|value| value.split(|byte| *byte == b',')) {
        let length = decimal(value.trim_ascii()).ok_or(FramingError::Length)?;
        if found.is_some_and(|found| found != length) {
            return Err(FramingError::Lengths);
        }
        found = Some(length);
    }
    Ok(found)
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::FieldSink;

    fn request(version: Version, lines: &[(&str, &str)]) -> Result<Framing, FramingError> {
        let mut head = RequestHead { version, ..RequestHead::default() };
        for (name, value) in lines {
            head.fields.line(name.as_bytes(), value.as_bytes());
        }
        request_framing(&head)
    }

    #[test]
    fn requests() {
        let v11 = Version::Http11;
        assert_eq!(request(v11, &[]), Ok(Framing::None));
        assert_eq!(request(v11, &[("content-length", "0")]), Ok(Framing::Length(0)));
        assert_eq!(request(v11, &[("Content-Length", "5"), ("content-length", "5")]), Ok(Framing::Length(5)));
        assert_eq!(request(v11, &[("Transfer-Encoding", "Chunked")]), Ok(Framing::Open));
        for (lines, due) in [
            (&[("Content-Length", "5"), ("Content-Length", "6")][..], FramingError::Lengths),
            (&[("Content-Length", "5, 6")], FramingError::Lengths),
            (&[("Content-Length", "+5")], FramingError::Length),
            (&[("Content-Length", "")], FramingError::Length),
            (&[("Content-Length", "5 5")], FramingError::Length),
            (&[("Content-Length", "99999999999999999999")], FramingError::Length),
            (&[("Transfer-Encoding", "chunked"), ("Content-Length", "5")], FramingError::Both),
            (&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")], FramingError::Both),
            (&[("Content-Length", "5"), ("Transfer-Encoding", "identity")], FramingError::Both),
            (&[("Transfer-Encoding", "gzip, chunked")], FramingError::Coding),
            (&[("Transfer-Encoding", "chunked, chunked")], FramingError::Coding),
            (&[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], FramingError::Coding),
            (&[("Transfer-Encoding", "xchunked")], FramingError::Coding),
            (&[("Transfer-Encoding", "")], FramingError::Coding),
        ] {
            assert_eq!(request(v11, lines), Err(due), "{lines:?}");
        }
        assert_eq!(request(Version::Http10, &[("Transfer-Encoding", "chunked")]), Err(FramingError::Version));
    }

    #[test]
    fn responses() {
        let mut head = ResponseHead::default();
        assert_eq!(response_framing(&head, false), Ok(ResponseFraming::UntilClose));
        head.fields.line(b"Content-Length", b"7");
        assert_eq!(response_framing(&head, false), Ok(ResponseFraming::Length(7)));
        assert_eq!(response_framing(&head, true), Ok(ResponseFraming::None));
        head.fields.line(b"Transfer-Encoding", b"chunked");
        assert_eq!(response_framing(&head, false), Ok(ResponseFraming::Chunked));
        head.status = 304;
        assert_eq!(response_framing(&head, false), Ok(ResponseFraming::None));
    }
}

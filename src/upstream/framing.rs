//! How messages are delimited: what hyper is to write, and what it has read.
//!
//! Pure. hyper frames and parses; here is decided which fields it finds in a request, and whether a response
//! may be trusted with a connection.

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Method, StatusCode, Version, response};
use http_body::Body;

/// A response's head means something that we cannot or must not follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// hyper looks at the last coding only, and would pass coded bytes on as the body.
    #[error("the response has a transfer coding other than `chunked`")]
    Coding,
    /// Not every recipient counts so far.
    #[error("the response says a length of 2^63 bytes or more")]
    Length,
    #[error("the upstream switched protocols without being asked to")]
    Unasked,
}

/// What a response's head means for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Examined {
    /// Nothing follows the head, whatever the fields say (RFC 9112 section 6.3).
    pub(super) is_bodiless: bool,
    /// The connection may serve another request. hyper adds its own conditions.
    pub(super) is_reusable: bool,
}

/// How a request's body is framed: by what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Empty,
    Length(u64),
    /// Its length is not known.
    Chunked,
}

impl Framing {
    pub(super) fn of<B: Body>(body: &B) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        body.size_hint().exact().map_or(Self::Chunked, Self::Length)
    }

    /// Writes the framing fields of a request over HTTP/1.1. What the map held of them does not count, but for a
    /// `Content-Length` that says whether an empty body is worth a field.
    pub(super) fn write_http1(self, headers: &mut HeaderMap, method: &Method) {
        let present = Present::among(headers);
        if present.transfer_encoding {
            take(headers, &TRANSFER_ENCODING);
        }
        match self {
            Self::Empty => write_empty(headers, method, present),
            Self::Length(length) => write_length(headers, length, present),
            Self::Chunked => {
                if present.content_length {
                    take(headers, &CONTENT_LENGTH);
                }
                // hyper would send a GET without its body if this were left to it.
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
        }
    }

    /// The same over HTTP/2, where frames delimit the body and the length is informative.
    pub(super) fn write_http2(self, headers: &mut HeaderMap, method: &Method) {
        let present = Present::among(headers);
        take(headers, &TRANSFER_ENCODING);
        take(headers, &HOST);
        match self {
            Self::Empty => write_empty(headers, method, present),
            Self::Length(length) => write_length(headers, length, present),
            Self::Chunked => take(headers, &CONTENT_LENGTH),
        }
    }
}

/// Which framing fields are there. One look at each name costs less than the hashes of both.
#[derive(Clone, Copy)]
struct Present {
    content_length: bool,
    transfer_encoding: bool,
}

impl Present {
    fn among(headers: &HeaderMap) -> Self {
        let mut present = Self { content_length: false, transfer_encoding: false };
        for name in headers.keys() {
            present.content_length |= *name == CONTENT_LENGTH;
            present.transfer_encoding |= *name == TRANSFER_ENCODING;
        }
        present
    }
}

/// RFC 9110 section 8.6: a length of zero is written for methods that give a body a meaning, or where the
/// client did so.
fn write_empty(headers: &mut HeaderMap, method: &Method, present: Present) {
    if present.content_length || [Method::POST, Method::PUT, Method::PATCH].contains(method) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
}

/// A value that is right already is not written again: it would be a new allocation.
fn write_length(headers: &mut HeaderMap, length: u64, present: Present) {
    if !present.content_length || !says(headers, length) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// True where the only `Content-Length` is this one: then it need not be written again.
fn says(headers: &HeaderMap, length: u64) -> bool {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    let digits = line.as_bytes();
    digits.iter().all(u8::is_ascii_digit) && line.to_str().is_ok_and(|text| text.parse() == Ok(length))
}

/// True where a length does not fit into 63 bits.
pub(super) fn has_absurd_length(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    lines.any(|line| line.to_str().is_ok_and(|text| text.parse::<i64>().is_err()))
}

/// The fields that ask for a WebSocket (RFC 6455 section 4.1).
pub(super) fn ask_for_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Examines a response's head over HTTP/1.1, and removes a length that does not count.
pub(super) fn examine_http1(
    head: &mut response::Parts,
    to_head: bool,
    asked_for_websocket: bool,
) -> Result<Examined, Unusable> {
    let headers = &mut head.headers;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let is_asked = asked_for_websocket && lists(headers, &UPGRADE, "websocket");
        let examined = Examined { is_bodiless: true, is_reusable: false };
        return if is_asked { Ok(examined) } else { Err(Unusable::Unasked) };
    }
    let present = Present::among(headers);
    if present.content_length && has_absurd_length(headers) {
        return Err(Unusable::Length);
    }
    let is_bodiless = is_bodiless(head.status, to_head);
    // hyper writes later requests on the connection by HTTP/1.0 as well, and a body of unknown length
    // would be lost.
    let mut is_reusable = head.version != Version::HTTP_10;
    if !is_bodiless && present.transfer_encoding {
        if !is_chunked_alone(headers) {
            return Err(Unusable::Coding);
        }
        if present.content_length {
            // RFC 9112 section 6.3: the chunks count. Not every server means it that way.
            take(headers, &CONTENT_LENGTH);
            is_reusable = false;
        }
    }
    Ok(Examined { is_bodiless, is_reusable })
}

/// True for a response that never has a body (RFC 9110 sections 9.3.2, 15.3.5, 15.4.5).
pub(super) fn is_bodiless(status: StatusCode, to_head: bool) -> bool {
    to_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

fn is_chunked_alone(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter().flat_map(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .filter(|coding| !coding.is_empty())
    });
    codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked")) && codings.next().is_none()
}

fn lists(headers: &HeaderMap, name: &http::HeaderName, wanted: &str) -> bool {
    headers.get_all(name).iter().any(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .any(|member| member.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
    })
}

fn take(headers: &mut HeaderMap, name: &http::HeaderName) {
    #[expect(clippy::disallowed_methods, reason = "all lines of the name go")]
    headers.remove(name);
}

#[cfg(test)]
mod tests;

//! Bytes in, values out.

use std::hint::black_box;

use cxone_proxy::http1::{Chunked, Step, parse_request, parse_response};
use cxone_proxy::message::{RequestHead, ResponseHead};

use super::Part;

/// The default limit of a header section.
pub(super) const LIMIT: usize = 64 * 1024;

/// What a client of the API sends.
pub(super) const REQUEST: &[u8] = b"GET /api/v2/contacts/search?query=state%3Aactive&size=100 HTTP/1.1\r\n\
    Host: localhost:8080\r\n\
    User-Agent: Java-http-client/17.0.9\r\n\
    Accept: application/json\r\n\
    Accept-Encoding: gzip, deflate\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    Connection: keep-alive\r\n\
    X-Correlation-Id: 0f8fad5b-d9cb-469f-a165-70867728950e\r\n\
    Cookie: route=0123456789abcdef; locale=en\r\n\r\n";

/// What the API answers.
pub(super) const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 1024\r\n\
    Date: Mon, 23 Nov 2026 10:00:00 GMT\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: no-store, no-cache, must-revalidate\r\n\
    Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n\
    X-Content-Type-Options: nosniff\r\n\
    X-Request-Id: 7c9e6679-7425-40de-944b-e07fc1f90ae7\r\n\
    Vary: Accept-Encoding\r\n\r\n";

pub(super) fn request() -> Part {
    let mut head = RequestHead::default();
    Part::new("parse_request", move || {
        let _ = black_box(parse_request(black_box(REQUEST), &mut 0, LIMIT, &mut head));
    })
}

pub(super) fn response() -> Part {
    let mut head = ResponseHead::default();
    Part::new("parse_response", move || {
        let _ = black_box(parse_response(black_box(RESPONSE), &mut 0, LIMIT, &mut head));
    })
}

/// Sixteen chunks of 1 KiB.
pub(super) fn chunked() -> Part {
    let mut body = Vec::new();
    for _ in 0..16 {
        body.extend_from_slice(b"400\r\n");
        body.extend_from_slice(&[b'x'; 1024]);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    Part::new("chunked_16_kib", move || {
        let mut decoder = Chunked::new(LIMIT);
        let mut rest = black_box(body.as_slice());
        while let Ok(step) = decoder.step(rest) {
            let taken = match step {
                Step::Skip(count) => count,
                Step::Data(count) => {
                    decoder.took(count);
                    usize::try_from(count).unwrap_or(usize::MAX)
                }
                Step::End(_) | Step::More => break,
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        assert!(decoder.is_done(), "the coding is whole");
    })
}

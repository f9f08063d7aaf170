use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use proptest::prelude::*;

use super::*;

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    map
}

fn lines(map: &HeaderMap) -> Vec<(&str, &str)> {
    map.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

fn unknown() -> BoxBody<Bytes, std::convert::Infallible> {
    StreamBody::new(futures_util::stream::pending()).boxed()
}

fn framed(method: &Method, headers: &[(&str, &str)], body: &impl Body) -> Vec<(String, String)> {
    let mut map = map(headers);
    Framing::of(body).write_http1(&mut map, method);
    lines(&map).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn due(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_body_is_framed_by_what_it_is() {
    let four = Full::new(Bytes::from_static(b"four"));
    for claims in [
        &[][..],
        &[("content-length", "4")],
        &[("content-length", "7")],
        &[("content-length", "4"), ("content-length", "4")],
        &[("content-length", "+4")],
        &[("transfer-encoding", "chunked")],
        &[("transfer-encoding", "gzip"), ("content-length", "1")],
    ] {
        for method in [Method::GET, Method::POST] {
            assert_eq!(framed(&method, claims, &four), due(&[("content-length", "4")]), "{claims:?}");
            let chunked = due(&[("transfer-encoding", "chunked")]);
            assert_eq!(framed(&method, claims, &unknown()), chunked, "{claims:?}");
        }
    }
}

#[test]
fn an_empty_body_has_a_length_where_that_means_something() {
    let empty = Empty::<Bytes>::new();
    for method in [Method::POST, Method::PUT, Method::PATCH] {
        assert_eq!(framed(&method, &[], &empty), due(&[("content-length", "0")]));
    }
    for method in [Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS] {
        assert_eq!(framed(&method, &[], &empty), due(&[]));
        assert_eq!(framed(&method, &[("transfer-encoding", "chunked")], &empty), due(&[]));
        // The client wrote one.
        assert_eq!(framed(&method, &[("content-length", "0")], &empty), due(&[("content-length", "0")]));
        assert_eq!(framed(&method, &[("content-length", "9")], &empty), due(&[("content-length", "0")]));
    }
}

#[test]
fn over_http_2_the_length_is_told_where_it_is_known() {
    let framed = |headers: &[(&str, &str)], body: &BoxBody<Bytes, std::convert::Infallible>| {
        let mut map = map(headers);
        Framing::of(body).write_http2(&mut map, &Method::POST);
        lines(&map).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>()
    };
    let four = Full::new(Bytes::from_static(b"four")).boxed();
    for claims in [&[][..], &[("content-length", "9")], &[("transfer-encoding", "chunked"), ("host", "x")]] {
        assert_eq!(framed(claims, &four), due(&[("content-length", "4")]), "{claims:?}");
        assert_eq!(framed(claims, &unknown()), due(&[]), "{claims:?}");
    }
}

fn examined(status: u16, headers: &[(&str, &str)], to_head: bool) -> Result<Examined, Unusable> {
    let status = StatusCode::from_u16(status).unwrap();
    examine_http1(&mut head(status, Version::HTTP_11, headers), to_head, false)
}

fn head(status: StatusCode, version: Version, headers: &[(&str, &str)]) -> response::Parts {
    let (mut head, ()) =
        http::Response::builder().status(status).version(version).body(()).unwrap().into_parts();
    head.headers = map(headers);
    head
}

#[test]
fn only_chunked_is_a_coding_that_is_understood() {
    for (coding, good) in [
        ("chunked", true),
        ("Chunked ", true),
        ("gzip, chunked", false),
        ("gzip", false),
        ("chunked, chunked", false),
        ("identity", false),
        ("", false),
    ] {
        assert_eq!(examined(200, &[("transfer-encoding", coding)], false).is_ok(), good, "{coding:?}");
        // Nothing follows, so nothing is coded.
        for (status, to_head) in [(204, false), (304, false), (200, true)] {
            assert!(examined(status, &[("transfer-encoding", coding)], to_head).is_ok(), "{coding:?}");
        }
    }
    let two_lines = [("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")];
    assert_eq!(examined(200, &two_lines, false), Err(Unusable::Coding));
}

#[test]
fn a_length_beside_chunks_goes_and_the_connection_too() {
    let both = [("content-length", "9"), ("transfer-encoding", "chunked")];
    let mut head = head(StatusCode::OK, Version::HTTP_11, &both);
    let examined = examine_http1(&mut head, false, false).unwrap();
    assert!(!examined.is_reusable && !examined.is_bodiless);
    assert_eq!(lines(&head.headers), [("transfer-encoding", "chunked")]);
}

#[test]
fn a_connection_of_http_1_0_serves_once() {
    let examine = |version| examine_http1(&mut head(StatusCode::OK, version, &[]), false, false);
    assert!(examine(Version::HTTP_11).unwrap().is_reusable);
    assert!(!examine(Version::HTTP_10).unwrap().is_reusable);
}

#[test]
fn a_switch_of_protocols_must_have_been_asked_for() {
    let switch = |upgrade: &str, asked| {
        let switching = StatusCode::SWITCHING_PROTOCOLS;
        examine_http1(&mut head(switching, Version::HTTP_11, &[("upgrade", upgrade)]), false, asked)
    };
    assert!(!switch("WebSocket", true).unwrap().is_reusable);
    assert_eq!(switch("websocket", false), Err(Unusable::Unasked));
    assert_eq!(switch("h2c", true), Err(Unusable::Unasked));
}

proptest! {
    #[test]
    fn one_kind_of_framing_is_left(
        lengths in proptest::collection::vec("[0-9+ ]{0,3}", 0..3),
        codings in proptest::collection::vec("(gzip|chunked|,| ){0,3}", 0..3),
        kind in 0..3,
    ) {
        let mut headers = HeaderMap::new();
        for length in &lengths {
            headers.append(CONTENT_LENGTH, length.parse().unwrap());
        }
        for coding in &codings {
            headers.append(TRANSFER_ENCODING, coding.parse().unwrap());
        }
        match kind {
            0 => Framing::of(&Empty::<Bytes>::new()).write_http1(&mut headers, &Method::POST),
            1 => Framing::of(&Full::new(Bytes::from_static(b"x"))).write_http1(&mut headers, &Method::POST),
            _ => Framing::of(&unknown()).write_http1(&mut headers, &Method::POST),
        }
        prop_assert_eq!(lines(&headers), match kind {
            0 => [("content-length", "0")],
            1 => [("content-length", "1")],
            _ => [("transfer-encoding", "chunked")],
        });
    }
}

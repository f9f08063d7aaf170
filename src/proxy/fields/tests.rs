//! Sections as they come, against sections as they leave.

use super::*;
use http::HeaderMap;

fn request(lines: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::default();
    for (name, value) in lines {
        head.fields.line(name.as_bytes(), value.as_bytes());
    }
    head
}

fn sent(lines: &[(&str, &str)]) -> String {
    let additions = Additions {
        authorization: b"Bearer t",
        loop_member: b"cxone-proxy-1",
        via: Via::Response,
        upgrades: false,
    };
    let mut out = Vec::new();
    outgoing(&request(lines), &additions, Version::Http11, &mut out);
    String::from_utf8(out).unwrap()
}

const ADDED: &str = "Authorization: Bearer t\r\nCDN-Loop: cxone-proxy-1\r\n";

#[test]
fn end_to_end_fields_pass_in_order_and_case() {
    let lines =
        [("aCCept", "a"), ("X-A", "1"), ("x-a", "2"), ("Cookie", "c=\"d\""), ("X-Forwarded-For", "x")];
    assert_eq!(
        sent(&lines),
        format!("aCCept: a\r\nX-A: 1\r\nx-a: 2\r\nCookie: c=\"d\"\r\nX-Forwarded-For: x\r\n{ADDED}")
    );
}

#[test]
fn connection_specific_fields_do_not_pass_however_they_are_spelt() {
    let lines = [
        ("Host", "localhost"),
        ("authorization", "Basic x"),
        ("Connection", "close, X-One"),
        ("CONNECTION", "x-two,TE"),
        ("X-One", "1"),
        ("x-TWO", "2"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic y"),
        ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        ("Expect", "100-Continue"),
        ("TE", "gzip, trailers"),
    ];
    assert_eq!(sent(&lines), format!("TE: trailers\r\n{ADDED}"));
}

#[test]
fn framing_cannot_be_nominated_away() {
    let lines = [("Connection", "content-length"), ("Content-Length", "5"), ("content-length", "5")];
    assert_eq!(sent(&lines), format!("Content-Length: 5\r\n{ADDED}"));
}

#[test]
fn a_length_that_one_line_repeats_is_told_once() {
    assert_eq!(sent(&[("Content-Length", "5, 5 ,5")]), format!("Content-Length: 5\r\n{ADDED}"));
    let mut head = ResponseHead::default();
    head.fields.line(b"Content-Length", b"7,7");
    let mut out = Vec::new();
    incoming(&head, &addressed(&Vec::new), &mut out);
    assert!(out.starts_with(b"Content-Length: 7\r\n"));
}

/// A name in a list of the wrong length would never be found.
#[test]
fn every_known_name_is_found_in_any_case() {
    for (name, due) in [
        ("TE", Known::Te),
        ("Host", Known::Host),
        ("Link", Known::Link),
        ("Expect", Known::Expect),
        ("Upgrade", Known::Upgrade),
        ("Location", Known::Location),
        ("Connection", Known::Connection),
        ("Keep-Alive", Known::HopByHop),
        ("Set-Cookie", Known::SetCookie),
        ("Authorization", Known::Authorization),
        ("Content-Length", Known::ContentLength),
        ("HTTP2-Settings", Known::HopByHop),
        ("Content-Location", Known::Location),
        ("Proxy-Connection", Known::HopByHop),
        ("Transfer-Encoding", Known::HopByHop),
        ("Proxy-Authenticate", Known::HopByHop),
        ("Proxy-Authorization", Known::HopByHop),
        ("Proxy-Authentication-Info", Known::HopByHop),
        ("Access-Control-Allow-Origin", Known::AllowOrigin),
        ("Access-Control-Expose-Headers", Known::AllowOrigin),
        ("Access-Control-Allow-Credentials", Known::AllowOrigin),
        ("X-Other", Known::Other),
    ] {
        assert_eq!(known(name.as_bytes()), due, "{name}");
        assert_eq!(known(name.to_lowercase().as_bytes()), due, "{name}");
    }
}

#[test]
fn loops_are_found_by_the_whole_member() {
    for (value, due) in [
        ("cxone-proxy-1", true),
        ("other; a=b, cxone-proxy-1 ; x", true),
        ("cxone-proxy-12", false),
        ("cxone-proxy-2", false),
    ] {
        assert_eq!(has_looped(&request(&[("CDN-Loop", value)]), b"cxone-proxy-1"), due, "{value}");
    }
}

fn addressed<'a>(ways: &'a dyn Fn() -> Vec<Way<'a>>) -> Addressed<'a> {
    Addressed { ways, host: "api.example.com", origin: None, via: Via::Response, drop_length: false }
}

#[test]
fn cookies() {
    for (value, due) in [
        ("a=b", "a=b"),
        ("a=b; Path=/; Secure; HttpOnly", "a=b; Path=/; HttpOnly"),
        ("a=b;secure;SameSite=None", "a=b"),
        ("a=b; SameSite=Lax; Secure", "a=b; SameSite=Lax"),
        ("a=b; Domain=api.example.com", "a=b"),
        ("a=b; domain = .Example.com ; Max-Age=1", "a=b; Max-Age=1"),
        ("a=b; Domain=ple.com", "a=b; Domain=ple.com"),
        ("a=b; Domain=other.com", "a=b; Domain=other.com"),
        ("__Secure-a=b; Secure", "__Secure-a=b; Secure"),
        ("__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/"),
        ("a=__Host-b; Secure", "a=__Host-b"),
    ] {
        let found = local_cookie(value.as_bytes(), "api.example.com").unwrap_or_else(|| value.into());
        assert_eq!(String::from_utf8(found).unwrap(), due, "{value}");
    }
}

#[test]
fn a_response_loses_what_concerned_its_connection_and_gains_via() {
    let mut head = ResponseHead::default();
    for (name, value) in [
        ("Connection", "X-Gone"),
        ("x-gone", "1"),
        ("Keep-Alive", "5"),
        ("Content-Length", "3"),
        ("X-Kept", "a"),
        ("x-kept", "b"),
    ] {
        head.fields.line(name.as_bytes(), value.as_bytes());
    }
    let mut out = Vec::new();
    incoming(&head, &addressed(&Vec::new), &mut out);
    let due = "Content-Length: 3\r\nX-Kept: a\r\nx-kept: b\r\nVia: 1.1 cxone-proxy\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), due);
    let mut map = HeaderMap::new();
    let cors = Addressed { origin: Some(b"https://app.example"), drop_length: true, ..addressed(&Vec::new) };
    incoming(&head, &cors, &mut map);
    assert_eq!(map["access-control-allow-origin"], "https://app.example");
    assert!(!map.contains_key("content-length"));
}

//! Requests as they come, against requests as they leave.

use super::*;
use crate::proxy::hop_by_hop::HOP_BY_HOP;

fn parts(version: Version, lines: &[(&str, &str)]) -> Parts {
    let mut request = Request::get("/x?y").version(version);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn template(head: &mut Parts) -> Template {
    let loop_member = HeaderValue::from_static("cxone-proxy-1");
    let additions = Additions { loop_member: &loop_member, via: None };
    Template::new(head, PathAndQuery::from_static("/v1/x?y"), &additions)
}

fn sent(version: Version, lines: &[(&str, &str)]) -> Vec<String> {
    let mut head = parts(version, lines);
    let mut template = template(&mut head);
    let first = attempt(&mut template, &mut head, "one");
    let second = attempt(&mut template, &mut head, "two");
    assert_eq!(first, second, "every attempt sends the same");
    first
}

/// The lines of an attempt, sorted by name, but for the token that must be there.
fn attempt(template: &mut Template, head: &mut Parts, token: &str) -> Vec<String> {
    let token = crate::tokens::testing::access_token(token);
    let request = template.attempt(head, &token, ());
    assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::GET, "/v1/x?y"));
    assert_eq!(request.headers()[AUTHORIZATION], *token.authorization());
    assert!(request.headers()[AUTHORIZATION].is_sensitive());
    let mut lines: Vec<String> = request
        .headers()
        .iter()
        .filter(|(name, _)| *name != AUTHORIZATION)
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort_by_key(|line| line.split(':').next().unwrap_or_default().to_owned());
    lines
}

#[test]
fn end_to_end_fields_pass_with_repetitions_in_their_order() {
    let lines = [("Accept", "a"), ("X-A", "2"), ("x-a", "1"), ("X-Forwarded-For", "x")];
    assert_eq!(
        sent(Version::HTTP_11, &lines),
        ["accept: a", "cdn-loop: cxone-proxy-1", "x-a: 2", "x-a: 1", "x-forwarded-for: x"]
    );
}

#[test]
fn connection_specific_fields_do_not_pass_in_any_spelling() {
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
        ("Content-Length", "0"),
        ("TE", "gzip, trailers"),
    ];
    // The upstream's own sender writes `Host` and the framing.
    assert_eq!(
        sent(Version::HTTP_11, &lines),
        ["cdn-loop: cxone-proxy-1", "content-length: 0", "host: localhost", "te: trailers"]
    );
}

/// Each name alone, so that a missing one shows.
#[test]
fn each_connection_specific_field_is_found_by_itself() {
    for (_, name) in HOP_BY_HOP {
        let lines = [(name.as_str(), "x")];
        assert_eq!(sent(Version::HTTP_11, &lines), ["cdn-loop: cxone-proxy-1"], "{name}");
    }
}

#[test]
fn an_unknown_expectation_passes() {
    assert_eq!(
        sent(Version::HTTP_11, &[("Expect", "something")]),
        ["cdn-loop: cxone-proxy-1", "expect: something"]
    );
}

#[test]
fn fifteen_thousand_names_in_connection_are_read_once() {
    let names = vec!["a"; 15_000].join(",");
    let mut lines = vec![("Connection", names.as_str()), ("A", "gone")];
    lines.resize(8_000, ("B", "stays"));
    assert_eq!(sent(Version::HTTP_11, &lines).len(), 7_998 + 1);
}

#[test]
fn cookies_that_http2_split_are_joined() {
    let lines = [("cookie", "a=1"), ("cookie", "b=2")];
    assert_eq!(sent(Version::HTTP_2, &lines), ["cdn-loop: cxone-proxy-1", "cookie: a=1; b=2"]);
    assert_eq!(sent(Version::HTTP_11, &lines).len(), 3);
}

#[test]
fn loops_are_found_by_the_whole_member() {
    for (value, expected) in [
        ("cxone-proxy-1", true),
        ("other; a=b, cxone-proxy-1 ; x", true),
        ("cxone-proxy-12", false),
        ("cxone-proxy-2", false),
    ] {
        let headers = parts(Version::HTTP_11, &[("CDN-Loop", value)]).headers;
        assert_eq!(has_looped(&headers, &HeaderValue::from_static("cxone-proxy-1")), expected, "{value}");
    }
}

#[test]
fn a_websocket_is_asked_for_over_http_1_1_only() {
    let lines = [("Connection", "keep-alive, Upgrade"), ("Upgrade", "WebSocket")];
    assert!(asks_for_websocket(&parts(Version::HTTP_11, &lines)));
    assert!(!asks_for_websocket(&parts(Version::HTTP_10, &lines)));
    assert!(!asks_for_websocket(&parts(Version::HTTP_11, &lines[..1])));
    assert!(!asks_for_websocket(&parts(Version::HTTP_11, &lines[1..])));
    assert!(!asks_for_websocket(&parts(Version::HTTP_11, &[lines[0], ("Upgrade", "h2c")])));
}

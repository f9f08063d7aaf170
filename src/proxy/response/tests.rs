//! Responses as they come, against responses as they leave.

use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    headers
}

#[test]
fn a_changed_body_loses_its_digests_and_its_strong_tag() {
    let mut changed = headers(&[
        ("ETag", "\"v1\""),
        ("Digest", "sha-256=x"),
        ("Content-Digest", "sha-256=:x:"),
        ("Repr-Digest", "sha-256=:x:"),
        ("Content-MD5", "x"),
        ("Content-Length", "5"),
        ("Last-Modified", "x"),
    ]);
    note_changed_body(&mut changed);
    assert_eq!(changed, headers(&[("ETag", "W/\"v1\""), ("Last-Modified", "x")]));
    let mut weak = headers(&[("ETag", "W/\"v1\"")]);
    note_changed_body(&mut weak);
    assert_eq!(weak, headers(&[("ETag", "W/\"v1\"")]));
}

#[test]
fn the_received_status_is_a_list_member_of_its_own() {
    let mut response = headers(&[("Proxy-Status", "cdn; error=x")]);
    let details = Some("request body too large to replay");
    add_received_status(&mut response, StatusCode::UNAUTHORIZED, details);
    let lines: Vec<_> = response.get_all(&PROXY_STATUS).iter().collect();
    assert_eq!(
        lines,
        ["cdn; error=x", "cxone-proxy; received-status=401; details=\"request body too large to replay\"",]
    );
}

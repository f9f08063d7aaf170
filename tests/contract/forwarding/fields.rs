//! End-to-end fields pass, connection-specific ones do not, and little is added.

use std::collections::BTreeSet;

use crate::support::{Launch, Message, Setup, Upstream, request};

/// Sends `request` through a program to an upstream that responds with `response`; returns what arrived at both
/// ends.
async fn exchanged(
    launch: impl FnOnce(Launch) -> Launch,
    request: impl AsRef<[u8]>,
    response: &str,
) -> (Message, Message) {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(launch).await;
    let mut client = setup.connect().await;
    client.send(request).await;
    let mut connection = upstream.accept().await;
    let arrived = connection.request().await.unwrap();
    connection.send(response).await;
    (arrived, client.response().await.unwrap())
}

fn lines(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Sorted by name; lines of one name keep their order, the only one that means something (RFC 9110 section 5.3).
fn by_name(mut fields: Vec<(String, String)>) -> Vec<(String, String)> {
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

/// Without what the proxy adds, whose values differ from run to run.
fn without_additions(message: &Message) -> Vec<(String, String)> {
    let added = ["Host", "Authorization", "Cdn-Loop"];
    message.fields.iter().filter(|(name, _)| !added.contains(&name.as_str())).cloned().collect()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

const MIXED: &str = "x-b: 1\r\nX-A: 2\r\nx-B: 3\r\nACCEPT: */*\r\nX-Empty: \r\ncookie: a=1\r\nCookie: b=2\r\n\
                     Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nUser-Agent: old/1\r\nX-A: 4\r\n";

#[tokio::test]
async fn request_fields_arrive_in_title_case_and_repeated_ones_in_their_order() {
    let (arrived, _) = exchanged(|launch| launch, request("GET", "/", MIXED, ""), OK).await;
    let expected = lines(&[
        ("Accept", "*/*"),
        ("Cookie", "a=1"),
        ("Cookie", "b=2"),
        ("Forwarded", "for=192.0.2.1"),
        ("User-Agent", "old/1"),
        ("X-A", "2"),
        ("X-A", "4"),
        ("X-B", "1"),
        ("X-B", "3"),
        ("X-Empty", ""),
        ("X-Forwarded-For", "192.0.2.2"),
    ]);
    assert_eq!(by_name(without_additions(&arrived)), expected);
}

#[tokio::test]
async fn nothing_is_added_but_the_token_and_the_loop_detection() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YTpi\r\n\r\n").await;
    let mut connection = upstream.accept().await;
    let arrived = connection.request().await.unwrap();
    connection.send(OK).await;
    client.response().await.unwrap();
    let names: BTreeSet<_> = arrived.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert_eq!(names, ["authorization", "cdn-loop", "host"].map(str::to_owned).into());
    assert_eq!(arrived.fields.len(), 3, "each of them once: {:?}", arrived.fields);
    assert_eq!(arrived.only("Host"), Some(upstream.address().to_string().as_str()));
    assert!(arrived.only("Authorization").unwrap().starts_with("Bearer ey"));
}

#[tokio::test]
async fn field_values_pass_byte_for_byte() {
    let value = b"\xe9t\xe9, \"quoted, comma\" \t tab; a=b";
    let bytes = [b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Odd: ", &value[..], b"\r\n\r\n"].concat();
    let (arrived, _) = exchanged(|launch| launch, bytes, OK).await;
    let expected: String = value.iter().map(|byte| char::from(*byte)).collect();
    assert_eq!(arrived.only("X-Odd"), Some(expected.as_str()));
}

#[tokio::test]
async fn hop_by_hop_fields_of_a_request_are_not_passed_on() {
    let fields = "Connection: keep-alive, X-First\r\nX-First: 1\r\nconnection: x-second , close\r\nX-SECOND: 2\r\n\
                  Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic YTpi\r\n\
                  Proxy-Authenticate: Basic\r\nTE: gzip, trailers;q=0.5, trailers\r\nUpgrade: foo/2\r\n\
                  X-Stays: 3\r\n";
    let (arrived, _) = exchanged(|launch| launch, request("GET", "/", fields, ""), OK).await;
    let passed = without_additions(&arrived);
    assert!(passed.contains(&("X-Stays".to_owned(), "3".to_owned())), "{passed:?}");
    let others: Vec<_> = passed.iter().filter(|(name, _)| name != "X-Stays").collect();
    assert!(
        others.iter().all(|(name, value)| {
            (name.eq_ignore_ascii_case("te") && value == "trailers")
                || (name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("te"))
        }),
        "{others:?}"
    );
    assert_eq!(arrived.only("TE"), Some("trailers"), "{others:?}");
}

#[tokio::test]
async fn hop_by_hop_fields_of_a_response_are_not_passed_on() {
    let response = "HTTP/1.1 200 Fine By Me\r\nx-b: 1\r\nX-A: 2\r\nX-a: 3\r\nConnection: X-First\r\nX-First: 1\r\n\
                 connection: x-second, keep-alive\r\nX-Second: 2\r\nKeep-Alive: timeout=5\r\n\
                 Proxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\nProxy-Authorization: a\r\n\
                 Upgrade: h2c\r\nWWW-Authenticate: Basic\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                 Content-Length: 2\r\nX-Last: 4\r\n\r\nok";
    let (_, relayed) = exchanged(|launch| launch, request("GET", "/", "", ""), response).await;
    assert_eq!(relayed.start, "HTTP/1.1 200 Fine By Me");
    let expected = lines(&[
        ("Content-Length", "2"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Via", "1.1 cxone-proxy"),
        ("Www-Authenticate", "Basic"),
        ("X-A", "2"),
        ("X-A", "3"),
        ("X-B", "1"),
        ("X-Last", "4"),
    ]);
    assert_eq!(by_name(relayed.fields), expected);
}

#[tokio::test]
async fn via_is_added_to_responses_only_unless_configured_otherwise() {
    for (setting, on_request, on_response) in [
        (None, vec![], vec!["1.0 fred", "1.1 cxone-proxy"]),
        (Some("both"), vec!["1.1 older", "1.1 cxone-proxy"], vec!["1.0 fred", "1.1 cxone-proxy"]),
        (Some("off"), vec![], vec!["1.0 fred"]),
    ] {
        let sent = if on_request.is_empty() { "" } else { "Via: 1.1 older\r\n" };
        let response = "HTTP/1.1 200 OK\r\nVia: 1.0 fred\r\nContent-Length: 2\r\n\r\nok";
        let launch = |launch: Launch| match setting {
            Some(setting) => launch.flag("via", setting),
            None => launch,
        };
        let (arrived, relayed) = exchanged(launch, request("GET", "/", sent, ""), response).await;
        assert_eq!(arrived.all("Via"), on_request, "{setting:?}");
        assert_eq!(relayed.all("Via"), on_response, "{setting:?}");
    }
}

#[tokio::test]
async fn cdn_loop_gets_a_member_after_what_it_had_that_is_unique_to_the_process() {
    let setup = Setup::new().await;
    let member = async |setup: &Setup| {
        let response =
            setup.fetch(request("GET", "/api/v2/echo", "CDN-Loop: other, cxone-proxy\r\n", "")).await;
        let fields = response.json()["fields"].as_array().unwrap().clone();
        let values: Vec<_> = fields
            .iter()
            .filter(|line| line[0].as_str().unwrap().eq_ignore_ascii_case("cdn-loop"))
            .map(|line| line[1].as_str().unwrap().to_owned())
            .collect();
        let members = values.join(", ");
        let own = members.strip_prefix("other, cxone-proxy, ").unwrap_or_else(|| panic!("{members}"));
        assert!(own.starts_with("cxone-proxy"), "{own}");
        own.to_owned()
    };
    let (first, second) = (member(&setup).await, member(&setup).await);
    assert_eq!(first, second);
    let other = Setup::new().await;
    assert_ne!(first, member(&other).await);
}

#[tokio::test]
async fn a_request_that_has_passed_this_process_already_is_508() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send(request("GET", "/x", "", "")).await;
    let mut connection = upstream.accept().await;
    let mut arrived = connection.request().await.unwrap();
    // It comes back through another CDN, which adds a member of its own.
    arrived.fields.retain(|(name, _)| name.eq_ignore_ascii_case("cdn-loop"));
    let passed: Vec<_> = arrived.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let again =
        setup.fetch(request("GET", "/x", &format!("{}CDN-Loop: other; v=1\r\n", passed.concat()), "")).await;
    assert_eq!(again.status(), 508);
    assert_eq!(again.only("Content-Type"), Some("application/problem+json"));
    assert_eq!(again.json()["status"], 508);
    connection.send(OK).await;
    assert_eq!(client.response().await.unwrap().status(), 200);
}

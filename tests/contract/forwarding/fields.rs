//! End-to-end fields pass, in their order and case; those of the connection do not; little is added.

use crate::support::{Launch, Message, Stage, Upstream, request};

/// Sends `request` through a program to an upstream that answers `reply`: what arrived on both sides.
async fn exchanged(
    launch: impl FnOnce(Launch) -> Launch,
    request: impl AsRef<[u8]>,
    reply: &str,
) -> (Message, Message) {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(launch).await;
    let mut client = stage.wire().await;
    client.send(request).await;
    let mut far = upstream.accept().await;
    let arrived = far.request().await.unwrap();
    far.send(reply).await;
    (arrived, client.reply().await.unwrap())
}

fn lines(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Without what the proxy adds, whose values differ from run to run.
fn without_additions(message: &Message) -> Vec<(String, String)> {
    let added = ["Host", "Authorization", "CDN-Loop"];
    message.fields.iter().filter(|(name, _)| !added.contains(&name.as_str())).cloned().collect()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn request_fields_keep_their_order_their_case_and_their_repetitions() {
    let fields = "x-b: 1\r\nX-A: 2\r\nx-B: 3\r\nACCEPT: */*\r\nX-Empty: \r\ncookie: a=1\r\nCookie: b=2\r\n\
                  Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.2\r\nUser-Agent: old/1\r\nX-A: 4\r\n";
    let (arrived, _) = exchanged(|launch| launch, request("GET", "/", fields, ""), OK).await;
    let due = lines(&[
        ("x-b", "1"),
        ("X-A", "2"),
        ("x-B", "3"),
        ("ACCEPT", "*/*"),
        ("X-Empty", ""),
        ("cookie", "a=1"),
        ("Cookie", "b=2"),
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.2"),
        ("User-Agent", "old/1"),
        ("X-A", "4"),
    ]);
    assert_eq!(without_additions(&arrived), due);
}

#[tokio::test]
async fn nothing_is_added_but_the_token_and_the_loop_detection() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YTpi\r\n\r\n").await;
    let mut far = upstream.accept().await;
    let arrived = far.request().await.unwrap();
    far.send(OK).await;
    client.reply().await.unwrap();
    let names: Vec<_> = arrived.fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Host", "Authorization", "CDN-Loop"]);
    assert_eq!(arrived.only("Host"), Some(upstream.address().to_string().as_str()));
    assert!(arrived.only("Authorization").unwrap().starts_with("Bearer ey"));
}

#[tokio::test]
async fn field_values_pass_byte_for_byte() {
    let value = b"\xe9t\xe9, \"quoted, comma\" \t tab; a=b";
    let bytes = [b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Odd: ", &value[..], b"\r\n\r\n"].concat();
    let (arrived, _) = exchanged(|launch| launch, bytes, OK).await;
    let due: String = value.iter().map(|byte| char::from(*byte)).collect();
    assert_eq!(arrived.only("X-Odd"), Some(due.as_str()));
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
            (name == "TE" && value == "trailers") || (name == "Connection" && value == "TE")
        }),
        "{others:?}"
    );
    assert!(others.iter().any(|(name, _)| name == "TE"), "{others:?}");
}

#[tokio::test]
async fn hop_by_hop_fields_of_a_response_are_not_passed_on() {
    let reply = "HTTP/1.1 200 Fine By Me\r\nx-b: 1\r\nX-A: 2\r\nX-a: 3\r\nConnection: X-First\r\nX-First: 1\r\n\
                 connection: x-second, keep-alive\r\nX-Second: 2\r\nKeep-Alive: timeout=5\r\n\
                 Proxy-Connection: keep-alive\r\nProxy-Authenticate: Basic\r\nProxy-Authorization: a\r\n\
                 Upgrade: h2c\r\nWWW-Authenticate: Basic\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                 Content-Length: 2\r\nX-Last: 4\r\n\r\nok";
    let (_, relayed) = exchanged(|launch| launch, request("GET", "/", "", ""), reply).await;
    assert_eq!(relayed.start, "HTTP/1.1 200 Fine By Me");
    let due = lines(&[
        ("x-b", "1"),
        ("X-A", "2"),
        ("X-a", "3"),
        ("WWW-Authenticate", "Basic"),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Content-Length", "2"),
        ("X-Last", "4"),
        ("Via", "1.1 cxone-proxy"),
    ]);
    assert_eq!(relayed.fields, due);
}

#[tokio::test]
async fn via_is_added_to_responses_only_unless_configured_otherwise() {
    for (setting, on_request, on_response) in [
        (None, vec![], vec!["1.0 fred", "1.1 cxone-proxy"]),
        (Some("both"), vec!["1.1 older", "1.1 cxone-proxy"], vec!["1.0 fred", "1.1 cxone-proxy"]),
        (Some("off"), vec![], vec!["1.0 fred"]),
    ] {
        let sent = if on_request.is_empty() { "" } else { "Via: 1.1 older\r\n" };
        let reply = "HTTP/1.1 200 OK\r\nVia: 1.0 fred\r\nContent-Length: 2\r\n\r\nok";
        let launch = |launch: Launch| match setting {
            Some(setting) => launch.flag("via", setting),
            None => launch,
        };
        let (arrived, relayed) = exchanged(launch, request("GET", "/", sent, ""), reply).await;
        assert_eq!(arrived.all("Via"), on_request, "{setting:?}");
        assert_eq!(relayed.all("Via"), on_response, "{setting:?}");
    }
}

#[tokio::test]
async fn cdn_loop_gets_a_member_after_what_it_had_that_is_unique_to_the_process() {
    let stage = Stage::new().await;
    let member = async |stage: &Stage| {
        let reply = stage.ask(request("GET", "/api/v2/echo", "CDN-Loop: other, cxone-proxy\r\n", "")).await;
        let fields = reply.json()["fields"].as_array().unwrap().clone();
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
    let (first, second) = (member(&stage).await, member(&stage).await);
    assert_eq!(first, second);
    let other = Stage::new().await;
    assert_ne!(first, member(&other).await);
}

#[tokio::test]
async fn a_request_that_has_come_round_is_answered_508() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    client.send(request("GET", "/x", "", "")).await;
    let mut far = upstream.accept().await;
    let mut arrived = far.request().await.unwrap();
    // Round it goes, by way of somebody who adds a member of their own.
    arrived.fields.retain(|(name, _)| name == "CDN-Loop");
    let passed: Vec<_> = arrived.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let again =
        stage.ask(request("GET", "/x", &format!("{}CDN-Loop: other; v=1\r\n", passed.concat()), "")).await;
    assert_eq!(again.status(), 508);
    assert_eq!(again.only("Content-Type"), Some("application/problem+json"));
    assert_eq!(again.json()["status"], 508);
    far.send(OK).await;
    assert_eq!(client.reply().await.unwrap().status(), 200);
}

//! Bodies pass with their framing and trailers; a message without a body stays without one.

use cxone_simulator::{Action, Endpoint, Fault, Script, pattern};
use serde_json::json;
use tokio::io::{AsyncWriteExt as _, join, sink, split};

use crate::support::{RawConnection, Setup, Upstream, eventually, get, request};

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n";

#[tokio::test]
async fn a_body_with_a_length_arrives_with_that_length() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    let mut connection = None;
    for body in ["", "x", "line\r\n\r\n0\r\n\r\n"] {
        client.send(request("POST", "/", "", body)).await;
        let connection = match &mut connection {
            None => connection.insert(upstream.accept().await),
            Some(connection) => connection,
        };
        let arrived = connection.request().await.unwrap();
        assert_eq!(arrived.only("Content-Length"), Some(body.len().to_string().as_str()));
        assert_eq!(arrived.only("Transfer-Encoding"), None);
        assert_eq!(arrived.text(), body);
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
        let relayed = client.response().await.unwrap();
        assert_eq!(relayed.only("Content-Length"), Some(body.len().to_string().as_str()));
        assert_eq!((relayed.only("Transfer-Encoding"), relayed.text()), (None, body.to_owned()));
    }
}

#[tokio::test]
async fn a_request_without_a_body_arrives_without_one() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let arrived = upstream.accept().await.request().await.unwrap();
    assert_eq!((arrived.only("Content-Length"), arrived.only("Transfer-Encoding")), (None, None));
}

#[tokio::test]
async fn a_chunked_body_arrives_chunked_with_its_trailers() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client
        .send(format!(
            "{CHUNKED}Trailer: X-Declared\r\nTE: trailers\r\n\r\n\
             3;ext=\"v\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Declared: 1\r\nx-undeclared: 2\r\nX-Declared: 3\r\n\
             Authorization: Basic YTpi\r\nContent-Length: 3\r\nHost: evil\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let mut connection = upstream.accept().await;
    let arrived = connection.request().await.unwrap();
    assert_eq!(arrived.only("Transfer-Encoding"), Some("chunked"));
    assert_eq!(arrived.only("Content-Length"), None);
    assert_eq!(arrived.only("Trailer"), Some("X-Declared"));
    assert_eq!(arrived.text(), "abc0123456789");
    let mut trailers = arrived.lower_case_trailers();
    // Nobody announced it, so it may be dropped (RFC 9110 section 6.5.1).
    trailers.retain(|(name, value)| name != "x-undeclared" || *value != "2");
    let declared = || "x-declared".to_owned();
    assert_eq!(trailers, [(declared(), "1"), (declared(), "3")]);

    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n").await;
    connection
        .send("3\r\nabc\r\n0\r\nX-Sum: 1\r\nx-other: 2\r\nSet-Cookie: a\r\nTransfer-Encoding: x\r\n\r\n")
        .await;
    let relayed = client.response().await.unwrap();
    assert_eq!(relayed.only("Transfer-Encoding"), Some("chunked"));
    assert_eq!((relayed.only("Content-Length"), relayed.text()), (None, "abc".to_owned()));
    let mut trailers = relayed.lower_case_trailers();
    // Neither of these was announced.
    trailers.retain(|(name, _)| name != "x-other" && name != "set-cookie");
    assert_eq!(trailers, [("x-sum".to_owned(), "1")]);
}

#[tokio::test]
async fn an_empty_chunked_body_stays_chunked_and_the_connection_goes_on() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    for _ in 0..2 {
        let response = client.fetch(CHUNKED.replace(" / ", " /api/v2/echo ") + "\r\n0\r\n\r\n").await.json();
        assert_eq!(response["body"]["bytes"], 0);
        let fields = response["fields"].as_array().unwrap();
        assert!(fields.contains(&json!(["Transfer-Encoding", "chunked"])), "{fields:?}");
    }
}

#[tokio::test]
async fn announced_trailers_of_the_upstream_reach_a_client_that_takes_trailers() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let response = client.fetch(request("GET", "/api/v2/trailers", "TE: trailers\r\n", "")).await;
    assert_eq!(response.text(), "one two");
    let expected = [("x-checksum", "onetwo"), ("x-repeated", "first"), ("x-repeated", "second")];
    assert_eq!(response.lower_case_trailers(), expected.map(|(name, value)| (name.to_owned(), value)));
    // A client that does not say so gets the body all the same, and its connection goes on.
    for _ in 0..2 {
        assert_eq!(client.fetch(get("/api/v2/trailers")).await.text(), "one two");
    }
}

#[tokio::test]
async fn head_204_and_304_keep_their_length_and_have_no_body() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    let mut connection = None;
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: \"a\"\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"b\"\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("DELETE", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
    ] {
        client.send(request(method, "/", "", "")).await;
        let connection = match &mut connection {
            None => connection.insert(upstream.accept().await),
            Some(connection) => connection,
        };
        assert_eq!(connection.request().await.unwrap().method(), method);
        connection.send(answer).await;
        let head = client.head().await.unwrap();
        assert!(answer.starts_with(&head.start), "{answer}");
        // A 204 has no length (RFC 9110 section 8.6), whatever the upstream says.
        let given = answer.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let expected = given.filter(|_| head.status() != 204 || head.only("Content-Length").is_some());
        assert_eq!(head.only("Content-Length"), expected, "{answer}");
    }
    // Nothing followed the last response either: the connection still works.
    client.send(get("/last")).await;
    let connection = connection.as_mut().unwrap();
    assert_eq!(connection.request().await.unwrap().target(), "/last");
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast").await;
    assert_eq!(client.response().await.unwrap().text(), "last");
}

#[tokio::test]
async fn a_long_poll_that_ends_in_304_is_passed_on() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    for _ in 0..2 {
        let response = client.fetch(get("/api/v2/long-poll?ms=300")).await;
        assert_eq!((response.status(), response.only("ETag")), (304, Some("\"unchanged\"")));
    }
}

#[tokio::test]
async fn ranges_are_left_to_the_upstream() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let part = client.fetch(request("GET", "/api/v2/large?bytes=1000", "Range: bytes=100-109\r\n", "")).await;
    assert_eq!((part.status(), part.only("Content-Range")), (206, Some("bytes 100-109/1000")));
    assert_eq!(part.body, (100..110).collect::<Vec<u8>>());
    let none = client.fetch(request("GET", "/api/v2/large?bytes=10", "Range: bytes=20-\r\n", "")).await;
    assert_eq!((none.status(), none.only("Content-Range")), (416, Some("bytes */10")));
}

#[tokio::test]
async fn a_compressed_body_arrives_still_compressed() {
    let setup = Setup::new().await;
    let response = setup.fetch(request("GET", "/api/v2/gzip", "Accept-Encoding: gzip\r\n", "")).await;
    assert_eq!(response.only("Content-Encoding"), Some("gzip"));
    assert_eq!(response.body.len().to_string(), response.only("Content-Length").unwrap());
    assert_eq!(response.body[..2], [0x1f, 0x8b]);
}

#[tokio::test]
async fn informational_responses_never_replace_the_final_one() {
    let setup = Setup::new().await;
    let early_hints =
        Action::Informational { status: 103, fields: vec![("Link".to_owned(), "</a>".to_owned())] };
    setup.region.script(Script::of([Fault::new(early_hints).at(Endpoint::Api)]));
    let mut client = setup.connect().await;
    for _ in 0..2 {
        client.send(get("/api/v2/users/7")).await;
        let mut response = client.response().await.unwrap();
        // They may be passed on or dropped.
        if response.status() == 103 {
            response = client.response().await.unwrap();
        }
        assert_eq!(response.json()["id"], "7");
    }
}

#[tokio::test]
async fn an_unasked_100_continue_of_the_upstream_is_not_passed_on() {
    let setup = Setup::new().await;
    let fault = Fault::new(Action::Informational { status: 100, fields: vec![] }).at(Endpoint::Api);
    setup.region.script(Script::of([fault]));
    assert_eq!(setup.get("/api/v2/users/7").await.json()["id"], "7");
}

#[tokio::test]
async fn a_body_that_ends_with_the_upstream_s_connection_reaches_the_client_whole() {
    let setup = Setup::new().await;
    setup.region.script(Script::of([Fault::new(Action::CloseDelimited {}).at(Endpoint::Api)]));
    let mut client = setup.connect().await;
    for _ in 0..2 {
        let response = client.fetch(get("/api/v2/large?bytes=100000")).await;
        assert_eq!(response.only("Transfer-Encoding"), Some("chunked"));
        assert_eq!(response.body.len(), 100_000);
    }
}

#[tokio::test]
async fn large_bodies_pass_unharmed_in_both_directions() {
    let setup = Setup::new().await;
    let body: Vec<u8> = pattern(0, 65_000).iter().copied().cycle().take(3_000_000).collect();
    let head = "POST /api/v2/echo-body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n";
    let mut client = setup.connect().await;
    client.send(head).await;
    // The region sends each piece back when it arrives, so neither side may wait for the other's end.
    let (read, mut write) = split(client.into_parts().0);
    let sent = body.clone();
    let sending = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write
    });
    let response = RawConnection::over(join(read, sink())).response().await.unwrap();
    assert!(response.body == body, "the body was changed");
    sending.await.unwrap();
}

#[tokio::test]
async fn an_http_1_0_response_is_understood() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for (answer, body) in [
        ("HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nuntil the end", "until the end"),
        ("HTTP/1.0 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello", "hello"),
    ] {
        let mut client = setup.connect().await;
        client.send(get("/")).await;
        let mut connection = upstream.accept().await;
        connection.request().await.unwrap();
        connection.send(answer).await;
        drop(connection);
        let relayed = client.response().await.unwrap();
        assert_eq!((relayed.start.as_str(), relayed.text()), ("HTTP/1.1 200 OK", body.to_owned()));
        assert_eq!(relayed.only("X-A"), Some("1"));
        // The client's connection does not depend on the upstream's.
        client.send(get("/")).await;
        let mut connection = upstream.accept().await;
        connection.request().await.unwrap();
        connection.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.response().await.unwrap().status(), 204);
    }
}

#[tokio::test]
async fn a_response_with_both_a_length_and_chunks_is_read_as_chunks_and_its_length_dropped() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send(get("/")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    connection.send("5\r\nhello\r\n0\r\n\r\n").await;
    let relayed = client.response().await.unwrap();
    assert_eq!((relayed.only("Content-Length"), relayed.text()), (None, "hello".to_owned()));
    // A connection with a response framed in two ways is not used again.
    client.send(get("/")).await;
    upstream.accept().await.request().await.unwrap();
}

#[tokio::test]
async fn a_body_that_is_malformed_in_its_middle_is_400_and_says_so() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    client.send(format!("{CHUNKED}\r\n3\r\nabc\r\n")).await;
    let mut connection = upstream.accept().await;
    connection.head().await.unwrap();
    assert_eq!(connection.chunk().await.unwrap(), b"abc");
    client.send("no size\r\n").await;
    let response = client.response().await.unwrap();
    assert_eq!(response.status(), 400, "{}", response.text());
    assert_eq!(response.json()["detail"], "The request body is malformed: its framing is broken.");
    assert_eq!(setup.metrics().await.count("cxone_proxy_errors_total", &[("type", "malformed-request")]), 1);
}

/// Nobody is there to get a response, so none is counted, and nothing of it is the proxy's error.
#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_body_has_abandoned_its_request() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = setup.connect().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n3\r\nabc\r\n")).await;
        let mut connection = upstream.accept().await;
        connection.head().await.unwrap();
        connection.some(3).await;
        drop(client);
        connection.rest().await;
    }
    eventually("two abandoned requests", async || {
        let metrics = setup.metrics().await;
        (metrics.sum("cxone_proxy_requests_abandoned_total", &[]) == Some(2.0)).then_some(())
    })
    .await;
    let metrics = setup.metrics().await;
    assert_eq!(metrics.count("cxone_proxy_requests_total", &[]), 0, "{}", metrics.text());
    assert!(matches!(metrics.sum("cxone_proxy_errors_total", &[]), None | Some(0.0)), "{}", metrics.text());
}

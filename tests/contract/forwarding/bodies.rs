//! Bodies pass with their framing and trailers, and what has none keeps none.

use cxone_proxy::simulator::{Action, Endpoint, Fault, Script, pattern};
use serde_json::json;
use tokio::io::{AsyncWriteExt as _, join, sink, split};

use crate::support::{Stage, Upstream, Wire, get, request};

const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n";

#[tokio::test]
async fn a_body_with_a_length_arrives_with_that_length() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    let mut far = None;
    for body in ["", "x", "line\r\n\r\n0\r\n\r\n"] {
        client.send(request("POST", "/", "", body)).await;
        let far = match &mut far {
            None => far.insert(upstream.accept().await),
            Some(far) => far,
        };
        let arrived = far.request().await.unwrap();
        assert_eq!(arrived.only("Content-Length"), Some(body.len().to_string().as_str()));
        assert_eq!(arrived.only("Transfer-Encoding"), None);
        assert_eq!(arrived.text(), body);
        far.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
        let relayed = client.reply().await.unwrap();
        assert_eq!(relayed.only("Content-Length"), Some(body.len().to_string().as_str()));
        assert_eq!((relayed.only("Transfer-Encoding"), relayed.text()), (None, body.to_owned()));
    }
}

#[tokio::test]
async fn a_request_without_a_body_arrives_without_one() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    client.send("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let arrived = upstream.accept().await.request().await.unwrap();
    assert_eq!((arrived.only("Content-Length"), arrived.only("Transfer-Encoding")), (None, None));
}

#[tokio::test]
async fn a_chunked_body_arrives_chunked_with_its_trailers() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    client
        .send(format!(
            "{CHUNKED}Trailer: X-Declared\r\nTE: trailers\r\n\r\n\
             3;ext=\"v\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nX-Declared: 1\r\nx-undeclared: 2\r\nX-Declared: 3\r\n\
             Authorization: Basic YTpi\r\nContent-Length: 3\r\nHost: evil\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let mut far = upstream.accept().await;
    let arrived = far.request().await.unwrap();
    assert_eq!(arrived.only("Transfer-Encoding"), Some("chunked"));
    assert_eq!(arrived.only("Content-Length"), None);
    assert_eq!(arrived.only("Trailer"), Some("X-Declared"));
    assert_eq!(arrived.text(), "abc0123456789");
    let due = [("X-Declared", "1"), ("x-undeclared", "2"), ("X-Declared", "3")];
    let due: Vec<_> = due.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    assert_eq!(arrived.trailers, due);

    far.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n").await;
    far.send("3\r\nabc\r\n0\r\nX-Sum: 1\r\nx-other: 2\r\nSet-Cookie: a\r\nTransfer-Encoding: x\r\n\r\n")
        .await;
    let relayed = client.reply().await.unwrap();
    assert_eq!(relayed.only("Transfer-Encoding"), Some("chunked"));
    assert_eq!((relayed.only("Content-Length"), relayed.text()), (None, "abc".to_owned()));
    assert!(relayed.trailers.contains(&("X-Sum".to_owned(), "1".to_owned())), "{relayed:?}");
    assert!(relayed.trailers.contains(&("x-other".to_owned(), "2".to_owned())), "{relayed:?}");
    assert!(!relayed.trailers.iter().any(|(name, _)| name == "Transfer-Encoding"), "{relayed:?}");
}

#[tokio::test]
async fn an_empty_chunked_body_stays_chunked_and_the_connection_goes_on() {
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    for _ in 0..2 {
        let reply = client.ask(CHUNKED.replace(" / ", " /api/v2/echo ") + "\r\n0\r\n\r\n").await.json();
        assert_eq!(reply["body"]["bytes"], 0);
        let fields = reply["fields"].as_array().unwrap();
        assert!(fields.contains(&json!(["Transfer-Encoding", "chunked"])), "{fields:?}");
    }
}

#[tokio::test]
async fn the_region_s_trailers_reach_the_client() {
    let stage = Stage::new().await;
    let reply = stage.get("/api/v2/trailers").await;
    assert_eq!(reply.text(), "one two");
    let due = [("X-Checksum", "onetwo"), ("X-Repeated", "first"), ("X-Repeated", "second")];
    assert_eq!(reply.trailers, due.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn head_204_and_304_keep_their_length_and_have_no_body() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    let mut far = None;
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nETag: \"a\"\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"b\"\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("DELETE", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
    ] {
        client.send(request(method, "/", "", "")).await;
        let far = match &mut far {
            None => far.insert(upstream.accept().await),
            Some(far) => far,
        };
        assert_eq!(far.request().await.unwrap().method(), method);
        far.send(answer).await;
        let head = client.head().await.unwrap();
        assert!(answer.starts_with(&head.start), "{answer}");
        let due = answer.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(head.only("Content-Length"), due, "{answer}");
    }
    // The last answer was not followed by anything either: the connection still works.
    client.send(get("/last")).await;
    let far = far.as_mut().unwrap();
    assert_eq!(far.request().await.unwrap().target(), "/last");
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast").await;
    assert_eq!(client.reply().await.unwrap().text(), "last");
}

#[tokio::test]
async fn a_long_poll_that_ends_in_304_is_passed_on() {
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    for _ in 0..2 {
        let reply = client.ask(get("/api/v2/long-poll?ms=300")).await;
        assert_eq!((reply.status(), reply.only("ETag")), (304, Some("\"unchanged\"")));
    }
}

#[tokio::test]
async fn ranges_are_the_upstream_s_business() {
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    let part = client.ask(request("GET", "/api/v2/large?bytes=1000", "Range: bytes=100-109\r\n", "")).await;
    assert_eq!((part.status(), part.only("Content-Range")), (206, Some("bytes 100-109/1000")));
    assert_eq!(part.body, (100..110).collect::<Vec<u8>>());
    let none = client.ask(request("GET", "/api/v2/large?bytes=10", "Range: bytes=20-\r\n", "")).await;
    assert_eq!((none.status(), none.only("Content-Range")), (416, Some("bytes */10")));
}

#[tokio::test]
async fn a_compressed_body_arrives_still_compressed() {
    let stage = Stage::new().await;
    let reply = stage.ask(request("GET", "/api/v2/gzip", "Accept-Encoding: gzip\r\n", "")).await;
    assert_eq!(reply.only("Content-Encoding"), Some("gzip"));
    assert_eq!(reply.body.len().to_string(), reply.only("Content-Length").unwrap());
    assert_eq!(reply.body[..2], [0x1f, 0x8b]);
}

#[tokio::test]
async fn informational_answers_never_take_the_final_one_s_place() {
    let stage = Stage::new().await;
    let early_hints =
        Action::Informational { status: 103, fields: vec![("Link".to_owned(), "</a>".to_owned())] };
    stage.region.script(Script::of([Fault::new(early_hints).at(Endpoint::Api)]));
    let mut client = stage.wire().await;
    for _ in 0..2 {
        client.send(get("/api/v2/users/7")).await;
        let mut reply = client.reply().await.unwrap();
        // They may be passed on or dropped.
        if reply.status() == 103 {
            reply = client.reply().await.unwrap();
        }
        assert_eq!(reply.json()["id"], "7");
    }
}

#[tokio::test]
async fn an_unasked_100_continue_of_the_upstream_is_not_passed_on() {
    let stage = Stage::new().await;
    let fault = Fault::new(Action::Informational { status: 100, fields: vec![] }).at(Endpoint::Api);
    stage.region.script(Script::of([fault]));
    assert_eq!(stage.get("/api/v2/users/7").await.json()["id"], "7");
}

#[tokio::test]
async fn a_body_that_ends_with_the_upstream_s_connection_reaches_the_client_whole() {
    let stage = Stage::new().await;
    stage.region.script(Script::of([Fault::new(Action::CloseDelimited {}).at(Endpoint::Api)]));
    let mut client = stage.wire().await;
    for _ in 0..2 {
        let reply = client.ask(get("/api/v2/large?bytes=100000")).await;
        assert_eq!(reply.only("Transfer-Encoding"), Some("chunked"));
        assert_eq!(reply.body.len(), 100_000);
    }
}

#[tokio::test]
async fn large_bodies_pass_unharmed_in_both_directions() {
    let stage = Stage::new().await;
    let body: Vec<u8> = pattern(0, 65_000).iter().copied().cycle().take(3_000_000).collect();
    let head = "POST /api/v2/echo-body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3000000\r\n\r\n";
    let mut client = stage.wire().await;
    client.send(head).await;
    // The region sends each piece back when it arrives, so nobody may wait for the other's end.
    let (read, mut write) = split(client.into_parts().0);
    let sent = body.clone();
    let sending = tokio::spawn(async move {
        write.write_all(&sent).await.unwrap();
        write
    });
    let reply = Wire::over(join(read, sink())).reply().await.unwrap();
    assert!(reply.body == body, "the body was changed");
    sending.await.unwrap();
}

#[tokio::test]
async fn an_upstream_that_answers_in_http_1_0_is_understood() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    for (answer, body) in [
        ("HTTP/1.0 200 OK\r\nX-A: 1\r\n\r\nuntil the end", "until the end"),
        ("HTTP/1.0 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello", "hello"),
    ] {
        let mut client = stage.wire().await;
        client.send(get("/")).await;
        let mut far = upstream.accept().await;
        far.request().await.unwrap();
        far.send(answer).await;
        drop(far);
        let relayed = client.reply().await.unwrap();
        assert_eq!((relayed.start.as_str(), relayed.text()), ("HTTP/1.1 200 OK", body.to_owned()));
        assert_eq!(relayed.only("X-A"), Some("1"));
        // The client's connection is none of the upstream's business.
        client.send(get("/")).await;
        let mut far = upstream.accept().await;
        far.request().await.unwrap();
        far.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.reply().await.unwrap().status(), 204);
    }
}

#[tokio::test]
async fn an_answer_with_both_a_length_and_chunks_is_read_as_chunks_and_its_length_dropped() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let mut client = stage.wire().await;
    client.send(get("/")).await;
    let mut far = upstream.accept().await;
    far.request().await.unwrap();
    far.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    far.send("5\r\nhello\r\n0\r\n\r\n").await;
    let relayed = client.reply().await.unwrap();
    assert_eq!((relayed.only("Content-Length"), relayed.text()), (None, "hello".to_owned()));
    // What was framed in two ways is not trusted with another request.
    client.send(get("/")).await;
    upstream.accept().await.request().await.unwrap();
}

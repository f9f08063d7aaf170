//! The listener speaks HTTP/1.1, 1.0 and HTTP/2 with prior knowledge on one port.

use bytes::Bytes;
use cxone_simulator::{Action, Canned, Endpoint, Fault, Rest, Script};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncWriteExt as _, join, sink, split};

use crate::support::{RawConnection, Setup, Upstream, get, in_time, request, whole};

fn values(echo: &Value, name: &str) -> Vec<String> {
    let fields = echo["fields"].as_array().unwrap();
    let lines = fields.iter().filter(|line| line[0] == name);
    lines.map(|line| line[1].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_response_and_its_connection_is_closed() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let response = client.fetch("GET /api/v2/users/7 HTTP/1.0\r\n\r\n").await;
    assert_eq!((response.status(), response.only("Transfer-Encoding")), (200, None));
    assert!(response.only("Content-Length").is_some());
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn an_http_1_0_client_may_keep_its_connection() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    for _ in 0..2 {
        let response = client.fetch("GET /api/v2/users/7 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!(response.status(), 200);
        assert!(response.only("Connection").unwrap().eq_ignore_ascii_case("keep-alive"));
    }
}

#[tokio::test]
async fn an_http_1_0_client_gets_a_chunked_response_delimited_by_the_end_of_the_connection() {
    let setup = Setup::new().await;
    for fields in ["", "Connection: keep-alive\r\n"] {
        let mut client = setup.connect().await;
        let response = client.fetch(format!("GET /api/v2/trailers HTTP/1.0\r\n{fields}\r\n")).await;
        assert_eq!((response.only("Transfer-Encoding"), response.only("Content-Length")), (None, None));
        assert_eq!(response.text(), "one two");
        assert!(!client.was_reset);
    }
}

#[tokio::test]
async fn an_http_1_0_client_s_body_arrives() {
    let setup = Setup::new().await;
    let response = setup.fetch("POST /api/v2/echo HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(response.json()["body"]["bytes"], 5);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let posts = request("POST", "/api/v2/echo/2", "", "two") + &request("POST", "/api/v2/echo/3", "", "");
    client
        .send(get("/api/v2/long-poll?ms=100") + &get("/api/v2/echo/1") + &posts + &get("/api/v2/echo/4"))
        .await;
    assert_eq!(client.response().await.unwrap().status(), 304);
    for (number, bytes) in [(1, 0), (2, 3), (3, 0), (4, 0)] {
        let echo = client.response().await.unwrap().json();
        assert_eq!(echo["target"], format!("/api/v2/echo/{number}"));
        assert_eq!(echo["body"]["bytes"], bytes);
    }
}

#[tokio::test]
async fn more_pipelined_requests_than_any_buffer_holds_are_all_answered() {
    let setup = Setup::new().await;
    let client = setup.connect().await;
    let (read, mut write) = split(client.into_parts().0);
    let sending = tokio::spawn(async move {
        for number in 0..2000 {
            write.write_all(get(&format!("/api/v2/users/{number}")).as_bytes()).await.unwrap();
        }
        write
    });
    let mut reader = RawConnection::over(join(read, sink()));
    for number in 0..2000 {
        assert_eq!(reader.response().await.unwrap().json()["id"], number.to_string());
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn an_http_1_1_client_that_says_close_is_closed() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let response = client.fetch(request("GET", "/api/v2/users/7", "Connection: close\r\n", "")).await;
    assert_eq!((response.status(), response.only("Connection")), (200, Some("close")));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn expect_100_continue_is_answered_by_the_proxy_when_it_reads_the_body() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    for _ in 0..2 {
        let fields = "Expect: 100-continue\r\nContent-Length: 5\r\n";
        client.send(format!("POST /api/v2/echo HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")).await;
        assert_eq!(client.head().await.unwrap().start, "HTTP/1.1 100 Continue");
        client.send("hello").await;
        let echo = client.response().await.unwrap().json();
        assert_eq!(echo["body"]["bytes"], 5);
        assert_eq!(values(&echo, "Expect"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_refusal_comes_without_a_100_and_the_body_is_not_waited_for() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let fields = "Host: evil.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n";
    client.send(format!("POST /api/v2/echo HTTP/1.1\r\n{fields}\r\n")).await;
    assert_eq!(client.response().await.unwrap().status(), 421);
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_its_100_is_served() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    client.send(request("POST", "/api/v2/echo", "Expect: 100-continue\r\n", "hello")).await;
    let mut response = client.response().await.unwrap();
    if response.status() == 100 {
        response = client.response().await.unwrap();
    }
    assert_eq!(response.json()["body"]["bytes"], 5);
}

#[tokio::test]
async fn http_2_is_written_to_an_http_1_upstream_in_title_case_with_cookies_joined() {
    let setup = Setup::new().await;
    let http2 = setup.http2().await;
    let head = http2
        .request("POST", "//api/v2/echo/a%2Fb?x=y;z")
        .header("x-request-id", "7")
        .header("cookie", "a=1")
        .header("x-twice", "1")
        .header("cookie", "b=2")
        .header("x-twice", "2")
        .header("authorization", "Basic YTpi")
        .header("te", "trailers")
        .header("content-length", "5");
    let answer = http2.fetch(head, b"hello", HeaderMap::new()).await.unwrap();
    assert_eq!(answer.status, 200);
    let echo = answer.json();
    assert_eq!((&echo["method"], &echo["protocol"]), (&"POST".into(), &"HTTP/1.1".into()));
    assert_eq!(echo["target"], "//api/v2/echo/a%2Fb?x=y;z");
    assert_eq!(values(&echo, "X-Request-Id"), ["7"]);
    assert_eq!(values(&echo, "X-Twice"), ["1", "2"]);
    assert_eq!(values(&echo, "Cookie"), ["a=1; b=2"]);
    assert_eq!(values(&echo, "Content-Length"), ["5"]);
    assert_eq!(values(&echo, "Host"), [setup.region.address().to_string()]);
    let fields = echo["fields"].as_array().unwrap();
    assert!(fields.iter().all(|line| !line[0].as_str().unwrap().starts_with(':')), "{fields:?}");
    assert_eq!(echo["body"]["bytes"], 5);
}

#[tokio::test]
async fn an_http_2_client_sends_and_gets_announced_trailers() {
    let setup = Setup::new().await;
    let http2 = setup.http2().await;
    let mut trailers = HeaderMap::new();
    trailers.append("x-sum", HeaderValue::from_static("1"));
    trailers.append("x-sum", HeaderValue::from_static("2"));
    trailers.append("authorization", HeaderValue::from_static("Basic YTpi"));
    let head = http2.request("POST", "/api/v2/upload").header("trailer", "x-sum");
    let answer = http2.fetch(head, b"hello", trailers).await.unwrap();
    let arrived = answer.json()["trailers"].to_string().to_ascii_lowercase();
    assert_eq!(arrived, r#"[["x-sum","1"],["x-sum","2"]]"#);
    let back = http2.get("/api/v2/trailers").await.unwrap().trailers.unwrap();
    assert_eq!(back.get_all("x-repeated").iter().collect::<Vec<_>>(), ["first", "second"]);
    assert_eq!(back.len(), 3, "{back:?}");
}

#[tokio::test]
async fn connection_fields_of_the_upstream_do_not_reach_an_http_2_client() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let http2 = setup.http2().await;
    let asking = tokio::spawn(async move { http2.get("/").await });
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection
        .send("HTTP/1.1 200 OK\r\nConnection: keep-alive, X-A\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\n")
        .await;
    connection.send("X-B: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
    let answer = in_time("the answer", asking).await.unwrap().unwrap();
    let mut names: Vec<_> = answer.fields.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!((names, answer.body), (vec!["via", "x-b"], b"ok".to_vec()));
}

#[tokio::test]
async fn http_2_streams_are_served_at_the_same_time() {
    let setup = Setup::new().await;
    let http2 = setup.http2().await;
    let (slow, _) = http2.begin(http2.request("GET", "/api/v2/long-poll?seconds=60"), true).await;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..100 {
        let http2 = http2.clone();
        asking.spawn(async move { (number, http2.get(&format!("/api/v2/users/{number}")).await.unwrap()) });
    }
    while let Some(answered) = asking.join_next().await {
        let (number, answer) = answered.unwrap();
        assert_eq!(answer.json()["id"], number.to_string());
    }
    drop(slow);
}

#[tokio::test]
async fn an_http_2_upload_streams_and_a_reset_cancels_the_exchange() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let http2 = setup.http2().await;
    let (response, mut stream) = http2.begin(http2.request("POST", "/up"), false).await;
    let mut connection = upstream.accept().await;
    let head = connection.head().await.unwrap();
    assert_eq!(head.only("Transfer-Encoding"), Some("chunked"));
    for piece in ["one", "two"] {
        stream.send_data(Bytes::from_static(piece.as_bytes()), false).unwrap();
        assert_eq!(connection.chunk().await.unwrap(), piece.as_bytes());
    }
    drop(response);
    stream.send_reset(h2::Reason::CANCEL);
    assert_eq!(connection.rest().await, b"");
}

#[tokio::test]
async fn head_and_empty_responses_reach_an_http_2_client() {
    let setup = Setup::new().await;
    let http2 = setup.http2().await;
    let head = http2.fetch(http2.request("HEAD", "/api/v2/users/7"), b"", HeaderMap::new()).await.unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    for status in [204, 304] {
        let answer = http2.get(&format!("/api/v2/status/{status}")).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (status, 0));
    }
}

#[tokio::test]
async fn an_early_response_during_an_http_2_upload_reaches_the_client() {
    let setup = Setup::new().await;
    let answer = Canned::new(413).body("too large");
    let fault = Action::EarlyResponse { response: answer, read: 3, rest: Rest::Close };
    setup.region.script(Script::of([Fault::new(fault).at(Endpoint::Api)]));
    let http2 = setup.http2().await;
    let (response, mut stream) = http2.begin(http2.request("POST", "/api/v2/upload"), false).await;
    stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
    let response = in_time("the answer", response).await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(whole(response).await.unwrap().body, b"too large");
}

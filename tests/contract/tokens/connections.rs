//! A pooled connection that turns out dead is replaced once, where HTTP allows it.

use std::time::Duration;

use cxone_proxy::simulator::{Action, Alpn, Endpoint, Fault, Script, Settings, Tls};
use tokio::time::{sleep, timeout};

use super::attempts;
use crate::support::{Launch, Stage, Upstream, Wire, get, request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A client, and the pooled connection on which its next request will arrive.
async fn pooled(stage: &Stage, upstream: &Upstream) -> (Wire, Wire) {
    let mut client = stage.wire().await;
    client.send(get("/first")).await;
    let mut far = upstream.accept().await;
    far.request().await.unwrap();
    far.send(OK).await;
    assert_eq!(client.reply().await.unwrap().status(), 200);
    (client, far)
}

/// True where the program makes no new connection for a while.
async fn makes_no_connection(upstream: &Upstream) -> bool {
    timeout(Duration::from_millis(300), upstream.accept()).await.is_err()
}

#[tokio::test]
async fn an_idempotent_request_on_a_connection_that_dies_is_sent_on_a_new_one() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    for (method, body) in [("GET", ""), ("HEAD", ""), ("PUT", "hello"), ("DELETE", ""), ("OPTIONS", "")] {
        let (mut client, mut far) = pooled(&stage, &upstream).await;
        client.send(request(method, "/second", "", body)).await;
        assert_eq!(far.request().await.unwrap().method(), method);
        drop(far);
        let mut far = upstream.accept().await;
        let again = far.request().await.unwrap();
        assert_eq!((again.method(), again.target(), again.text()), (method, "/second", body.to_owned()));
        far.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.reply().await.unwrap().status(), 204, "{method}");
    }
}

#[tokio::test]
async fn a_post_on_a_connection_that_dies_is_502_and_never_sent_again() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    for method in ["POST", "PATCH", "FROBNICATE"] {
        let (mut client, mut far) = pooled(&stage, &upstream).await;
        client.send(request(method, "/second", "", "hello")).await;
        assert_eq!(far.request().await.unwrap().text(), "hello");
        drop(far);
        assert_eq!(client.reply().await.unwrap().status(), 502, "{method}");
        assert!(makes_no_connection(&upstream).await, "{method}");
    }
}

#[tokio::test]
async fn a_post_goes_over_a_new_connection_where_the_pooled_one_has_been_closed() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let (mut client, far) = pooled(&stage, &upstream).await;
    drop(far);
    sleep(Duration::from_millis(100)).await;
    client.send(request("POST", "/second", "", "hello")).await;
    let mut far = upstream.accept().await;
    assert_eq!(far.request().await.unwrap().text(), "hello");
    far.send(OK).await;
    assert_eq!(client.reply().await.unwrap().text(), "ok");
}

#[tokio::test]
async fn a_dead_connection_is_replaced_only_once() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    let (mut client, mut far) = pooled(&stage, &upstream).await;
    client.send(get("/second")).await;
    far.request().await.unwrap();
    drop(far);
    let mut far = upstream.accept().await;
    far.request().await.unwrap();
    drop(far);
    assert_eq!(client.reply().await.unwrap().status(), 502);
    assert!(makes_no_connection(&upstream).await);
}

#[tokio::test]
async fn a_request_whose_answer_had_begun_is_not_sent_again() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    for begun in
        ["H", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nBad Field: x\r\n\r\n", "SSH-2.0-x\r\n\r\n"]
    {
        let (mut client, mut far) = pooled(&stage, &upstream).await;
        client.send(get("/second")).await;
        far.request().await.unwrap();
        far.send(begun).await;
        drop(far);
        assert_eq!(client.reply().await.unwrap().status(), 502, "{begun:?}");
        assert!(makes_no_connection(&upstream).await, "{begun:?}");
    }
}

#[tokio::test]
async fn a_request_that_took_too_long_is_not_sent_again() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch: Launch| launch.flag("response-timeout", "200ms")).await;
    let (mut client, mut far) = pooled(&stage, &upstream).await;
    client.send(get("/second")).await;
    far.request().await.unwrap();
    assert_eq!(client.reply().await.unwrap().status(), 504);
    assert!(makes_no_connection(&upstream).await);
}

#[tokio::test]
async fn connections_that_are_closed_while_idle_are_not_noticed_by_clients() {
    let stage = Stage::new().await;
    stage.region.script(Script::of([Fault::new(Action::CloseIdle { ms: 1 }).at(Endpoint::Api)]));
    let mut client = stage.wire().await;
    for number in 0..60 {
        let fields = format!("X-Request-Id: {number}\r\n");
        let reply = client.ask(request("GET", "/api/v2/users/7", &fields, "")).await;
        assert_eq!(reply.status(), 200, "{number}");
        // Around the moment at which the region closes.
        sleep(Duration::from_micros(100 * (number % 30))).await;
    }
}

#[tokio::test]
async fn a_post_is_never_delivered_twice_while_the_region_dies_and_comes_back() {
    let stage = Stage::new().await;
    let mut served = 0;
    for number in 0..12_u64 {
        let mut client = stage.wire().await;
        // Pooled connections of every worker.
        for _ in 0..4 {
            assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
        }
        client.send(request("POST", "/api/v2/upload", &format!("X-Request-Id: {number}\r\n"), "hello")).await;
        sleep(Duration::from_micros(200 * number)).await;
        stage.restart_region().await;
        match client.reply().await.unwrap().status() {
            200 => served += 1,
            502 => {}
            status => panic!("{status}"),
        }
        assert_eq!(stage.get("/api/v2/users/8").await.status(), 200);
    }
    let posts: Vec<_> = attempts(&stage.region).into_iter().filter(|entry| entry.method == "POST").collect();
    let answered = posts.iter().filter(|entry| entry.status == Some(200)).count();
    assert!(answered >= served, "{answered} < {served}");
    for number in 0..12 {
        let deliveries = posts.iter().filter(|entry| entry.request_id == Some(number.to_string())).count();
        assert!(deliveries <= 1, "{number} was delivered {deliveries} times");
    }
}

#[tokio::test]
async fn dead_http_2_connections_are_replaced_as_well() {
    let tls = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
    let stage = Stage::of(Settings { tls: Some(tls), ..Settings::default() }).await;
    let mut client = stage.wire().await;
    for _ in 0..5 {
        let reply = client.ask(get("/api/v2/echo")).await;
        assert_eq!((reply.status(), &reply.json()["protocol"]), (200, &"HTTP/2".into()));
        stage.restart_region().await;
    }
}

//! A pooled connection that turns out dead is replaced once, where HTTP allows it.

use std::time::Duration;

use cxone_simulator::{Action, Alpn, Endpoint, Fault, Script, Settings, Tls};

use super::attempts;
use crate::support::{Launch, RawConnection, Setup, Upstream, eventually, get, request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A client, and the pooled connection on which its next request will arrive.
async fn pooled(setup: &Setup, upstream: &Upstream) -> (RawConnection, RawConnection) {
    let mut client = setup.connect().await;
    client.send(get("/first")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection.send(OK).await;
    assert_eq!(client.response().await.unwrap().status(), 200);
    (client, connection)
}

/// How often requests were sent again, as `/status` says: for 401, for 429, for a dead connection.
async fn retries(setup: &Setup) -> [u64; 3] {
    let status = setup.status().await;
    ["unauthorized", "rate_limited", "connection"].map(|reason| status["retries"][reason].as_u64().unwrap())
}

#[tokio::test]
async fn an_idempotent_request_on_a_connection_that_dies_is_sent_on_a_new_one() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for (method, body) in [("GET", ""), ("HEAD", ""), ("PUT", "hello"), ("DELETE", ""), ("OPTIONS", "")] {
        let (mut client, mut connection) = pooled(&setup, &upstream).await;
        client.send(request(method, "/second", "", body)).await;
        assert_eq!(connection.request().await.unwrap().method(), method);
        drop(connection);
        let mut connection = upstream.accept().await;
        let again = connection.request().await.unwrap();
        assert_eq!((again.method(), again.target(), again.text()), (method, "/second", body.to_owned()));
        connection.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.response().await.unwrap().status(), 204, "{method}");
    }
    assert_eq!(retries(&setup).await, [0, 0, 5], "a dead connection is the reason");
    let counted = setup.metrics().await.count("cxone_proxy_retries_total", &[("reason", "connection")]);
    assert_eq!(counted, 5);
}

#[tokio::test]
async fn a_post_on_a_connection_that_dies_is_502_and_never_sent_again() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for method in ["POST", "PATCH", "FROBNICATE"] {
        let (mut client, mut connection) = pooled(&setup, &upstream).await;
        client.send(request(method, "/second", "", "hello")).await;
        assert_eq!(connection.request().await.unwrap().text(), "hello");
        drop(connection);
        assert_eq!(client.response().await.unwrap().status(), 502, "{method}");
        assert!(upstream.stays_unconnected().await, "{method}");
    }
    assert_eq!(retries(&setup).await, [0; 3]);
}

#[tokio::test]
async fn a_post_goes_over_a_new_connection_where_the_pooled_one_has_been_closed() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let (mut client, connection) = pooled(&setup, &upstream).await;
    drop(connection);
    setup.proxy.idle().await;
    client.send(request("POST", "/second", "", "hello")).await;
    let mut connection = upstream.accept().await;
    assert_eq!(connection.request().await.unwrap().text(), "hello");
    connection.send(OK).await;
    assert_eq!(client.response().await.unwrap().text(), "ok");
    assert_eq!(retries(&setup).await, [0; 3], "it was sent once");
}

#[tokio::test]
async fn a_dead_connection_is_replaced_only_once() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let (mut client, mut connection) = pooled(&setup, &upstream).await;
    client.send(get("/second")).await;
    connection.request().await.unwrap();
    drop(connection);
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    drop(connection);
    assert_eq!(client.response().await.unwrap().status(), 502);
    assert!(upstream.stays_unconnected().await);
    assert_eq!(retries(&setup).await, [0, 0, 1]);
}

#[tokio::test]
async fn a_request_whose_response_had_begun_is_not_sent_again() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for begun in
        ["H", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nBad Field: x\r\n\r\n", "SSH-2.0-x\r\n\r\n"]
    {
        let (mut client, mut connection) = pooled(&setup, &upstream).await;
        client.send(get("/second")).await;
        connection.request().await.unwrap();
        connection.send(begun).await;
        drop(connection);
        assert_eq!(client.response().await.unwrap().status(), 502, "{begun:?}");
        assert!(upstream.stays_unconnected().await, "{begun:?}");
    }
}

#[tokio::test]
async fn a_request_that_took_too_long_is_not_sent_again() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch: Launch| launch.flag("response-timeout", "200ms")).await;
    let (mut client, mut connection) = pooled(&setup, &upstream).await;
    client.send(get("/second")).await;
    connection.request().await.unwrap();
    assert_eq!(client.response().await.unwrap().status(), 504);
    assert!(upstream.stays_unconnected().await);
}

#[tokio::test]
async fn connections_that_are_closed_while_idle_are_not_noticed_by_clients() {
    let setup = Setup::new().await;
    setup.region.script(Script::of([Fault::new(Action::CloseIdle { ms: 1 }).at(Endpoint::Api)]));
    let mut client = setup.connect().await;
    for number in 0..60 {
        let fields = format!("X-Request-Id: {number}\r\n");
        let response = client.fetch(request("GET", "/api/v2/users/7", &fields, "")).await;
        assert_eq!(response.status(), 200, "{number}");
        // Around the moment at which the region closes; the client is not to notice.
        assert!(client.is_quiet(Duration::from_micros(100 * (number % 30))).await, "{number}");
    }
}

#[tokio::test]
async fn a_post_is_never_delivered_twice_while_the_region_dies_and_comes_back() {
    let setup = Setup::new().await;
    let mut statuses = Vec::new();
    for number in 0..12_u64 {
        let mut client = setup.connect().await;
        // Pooled connections of every worker.
        for _ in 0..4 {
            assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
        }
        client.send(request("POST", "/api/v2/upload", &format!("X-Request-Id: {number}\r\n"), "hello")).await;
        if number < 10 {
            // The region dies a little later each time, whether or not the response is there by then.
            let _ = client.is_quiet(Duration::from_micros(200 * number)).await;
        } else {
            // In the last rounds the request has certainly arrived.
            eventually("the POST", async || (!deliveries(&setup, number).is_empty()).then_some(())).await;
        }
        setup.restart_region().await;
        statuses.push(client.response().await.unwrap().status());
        assert_eq!(setup.get("/api/v2/users/8").await.status(), 200);
    }
    for (number, status) in (0..).zip(statuses) {
        let deliveries = deliveries(&setup, number);
        match status {
            200 => assert_eq!(deliveries, [Some(200)], "{number}"),
            502 => assert!(deliveries.len() <= 1, "{number}: {deliveries:?}"),
            status => panic!("{number}: {status}"),
        }
        assert!(number < 10 || deliveries.len() == 1, "{number}: {deliveries:?}");
    }
}

/// The statuses of the attempts of this request.
fn deliveries(setup: &Setup, number: u64) -> Vec<Option<u16>> {
    let id = Some(number.to_string());
    attempts(&setup.region)
        .into_iter()
        .filter(|entry| entry.request_id == id)
        .map(|entry| entry.status)
        .collect()
}

#[tokio::test]
async fn dead_http_2_connections_are_replaced_as_well() {
    let tls = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
    let setup = Setup::of(Settings { tls: Some(tls), ..Settings::default() }).await;
    let mut client = setup.connect().await;
    for _ in 0..5 {
        let response = client.fetch(get("/api/v2/echo")).await;
        assert_eq!((response.status(), &response.json()["protocol"]), (200, &"HTTP/2".into()));
        setup.restart_region().await;
    }
}

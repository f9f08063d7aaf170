//! A service behind the guard.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, VARY};
use http_body_util::{BodyExt, Full};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::access::{ProblemKind, Settings};
use crate::clock::Clock;
use crate::metrics::Metrics;

const APP: &str = "https://app.example";

async fn ask(request: http::request::Builder) -> (Response<Full<Bytes>>, Metrics) {
    let metrics = Metrics::new("1.2.3", UNIX_EPOCH);
    let settings = Settings { origins: vec![APP.parse().unwrap()], ..Settings::default() };
    let clock = Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    let layer = GuardLayer::new(Guard::new(settings, &metrics, clock), Some("192.0.2.7".parse().unwrap()));
    let inner = service_fn(async |request: Request<()>| {
        let path = request.uri().path().to_owned();
        Ok::<_, Infallible>(Response::new(Full::from(path)))
    });
    let request = request.body(()).unwrap();
    (layer.layer(inner).oneshot(request).await.unwrap(), metrics)
}

async fn text(response: Response<Full<Bytes>>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn an_admitted_request_reaches_the_service() {
    for host in ["localhost:8081", "192.0.2.7"] {
        let (response, _) = ask(Request::get("/livez").header("host", host)).await;
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
        assert!(!response.headers().contains_key(VARY));
        assert_eq!(text(response).await, "/livez");
    }
    let (response, _) = ask(Request::get("http://localhost/livez?x").header("host", "evil.example")).await;
    assert_eq!(text(response).await, "/livez");
}

#[tokio::test]
async fn a_refused_request_gets_a_problem_and_is_counted() {
    for (request, status, reason) in [
        (Request::get("/").header("host", "evil.example"), 421, "wrong_host"),
        (Request::get("http://evil.example/").header("host", "localhost"), 421, "wrong_host"),
        (
            Request::get("/").header("host", "localhost").header("origin", "https://evil.example"),
            403,
            "origin",
        ),
        (
            Request::get("/").header("host", "localhost").header("sec-fetch-site", "cross-site"),
            403,
            "cross_site",
        ),
        (Request::get("/"), 400, "host_missing_or_repeated"),
        (Request::builder().method("TRACE").uri("/").header("host", "localhost"), 405, "trace"),
    ] {
        let (response, metrics) = ask(request).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        assert_eq!(response.headers()["date"], "Tue, 14 Nov 2023 22:13:20 GMT");
        let line = format!("cxone_proxy_guard_refusals_total{{reason=\"{reason}\"}} 1\n");
        assert!(metrics.exposition().contains(&line), "{line}");
    }
}

#[tokio::test]
async fn an_allowed_page_may_read_every_response() {
    for (host, status) in [("localhost", 200), ("evil.example", 421)] {
        let (response, _) = ask(Request::get("/livez").header("host", host).header("origin", APP)).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], APP);
        assert_eq!(response.headers()[VARY], "Origin");
    }
    let asks = Request::options("/livez").header("host", "localhost").header("origin", APP);
    let (response, _) = ask(asks.header("access-control-request-method", "PUT")).await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-methods"], "PUT");
}

#[tokio::test]
async fn every_refusal_is_a_row_of_the_table() {
    let (response, _) = ask(Request::get("/").header("host", "evil.example")).await;
    let json: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    let due = format!("urn:cxone-proxy:problem:{}", ProblemKind::WrongHost.slug());
    assert_eq!(json["type"], due);
}

/// hyper writes the length that a response to HEAD claims, although its body is empty.
#[tokio::test]
async fn over_a_connection_a_problem_to_head_has_its_length_and_no_body() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let metrics = Metrics::new("1.2.3", UNIX_EPOCH);
    let guard = Guard::new(Settings::default(), &metrics, Clock::System);
    let inner = service_fn(async |_: Request<hyper::body::Incoming>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let service = hyper_util::service::TowerToHyperService::new(GuardLayer::new(guard, None).layer(inner));
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let io = hyper_util::rt::TokioIo::new(server);
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
    let ask = |method| format!("{method} /x HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    client.write_all(ask("HEAD").as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 421 "), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert!(length.parse::<usize>().unwrap() > 100, "{head}");
    assert_eq!(body, "");
}

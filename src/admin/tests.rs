//! The pages as a client sees them, without sockets.

use std::time::Duration;

use axum::http::Request;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, HOST};
use serde_json::{Value, json};
use stage::{Line, Seen, Stage};

use super::*;
use crate::cause::Cause;
use crate::metrics::RetryReason;

mod acting;
mod stage;
mod states;

const TEXT: &str = "text/plain; charset=utf-8";

#[tokio::test]
async fn every_page_is_of_this_moment_and_of_its_type() {
    let stage = Stage::play([Line::Grants(&["a"])]).await;
    stage.until("valid").await;
    for (path, media_type, start) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/livez", TEXT, "ok\n"),
        ("/readyz", TEXT, "ready\n"),
        ("/readyz/default", TEXT, "ready\n"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# HELP cxone_proxy_"),
        ("/status", "application/json", "{\n  \"version\": \"1.2.3\","),
        ("/history", "application/json", "{\"next\":0,"),
        ("/configuration", "application/json", "[\n  {\n    \"name\": \"listen\","),
    ] {
        for target in
            [path.to_owned(), format!("{path}?verbose=1&x=/y"), format!("http://localhost:8081{path}?q")]
        {
            let seen = stage.get(&target).await;
            assert_eq!(seen.status, 200, "{target}");
            assert!(seen.body.starts_with(start), "{target}: {}", seen.body);
            assert_eq!(seen.all("content-type"), [media_type], "{target}");
            assert_eq!(seen.all("cache-control"), ["no-store"], "{target}");
            assert_eq!(seen.all("x-content-type-options"), ["nosniff"], "{target}");
            let policies = seen.all("content-security-policy");
            assert!(policies.len() == 1 && policies[0].starts_with("default-src 'none';"), "{target}");
            assert!(seen.all("date")[0].starts_with("Tue, 14 Nov 2023 22:13:"), "{seen:?}");
        }
        let to_head = stage.ask("HEAD", path).await;
        assert_eq!((to_head.status, to_head.body.as_str()), (200, ""), "{path}");
        assert_eq!(to_head.all("content-type"), [media_type], "{path}");
        assert!(to_head.all("content-length")[0].parse::<usize>().unwrap() >= start.len(), "{path}");
    }
}

#[tokio::test]
async fn a_page_is_compressed_for_a_client_that_asks() {
    let stage = Stage::play([]).await;
    for (accepted, coding) in [("gzip", &["gzip"][..]), ("identity", &[])] {
        let request = Request::get("/metrics").header(HOST, "localhost").header("accept-encoding", accepted);
        let response = stage.raw(request).await;
        let codings: Vec<_> = response.headers().get_all(CONTENT_ENCODING).iter().collect();
        assert_eq!(codings, coding, "{accepted}");
        assert_eq!(response.headers()[CONTENT_TYPE], metrics::MEDIA_TYPE);
    }
    let request = Request::head("/metrics").header(HOST, "localhost").header("accept-encoding", "gzip");
    let response = stage.raw(request).await;
    assert_ne!(
        response.headers().get_all(CONTENT_LENGTH).iter().next().map(HeaderValue::as_bytes),
        Some(&b"0"[..])
    );
    assert_eq!(Seen::of(response).await.body, "");
}

#[tokio::test]
async fn the_index_links_every_page() {
    let index = Stage::play([]).await.get("/").await.body;
    for path in PAGES {
        assert!(index.contains(&format!("<a href=\"{path}\">")), "{path}: {index}");
    }
}

fn problem(seen: &Seen, status: u16, slug: &str) -> Value {
    assert_eq!(seen.status, status, "{seen:?}");
    assert_eq!(seen.all("content-type"), ["application/problem+json"]);
    assert_eq!(seen.all("proxy-status"), ["cxone-proxy; error=http_request_error"]);
    assert_eq!(seen.all("cache-control"), ["no-store"]);
    assert_eq!(seen.all("date").len(), 1);
    let problem = seen.json();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:cxone-proxy:problem:{slug}"));
    problem
}

#[tokio::test]
async fn an_unknown_path_gets_a_list_of_the_pages() {
    let stage = Stage::play([]).await;
    for target in [
        "/health",
        "/livez/",
        "//livez",
        "/LIVEZ",
        "/api/v2/users/me",
        "/metrics%2F",
        "/readyz/",
        "/readyz/unknown",
        "/readyz/%ff",
        "/readyz/default/x",
    ] {
        let hint = problem(&stage.get(target).await, 404, "unknown-page")["hint"].to_string();
        for path in PAGES {
            assert!(hint.contains(path), "{path}: {hint}");
        }
    }
    let long = format!("/{}", "x".repeat(5000));
    let detail = problem(&stage.get(&long).await, 404, "unknown-page")["detail"].to_string();
    assert!(detail.len() < 300, "{detail}");
    assert_eq!(stage.ask("POST", "/nowhere").await.status, 404);
    let to_head = stage.ask("HEAD", "/nowhere").await;
    assert_eq!((to_head.status, to_head.body.as_str()), (404, ""));
    assert_ne!(to_head.all("content-length"), ["0"]);
}

#[tokio::test]
async fn the_pages_can_only_be_read() {
    let stage = Stage::play([]).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"] {
        for path in PAGES.into_iter().chain(["/readyz/default"]) {
            let seen = stage.ask(method, path).await;
            let detail = problem(&seen, 405, "read-only")["detail"].to_string();
            assert!(detail.contains(method) && detail.contains(path), "{detail}");
            assert_eq!(seen.all("allow"), ["GET, HEAD"], "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_guard_stands_before_every_page() {
    let stage = Stage::play([]).await;
    for path in PAGES.into_iter().chain(["/nowhere"]) {
        for (request, status) in [
            (Request::get(path).header(HOST, "evil.example"), 421),
            (Request::get(path), 400),
            (Request::get(path).header(HOST, "localhost").header("sec-fetch-site", "cross-site"), 403),
            (Request::get(path).header(HOST, "localhost").header("origin", "https://evil.example"), 403),
            (Request::builder().method("TRACE").uri(path).header(HOST, "localhost"), 405),
        ] {
            let response = stage.raw(request).await;
            assert_eq!(response.status(), status, "{path}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }
    let response = stage.raw(Request::head("/livez").header(HOST, "evil.example")).await;
    assert_ne!(response.headers()[CONTENT_LENGTH], "0");
    assert_eq!(Seen::of(response).await.body, "");
    let by_address = stage.raw(Request::get("/livez").header(HOST, "192.0.2.7:8081")).await;
    assert_eq!(by_address.status(), 200, "the address at which the connection arrived");
    assert!(stage.get("/metrics").await.body.contains("guard_refusals_total{reason=\"wrong_host\"} 9\n"));
}

#[tokio::test]
async fn an_allowed_web_origin_can_read_the_pages() {
    let stage = Stage::play([]).await;
    let origin = "https://app.example";
    for (method, path, status) in
        [("GET", "/status", 200), ("GET", "/nowhere", 404), ("PUT", "/", 405), ("OPTIONS", "/livez", 405)]
    {
        let request = Request::builder().method(method).uri(path).header(HOST, "localhost");
        let response = stage.raw(request.header("origin", origin)).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["access-control-allow-origin"], origin, "{method} {path}");
    }
    let asks = Request::options("/status").header(HOST, "localhost").header("origin", origin);
    let response = stage.raw(asks.header("access-control-request-method", "GET")).await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.headers()["access-control-allow-methods"], "GET");
    assert!(stage.get("/status").await.all("access-control-allow-origin").is_empty());
}

#[tokio::test]
async fn http2_names_its_host_in_the_authority() {
    let stage = Stage::play([]).await;
    for (uri, status) in [("http://localhost/livez", 200), ("http://evil.example/livez", 421)] {
        let request = Request::get(uri).version(axum::http::Version::HTTP_2);
        assert_eq!(stage.raw(request).await.status(), status, "{uri}");
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_too() {
    let panics: CurrentAddress = Arc::new(|| panic!("of the test"));
    let stage = Stage::with_address(panics, []).await;
    let seen = stage.get("/status").await;
    assert_eq!(seen.status, 500);
    assert_eq!(seen.json()["type"], "urn:cxone-proxy:problem:internal");
    assert_eq!(seen.all("x-content-type-options"), ["nosniff"]);
    assert_eq!(stage.get("/livez").await.status, 200);
}

#[test]
fn any_is_asked_for_by_its_name() {
    for (query, due) in [
        ("any", true),
        ("any=", true),
        ("any=1", true),
        ("a=b&any=true", true),
        ("any=0", false),
        ("any=false", false),
        ("many", false),
        ("", false),
    ] {
        assert_eq!(asks_for_any(Some(query)), due, "{query}");
    }
    assert!(!asks_for_any(None));
}

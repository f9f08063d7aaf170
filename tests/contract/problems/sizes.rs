//! What `limits.header_size` allows is served over every version of HTTP, and arrives whole.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use cxone_simulator::{Alpn, Settings, Tls};
use http::HeaderMap;

use crate::support::{Http2Upstream, Server, Setup, get, ok, request};

/// Well below 64 KiB, however a section is measured.
const LARGE: usize = 56 * 1024;

/// A region in clear text, and one over HTTP/2.
fn both() -> [Settings; 2] {
    let tls = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
    [Settings::default(), Settings { tls: Some(tls), ..Settings::default() }]
}

#[tokio::test]
async fn a_large_header_section_is_served_over_both_versions() {
    for settings in both() {
        let setup = Setup::of(settings).await;
        let http2 = setup.http2().await;
        let large = "x".repeat(LARGE);
        let response =
            setup.fetch(request("GET", "/api/v2/users/me", &format!("X-Large: {large}\r\n"), "")).await;
        assert_eq!(response.status(), 200, "HTTP/1.1: {}", response.text());
        let head = http2.request("GET", "/api/v2/users/me").header("x-large", &large);
        let response = http2.fetch(head, b"", HeaderMap::new()).await.unwrap();
        assert_eq!(response.status, 200, "HTTP/2");
    }
}

#[tokio::test]
async fn a_large_target_is_served_over_both_versions() {
    for settings in both() {
        let setup = Setup::of(settings).await;
        let http2 = setup.http2().await;
        let target = format!("/api/v2/echo?{}", "x".repeat(LARGE));
        assert_eq!(setup.get(&target).await.json()["target"], target.as_str(), "HTTP/1.1");
        assert_eq!(http2.get(&target).await.unwrap().json()["target"], target.as_str(), "HTTP/2");
    }
}

/// More than any fixed table of a parser holds. With 32 bytes for each line, as HTTP/2 counts, they still fit.
const NAMES: usize = 1000;

fn lines(count: usize) -> String {
    (0..count).map(|number| format!("X-{number}: {number}\r\n")).collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn a_thousand_names_arrive_at_an_http_1_upstream() {
    let upstream = Server::start(|_| ok("", "ok")).await;
    let base_url = upstream.base_url();
    let setup = Setup::launched(|launch| launch.api_at(base_url)).await;
    let response = setup.fetch(request("GET", "/", &lines(NAMES), "")).await;
    assert_eq!(response.status(), 200, "HTTP/1.1: {}", response.text());
    let http2 = setup.http2().await;
    let head = (0..NAMES).fold(http2.request("GET", "/"), |head, number| {
        head.header(format!("x-{number}"), number.to_string())
    });
    assert_eq!(http2.fetch(head, b"", HeaderMap::new()).await.unwrap().status, 200, "HTTP/2");
    for request in upstream.requests() {
        for number in 0..NAMES {
            assert_eq!(request.only(&format!("x-{number}")), Some(number.to_string().as_str()));
        }
        assert!(request.only("authorization").is_some_and(|value| value.starts_with("Bearer ")));
    }
    assert_eq!(upstream.requests().len(), 2);
}

#[tokio::test]
async fn a_thousand_names_arrive_at_an_http_2_upstream_with_the_token() {
    let upstream = Arc::new(Http2Upstream::start().await);
    let setup = upstream.setup().await;
    let seen = Arc::<Mutex<Option<HeaderMap>>>::default();
    let _serving = upstream.serve({
        let seen = seen.clone();
        move |arrived| {
            *seen.lock().unwrap() = Some(arrived.request.headers().clone());
            arrived.respond_with("ok");
        }
    });
    let response = setup.fetch(request("GET", "/", &lines(NAMES), "")).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    let arrived = seen.lock().unwrap().take().unwrap();
    for number in 0..NAMES {
        assert_eq!(arrived[format!("x-{number}").as_str()], number.to_string().as_str());
    }
    assert!(arrived["authorization"].to_str().unwrap().starts_with("Bearer "));
    assert!(arrived["cdn-loop"].to_str().unwrap().starts_with("cxone-proxy"));
}

/// The limit is the same number of bytes for both versions, give or take what HTTP/2 counts for each line.
#[tokio::test]
async fn beyond_the_limit_both_versions_refuse() {
    let setup = Setup::launched(|launch| launch.flag("header-size", "16KiB")).await;
    let large = "x".repeat(20 * 1024);
    let response =
        setup.fetch(request("GET", "/api/v2/users/me", &format!("X-Large: {large}\r\n"), "")).await;
    assert_eq!(response.status(), 431);
    let http2 = setup.http2().await;
    let head = http2.request("GET", "/api/v2/users/me").header("x-large", &large);
    match http2.fetch(head, b"", HeaderMap::new()).await {
        Ok(response) => assert_eq!(response.status, 431),
        Err(error) => assert!(error.is_reset(), "{error}"),
    }
    assert_eq!(http2.get("/api/v2/users/me").await.unwrap().status, 200);
    assert_eq!(setup.fetch(get("/api/v2/users/me")).await.status(), 200);
}

/// hyper reads up to 100 fields of a response over HTTP/1.1.
#[tokio::test]
async fn many_names_in_a_response_arrive_whole_or_not_at_all() {
    let upstream = Server::start(|request| {
        let count = if request.target() == "/some" { 90 } else { NAMES };
        ok(&lines(count), "ok")
    })
    .await;
    let base_url = upstream.base_url();
    let setup = Setup::launched(|launch| launch.api_at(base_url)).await;
    let names: BTreeSet<String> = (0..90).map(|number| format!("x-{number}")).collect();
    let response = setup.get("/some").await;
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    let arrived: BTreeSet<String> =
        response.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    assert!(names.is_subset(&arrived), "{arrived:?}");
    let http2 = setup.http2().await;
    let over_http2 = http2.get("/some").await.unwrap();
    assert!(names.iter().all(|name| over_http2.fields.contains_key(name.as_str())));
    let refused = setup.get("/all").await;
    assert_eq!(refused.status(), 502);
    assert!(refused.text().contains("upstream-header-size"), "{}", refused.text());
    assert_eq!(http2.get("/all").await.unwrap().status, 502);
}

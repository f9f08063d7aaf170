//! The proxy as a `tower::Service` in programs with a server of their own.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "what fails here fails the test")]

#[path = "../examples/embed.rs"]
#[expect(dead_code, reason = "the example's own main is not called")]
mod embed;
#[path = "../benches/loopback/mod.rs"]
mod loopback;

use axum::serve;
use bytes::Bytes;
use cxone_proxy::proxy::Proxy;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::ServiceExt as _;

use loopback::{http1, proxied};

fn proxy(base_url: &str) -> Proxy {
    Proxy::from_config(&proxied::configuration(base_url, None).unwrap()).unwrap()
}

#[tokio::test]
async fn a_request_is_forwarded_with_a_token() {
    let upstream = http1::start().unwrap();
    let request = Request::post("/1k").header("Host", "localhost").body(Full::from("hello")).unwrap();
    let response = proxy(&format!("http://{upstream}")).oneshot(request).await.unwrap();
    // The upstream responds 401 without the right bearer.
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["via"], "1.1 cxone-proxy");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 1024);
}

#[tokio::test]
async fn the_guard_stands_here_too() {
    let request = Request::get("/").header("Host", "example.com").body(Full::<Bytes>::default()).unwrap();
    let response = proxy("http://127.0.0.1:9").oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("\"hint\""));
}

#[tokio::test]
async fn a_body_is_framed_by_what_it_is() {
    let upstream = http1::start().unwrap();
    // A wrong length would leave the upstream waiting, or cut the body off.
    let request = Request::post("/1k")
        .header("Host", "localhost")
        .header("Content-Length", "3")
        .body(Full::from("hello"))
        .unwrap();
    let response = proxy(&format!("http://{upstream}")).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn the_example_has_its_own_page_and_the_api() {
    let upstream = http1::start().unwrap();
    let config = proxied::configuration(&format!("http://{upstream}"), None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = embed::app(&config).unwrap();
    tokio::spawn(async move { serve(listener, app).await });
    for (path, expected) in [("/hello", "hello"), ("/1k", "cxone-proxy")] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {response}");
        assert!(response.contains(expected), "{path}: {response}");
    }
}

//! The proxy as a `tower::Service` in a program with a server of its own.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "../benches/loopback/mod.rs"]
mod loopback;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cxone_proxy::metrics::Shards;
use cxone_proxy::proxy::Proxy;
use cxone_proxy::server::{Bound, Embedded};
use http::Request;
use http_body::{Body, Frame};
use tower::Service as _;

use loopback::{http1, proxied};

/// A body that is there at once.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

async fn proxy(base_url: &str) -> Embedded<Proxy> {
    let config = proxied::configuration(base_url, None).unwrap();
    let bound = Bound::Tcp(([127, 0, 0, 1], 80).into());
    Embedded(proxied::assembled(&config, &bound, &Shards::new(1)).await.unwrap())
}

async fn read(mut body: impl Body<Data = Bytes> + Unpin) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(Ok(bytes)) = frame.map(Frame::into_data) {
            whole.extend_from_slice(&bytes);
        }
    }
    whole
}

#[tokio::test]
async fn a_request_is_forwarded_with_a_token() {
    let upstream = http1::start().unwrap();
    let mut proxy = proxy(&format!("http://{upstream}")).await;
    let request = Request::post("http://localhost/1k").body(Whole(Some(Bytes::from_static(b"hello"))));
    let response = proxy.call(request.unwrap()).await.unwrap();
    // The upstream answers 401 without the right bearer.
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["via"], "1.1 cxone-proxy");
    assert_eq!(read(response.into_body()).await.len(), 1024);
}

#[tokio::test]
async fn the_guard_stands_here_too() {
    let mut proxy = proxy("http://127.0.0.1:9").await;
    let response = proxy.call(Request::get("http://example.com/").body(Whole(None)).unwrap()).await.unwrap();
    assert_eq!(response.status(), 421);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(String::from_utf8(read(response.into_body()).await).unwrap().contains("\"hint\""));
}

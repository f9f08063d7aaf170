//! Over real sockets: what hyper does not promise, and the rest leans on.
#![expect(clippy::disallowed_methods, reason = "tasks of a test end with its runtime")]

mod connecting;
mod cost;
mod http2;
mod http2_ends;
mod http2_wire;
mod origin;
mod responses;
mod reuse;
mod storm;
mod tunnel;
mod uploads;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};

use self::origin::{Far, Origin, soon};
use super::*;
use crate::header_case::HeaderCase;

type RequestBody = UnsyncBoxBody<Bytes, BoxError>;
type Sent = Result<Response<ResponseBody>, SendError>;

fn request(method: Method, target: &str, body: impl Into<Bytes>) -> Request<RequestBody> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    Request::builder().method(method).uri(target).body(body).unwrap()
}

fn get(target: &str) -> Request<RequestBody> {
    request(Method::GET, target, "")
}

/// Sends in a task of its own, as a connection of a client does.
fn sending(upstream: &Upstream<RequestBody>, request: Request<RequestBody>) -> Sending {
    sending_with(upstream, request, SendOptions::default())
}

fn sending_with(
    upstream: &Upstream<RequestBody>,
    request: Request<RequestBody>,
    options: SendOptions,
) -> Sending {
    let upstream = upstream.clone();
    Sending(tokio::spawn(async move { upstream.send(request, options).await }))
}

/// A request on its way. Dropping it cancels it.
struct Sending(tokio::task::JoinHandle<Sent>);

impl Sending {
    async fn outcome(mut self) -> Sent {
        soon("the response", &mut self.0).await.unwrap()
    }

    async fn response(self) -> Response<ResponseBody> {
        self.outcome().await.unwrap()
    }

    async fn error(self) -> SendError {
        self.outcome().await.unwrap_err()
    }

    /// Status and body of a good response.
    async fn text(self) -> (u16, String) {
        text(self.response().await).await
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn text(response: Response<ResponseBody>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = soon("the body", response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// Gives the connection tasks their turns.
async fn turns() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A connection of the pool that has served once.
async fn pooled(origin: &Origin, upstream: &Upstream<RequestBody>) -> Far {
    let first = sending(upstream, get("/first"));
    let mut far = origin.accept().await;
    far.request().await;
    far.send(OK).await;
    assert_eq!(first.text().await, (200, "ok".to_owned()));
    turns().await;
    far
}

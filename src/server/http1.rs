//! Requests over HTTP/1, between hyper and the service of the connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use futures_util::future::Either;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use pin_project_lite::pin_project;
use tower::ServiceExt as _;
use tower::util::Oneshot;

use super::BoxError;
use super::checked_response::{CheckedBody, CheckedResponse};
use super::request_body::{Owner, RequestBody};
use super::request_check::check_http1;
use super::response_body::ResponseBody;
use super::setup::Setup;
use super::signals::Signals;
use super::states::Reading;

/// Gives each request to the service, and its response to hyper.
#[derive(Debug)]
pub(super) struct Http1Service<S> {
    service: S,
    signals: Arc<Signals>,
    setup: Arc<Setup>,
}

impl<S> Http1Service<S> {
    /// Serves one connection.
    pub(super) fn new(service: S, signals: Arc<Signals>, setup: Arc<Setup>) -> Self {
        Self { service, signals, setup }
    }

    fn responding<F>(&self, future: CheckedResponse<F>, version: Version) -> Responding<F> {
        Responding { future, signals: Some(self.signals.clone()), version }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Http1Service<S>
where
    S: tower::Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<ResponseBody<CheckedBody<B>>>;
    type Error = Infallible;
    type Future = Responding<Either<S::Future, Oneshot<S, Request<RequestBody>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let has_body = !request.body().is_end_stream();
        self.signals.begin(has_body);
        if request.headers().contains_key(UPGRADE) || request.method() == http::Method::CONNECT {
            // hyper ends such a connection as an upgrade, even if nobody upgrades it.
            self.signals.keep_upgrade(request.extensions().get::<OnUpgrade>().cloned());
            if !has_body {
                // What follows may be of another protocol already: it is not for the gate.
                self.signals.set_reading(Reading::Unknown);
            }
        }
        let version = request.version();
        if has_body && let Some(problem) = check_http1(request.headers()) {
            self.signals.drop_body();
            let future = CheckedResponse::refusal(self.setup.problem(problem));
            return self.responding(future, version);
        }
        let request = request.map(|body| {
            if has_body {
                RequestBody::new(body, Owner::Http1(self.signals.clone()))
            } else {
                RequestBody::none()
            }
        });
        let mut service = self.service.clone();
        // What waits for a service to become ready moves the request several times, so a service that is ready is
        // called at once.
        let is_ready = service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready();
        let future = if is_ready {
            Either::Left(service.call(request))
        } else {
            Either::Right(service.oneshot(request))
        };
        self.responding(CheckedResponse::of(future), version)
    }
}

pin_project! {
    /// A response to come.
    pub(super) struct Responding<F> {
        #[pin]
        future: CheckedResponse<F>,
        // Moves on into the body.
        signals: Option<Arc<Signals>>,
        version: Version,
    }
}

impl<F, B> Future for Responding<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Output = Result<Response<ResponseBody<CheckedBody<B>>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx));
        // hyper does not poll again what is ready.
        let Some(signals) = this.signals.take() else { return Poll::Pending };
        let claimed = prepare(&mut response, &signals, *this.version);
        Poll::Ready(Ok(response.map(|body| ResponseBody::new(body, signals, claimed))))
    }
}

/// Makes the response ready for hyper. Returns the length that an empty body is to claim.
fn prepare<B: Body>(response: &mut Response<B>, signals: &Signals, version: Version) -> Option<u64> {
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        signals.keep_upgrade(None);
        signals.set_reading(Reading::Raw);
        return None;
    }
    // After an error hyper would read the rest of a body only to throw it away.
    let is_cut_short = signals.has_open_body() && status.as_u16() >= 400;
    if is_cut_short || signals.is_draining() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if response.body().is_end_stream() {
        return if status == StatusCode::NOT_MODIFIED { length(response) } else { None };
    }
    if version == Version::HTTP_10 && response.body().size_hint().exact().is_none() {
        signals.set_close_delimited();
    }
    None
}

/// What `Content-Length` says, where it is said once.
fn length<B>(response: &Response<B>) -> Option<u64> {
    let mut lines = response.headers().get_all(CONTENT_LENGTH).iter();
    match (lines.next(), lines.next()) {
        (Some(value), None) => value.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// A body that a connection's service may respond with: implemented by everything that fits.
pub trait Payload: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static {}

impl<B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static> Payload for B {}

/// What a connection's service has to be: implemented by everything that fits. Dropping its future
/// means that the client has gone.
pub trait RequestService<B>:
    tower::Service<Request<RequestBody>, Response = Response<B>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
{
}

impl<S, B> RequestService<B> for S where
    S: tower::Service<Request<RequestBody>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static
{
}

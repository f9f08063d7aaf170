//! The guard as a tower layer.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::cors;
use super::door::Guard;

/// Puts the guard before a service: what it refuses is answered with a problem, an allowed origin's
/// preflight is answered here, and an allowed origin's page may read every response.
///
/// For one connection, since it matters where that arrived.
#[derive(Clone, Debug)]
pub struct GuardLayer {
    guard: Guard,
    local: Option<IpAddr>,
}

impl GuardLayer {
    /// `local` is the address at which the connection arrived; `None` for a Unix socket.
    pub fn new(guard: Guard, local: Option<IpAddr>) -> Self {
        Self { guard, local }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.guard.clone(), local: self.local }
    }
}

/// A service behind the guard.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    guard: Guard,
    local: Option<IpAddr>,
}

impl<S, A, B> Service<Request<A>> for Guarded<S>
where
    S: Service<Request<A>, Response = Response<B>, Error = Infallible>,
    B: Default + From<Bytes>,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = GuardedFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (head, body) = request.into_parts();
        match self.guard.admit(&head, self.local, |_, _| false) {
            Ok(admitted) if admitted.preflight => {
                let response = admitted.origin.map(|origin| cors::preflight_response(&head.headers, &origin));
                GuardedFuture::Answered { response }
            }
            Ok(admitted) => {
                let calling = self.inner.call(Request::from_parts(head, body));
                GuardedFuture::Calling { calling, origin: admitted.origin }
            }
            Err(problem) => {
                let mut response = problem.into_response(&head.method, self.guard.wall());
                self.guard.allow_origin(&head.headers, response.headers_mut());
                GuardedFuture::Answered { response: Some(response) }
            }
        }
    }
}

pin_project! {
    /// The response of a service behind the guard. Dropping it drops the service's own future.
    #[project = Projected]
    #[derive(Debug)]
    pub enum GuardedFuture<F, B> {
        /// By the service.
        Calling {
            #[pin]
            calling: F,
            origin: Option<HeaderValue>,
        },
        /// By the guard; taken when it is polled.
        Answered { response: Option<Response<B>> },
    }
}

impl<F, B> Future for GuardedFuture<F, B>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Calling { calling, origin } => {
                let mut response = ready!(calling.poll(cx))?;
                if let Some(origin) = origin {
                    cors::allow_origin(response.headers_mut(), origin);
                }
                Poll::Ready(Ok(response))
            }
            // A future that has been ready is not polled again; one that is stays pending.
            Projected::Answered { response } => response.take().map_or(Poll::Pending, |r| Poll::Ready(Ok(r))),
        }
    }
}

#[cfg(test)]
mod tests;

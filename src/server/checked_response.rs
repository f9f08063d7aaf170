//! The response to a request that has been checked: the service's, or a document of our own.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body_util::{Either, Full};
use pin_project_lite::pin_project;

/// A body of the service's, or a document.
pub(super) type CheckedBody<B> = Either<B, Full<Bytes>>;

pin_project! {
    /// A response to come.
    pub(super) struct CheckedResponse<F> {
        #[pin]
        future: Option<F>,
        // Boxed, because it hardly ever is there.
        refusal: Option<Box<Response<Full<Bytes>>>>,
    }
}

impl<F> CheckedResponse<F> {
    /// The service's response.
    pub(super) fn of(future: F) -> Self {
        Self { future: Some(future), refusal: None }
    }

    /// A document, and the service is not asked.
    pub(super) fn refusal(response: Response<Full<Bytes>>) -> Self {
        Self { future: None, refusal: Some(Box::new(response)) }
    }
}

impl<F, B> Future for CheckedResponse<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Response<CheckedBody<B>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(future) = this.future.as_pin_mut() else {
            let refusal = this.refusal.take().map(|response| *response).unwrap_or_default();
            return Poll::Ready(refusal.map(Either::Right));
        };
        let Ok(response) = ready!(future.poll(cx));
        Poll::Ready(response.map(Either::Left))
    }
}

//! A [`Service`] in the terms of hyper and tower: `http` requests in, `http` responses out.
//!
//! HTTP/2 connections come this way, and so does whoever embeds the proxy in a program with a server
//! of its own. HTTP/1 connections do not: `http`'s types would cost them their bytes' exactness.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

use super::{Reply, Service};
use crate::message::{Content, ContentError, Fields, Framing, Next, RequestHead, Version};

/// Pieces of a reply's content.
const PIECE: usize = 16 * 1024;

/// A body that a request may come with.
pub trait Embeddable:
    Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

impl<B> Embeddable for B where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static
{
}

/// A [`Service`] as a `tower::Service`. Always ready: it has its own limit of exchanges, and says so
/// with 503.
#[derive(Clone, Debug)]
pub struct Embedded<S>(pub S);

impl<S: Service, B: Embeddable> tower::Service<Request<B>> for Embedded<S>
where
    S::Reply<BodyContent<B>>: 'static,
{
    type Response = Response<ReplyBody<S::Reply<BodyContent<B>>>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    /// Dropping the future gives the exchange up.
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let service = self.0.clone();
        Box::pin(async move { Ok(answer(service, request).await) })
    }
}

/// Answers one request. Its version is taken for HTTP/2, where a target has been parsed already and
/// names have lost their case.
pub(super) async fn answer<S: Service, B: Embeddable>(
    service: S,
    request: Request<B>,
) -> Response<ReplyBody<S::Reply<BodyContent<B>>>> {
    let (parts, body) = request.into_parts();
    let mut head = RequestHead {
        method: parts.method,
        target: parts
            .uri
            .path_and_query()
            .map_or_else(|| b"*".to_vec(), |target| target.as_str().as_bytes().to_vec()),
        authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes().to_vec()),
        version: Version::Http2,
        ..RequestHead::default()
    };
    head.fields.extend_from_map(&parts.headers);
    let reply = service.exchange(&head, BodyContent::new(body)).await;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    reply.fields(&head, response.headers_mut());
    response.map(|()| ReplyBody { reply, ended: false })
}

/// A request's content as a body of the `http-body` crate.
#[derive(Debug)]
pub struct BodyContent<B> {
    body: B,
    framing: Framing,
    data: Bytes,
    ended: bool,
    trailers: Option<Fields>,
}

impl<B: Embeddable> BodyContent<B> {
    fn new(body: B) -> Self {
        let framing = match (body.is_end_stream(), body.size_hint().exact()) {
            (true, _) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Open,
        };
        Self { body, framing, data: Bytes::new(), ended: false, trailers: None }
    }
}

impl<B: Embeddable> Content for BodyContent<B> {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
        while self.data.is_empty() && !self.ended {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.ended = true,
                Some(Err(error)) => return Poll::Ready(Err(ContentError::Gone(Some(error.into())))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.data = data,
                    Err(frame) => {
                        if let Ok(map) = frame.into_trailers() {
                            let mut trailers = Fields::default();
                            trailers.extend_from_map(&map);
                            self.trailers = Some(trailers);
                        }
                    }
                },
            }
        }
        Poll::Ready(Ok(if self.data.is_empty() { Next::End } else { Next::Bytes }))
    }

    fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn consume(&mut self, count: usize) {
        self.data.advance(count.min(self.data.len()));
    }

    fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// Whoever embeds the service drops the exchange when its client is gone.
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// A reply's content as a body of the `http-body` crate.
///
/// Cancellation: dropping it before its end breaks the answer off.
#[derive(Debug)]
pub struct ReplyBody<R> {
    reply: R,
    ended: bool,
}

impl<R: Reply + Unpin> Body for ReplyBody<R> {
    type Data = Bytes;
    type Error = ContentError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ContentError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.reply.poll_next(cx)) {
            Ok(Next::Bytes) => {
                let bytes = self.reply.bytes();
                let piece = Bytes::copy_from_slice(bytes.get(..PIECE).unwrap_or(bytes));
                self.reply.consume(piece.len());
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Ok(Next::End) => {
                self.ended = true;
                let mut trailers = HeaderMap::new();
                for (name, value) in self.reply.trailers().into_iter().flat_map(Fields::iter) {
                    crate::message::FieldSink::line(&mut trailers, name, value);
                }
                Poll::Ready((!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers))))
            }
            Err(error) => {
                self.ended = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || matches!(self.reply.framing(), Framing::None | Framing::Length(0))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

//! An answer as it arrives, whichever version carries it.

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::failure::{Failure, FailureKind};
use super::h1::Http1Connection;
use super::h2::{Http2Connection, Http2Exchange};
use super::pool::Pool;
use super::{Outgoing, Settings};
use crate::http1::Tunnel;
use crate::message::{Content, Fields, Framing, Next, ResponseHead};

/// One exchange with the upstream whose request has begun to leave.
///
/// It needs the request's content at every step, because the rest of that is sent while the answer
/// arrives. Cancellation: dropping it before its end closes the connection or resets the stream;
/// dropping it after its end gives the connection back.
pub struct Answer(Carrier);

enum Carrier {
    Http1 { connection: Option<Box<Http1Connection>>, pool: Arc<Pool> },
    Http2(Box<Http2Exchange>),
}

impl Answer {
    pub(super) fn over_http1<O: Outgoing>(
        mut connection: Box<Http1Connection>,
        pool: Arc<Pool>,
        request: &O,
        framing: Framing,
        authority: &str,
    ) -> Self {
        connection.begin(request, framing, authority);
        Self(Carrier::Http1 { connection: Some(connection), pool })
    }

    pub(super) async fn over_http2<O: Outgoing>(
        connection: Http2Connection,
        request: &O,
        framing: Framing,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let exchange = Http2Exchange::begin(connection, request, framing, settings).await?;
        Ok(Self(Carrier::Http2(Box::new(exchange))))
    }

    pub(super) fn poll_head<C: Content>(
        &mut self,
        cx: &mut Context<'_>,
        content: &mut C,
    ) -> Poll<Result<(), Failure>> {
        match &mut self.0 {
            Carrier::Http1 { connection: Some(connection), .. } => connection.poll_head(cx, content),
            Carrier::Http1 { connection: None, .. } => Poll::Ready(Ok(())),
            Carrier::Http2(exchange) => exchange.poll_head(cx, content),
        }
    }

    /// True where the whole request is out, or will never be.
    pub fn is_uploaded(&self) -> bool {
        match &self.0 {
            Carrier::Http1 { connection: Some(connection), .. } => connection.is_uploaded(),
            Carrier::Http1 { connection: None, .. } => true,
            Carrier::Http2(exchange) => exchange.is_uploaded(),
        }
    }

    /// The response's head.
    pub fn head(&self) -> &ResponseHead {
        match &self.0 {
            Carrier::Http1 { connection: Some(connection), .. } => &connection.head,
            Carrier::Http1 { connection: None, .. } => &NO_HEAD,
            Carrier::Http2(exchange) => &exchange.head,
        }
    }

    /// How the content is delimited.
    pub fn framing(&self) -> Framing {
        match &self.0 {
            Carrier::Http1 { connection: Some(connection), .. } => connection.framing(),
            Carrier::Http1 { connection: None, .. } => Framing::None,
            Carrier::Http2(exchange) => exchange.framing(),
        }
    }

    /// Waits for content, sending the rest of the request's `content` meanwhile; see
    /// [`Content::poll_next`].
    pub fn poll_next<C: Content>(
        &mut self,
        cx: &mut Context<'_>,
        content: &mut C,
    ) -> Poll<Result<Next, Failure>> {
        match &mut self.0 {
            Carrier::Http1 { connection: Some(connection), .. } => connection.poll_next(cx, content),
            Carrier::Http1 { connection: None, .. } => Poll::Ready(Ok(Next::End)),
            Carrier::Http2(exchange) => exchange.poll_next(cx, content),
        }
    }

    /// The content at hand.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Carrier::Http1 { connection: Some(connection), .. } => connection.reader.bytes(),
            Carrier::Http1 { connection: None, .. } => &[],
            Carrier::Http2(exchange) => exchange.bytes(),
        }
    }

    /// Takes content away.
    pub fn consume(&mut self, count: usize) {
        match &mut self.0 {
            Carrier::Http1 { connection: Some(connection), .. } => connection.reader.consume(count),
            Carrier::Http1 { connection: None, .. } => {}
            Carrier::Http2(exchange) => exchange.consume(count),
        }
    }

    /// The trailer section, once the content has ended.
    pub fn trailers(&self) -> Option<&Fields> {
        match &self.0 {
            Carrier::Http1 { connection: Some(connection), .. } => connection.trailers(),
            Carrier::Http1 { connection: None, .. } => None,
            Carrier::Http2(exchange) => exchange.trailers(),
        }
    }

    /// The byte stream behind a 101; only HTTP/1.1 has one.
    pub fn into_tunnel(mut self) -> Option<Tunnel> {
        match &mut self.0 {
            Carrier::Http1 { connection, .. } => {
                let (io, read) = connection.take()?.into_io();
                Some(Tunnel { io: Box::new(io), read })
            }
            Carrier::Http2(_) => None,
        }
    }

    pub(super) fn failure(&self, kind: FailureKind) -> Failure {
        match &self.0 {
            Carrier::Http1 { connection: Some(connection), .. } => connection.fail(kind, None),
            Carrier::Http1 { connection: None, .. } => Failure::before_sending(kind, None),
            Carrier::Http2(exchange) => exchange.fail(kind),
        }
    }
}

static NO_HEAD: std::sync::LazyLock<ResponseHead> = std::sync::LazyLock::new(ResponseHead::default);

impl Drop for Answer {
    fn drop(&mut self) {
        if let Carrier::Http1 { connection, pool } = &mut self.0
            && let Some(mut connection) = connection.take()
            && connection.may_be_reused()
        {
            connection.rest(Instant::now());
            pool.put_http1(connection);
        }
    }
}

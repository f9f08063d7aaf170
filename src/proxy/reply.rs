//! The answer to a client: passed on from the upstream, or made here.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::fields::{self, Addressed, PSEUDONYM, passing_trailers};
use super::guard;
use super::parts::Shared;
use super::problem::Problem;
use super::replay::Replay;
use crate::http1::Tunnel;
use crate::log;
use crate::message::{Content, ContentError, FieldSink, Fields, Framing, Next, RequestHead};
use crate::transport::Answer;

/// One exchange's stay in the proxy, for the metrics: from its begin to the end of its answer.
pub(super) struct Visit {
    pub(super) began: Instant,
    shared: Arc<Shared>,
    method: Method,
}

impl Visit {
    pub(super) fn begin(shared: Arc<Shared>, method: Method) -> Self {
        shared.shard.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { began: Instant::now(), shared, method }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shared.shard.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.shared.shard.request_duration.observe(self.began.elapsed());
    }
}

/// What an exchange came to, where it was not refused.
pub(super) enum Relayed<C> {
    /// An upstream's answer.
    Answer { answer: Answer, replay: Replay<C>, unreplayable: bool },
    /// An allowed web origin's preflight, which is answered here.
    Preflight,
}

enum Kind<C> {
    Answer { answer: Answer, replay: Replay<C>, unreplayable: bool, trailers: Option<Fields> },
    Preflight,
    Problem { problem: Box<Problem>, content: Vec<u8>, at: usize, to_head: bool },
    Gone,
}

/// An answer whose head is there and whose content follows.
///
/// Cancellation: dropping it before its end breaks the upstream's answer off.
pub struct Reply<C> {
    kind: Kind<C>,
    visit: Visit,
}

impl<C: Content> Reply<C> {
    pub(super) fn relayed(relayed: Relayed<C>, visit: Visit) -> Self {
        let kind = match relayed {
            Relayed::Answer { answer, replay, unreplayable } => {
                Kind::Answer { answer, replay, unreplayable, trailers: None }
            }
            Relayed::Preflight => Kind::Preflight,
        };
        Self { kind, visit }.counted()
    }

    pub(super) fn problem(problem: Problem, head: &RequestHead, visit: Visit) -> Self {
        let content = problem.content();
        let to_head = head.method == Method::HEAD;
        let at = if to_head { content.len() } else { 0 };
        Self { kind: Kind::Problem { problem: Box::new(problem), content, at, to_head }, visit }.counted()
    }

    pub(super) fn gone(visit: Visit) -> Self {
        visit.shared.shard.abandoned.fetch_add(1, Ordering::Relaxed);
        Self { kind: Kind::Gone, visit }
    }

    fn counted(self) -> Self {
        self.visit.shared.shard.answered(&self.visit.method, self.status());
        self
    }

    /// True where the client is gone and nothing is to be answered.
    pub fn is_gone(&self) -> bool {
        matches!(self.kind, Kind::Gone)
    }

    /// The status.
    pub fn status(&self) -> u16 {
        match &self.kind {
            Kind::Answer { answer, .. } => answer.head().status,
            Kind::Preflight => 204,
            Kind::Problem { problem, .. } => problem.kind.status(),
            Kind::Gone => 499,
        }
    }

    /// The reason phrase: the upstream's own, or the usual one.
    pub fn reason(&self) -> &[u8] {
        let own = match &self.kind {
            Kind::Answer { answer, .. } => answer.head().reason.as_slice(),
            Kind::Preflight | Kind::Problem { .. } | Kind::Gone => &[],
        };
        if !own.is_empty() {
            return own;
        }
        let status = StatusCode::from_u16(self.status()).ok();
        status.and_then(|status| status.canonical_reason()).unwrap_or_default().as_bytes()
    }

    /// Writes the fields that answer `request`, without those that concern the connection.
    pub fn fields(&self, request: &RequestHead, sink: &mut impl FieldSink) {
        let settings = &self.visit.shared.settings;
        let origin = if settings.guard.origins.is_empty() {
            None
        } else {
            guard::allowed_origin(request, &settings.guard)
        };
        match &self.kind {
            Kind::Answer { answer, unreplayable, .. } => {
                let authority = guard::authority_of(request).unwrap_or(settings.listen_authority.as_bytes());
                let addressed = Addressed {
                    secure: settings.base.secure,
                    host: &settings.base.host,
                    port: settings.base.port,
                    prefix: &settings.base.prefix,
                    authority,
                    origin,
                    via: settings.via,
                    drop_length: answer.framing() == Framing::Open,
                };
                fields::incoming(answer.head(), &addressed, sink);
                // HTTP/2 may end an answer with its head and leave the length unsaid.
                if answer.framing() == Framing::Length(0) && !answer.head().fields.contains(b"Content-Length")
                {
                    sink.line(b"Content-Length", b"0");
                }
                if answer.head().status == 101 {
                    sink.line(b"Upgrade", b"websocket");
                }
                if *unreplayable {
                    let status = answer.head().status;
                    let note = format!(
                        "{PSEUDONYM}; received-status={status}; details=\"request body too large to replay\""
                    );
                    sink.line(b"Proxy-Status", note.as_bytes());
                }
            }
            Kind::Preflight => preflight_fields(request, sink),
            Kind::Problem { problem, content, .. } => {
                sink.line(b"Content-Type", b"application/problem+json");
                sink.line(b"Content-Length", content.len().to_string().as_bytes());
                sink.line(b"Cache-Control", b"no-store");
                sink.line(b"Proxy-Status", problem.proxy_status().as_bytes());
                if let Some(seconds) = problem.retry_after_seconds() {
                    sink.line(b"Retry-After", seconds.to_string().as_bytes());
                }
                if problem.kind.status() == 405 {
                    sink.line(b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
                }
                sink.line(b"Date", httpdate::fmt_http_date(self.visit.shared.wall()).as_bytes());
                if let Some(origin) = origin {
                    fields::allow_origin(origin, sink);
                }
            }
            Kind::Gone => {}
        }
    }

    /// The byte stream behind a 101.
    pub fn into_tunnel(self) -> Option<Tunnel> {
        match self.kind {
            Kind::Answer { answer, .. } => answer.into_tunnel(),
            Kind::Preflight | Kind::Problem { .. } | Kind::Gone => None,
        }
    }
}

/// The Fetch standard's CORS preflight, answered for the upstream: its API need not know of the
/// pages that may call this proxy.
pub fn preflight_fields(request: &RequestHead, sink: &mut impl FieldSink) {
    for (asked, answered) in [
        (&b"Origin"[..], &b"Access-Control-Allow-Origin"[..]),
        (b"Access-Control-Request-Method", b"Access-Control-Allow-Methods"),
        (b"Access-Control-Request-Headers", b"Access-Control-Allow-Headers"),
        (b"Access-Control-Request-Private-Network", b"Access-Control-Allow-Private-Network"),
    ] {
        for value in request.fields.all(asked) {
            sink.line(answered, value);
        }
    }
    sink.line(b"Access-Control-Allow-Credentials", b"true");
    sink.line(b"Access-Control-Max-Age", b"600");
    sink.line(b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
}

impl<C: Content> Content for Reply<C> {
    fn framing(&self) -> Framing {
        match &self.kind {
            Kind::Answer { answer, .. } => answer.framing(),
            Kind::Problem { to_head: true, .. } | Kind::Preflight | Kind::Gone => Framing::None,
            Kind::Problem { content, .. } => Framing::Length(content.len() as u64),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
        match &mut self.kind {
            Kind::Answer { answer, replay, trailers, .. } => match ready!(answer.poll_next(cx, replay)) {
                Ok(next) => {
                    if next == Next::End && trailers.is_none() {
                        *trailers = answer.trailers().and_then(passing_trailers);
                    }
                    Poll::Ready(Ok(next))
                }
                Err(failure) => {
                    if !failure.is_the_clients() {
                        tracing::warn!(error = %log::causes(&failure), "answer broken off");
                    }
                    Poll::Ready(Err(ContentError::Gone(Some(Box::new(failure)))))
                }
            },
            Kind::Problem { content, at, .. } => {
                Poll::Ready(Ok(if *at < content.len() { Next::Bytes } else { Next::End }))
            }
            Kind::Preflight | Kind::Gone => Poll::Ready(Ok(Next::End)),
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.kind {
            Kind::Answer { answer, .. } => answer.bytes(),
            Kind::Problem { content, at, .. } => content.get(*at..).unwrap_or_default(),
            Kind::Preflight | Kind::Gone => &[],
        }
    }

    fn consume(&mut self, count: usize) {
        match &mut self.kind {
            Kind::Answer { answer, .. } => answer.consume(count),
            Kind::Problem { at, .. } => *at += count,
            Kind::Preflight | Kind::Gone => {}
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        match &self.kind {
            Kind::Answer { trailers, .. } => trailers.as_ref(),
            Kind::Preflight | Kind::Problem { .. } | Kind::Gone => None,
        }
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

//! The answer to a client: passed on from the upstream, or made here.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use super::fields::{self, Addressed, PSEUDONYM, passing_trailers};
use super::lead::Lead;
use super::parts::Shared;
use super::problem::Problem;
use super::replay::Replay;
use super::ways::{self, Arrival};
use super::{guard, links, location};
use crate::clock::Now;
use crate::http1::Tunnel;
use crate::log;
use crate::message::{Content, ContentError, FieldSink, Fields, Framing, Next, RequestHead};
use crate::metrics::Shard;
use crate::transport::{Answer, Base};
use http::{Method, StatusCode};

/// One exchange's stay in the proxy, for the metrics: from its begin to the end of its answer.
pub(super) struct Visit {
    /// When, by one reading of the clocks that serves the token as well.
    pub(super) began: Now,
    pub(super) listener: usize,
    /// The client named an upstream's own origin.
    pub(super) names_upstream: bool,
    pub(super) shard: Arc<Shard>,
    shared: Arc<Shared>,
    method: Method,
}

impl Visit {
    /// Counted by the first profile, until it is known which one is meant.
    pub(super) fn begin(shared: Arc<Shared>, listener: usize, method: Method) -> Self {
        let first = shared.profiles.first().map(|profile| profile.shard.clone()).unwrap_or_default();
        first.in_flight.fetch_add(1, Ordering::Relaxed);
        let began = shared.clock.now();
        Self { began, listener, names_upstream: false, shard: first, shared, method }
    }

    /// From now on counted by `shard`.
    pub(super) fn turn_to(&mut self, shard: &Arc<Shard>) {
        if !Arc::ptr_eq(&self.shard, shard) {
            shard.in_flight.fetch_add(1, Ordering::Relaxed);
            self.shard.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.shard = shard.clone();
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.shard.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.shard.request_duration.observe(self.began.steady.elapsed());
    }
}

/// What an exchange came to, where it was not refused.
#[allow(
    clippy::large_enum_variant,
    reason = "it is moved once, and a box would be an allocation for every exchange"
)]
pub(super) enum Relayed<C> {
    /// An upstream's answer.
    Answer(Passing<C>),
    /// An allowed web origin's preflight, which is answered here.
    Preflight,
}

/// An upstream's answer on its way to the client.
pub(super) struct Passing<C> {
    pub(super) answer: Answer,
    pub(super) replay: Replay<C>,
    /// What was held back to look into it.
    pub(super) lead: Option<Lead>,
    /// Its length is not told: there is no content, and with content that might become another.
    pub(super) hides_length: bool,
    /// Where the request went: the profile's place, and its upstream at that time.
    pub(super) profile: usize,
    pub(super) base: Arc<Base>,
    /// The request could have been sent again, but for its size.
    pub(super) unreplayable: bool,
    pub(super) trailers: Option<Fields>,
}

enum Kind<C> {
    Answer(Passing<C>),
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
    pub(super) fn relayed(relayed: Relayed<C>, request: &RequestHead, visit: Visit) -> Self {
        let kind = match relayed {
            Relayed::Answer(mut passing) => {
                passing.rewrite_links(request, &visit);
                Kind::Answer(passing)
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
        visit.shard.abandoned.fetch_add(1, Ordering::Relaxed);
        Self { kind: Kind::Gone, visit }
    }

    fn counted(self) -> Self {
        self.visit.shard.answered(&self.visit.method, self.status());
        self
    }

    /// True where the client is gone and nothing is to be answered.
    pub fn is_gone(&self) -> bool {
        matches!(self.kind, Kind::Gone)
    }

    /// The status.
    pub fn status(&self) -> u16 {
        match &self.kind {
            Kind::Answer(passing) => passing.answer.head().status,
            Kind::Preflight => 204,
            Kind::Problem { problem, .. } => problem.kind.status(),
            Kind::Gone => 499,
        }
    }

    /// The reason phrase: the upstream's own, or the usual one.
    pub fn reason(&self) -> &[u8] {
        let own = match &self.kind {
            Kind::Answer(passing) => passing.answer.head().reason.as_slice(),
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
        let guard = &self.visit.shared.settings.guard;
        let origin = if guard.origins.is_empty() { None } else { guard::allowed_origin(request, guard) };
        match &self.kind {
            Kind::Answer(passing) => passing.fields(request, origin, &self.visit, sink),
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
            Kind::Answer(passing) => passing.answer.into_tunnel(),
            Kind::Preflight | Kind::Problem { .. } | Kind::Gone => None,
        }
    }
}

impl<C: Content> Passing<C> {
    fn fields(&self, request: &RequestHead, origin: Option<&[u8]>, visit: &Visit, sink: &mut impl FieldSink) {
        let head = self.answer.head();
        let settings = &visit.shared.settings;
        // Found out once, and only where a field asks for it.
        let bases = OnceCell::new();
        let known = || {
            let profiles = &visit.shared.profiles;
            let bases = bases.get_or_init(|| ways::bases(profiles, self.profile, &self.base));
            ways::ways(profiles, bases, &visit.arrival(request))
        };
        let framing = self.framing();
        let same_length = framing == self.answer.framing();
        let addressed = Addressed {
            ways: &known,
            host: &self.base.host,
            origin,
            via: settings.via,
            drop_length: framing == Framing::Open || !same_length || self.hides_length,
        };
        fields::incoming(head, &addressed, sink);
        // HTTP/2 may end an answer with its head and leave the length unsaid.
        if let Framing::Length(length) = framing
            && (!same_length || (length == 0 && !head.fields.contains(b"Content-Length")))
        {
            sink.line(b"Content-Length", length.to_string().as_bytes());
        }
        if head.status == 101 {
            sink.line(b"Upgrade", b"websocket");
        }
        if self.unreplayable {
            let status = head.status;
            let note = format!(
                "{PSEUDONYM}; received-status={status}; details=\"request body too large to replay\""
            );
            sink.line(b"Proxy-Status", note.as_bytes());
        }
    }

    fn framing(&self) -> Framing {
        match (&self.lead, self.answer.framing()) {
            (Some(lead), Framing::Length(_)) if lead.whole => Framing::Length(lead.bytes.len() as u64),
            (_, framing) => framing,
        }
    }

    /// Addresses in what was held back become local, where all of it is there.
    fn rewrite_links(&mut self, request: &RequestHead, visit: &Visit) {
        let Some(lead) = self.lead.as_mut().filter(|lead| lead.whole) else { return };
        let profiles = &visit.shared.profiles;
        let bases = ways::bases(profiles, self.profile, &self.base);
        let ways = ways::ways(profiles, &bases, &visit.arrival(request));
        if let Some(json) = links::rewrite(&lead.bytes, |address| location::local(address, &ways)) {
            lead.bytes = json;
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
        if self.lead.as_ref().is_some_and(|lead| !lead.rest().is_empty()) {
            // The request is sent on all the same: its client may read only when it has sent all.
            // How the answer goes on, or fails, is asked again after the lead.
            let _ = self.answer.poll_next(cx, &mut self.replay);
            return Poll::Ready(Ok(Next::Bytes));
        }
        match ready!(self.answer.poll_next(cx, &mut self.replay)) {
            Ok(next) => {
                if next == Next::End && self.trailers.is_none() {
                    self.trailers = self.answer.trailers().and_then(passing_trailers);
                }
                Poll::Ready(Ok(next))
            }
            Err(failure) => {
                if !failure.is_the_clients() {
                    tracing::warn!(error = %log::causes(&failure), "answer broken off");
                }
                Poll::Ready(Err(ContentError::Gone(Some(Box::new(failure)))))
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.lead {
            Some(lead) if !lead.rest().is_empty() => lead.rest(),
            Some(_) | None => self.answer.bytes(),
        }
    }

    fn consume(&mut self, count: usize) {
        match &mut self.lead {
            Some(lead) if !lead.rest().is_empty() => lead.at += count,
            Some(_) | None => self.answer.consume(count),
        }
    }
}

impl Visit {
    fn arrival<'a>(&'a self, request: &'a RequestHead) -> Arrival<'a> {
        Arrival {
            listener: self.listener,
            listeners: &self.shared.settings.listeners,
            named: guard::authority_of(request),
            names_upstream: self.names_upstream,
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
            Kind::Answer(passing) => passing.framing(),
            Kind::Problem { to_head: true, .. } | Kind::Preflight | Kind::Gone => Framing::None,
            Kind::Problem { content, .. } => Framing::Length(content.len() as u64),
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
        match &mut self.kind {
            Kind::Answer(passing) => passing.poll_next(cx),
            Kind::Problem { content, at, .. } => {
                Poll::Ready(Ok(if *at < content.len() { Next::Bytes } else { Next::End }))
            }
            Kind::Preflight | Kind::Gone => Poll::Ready(Ok(Next::End)),
        }
    }

    fn bytes(&self) -> &[u8] {
        match &self.kind {
            Kind::Answer(passing) => passing.bytes(),
            Kind::Problem { content, at, .. } => content.get(*at..).unwrap_or_default(),
            Kind::Preflight | Kind::Gone => &[],
        }
    }

    fn consume(&mut self, count: usize) {
        match &mut self.kind {
            Kind::Answer(passing) => passing.consume(count),
            Kind::Problem { at, .. } => *at += count,
            Kind::Preflight | Kind::Gone => {}
        }
    }

    fn trailers(&self) -> Option<&Fields> {
        match &self.kind {
            Kind::Answer(passing) => passing.trailers.as_ref(),
            Kind::Preflight | Kind::Problem { .. } | Kind::Gone => None,
        }
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

//! The spans of one request: the server's, and one of the client's kind for each attempt.
//!
//! Names follow the semantic conventions of OpenTelemetry for HTTP. Queries are left out: they may hold personal data.

use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, Version, header};
use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::Span;

use super::access_log::Ended;
use crate::clock::Now;
use crate::text::printable_bytes;
use crate::traces::{self, Traces};
use crate::upstream::{BaseUrl, SendError};

/// The methods that have a name of their own (RFC 9110 section 9.3, RFC 5789).
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

/// The trace of one request.
#[derive(Debug)]
pub(super) struct Trace {
    traces: Traces,
    began: Now,
    server: Span,
    /// That of the server's span, for those below it.
    context: Context,
    /// The client has begun the trace.
    continues: bool,
    attempt: Option<Attempt>,
    /// How many attempts there were before.
    resent: i64,
}

#[derive(Debug)]
struct Attempt {
    span: Span,
    /// When its response or its error was there.
    ended: Option<SystemTime>,
}

impl Trace {
    /// Begins the server's span when a request's head is there.
    pub(super) fn begin(traces: &Traces, head: &Parts, is_secure: bool, began: Now) -> Self {
        let parent = traces::parent(&head.headers);
        let continues = parent.is_some();
        let context =
            parent.map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let mut attributes = vec![
            KeyValue::new("url.scheme", if is_secure { "https" } else { "http" }),
            KeyValue::new("url.path", head.uri.path().to_owned()),
            KeyValue::new("network.protocol.version", version(head.version)),
        ];
        attributes.extend(methods(&head.method));
        let host = head.uri.authority().map(|own| own.as_str().to_owned());
        if let Some(host) = host.or_else(|| text(&head.headers, &header::HOST)) {
            let (name, port) = split(&host);
            attributes.push(KeyValue::new("server.address", name.to_owned()));
            attributes.extend(port.map(|port| KeyValue::new("server.port", port)));
        }
        if let Some(agent) = text(&head.headers, &header::USER_AGENT) {
            attributes.push(KeyValue::new("user_agent.original", agent));
        }
        let builder = SpanBuilder::from_name(name(&head.method))
            .with_kind(SpanKind::Server)
            .with_start_time(began.wall)
            .with_attributes(attributes);
        let server = traces.begin(builder, &context);
        let context = Context::new().with_remote_span_context(server.span_context().clone());
        Self { traces: traces.clone(), began, server, context, continues, attempt: None, resent: 0 }
    }

    pub(super) fn id(&self) -> TraceId {
        self.server.span_context().trace_id()
    }

    /// Begins the span of an attempt, and names it in the attempt's header.
    pub(super) fn attempt<B>(&mut self, attempt: &mut Request<B>, base: &BaseUrl, generation: u64) {
        self.end_attempt(None);
        let url = format!("{}{}", base.origin(), attempt.uri().path());
        let mut attributes = vec![
            KeyValue::new("url.full", url),
            KeyValue::new("server.address", base.bare_host()),
            KeyValue::new("server.port", i64::from(base.port())),
            KeyValue::new("cxone_proxy.token_generation", i64::try_from(generation).unwrap_or(i64::MAX)),
        ];
        attributes.extend(methods(attempt.method()));
        if self.resent > 0 {
            attributes.push(KeyValue::new("http.request.resend_count", self.resent));
        }
        let builder = SpanBuilder::from_name(name(attempt.method()))
            .with_kind(SpanKind::Client)
            .with_start_time(self.now())
            .with_attributes(attributes);
        let span = self.traces.begin(builder, &self.context);
        traces::traceparent(attempt.headers_mut(), span.span_context(), self.continues);
        self.attempt = Some(Attempt { span, ended: None });
        self.resent += 1;
    }

    /// The head of an attempt's response is there. Its span ends with the body, or before the next attempt.
    pub(super) fn responded(&mut self, status: StatusCode, version_used: Version) {
        let now = self.now();
        let Some(Attempt { span, ended }) = &mut self.attempt else { return };
        *ended = Some(now);
        span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        span.set_attribute(KeyValue::new("network.protocol.version", version(version_used)));
        if status.is_client_error() || status.is_server_error() {
            span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
            span.set_status(Status::error(""));
        }
    }

    /// An attempt has no response.
    pub(super) fn failed(&mut self, error: &SendError) {
        let now = self.now();
        let Some(Attempt { span, ended }) = &mut self.attempt else { return };
        *ended = Some(now);
        span.set_attribute(KeyValue::new("error.type", error.cause().outcome()));
        span.set_status(Status::error(error.to_string()));
    }

    /// Notes a wait, or a retry, at the moment when it is over.
    pub(super) fn event(&mut self, name: &'static str, reason: &'static str, waited: Duration) {
        let waited = i64::try_from(waited.as_millis()).unwrap_or(i64::MAX);
        let attributes = vec![KeyValue::new("reason", reason), KeyValue::new("waited_ms", waited)];
        let now = self.now();
        self.server.add_event_with_timestamp(name, now, attributes);
    }

    /// Ends both spans when the request has ended.
    pub(super) fn end(&mut self, ended: &Ended<'_>) {
        let end = self.began.wall + ended.took;
        self.end_attempt(Some(end));
        let span = &mut self.server;
        span.set_attribute(KeyValue::new("cxone_proxy.profile", ended.profile.to_owned()));
        if let Some(client) = ended.client {
            span.set_attribute(KeyValue::new("cxone_proxy.client", client.to_owned()));
        }
        let status = ended.record.status;
        if let Some(status) = status {
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
        }
        if let Some(error) = ended.record.error {
            span.set_attribute(KeyValue::new("error.type", error));
        } else if let Some(status) = status.filter(StatusCode::is_server_error) {
            span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
        }
        if status.is_none_or(|status| status.is_server_error()) {
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(end);
    }

    fn end_attempt(&mut self, with_body: Option<SystemTime>) {
        if let Some(Attempt { mut span, ended }) = self.attempt.take() {
            let end = with_body.or(ended).unwrap_or_else(|| self.now());
            span.end_with_timestamp(end);
        }
    }

    fn now(&self) -> SystemTime {
        self.began.wall + self.began.steady.elapsed()
    }
}

/// The name of a span: nothing that a client can make up.
fn name(method: &Method) -> String {
    if METHODS.contains(method) { method.to_string() } else { "HTTP".to_owned() }
}

fn methods(method: &Method) -> impl Iterator<Item = KeyValue> {
    let known = METHODS.contains(method);
    let shown = if known { method.to_string() } else { "_OTHER".to_owned() };
    let original = (!known).then(|| KeyValue::new("http.request.method_original", method.to_string()));
    std::iter::once(KeyValue::new("http.request.method", shown)).chain(original)
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// The first line of a field.
fn text(headers: &HeaderMap, name: &header::HeaderName) -> Option<String> {
    headers.get_all(name).iter().next().map(|value| printable_bytes(value.as_bytes()))
}

/// The name and the port of an authority (RFC 3986 section 3.2).
fn split(authority: &str) -> (&str, Option<i64>) {
    match authority.rsplit_once(':') {
        Some((name, port)) if !name.is_empty() && !port.ends_with(']') => match port.parse::<u16>() {
            Ok(port) => (name, Some(i64::from(port))),
            Err(_) => (authority, None),
        },
        Some(_) | None => (authority, None),
    }
}

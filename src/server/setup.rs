//! What all connections of a server have in common.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use tokio::time::Instant;

use super::connections::Connections;
use super::request_check::FIELDS;
use super::{Limits, ParseProblem, ParseProblems};
use crate::header_case::HeaderCase;
use crate::log::Repeats;

/// The longest time between two looks at a request that makes no progress.
const SELDOM: Duration = Duration::from_secs(15);
/// hyper's smallest; what it may collect of a response before the client takes it.
const BUFFER: usize = 64 * 1024;

/// Limits, documents and ways of speaking HTTP/1.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) limits: Limits,
    problems: ParseProblems,
    pub(super) connections: Connections,
    pub(super) builder: http1::Builder,
    /// For heads of more than 100 fields: hyper's parser needs memory for each request then.
    pub(super) roomy: http1::Builder,
    tls_lines: Arc<Mutex<Repeats<()>>>,
}

impl Setup {
    pub(super) fn new(limits: Limits, problems: ParseProblems, connections: Connections) -> Self {
        let (builder, roomy) = builders(&limits);
        Self { limits, problems, connections, builder, roomy, tls_lines: Arc::default() }
    }

    /// The same with other limits.
    pub(super) fn with_limits(&self, limits: Limits) -> Self {
        let (builder, roomy) = builders(&limits);
        let (problems, connections) = (self.problems.clone(), self.connections.clone());
        Self { limits, problems, connections, builder, roomy, tls_lines: Arc::clone(&self.tls_lines) }
    }

    /// The document for a problem.
    pub(super) fn problem(&self, problem: ParseProblem) -> Response<Full<Bytes>> {
        self.problems.response(problem)
    }

    /// A client at `peer` speaks TLS to this listener, which speaks plain HTTP.
    pub(super) fn note_tls(&self, peer: Option<SocketAddr>, listener: Option<SocketAddr>) {
        let noted = self.tls_lines.lock().ok().and_then(|mut lines| lines.met((), Instant::now()));
        let Some(due) = noted else { return };
        let shown =
            |address: Option<SocketAddr>| address.map_or("a socket".to_owned(), |own| own.to_string());
        tracing::warn!(
            peer = peer.map(display),
            listener = listener.map(display),
            more = due.more(),
            "a client ({}) speaks TLS to the listener {}, which speaks plain HTTP{due}. Write http:// in place of https:// in \
             the client's base URL, or give the listener a certificate with CXONE_PROXY_TLS_CERT and CXONE_PROXY_TLS_KEY.",
            shown(peer),
            shown(listener),
        );
    }

    /// The time between two looks at what may stand still.
    pub(super) fn look_every(&self) -> Duration {
        self.limits.stall_timeout.map_or(SELDOM, |stall| stall / 4).clamp(Duration::from_millis(50), SELDOM)
    }
}

/// Changes the limits of a running server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tuning(pub(super) Arc<ArcSwap<Setup>>);

impl Tuning {
    /// These limits hold for every connection that is accepted from now on.
    pub fn set(&self, limits: Limits) {
        let before = self.0.load();
        before.connections.set_limit(limits.connections);
        self.0.store(Arc::new(before.with_limits(limits)));
    }
}

/// How hyper is to speak HTTP/1: for heads of up to 100 fields, and of up to [`FIELDS`].
fn builders(limits: &Limits) -> (http1::Builder, http1::Builder) {
    let mut builder = http1::Builder::new();
    builder
        .auto_date_header(false)
        .title_case_headers(true)
        .preserve_header_case(limits.header_case == HeaderCase::Preserve)
        .max_header_size(limits.header_size)
        // A head must fit; the least that hyper allows is 8 KiB.
        .max_buf_size(BUFFER.max(limits.header_size));
    let mut roomy = builder.clone();
    roomy.max_headers(FIELDS);
    (builder, roomy)
}

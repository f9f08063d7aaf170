//! One request's stay in the proxy, for the metrics and the log: from its head to the end of its response.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::request::Parts;
use http::{Method, StatusCode, Version};

use super::access_log::{AccessLog, Ended, Record};
use super::pace::Permit;
use super::replay::Replay;
use super::retry::Spent;
use super::route::Profile;
use super::trace::Trace;
use crate::access::ProblemKind;
use crate::clock::Now;
use crate::log;
use crate::metrics::{self, ClientRequests, Label as _, ProfileMetrics, RetryReason, WaitReason};
use crate::text::spoken;
use crate::traces::Traces;
use crate::upstream::{BaseUrl, SendError};

/// A request that is in flight until this is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    began: Now,
    method: Method,
    metrics: ProfileMetrics,
    counted: metrics::InFlight,
    responded: bool,
    /// The client has left, so no response reaches it.
    left: bool,
    /// What it holds of limits on requests at once; none of them for most requests.
    permits: Vec<Permit>,
    /// What was done for it so far.
    pub(super) spent: Spent,
    log: Arc<AccessLog>,
    /// Where its response comes from.
    api: Option<Arc<BaseUrl>>,
    /// The client that it comes from, and where that client's requests are counted.
    client: Option<(Arc<str>, ClientRequests)>,
    record: Record,
    /// Where traces are sent.
    trace: Option<Box<Trace>>,
}

impl InFlight {
    /// Counted by `profile`, until it is known which one is selected. `began` is when the request's
    /// head was there.
    pub(super) fn begin(profile: &Profile, head: &Parts, began: Now, log: &Arc<AccessLog>) -> Self {
        let metrics = profile.metrics.clone();
        let counted = metrics.enter(began.steady);
        let (method, record) = (head.method.clone(), log.record(head));
        Self {
            began,
            method,
            metrics,
            counted,
            responded: false,
            left: false,
            permits: Vec::new(),
            spent: Spent::default(),
            log: Arc::clone(log),
            api: None,
            client: None,
            record,
            trace: None,
        }
    }

    /// Its spans are wanted.
    pub(super) fn trace(&mut self, traces: &Traces, head: &Parts, is_secure: bool) {
        self.trace = Some(Box::new(Trace::begin(traces, head, is_secure, self.began)));
    }

    /// When the request's head was there, by one reading of the clocks that serves the token as well.
    pub(super) fn began(&self) -> Now {
        self.began
    }

    /// How many requests were in flight when this one came, itself included.
    pub(super) fn total(&self) -> usize {
        self.counted.total()
    }

    /// From now on counted by this profile.
    pub(super) fn belongs_to(&mut self, profile: &Profile) {
        if !self.metrics.is_same(&profile.metrics) {
            self.counted.move_to(&profile.metrics);
            self.metrics = profile.metrics.clone();
        }
    }

    /// It is this client's.
    pub(super) fn comes_from(&mut self, name: &Arc<str>, requests: &ClientRequests) {
        self.client = Some((Arc::clone(name), requests.clone()));
    }

    /// The name of the client that it comes from, where clients are identified.
    pub(super) fn client(&self) -> Option<Arc<str>> {
        self.client.as_ref().map(|(name, _)| Arc::clone(name))
    }

    /// The name of the profile that it counts for.
    pub(super) fn profile(&self) -> &str {
        self.metrics.name()
    }

    /// One more in flight: a tunnel, which outlives its request. The permits are its own from now on.
    pub(super) fn another(&mut self) -> (metrics::InFlight, Vec<Permit>) {
        (self.metrics.enter(self.began.steady), std::mem::take(&mut self.permits))
    }

    /// The request is at the upstream with these permits, until it ends.
    pub(super) fn hold(&mut self, permits: Vec<Permit>) {
        self.permits = permits;
    }

    /// The request is no longer at the upstream: another one may take its place.
    pub(super) fn release(&mut self) {
        self.permits.clear();
    }

    /// Counts the response, where the client is there to get it.
    pub(super) fn responded(&mut self, status: StatusCode) {
        if !self.left {
            self.responded = true;
            self.metrics.response(&self.method, status);
            if let Some((name, requests)) = &self.client {
                requests.add(name, status);
            }
            self.record.status = Some(status);
            if self.log.wants_times(&self.record) {
                self.record.responded = self.began.steady.elapsed();
            }
        }
    }

    /// One more attempt is sent, with a token of this generation.
    pub(super) fn attempts<B>(&mut self, attempt: &mut Request<B>, base: &BaseUrl, generation: u64) {
        self.record.attempts += 1;
        self.record.generation = generation;
        if let Some(trace) = &mut self.trace {
            trace.attempt(attempt, base, generation);
        }
    }

    /// The head of the attempt's response is there.
    pub(super) fn attempt_responded(&mut self, status: StatusCode, version: Version) {
        if let Some(trace) = &mut self.trace {
            trace.responded(status, version);
        }
    }

    /// The attempt has no response.
    pub(super) fn attempt_failed(&mut self, error: &SendError) {
        if let Some(trace) = &mut self.trace {
            trace.failed(error);
        }
    }

    /// Counts a wait for another reason than a 429.
    pub(super) fn waited(&mut self, reason: WaitReason, waited: Duration) {
        self.metrics.wait(reason, waited);
        if let Some(trace) = &mut self.trace {
            trace.event("wait", reason.as_str(), waited);
        }
    }

    /// Counts one retry, and the wait before it.
    pub(super) fn count(&mut self, reason: RetryReason, waited: Duration) {
        self.spent.count(reason, waited);
        self.metrics.retry(reason);
        if let Some(trace) = &mut self.trace {
            trace.event("retry", reason.as_str(), waited);
        }
        if !waited.is_zero() {
            self.metrics.wait(WaitReason::RateLimited, waited);
        }
    }

    /// The proxy itself responds, with a problem of this kind.
    pub(super) fn refused(&mut self, kind: ProblemKind) {
        self.record.error = Some(kind.slug());
    }

    /// So much of the request's body has come when its response begins.
    pub(super) fn received(&mut self, body: &Replay) {
        self.record.bytes_in = body.taken();
    }

    /// So many bytes of the response's body go to the client.
    pub(super) fn passed_on(&mut self, bytes: usize) {
        self.record.bytes_out += bytes as u64;
    }

    /// The client has left in the middle of its request: whatever the response is, the request was abandoned.
    pub(super) fn client_left(&mut self) {
        self.left = true;
    }

    pub(super) fn has_client_left(&self) -> bool {
        self.left
    }

    /// Its response comes from there.
    pub(super) fn comes_from_api(&mut self, base: Arc<BaseUrl>) {
        self.api = Some(base);
    }

    /// Says that the upstream ended its response in the middle.
    pub(super) fn broke_off(&mut self, error: &SendError) {
        self.record.error = Some("response-broke-off");
        tracing::debug!(error = %log::causes(error), "a response broke off");
        let Some(due) = self.log.broke_off() else { return };
        let elapsed = self.began.steady.elapsed();
        let api = self.api.as_ref().map_or("", |base| base.authority());
        let path = self.record.path().unwrap_or_else(|| "(no path is kept: log.access is off)".to_owned());
        let (method, bytes, cause) = (&self.method, self.record.bytes_out, error.cause());
        tracing::warn!(
            profile = self.metrics.name(),
            %method,
            path,
            api,
            cause = cause.row().word,
            error = %cause,
            elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            bytes,
            more = due.more(),
            "the CXone API broke its response off, and so did the proxy: {method} {path} of {api} after {} and {bytes} bytes{due}. \
             The request was carried out. If this happens often, look for a load balancer or firewall before the API that \
             closes connections.",
            spoken(elapsed),
        );
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.responded {
            self.metrics.abandoned();
            self.record.error = Some("client-left");
        }
        let took = self.began.steady.elapsed();
        self.metrics.request_finished(took);
        let (method, spent, record) = (&self.method, &self.spent, &self.record);
        let client = self.client.as_ref().map(|(name, _)| &**name);
        let trace = self.trace.as_ref().map(|trace| trace.id());
        let ended = Ended { client, profile: self.metrics.name(), method, spent, record, took, trace };
        self.log.ended(&ended);
        if let Some(trace) = &mut self.trace {
            trace.end(&ended);
        }
    }
}

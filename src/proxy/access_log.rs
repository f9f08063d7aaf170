//! One line of the log for each request: which are wanted, and what they say.
//!
//! Lines have the target `access`, so that a filter such as `warn,access=info` keeps them apart from the rest.
//! A request of which no line is wanted costs no more than to remember its path.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry::trace::TraceId;
use tokio::time::Instant;

use super::retry::Spent;
use crate::log::{Due, Repeats};
use crate::text::printable_bytes;
use crate::traces;

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Which requests have a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// None.
    Off,
    /// Those that ended with a 5xx, with a refusal of the proxy's own, or in the middle. Equal ones are counted.
    Errors,
    /// All.
    All,
    /// Those that took so long.
    Slow(Duration),
}

/// How requests are logged. All clones count equal failures together.
#[derive(Clone, Debug)]
pub struct AccessLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    which: Which,
    /// One in so many has a line.
    sample: u32,
    /// With the query, which may hold personal data.
    query: bool,
    /// By status and error.
    failures: Mutex<Vec<(Failure, Repeats<()>)>>,
    /// Responses that broke off.
    broken: Mutex<Repeats<()>>,
}

type Failure = (Option<u16>, Option<&'static str>);

/// What is remembered of a request for its line.
#[derive(Debug, Default)]
pub(super) struct Record {
    target: Option<PathAndQuery>,
    traceparent: Option<HeaderValue>,
    /// How many attempts were sent.
    pub(super) attempts: u32,
    /// Of the token of the last attempt; zero before the first.
    pub(super) generation: u64,
    pub(super) status: Option<StatusCode>,
    /// From the request's head to the response's.
    pub(super) responded: Duration,
    /// Why the proxy itself responded, or how the exchange broke off.
    pub(super) error: Option<&'static str>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

/// A request that has come to its end.
pub(super) struct Ended<'a> {
    pub(super) client: Option<&'a str>,
    pub(super) profile: &'a str,
    pub(super) method: &'a Method,
    pub(super) spent: &'a Spent,
    pub(super) record: &'a Record,
    pub(super) took: Duration,
    /// The trace that the proxy has begun, or goes on with.
    pub(super) trace: Option<TraceId>,
}

impl Default for AccessLog {
    fn default() -> Self {
        Self::new(Which::Errors, 1, false)
    }
}

impl AccessLog {
    /// One in `sample` of all, or of the slow ones, has a line; of errors each one counts. `query` adds the query.
    pub fn new(which: Which, sample: u32, query: bool) -> Self {
        Self(Arc::new(Shared {
            which,
            sample: sample.max(1),
            query,
            failures: Mutex::default(),
            broken: Mutex::default(),
        }))
    }

    /// The API has broken a response off; says whether a line is due.
    pub(super) fn broke_off(&self) -> Option<Due> {
        let mut broken = self.0.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        broken.end_when_calm(now);
        broken.met((), now)
    }

    /// What has to be remembered of a request.
    pub(super) fn record(&self, head: &Parts) -> Record {
        if self.0.which == Which::Off {
            return Record::default();
        }
        // Several are no trace (W3C Trace Context section 3.2.2.5); then the first one is as good as any.
        let traceparent = head.headers.get_all(&TRACEPARENT).iter().next().cloned();
        Record { target: head.uri.path_and_query().cloned(), traceparent, ..Record::default() }
    }

    /// True where the time to the response's head is wanted.
    pub(super) fn wants_times(&self, record: &Record) -> bool {
        match self.0.which {
            Which::Off => false,
            Which::Errors => record.is_failure(),
            Which::All | Which::Slow(_) => true,
        }
    }

    /// Writes the line of a request, where one is wanted.
    pub(super) fn ended(&self, ended: &Ended<'_>) {
        let wanted = match self.0.which {
            Which::Off => false,
            Which::Errors => ended.record.is_failure(),
            Which::All => true,
            Which::Slow(least) => ended.took >= least,
        };
        if !wanted || !tracing::enabled!(target: "access", tracing::Level::INFO) {
            return;
        }
        if self.0.which == Which::Errors {
            if let Some(more) = self.failed(ended.record.failure()) {
                self.write(ended, more);
            }
        } else if self.0.sample == 1 || fastrand::u32(..self.0.sample) == 0 {
            self.write(ended, None);
        }
    }

    /// Counts a failure; the inner value says how many there were since the line before. `None` where no line is
    /// due.
    #[expect(clippy::option_option, reason = "whether there is a line, and what it counts")]
    fn failed(&self, failure: Failure) -> Option<Option<u64>> {
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        // Statuses and problem types are few, so a list is enough.
        let index = failures.iter().position(|(own, _)| *own == failure).unwrap_or_else(|| {
            failures.push((failure, Repeats::new()));
            failures.len() - 1
        });
        let (_, repeats) = failures.get_mut(index)?;
        repeats.end_when_calm(now);
        let more = repeats.met((), now)?.more();
        Some((more > 0).then_some(more))
    }

    fn write(&self, ended: &Ended<'_>, more: Option<u64>) {
        let Ended { client, profile, method, spent, record, took, trace } = *ended;
        let path = if self.0.query { record.target() } else { record.path() };
        let sent = record.attempts > 0;
        let begun = trace.map(|trace| trace.to_string());
        tracing::info!(
            target: "access",
            client,
            method = method.as_str(),
            path,
            status = record.status.map(|status| status.as_u16()),
            profile,
            attempts = record.attempts,
            waited_ms = milliseconds(spent.waited),
            upstream_ms = sent.then(|| milliseconds(record.responded.saturating_sub(spent.waited))),
            duration_ms = milliseconds(took),
            bytes_in = record.bytes_in,
            bytes_out = record.bytes_out,
            token_generation = sent.then_some(record.generation),
            trace_id = begun.as_deref().or_else(|| record.traceparent.as_ref().and_then(traces::trace_id)),
            error = record.error,
            more,
            "request"
        );
    }
}

impl Record {
    /// The path as people may see it, where it is remembered.
    pub(super) fn path(&self) -> Option<String> {
        self.target.as_ref().map(|target| printable_bytes(target.path().as_bytes()))
    }

    /// The same with the query.
    fn target(&self) -> Option<String> {
        self.target.as_ref().map(|target| printable_bytes(target.as_str().as_bytes()))
    }

    fn is_failure(&self) -> bool {
        self.error.is_some() || self.status.is_some_and(|status| status.is_server_error())
    }

    fn failure(&self) -> Failure {
        (self.status.map(|status| status.as_u16()), self.error)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

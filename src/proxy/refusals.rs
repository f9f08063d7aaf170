//! Requests that a rule refuses, in the log: at most one line a minute for each kind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::Method;
use tokio::time::Instant;

use crate::access::Problem;
use crate::log::{Due, Repeats};
use crate::text::printable_bytes;

/// What the log has said; all clones say it together. Locked only where a request is refused.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<BTreeMap<&'static str, Repeats<()>>>>);

impl Refusals {
    /// Says in the log why a request is refused, where that is due.
    pub(super) fn note(&self, problem: &Problem, method: &Method, path: &str, now: Instant) {
        let due = {
            let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kinds.entry(problem.kind().slug()).or_default().met((), now)
        };
        let more = match due {
            None => return,
            Some(Due::First) => None,
            Some(Due::Again { more, .. }) => Some(more),
        };
        let (method, path) = (printable_bytes(method.as_str().as_bytes()), printable_bytes(path.as_bytes()));
        let hint = problem.hint_text();
        tracing::warn!(
            reason = problem.kind().slug(),
            status = problem.status().as_u16(),
            method,
            path,
            requests_since_the_last_such_line = more,
            hint = &*hint,
            "request not allowed: {method} {path}: {} {hint}",
            problem.detail_text()
        );
    }
}

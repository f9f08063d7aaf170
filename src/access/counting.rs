//! The labels under which refusals and problems are counted.

use super::guard::Refusal;
use super::problem::ProblemKind;
use crate::metrics::{Counters, Label, Metrics};

impl Label for ProblemKind {
    const NAME: &'static str = "type";
    const ALL: &'static [Self] = Self::ALL;

    fn as_str(self) -> &'static str {
        self.slug()
    }
}

impl Label for Refusal {
    const NAME: &'static str = "reason";
    const ALL: &'static [Self] = Self::ALL;

    fn as_str(self) -> &'static str {
        self.reason()
    }
}

/// Counts the proxy's own problems, by type: what it sent instead of a response of the API.
pub fn problem_counters(metrics: &Metrics) -> Counters<ProblemKind> {
    metrics.counters(
        "cxone_proxy_errors_total",
        "Error responses that the proxy itself made, by the problem's type.",
    )
}

/// Counts what the guard refuses, by reason.
pub(super) fn refusal_counters(metrics: &Metrics) -> Counters<Refusal> {
    metrics.counters("cxone_proxy_guard_refusals_total", "Requests that the guard refused, by reason.")
}

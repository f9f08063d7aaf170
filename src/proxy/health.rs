//! What the log says of one profile's API: each state once when it begins, then at most once a minute with a
//! count, and once when it ends.
//!
//! All cores share it. A request that succeeds looks at one number; the rest is for those that fail.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use tokio::time::Instant;

use crate::log::{Due, Repeats};
use crate::text::spoken;

/// So many responses without a success since the start are worth a line.
const NEVER: u32 = 5;

/// So many clients that leave one after the other, without any response, are worth a line.
const UNANSWERED: u32 = 3;

/// No response has been a success yet.
const NO_SUCCESS: u8 = 1;
/// A failure lasts, whose end is a line.
const TROUBLED: u8 = 2;

/// What goes wrong with an API, and is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A request failed, with a problem of this type.
    Failed(&'static str),
    /// The token lacks a scope.
    Forbidden,
    /// A 429 went to a client, although the proxy retries.
    Limited,
    /// A client asked for a token by itself, and was refused.
    OwnLogIn,
    /// Clients leave while the API does not respond.
    Unanswered,
}

/// The state of one profile's API, for the log.
#[derive(Debug)]
pub struct Health {
    attention: AtomicU8,
    failed: AtomicU32,
    troubles: Mutex<Vec<(Trouble, Repeats<()>)>>,
    /// Requests in a row that their clients left without a response of the API to any.
    unanswered: AtomicU32,
    never: Mutex<Repeats<()>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            attention: AtomicU8::new(NO_SUCCESS),
            failed: AtomicU32::new(0),
            troubles: Mutex::default(),
            unanswered: AtomicU32::new(0),
            never: Mutex::default(),
        }
    }
}

impl Health {
    /// An event; says whether a line is due.
    pub(super) fn met(&self, trouble: Trouble) -> Option<Due> {
        let now = Instant::now();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        if ends_with_a_response(trouble) {
            self.attention.fetch_or(TROUBLED, Relaxed);
        }
        if let Some((_, repeats)) = troubles.iter_mut().find(|(own, _)| *own == trouble) {
            // What has no end of its own begins anew after a calm minute.
            if !ends_with_a_response(trouble) {
                repeats.end_when_calm(now);
            }
            return repeats.met((), now);
        }
        let mut repeats = Repeats::new();
        let due = repeats.met((), now);
        troubles.push((trouble, repeats));
        due
    }

    /// A client has left while the API did not respond; says whether a line is due. One that leaves says something of
    /// itself, several in a row without any response say something of the API.
    pub(super) fn unanswered(&self) -> Option<Due> {
        self.attention.fetch_or(TROUBLED, Relaxed);
        let unanswered = self.unanswered.fetch_add(1, Relaxed).saturating_add(1);
        if unanswered < UNANSWERED { None } else { self.met(Trouble::Unanswered) }
    }

    /// The API at `host` has responded. The first success, and the end of a trouble, are lines.
    pub(super) fn responded(&self, status: StatusCode, host: &str) {
        let attention = self.attention.load(Relaxed);
        if attention != 0 {
            self.look(attention, status, host);
        }
    }

    /// A response that is not a success went to a client, or a problem in its place: `what` is the request and
    /// what became of it.
    pub(super) fn not_a_success(&self, profile: &str, host: &str, what: impl FnOnce() -> String) {
        if self.attention.load(Relaxed) & NO_SUCCESS == 0 {
            return;
        }
        let failed = self.failed.fetch_add(1, Relaxed).saturating_add(1);
        if failed < NEVER {
            return;
        }
        let due = self.never.lock().unwrap_or_else(PoisonError::into_inner).met((), Instant::now());
        if due.is_some() {
            tracing::warn!(
                profile,
                api = host,
                requests = failed,
                "no request to the CXone API ({host}) has succeeded since the start: {failed} requests, the latest \
                 {}. Run `cxone-proxy check --path` with this path: it says what is wrong.",
                what()
            );
        }
    }

    #[cold]
    fn look(&self, attention: u8, status: StatusCode, host: &str) {
        if status.is_success() && attention & NO_SUCCESS != 0 {
            self.attention.fetch_and(!NO_SUCCESS, Relaxed);
            let ended = self.never.lock().unwrap_or_else(PoisonError::into_inner).end(Instant::now());
            if ended.is_some() {
                let failed = self.failed.load(Relaxed);
                tracing::info!(api = host, failed, "a request to the CXone API ({host}) has succeeded");
            }
        }
        if attention & TROUBLED != 0 {
            self.unanswered.store(0, Relaxed);
            self.end_troubles(host);
        }
    }

    fn end_troubles(&self, host: &str) {
        let now = Instant::now();
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let ended: Vec<_> = troubles
            .iter_mut()
            .filter(|(trouble, _)| ends_with_a_response(*trouble))
            .filter_map(|(_, repeats)| repeats.end_when_calm(now))
            .collect();
        let lasts = |(trouble, repeats): &(Trouble, Repeats<()>)| {
            ends_with_a_response(*trouble) && repeats.is_lasting()
        };
        if !troubles.iter().any(lasts) {
            self.attention.fetch_and(!TROUBLED, Relaxed);
        }
        drop(troubles);
        let failed: u64 = ended.iter().map(|ended| ended.count).sum();
        if let Some(lasted) = ended.iter().map(|ended| ended.lasted).max() {
            tracing::info!(
                api = host,
                failed,
                lasted_seconds = lasted.as_secs(),
                "the CXone API ({host}) responds again: {failed} requests failed within {}",
                spoken(lasted)
            );
        }
    }
}

/// True for failures that a response ends; the others are responses themselves.
fn ends_with_a_response(trouble: Trouble) -> bool {
    matches!(trouble, Trouble::Failed(_) | Trouble::Unanswered)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::log::recorder::logged;

    #[tokio::test(start_paused = true)]
    async fn a_trouble_is_one_line_and_its_end_another_one() {
        let health = Health::default();
        let trouble = Trouble::Failed("upstream-closed");
        assert_eq!(health.met(trouble), Some(Due::First));
        assert_eq!(health.met(trouble), None);
        assert_eq!(health.met(Trouble::Failed("response-timeout")), Some(Due::First), "another one");
        advance(Duration::from_secs(1)).await;
        assert!(logged(|| health.responded(StatusCode::OK, "api.example")).is_empty(), "it comes and goes");
        advance(Duration::from_secs(10)).await;
        let lines = logged(|| {
            health.responded(StatusCode::NOT_FOUND, "api.example");
            health.responded(StatusCode::OK, "api.example");
        });
        assert_eq!(lines.len(), 1, "{lines:#?}");
        let due = "INFO the CXone API (api.example) responds again: 3 requests failed within 11 s";
        assert!(lines[0].starts_with(due), "{lines:#?}");
        assert_eq!(health.met(trouble), Some(Due::First));
    }

    #[test]
    fn where_nothing_ever_succeeds_a_line_says_so() {
        let health = Health::default();
        let fail = || health.not_a_success("default", "api.example", || "GET /x: 404".to_owned());
        let lines = logged(|| (0..10).for_each(|_| fail()));
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains("has succeeded since the start: 5 requests, the latest GET /x: 404"));
        let lines = logged(|| {
            health.responded(StatusCode::OK, "api.example");
            (0..10).for_each(|_| fail());
        });
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].starts_with("INFO a request to the CXone API (api.example) has succeeded"));
    }
}

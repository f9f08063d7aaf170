//! When a token is requested, and with what. Pure: events in, decisions out; the moment and the random
//! number are arguments.
//!
//! Decides the order of token requests. Whether a rejected token may be renewed at all is decided in
//! [`forced_renewals`](super::forced_renewals); [`refresh_task`](super::refresh_task) acts on both.

use std::time::Duration;

use super::error::FailureKind;
use super::token::{RefreshToken, TokenRequest, Validity};
use crate::backoff::{doubling, full_jitter};
use crate::clock::Now;

/// First wait after a temporary failure, before jitter. As for API requests.
const BACKOFF: Duration = Duration::from_millis(500);
/// Longest wait after a temporary failure, unless the endpoint asks for more.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// How long the first failure is remembered that waiting does not fix.
const MEMORY: Duration = Duration::from_secs(1);
/// How long any such failure is remembered.
const LONGEST_MEMORY: Duration = Duration::from_mins(1);
/// The least time between a token and its successor, unless a rejection forces it. A token may be due the
/// moment it arrives, because the endpoint took as long to respond as the token lives: that must not
/// become a loop without a pause.
const LEAST_INTERVAL: Duration = Duration::from_millis(500);

/// What to do now.
#[derive(Debug)]
pub(super) enum Step {
    /// Send this token request at once, and report its outcome.
    Request(TokenRequest),
    /// Nothing before this moment, unless something happens.
    WaitUntil(Now),
    /// Nothing until the outcome of the request in flight is reported.
    WaitForResponse,
}

/// When a failed token request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    /// No request is made before.
    pub(super) at: Now,
    /// Until then, requests that need a token get this failure at once instead of waiting.
    pub(super) is_remembered: bool,
}

/// The order of token requests for one set of credentials.
#[derive(Debug)]
pub(super) struct Schedule {
    refresh_margin: Duration,
    /// The generation of the latest token; 0 before the first.
    generation: u64,
    refresh_token: Option<RefreshToken>,
    /// When the latest token must be replaced; `None` before the first.
    due: Option<Now>,
    in_flight: Option<InFlight>,
    /// No request before, after a failure.
    retry_at: Option<Now>,
    /// Temporary failures since the last token.
    temporary: u32,
    /// Other failures since the last token.
    lasting: u32,
    /// The latest failure is one of those, and the token endpoint asked for no pause.
    is_lasting: bool,
}

/// The token request in flight.
#[derive(Clone, Copy, Debug)]
struct InFlight {
    is_refresh: bool,
}

impl Schedule {
    /// There is no token yet: the first step is to request one.
    pub(super) fn new(refresh_margin: Duration) -> Self {
        Self {
            refresh_margin,
            generation: 0,
            refresh_token: None,
            due: None,
            in_flight: None,
            retry_at: None,
            temporary: 0,
            lasting: 0,
            is_lasting: false,
        }
    }

    /// What to do at `now`; `forced` where the upstream has rejected the latest token and its renewal is
    /// granted. The step to send a request counts as sending it: the refresh token goes with the step, and
    /// no other request follows before an outcome is reported.
    pub(super) fn next_step(&mut self, forced: bool, now: Now) -> Step {
        if self.in_flight.is_some() {
            return Step::WaitForResponse;
        }
        let due = if forced { None } else { self.due };
        let mut not_before = [due, self.retry_at].into_iter().flatten();
        if let Some(moment) = not_before.find(|moment| !now.has_reached(*moment)) {
            return Step::WaitUntil(moment);
        }
        let request = self.refresh_token.take().map_or(TokenRequest::LogIn, TokenRequest::Refresh);
        self.in_flight = Some(InFlight { is_refresh: request.is_refresh() });
        Step::Request(request)
    }

    /// The request in flight brought a token. Returns its generation.
    pub(super) fn obtained(
        &mut self,
        validity: Validity,
        refresh_token: Option<RefreshToken>,
        now: Now,
    ) -> u64 {
        self.in_flight = None;
        self.generation += 1;
        let (due, soonest) = (validity.due(self.refresh_margin), now.plus(LEAST_INTERVAL));
        self.due = Some(Now { steady: due.steady.max(soonest.steady), wall: due.wall.max(soonest.wall) });
        self.refresh_token = refresh_token;
        self.retry_at = None;
        self.temporary = 0;
        self.lasting = 0;
        self.generation
    }

    /// The request in flight brought no token. `random` is a number from 0 to 1.
    ///
    /// A refresh that is refused, redirected or answered with something unusable says nothing of the
    /// client credentials: these are tried next, at once unless the endpoint asked for a pause.
    pub(super) fn failed(
        &mut self,
        kind: FailureKind,
        retry_after: Option<Duration>,
        now: Now,
        random: f64,
    ) -> Retry {
        let was_refresh = self.in_flight.take().is_some_and(|request| request.is_refresh);
        let (wait, is_remembered) = match kind {
            FailureKind::Refused | FailureKind::Unusable if was_refresh => (Duration::ZERO, false),
            FailureKind::Refused | FailureKind::Unusable | FailureKind::Untrusted => {
                let wait = doubling(MEMORY, LONGEST_MEMORY, self.lasting);
                self.lasting = self.lasting.saturating_add(1);
                (wait, true)
            }
            FailureKind::Temporary => {
                let wait = full_jitter(BACKOFF, LONGEST_BACKOFF, self.temporary, random);
                self.temporary = self.temporary.saturating_add(1);
                (wait, false)
            }
        };
        self.is_lasting = is_remembered && retry_after.is_none();
        let at = now.plus(wait.max(retry_after.unwrap_or_default()));
        self.retry_at = Some(at);
        Retry { at, is_remembered }
    }

    /// What made the latest request fail may have been corrected: nothing is waited for that only keeps from trying
    /// in vain.
    pub(super) fn forget_failure(&mut self) {
        if std::mem::take(&mut self.is_lasting) {
            self.retry_at = None;
            self.lasting = 0;
        }
    }

    /// The generation of the latest token; 0 before the first.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

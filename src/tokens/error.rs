//! Why there is no token: values for logs, metrics, pages and clients.
//!
//! Every text in here is safe to show: what the token endpoint wrote has passed through
//! [`redact`](mod@super::redact) first.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::forced_renewals::Denial;
use super::grant::{Account, GrantType};
use crate::cause::Cause;
use crate::clock::Now;

/// How the next token request follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// The credentials were refused.
    Refused,
    /// The response was unusable, or a redirect.
    Unusable,
    /// The certificate is not trusted.
    Untrusted,
    /// It may be over the next moment.
    Temporary,
}

impl FailureKind {
    pub(super) fn of(cause: &Cause) -> Self {
        if cause.is_refusal() {
            Self::Refused
        } else if matches!(cause, Cause::Untrusted(_)) {
            Self::Untrusted
        } else if cause.needs_fixing() {
            Self::Unusable
        } else {
            Self::Temporary
        }
    }
}

/// One failed token request, as the endpoint reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestError {
    /// What happened.
    pub cause: Cause,
    /// The pause that the response demanded (`Retry-After`), where it did.
    pub retry_after: Option<Duration>,
}

impl From<Cause> for RequestError {
    fn from(cause: Cause) -> Self {
        Self { cause, retry_after: None }
    }
}

/// One failed token request with all that a log line, a page or a client needs. Its `Display` is a sentence
/// without its full stop: what happened, where, and with which credentials.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What happened.
    pub cause: Cause,
    /// What the token was requested with.
    pub grant: GrantType,
    /// The token endpoint, and the program's name there.
    pub account: Arc<Account>,
    /// When it happened.
    pub at: Now,
    /// When the next token request is made.
    pub next_try: Now,
    /// Until the next try, requests that need a token get this failure at once.
    pub is_remembered: bool,
    /// Somebody makes that next try: true for the refresh task, false for a command that asks once.
    pub is_repeated: bool,
}

impl Failure {
    /// The next step for a person: an imperative that names the variable or the file.
    pub fn hint(&self) -> String {
        self.account.peer(self.grant).hint(&self.cause)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.account.peer(self.grant).sentence(&self.cause))
    }
}

/// There is no valid token. Cheap to clone.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Unavailable {
    /// Why.
    pub reason: Reason,
    /// When it makes sense to try again; at least a second.
    pub retry_after: Duration,
}

/// Why there is no valid token.
#[derive(Clone, Debug)]
pub enum Reason {
    /// The latest token request failed.
    Failed(Arc<Failure>),
    /// The first response has not come yet.
    Pending,
    /// The refresh task has ended: the process is about to end.
    Stopped,
}

impl Unavailable {
    /// Waiting less than this is never suggested: `Retry-After` counts in seconds.
    const SHORTEST: Duration = Duration::from_secs(1);

    pub(super) fn failed(failure: Arc<Failure>, now: Now) -> Self {
        let retry_after = now.until(failure.next_try).max(Self::SHORTEST);
        Self { reason: Reason::Failed(failure), retry_after }
    }

    pub(super) fn pending() -> Self {
        Self { reason: Reason::Pending, retry_after: Self::SHORTEST }
    }

    pub(super) fn stopped() -> Self {
        Self { reason: Reason::Stopped, retry_after: Self::SHORTEST }
    }

    /// The failed token request, where there was one.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.reason {
            Reason::Failed(failure) => Some(failure),
            Reason::Pending | Reason::Stopped => None,
        }
    }

    /// True where waiting does not help. See [`Cause::needs_fixing`].
    pub fn needs_fixing(&self) -> bool {
        self.failure().is_some_and(|failure| failure.cause.needs_fixing())
    }

    /// When the next token request is made: `in 4 s (...)`, and what brings it sooner; nothing where none failed.
    pub fn next_try(&self, now: Now) -> Option<String> {
        let failure = self.failure().filter(|failure| failure.is_repeated)?;
        let wait = now.until(failure.next_try);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let at = jiff::Timestamp::try_from(failure.next_try.wall)
            .and_then(|at| at.round(jiff::Unit::Second))
            .map(|at| format!(" ({at})"))
            .unwrap_or_default();
        Some(format!("in {seconds} s{at}; a restart of the proxy asks at once"))
    }

    /// The next step for a person.
    pub fn hint(&self) -> String {
        match &self.reason {
            Reason::Failed(failure) => failure.hint(),
            Reason::Pending => "Try again in a moment: the token request is in flight.".to_owned(),
            Reason::Stopped => "Start the proxy again.".to_owned(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::Pending => f.write_str("the token endpoint has not responded yet"),
            Self::Stopped => f.write_str("the proxy is ending and obtains no more tokens"),
        }
    }
}

/// A rejected token is not replaced, so the 401 is passed on. `Display` is the text for `Proxy-Status`.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NoRenewal {
    /// A fresh token was rejected for the same method and path.
    #[error("this path rejects fresh tokens too")]
    PathRejected,
    /// Fresh tokens have been rejected as well, so the next forced renewal has to wait.
    #[error("fresh tokens are rejected too, the next renewal is not due yet")]
    TooSoon,
    /// There were too many forced renewals.
    #[error("too many renewals were forced by 401s, the next one is allowed within 5 seconds")]
    BudgetSpent,
    /// The renewal failed, or took longer than the deadline allows.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<Denial> for NoRenewal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::PathRejected => Self::PathRejected,
            Denial::TooSoon => Self::TooSoon,
            Denial::BudgetSpent => Self::BudgetSpent,
        }
    }
}

#[cfg(test)]
mod tests;

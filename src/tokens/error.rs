//! Why there is no token: values for logs, metrics, pages and clients.
//!
//! Every text in here is safe to show: what the token endpoint wrote has passed through
//! [`redact`](mod@super::redact) first.

pub(super) mod hint;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::forced_renewals::Denial;
use super::grant::{Account, GrantType};
use crate::certificate::CertificateProblem;
use crate::clock::Now;

/// Why one token request brought no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The token endpoint refused what it was sent (RFC 6749 section 5.2, or any 4xx but 429).
    Refused {
        /// The response's status.
        status: u16,
        /// The response's `error`, where it had one.
        error: Option<String>,
        /// The response's `error_description`, where it had one.
        description: Option<String>,
    },
    /// The response was no token response. Says what came instead.
    Unusable(String),
    /// The response was a redirect, which is never followed.
    Redirected {
        /// The response's status.
        status: u16,
        /// Where it pointed, without query.
        to: Option<String>,
    },
    /// The token endpoint's certificate is not trusted.
    Untrusted(CertificateProblem),
    /// No connection, or it broke off. Says how.
    Unreachable(String),
    /// The forward proxy between here and the token endpoint opens no tunnel.
    ForwardProxy(ForwardProxyProblem),
    /// The token endpoint responded with this 5xx status.
    ServerError(u16),
    /// The token endpoint responded with 429.
    RateLimited,
    /// A token request took too long.
    TimedOut {
        /// What took too long.
        stage: Stage,
        /// How long it was waited for.
        after: Duration,
    },
}

/// What a token request was doing when its time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Name resolution, connection and TLS.
    Connecting,
    /// The request had been sent, and no response had begun.
    Waiting,
    /// The response had begun.
    Reading,
}

/// Why a forward proxy opens no tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardProxyProblem {
    /// It cannot be reached. Says how.
    Unreachable(String),
    /// It demands credentials of its own (407).
    Unauthenticated,
    /// It refused to connect to the token endpoint, or responded with anything but a tunnel.
    Refused,
}

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

impl Cause {
    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Self::Refused { .. } => FailureKind::Refused,
            Self::Unusable(_) | Self::Redirected { .. } => FailureKind::Unusable,
            Self::Untrusted(_) => FailureKind::Untrusted,
            Self::Unreachable(_)
            | Self::ForwardProxy(_)
            | Self::ServerError(_)
            | Self::RateLimited
            | Self::TimedOut { .. } => FailureKind::Temporary,
        }
    }

    /// True where the token endpoint refused the credentials, or what was requested with them.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// True where waiting does not help: the credentials, the address or the certificate must be fixed
    /// first. The proxy responds 502 then, and 503 otherwise.
    pub fn needs_fixing(&self) -> bool {
        self.kind() != FailureKind::Temporary
    }

    /// The metric label: `refused`, `rate_limited`, `unreachable` or `unusable`.
    ///
    /// An untrusted certificate counts as `unreachable`: there was no response.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Unusable(_) | Self::Redirected { .. } => "unusable",
            Self::RateLimited => "rate_limited",
            Self::Untrusted(_)
            | Self::Unreachable(_)
            | Self::ForwardProxy(_)
            | Self::ServerError(_)
            | Self::TimedOut { .. } => "unreachable",
        }
    }

    /// The response's status, where there was a response.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } | Self::Redirected { status, .. } | Self::ServerError(status) => {
                Some(*status)
            }
            Self::RateLimited => Some(429),
            Self::Unusable(_)
            | Self::Untrusted(_)
            | Self::Unreachable(_)
            | Self::ForwardProxy(_)
            | Self::TimedOut { .. } => None,
        }
    }

    /// The response's `error` code, where it had one.
    pub fn error_code(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => error.as_deref(),
            Self::Unusable(_)
            | Self::Redirected { .. }
            | Self::Untrusted(_)
            | Self::Unreachable(_)
            | Self::ForwardProxy(_)
            | Self::ServerError(_)
            | Self::RateLimited
            | Self::TimedOut { .. } => None,
        }
    }

    fn write_refusal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Refused { status, error, description } = self else { return Ok(()) };
        write!(f, ": {status}")?;
        error.as_ref().map_or(Ok(()), |error| write!(f, " {error}"))?;
        description.as_ref().map_or(Ok(()), |description| write!(f, " \"{description}\""))
    }

    /// True where two failures are the same to an operator. The endpoint's own words do not count, since
    /// they may hold a time or a number.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && (self.status(), self.error_code()) == (other.status(), other.error_code())
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
}

impl Failure {
    /// The next step for a person: an imperative that names the variable or the file.
    pub fn hint(&self) -> String {
        hint::of(&self.cause, self.grant, &self.account)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account { token_url, forward_proxy, .. } = &*self.account;
        write!(f, "the token endpoint {token_url} ")?;
        match (&self.cause, forward_proxy) {
            (Cause::Refused { .. }, _) => {
                let refresh_token =
                    if self.grant == GrantType::RefreshToken { "the refresh token of " } else { "" };
                write!(f, "refused {refresh_token}{}", self.account)?;
                self.cause.write_refusal(f)
            }
            (Cause::ForwardProxy(problem), Some(proxy)) => {
                write!(f, "cannot be reached: the forward proxy {proxy} {problem}")
            }
            (cause, _) => cause.fmt(f),
        }
    }
}

/// What a server did, as the predicate of a sentence: `cannot be reached: ...`.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { .. } => {
                f.write_str("refused the request")?;
                self.write_refusal(f)
            }
            Self::Unusable(what) => write!(f, "sent an unusable response: {what}"),
            Self::Redirected { status, to } => {
                write!(f, "redirected the request ({status})")?;
                to.as_ref().map_or(Ok(()), |to| write!(f, " to {to}"))
            }
            Self::Untrusted(problem) => write!(f, "has a certificate that is not trusted: {problem}"),
            Self::Unreachable(how) => write!(f, "cannot be reached: {how}"),
            Self::ForwardProxy(problem) => write!(f, "cannot be reached: the forward proxy {problem}"),
            Self::ServerError(status) => write!(f, "failed ({status})"),
            Self::RateLimited => f.write_str("limits the rate of requests (429)"),
            Self::TimedOut { stage, after } => write!(f, "{stage} within {} s", after.as_secs_f32()),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "could not be connected to",
            Self::Waiting => "accepted the connection and did not respond",
            Self::Reading => "began a response and did not finish it",
        })
    }
}

impl fmt::Display for ForwardProxyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(how) => write!(f, "cannot be reached ({how})"),
            Self::Unauthenticated => f.write_str("demands a user name and a password (407)"),
            Self::Refused => f.write_str("refused to open a connection"),
        }
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

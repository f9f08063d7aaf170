//! Why there is no token, in words for a log, a metric, an operator and a client.
//!
//! Every text in here is safe to show: what the token endpoint wrote has passed through
//! [`shown`](mod@super::shown) first.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::grant::GrantType;

/// Why a token request brought no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The token endpoint refused what it was sent (RFC 6749 section 5.2, or any 4xx but 429).
    Refused {
        /// The answer's status.
        status: u16,
        /// What was refused.
        grant: GrantType,
        /// The answer's `error`, where it had one.
        error: Option<String>,
        /// The answer's `error_description`, where it had one.
        description: Option<String>,
    },
    /// The answer was no token answer. Says what came instead.
    Unusable(String),
    /// The answer was a redirect, which is never followed.
    Redirected {
        /// The answer's status.
        status: u16,
        /// Where it pointed, without query.
        to: Option<String>,
    },
    /// The token endpoint's certificate is not trusted. Says why.
    Untrusted(String),
    /// No connection, or it broke off. Says how.
    Unreachable(String),
    /// The token endpoint answered 5xx with this status.
    Failed(u16),
    /// The token endpoint answered 429.
    RateLimited,
    /// No whole answer within the time-out of a token request.
    TimedOut,
    /// The first answer has not come yet.
    Pending,
    /// The keeper has ended: the process is about to.
    Stopped,
}

/// How the next token request follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    /// A person must mend the credentials.
    Refused,
    /// A person must mend the address, the network's certificates or the endpoint.
    Lasting,
    /// It may be over the next moment.
    Passing,
}

impl Why {
    pub(super) fn nature(&self) -> Nature {
        match self {
            Self::Refused { .. } => Nature::Refused,
            Self::Unusable(_) | Self::Redirected { .. } | Self::Untrusted(_) => Nature::Lasting,
            Self::Unreachable(_)
            | Self::Failed(_)
            | Self::RateLimited
            | Self::TimedOut
            | Self::Pending
            | Self::Stopped => Nature::Passing,
        }
    }

    /// True where waiting does not help: the credentials, the address or the certificate must be
    /// mended first. The proxy answers 502 then, and 503 otherwise.
    pub fn needs_mending(&self) -> bool {
        self.nature() != Nature::Passing
    }

    /// The metric label: `refused`, `rate_limited`, `unreachable` or `unusable`.
    ///
    /// An untrusted certificate counts as `unreachable`: there was no answer.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Unusable(_) | Self::Redirected { .. } => "unusable",
            Self::RateLimited => "rate_limited",
            Self::Untrusted(_)
            | Self::Unreachable(_)
            | Self::Failed(_)
            | Self::TimedOut
            | Self::Pending
            | Self::Stopped => "unreachable",
        }
    }

    /// The next step for a person.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Refused { status, grant, error, .. } => refusal_hint(*grant, *status, error.as_deref()),
            Self::Unusable(_) => {
                "Check CXONE_TOKEN_URL (or CXONE_BASE_URL): something other than a token endpoint \
                 answers there, such as a login page or a web filter."
            }
            Self::Redirected { .. } => {
                "Set CXONE_TOKEN_URL to the token endpoint's final address. Redirects are not \
                 followed, so that the credentials go to the configured address only."
            }
            Self::Untrusted(_) => {
                "If the certificate is issued by your own organisation, name its PEM bundle in \
                 CXONE_CA_FILE. Otherwise check CXONE_TOKEN_URL and this machine's clock."
            }
            Self::Unreachable(_) => {
                "Check CXONE_TOKEN_URL, name resolution, the network and HTTPS_PROXY. The proxy \
                 keeps trying."
            }
            Self::Failed(_) => "The token endpoint has trouble of its own. The proxy keeps trying.",
            Self::RateLimited => {
                "The token endpoint limits how often it may be asked. Look for other programs that \
                 use the same credentials. The proxy waits and tries again."
            }
            Self::TimedOut => {
                "The token endpoint is slow or a firewall swallows the connection. The proxy keeps trying."
            }
            Self::Pending => "Try again shortly: the token endpoint is being asked.",
            Self::Stopped => "Start the proxy again.",
        }
    }
}

fn refusal_hint(grant: GrantType, status: u16, error: Option<&str>) -> &'static str {
    match (error, status, grant) {
        (None, 404 | 405, GrantType::AccessKey) => {
            "Check CXONE_AREA (or CXONE_TOKEN_URL): no token endpoint is there."
        }
        (None, 404 | 405, _) => "Check CXONE_TOKEN_URL (or CXONE_BASE_URL): no token endpoint is there.",
        // Its endpoint speaks no OAuth, so its refusals have no more than a status.
        (_, _, GrantType::AccessKey) => {
            "Check CXONE_ACCESS_KEY_ID and CXONE_ACCESS_KEY_SECRET: copied whole, not deactivated, and made \
             in the area named by CXONE_AREA."
        }
        (Some("invalid_client") | None, 401, GrantType::Password)
        | (Some("invalid_client"), _, GrantType::Password) => {
            "Check CXONE_CLIENT_ID and CXONE_CLIENT_SECRET: those of the registered application, not of the \
             access key. Where they are right, try CXONE_CLIENT_AUTH=basic_raw or body."
        }
        (Some("invalid_client"), _, _) | (None, 401, _) => {
            "Check CXONE_CLIENT_ID and CXONE_CLIENT_SECRET: copied whole, not expired or revoked, and \
             made for this region."
        }
        (Some("invalid_scope"), _, _) => {
            "Ask in CXONE_SCOPES only for scopes that this client was granted, separated by spaces."
        }
        (Some("unauthorized_client" | "unsupported_grant_type"), _, GrantType::Password) => {
            "Allow the password grant for this application where it was registered, and check \
             CXONE_TOKEN_URL and CXONE_GRANT."
        }
        (Some("unauthorized_client" | "unsupported_grant_type"), _, _) => {
            "Allow the client credentials grant for this client where it was registered."
        }
        (Some("invalid_grant"), _, GrantType::Password) => {
            "Check CXONE_ACCESS_KEY_ID and CXONE_ACCESS_KEY_SECRET: copied whole, not deactivated, and \
             their user still active."
        }
        (Some("invalid_grant"), _, _) => {
            "The grant was revoked or has expired: check in CXone that the client is still active."
        }
        _ => "Check the client's registration, CXONE_SCOPES and CXONE_TOKEN_URL.",
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { status, error, description, .. } => {
                write!(f, "the token endpoint refused the request ({status}")?;
                if let Some(error) = error {
                    write!(f, " {error}")?;
                }
                f.write_str(")")?;
                description.as_ref().map_or(Ok(()), |description| write!(f, ": {description}"))
            }
            Self::Unusable(what) => write!(f, "the token endpoint's answer is unusable: {what}"),
            Self::Redirected { status, to } => {
                write!(f, "the token endpoint answered with a redirect ({status})")?;
                to.as_ref().map_or(Ok(()), |to| write!(f, " to {to}"))
            }
            Self::Untrusted(how) => write!(f, "the token endpoint's certificate is not trusted: {how}"),
            Self::Unreachable(how) => write!(f, "the token endpoint cannot be reached: {how}"),
            Self::Failed(status) => write!(f, "the token endpoint failed ({status})"),
            Self::RateLimited => f.write_str("the token endpoint limits the rate of token requests (429)"),
            Self::TimedOut => f.write_str("the token endpoint did not answer in time"),
            Self::Pending => f.write_str("the token endpoint has not answered yet"),
            Self::Stopped => f.write_str("the proxy is ending and obtains no more tokens"),
        }
    }
}

/// One token request that brought no token, as the endpoint reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub why: Why,
    /// How long the endpoint asked to be left alone, where it did.
    pub retry_after: Option<Duration>,
}

impl From<Why> for Failure {
    fn from(why: Why) -> Self {
        Self { why, retry_after: None }
    }
}

/// There is no valid token. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unavailable {
    /// The reason of the latest failure.
    pub why: Arc<Why>,
    /// When it makes sense to come again; at least a second.
    pub retry_after: Duration,
}

impl Unavailable {
    /// Waiting less than this is never suggested: `Retry-After` counts in seconds.
    const SHORTEST: Duration = Duration::from_secs(1);

    pub(super) fn new(why: Arc<Why>, retry_after: Duration) -> Self {
        Self { why, retry_after: retry_after.max(Self::SHORTEST) }
    }
}

/// There is no token newer than the one that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoNewer {
    /// Freshly renewed tokens have been refused as well, so the next forced renewal has to wait.
    #[error("freshly renewed tokens are refused too; the next renewal is not due yet")]
    TooSoon,
    /// The renewal failed, or took longer than the deadline allows.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn refused(status: u16, error: Option<&str>) -> Why {
        refused_by(GrantType::ClientCredentials, status, error)
    }

    fn refused_by(grant: GrantType, status: u16, error: Option<&str>) -> Why {
        Why::Refused { status, grant, error: error.map(str::to_owned), description: None }
    }

    #[test]
    fn every_reason_names_its_own_next_step() {
        let reasons = [
            refused(401, Some("invalid_client")),
            refused(400, Some("invalid_scope")),
            refused(400, Some("invalid_grant")),
            refused(400, Some("unauthorized_client")),
            refused(404, None),
            refused(403, None),
            Why::Unusable(String::new()),
            Why::Redirected { status: 302, to: None },
            Why::Untrusted(String::new()),
            Why::Unreachable(String::new()),
            Why::Failed(500),
            Why::RateLimited,
            Why::TimedOut,
            Why::Pending,
            Why::Stopped,
        ];
        let hints: HashSet<_> = reasons.iter().map(Why::hint).collect();
        assert_eq!(hints.len(), reasons.len());
        assert_eq!(refused(401, None).hint(), refused(400, Some("invalid_client")).hint());
    }

    #[test]
    fn a_refusal_names_what_this_grant_has_sent() {
        for (grant, status, error, step) in [
            (GrantType::Password, 400, Some("invalid_grant"), "CXONE_ACCESS_KEY_SECRET"),
            (GrantType::Password, 401, Some("invalid_grant"), "CXONE_ACCESS_KEY_SECRET"),
            (GrantType::Password, 401, Some("invalid_client"), "basic_raw"),
            (GrantType::Password, 400, Some("invalid_client"), "basic_raw"),
            (GrantType::Password, 401, None, "basic_raw"),
            (GrantType::Password, 400, Some("unauthorized_client"), "password grant"),
            (GrantType::Password, 400, Some("invalid_scope"), "CXONE_SCOPES"),
            (GrantType::AccessKey, 401, None, "CXONE_AREA"),
            (GrantType::AccessKey, 400, Some("anything"), "CXONE_ACCESS_KEY_ID"),
            (GrantType::AccessKey, 404, None, "CXONE_AREA"),
            (GrantType::RefreshToken, 400, Some("invalid_client"), "CXONE_CLIENT_ID"),
        ] {
            let hint = refused_by(grant, status, error).hint();
            assert!(hint.contains(step), "{grant:?} {status} {error:?}: {hint}");
            assert!(grant != GrantType::AccessKey || !hint.contains("CLIENT"), "{hint}");
        }
    }

    #[test]
    fn what_waiting_does_not_mend() {
        for why in [refused(400, None), Why::Unusable(String::new()), Why::Untrusted(String::new())] {
            assert!(why.needs_mending(), "{why}");
        }
        for why in [Why::Unreachable(String::new()), Why::Failed(500), Why::RateLimited, Why::TimedOut] {
            assert!(!why.needs_mending(), "{why}");
        }
    }

    #[test]
    fn nobody_is_told_to_come_back_at_once() {
        let soon = Unavailable::new(Arc::new(Why::TimedOut), Duration::from_millis(3));
        assert_eq!(soon.retry_after, Duration::from_secs(1));
    }
}

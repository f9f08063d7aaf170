//! Why another server gave no usable response: the one table of causes. Pure.
//!
//! The log, the problems, the admin pages, the metrics and `check` all read it, so that one failure has one
//! sentence and one next step wherever a person meets it. The API, the token endpoint and the discovery
//! endpoint fail in the same ways; what differs is who they are: see [`Peer`].

mod hint;
mod io_cause;
mod origins;
mod peer;
mod tls_cause;

use std::fmt;
use std::time::Duration;

use crate::certificate::CertificateProblem;

pub use io_cause::{io_cause, is_out_of_files};
pub use origins::Origins;
pub use peer::{Credentials, Peer, Server};
pub use tls_cause::{tls_cause, tls_words};

/// Why a request brought no usable response.
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
    /// The response was not what it should be. Says what came instead.
    Unusable(String),
    /// The response was a redirect, which is never followed.
    Redirected {
        /// The response's status.
        status: u16,
        /// Where it pointed, without query.
        to: Option<String>,
    },
    /// The server's certificate is not trusted.
    Untrusted(CertificateProblem),
    /// TLS failed in another way. Says how.
    Tls(String),
    /// The server's name has no address.
    Name(NameProblem),
    /// No connection, or it broke off. Says how.
    Unreachable(String),
    /// The forward proxy between here and the server opens no tunnel.
    ForwardProxy(ForwardProxyProblem),
    /// The server responded with this 5xx status.
    ServerError(u16),
    /// The server responded with 429.
    RateLimited,
    /// Something took too long.
    TimedOut {
        /// What was not finished.
        stage: Stage,
        /// How long it was waited for.
        after: Duration,
    },
    /// The connection ended before the response did.
    Closed {
        /// Something of the response had come.
        in_response: bool,
    },
    /// The other side acknowledges nothing any more.
    Silent,
    /// What came is not HTTP.
    NotHttp,
    /// The header section of the response is too large.
    HeaderTooLarge,
    /// The server switched to another protocol without having been asked.
    UnaskedUpgrade,
    /// The request's own body could not be read: this says nothing about the server.
    RequestBody,
    /// This process has all the files open that it may have: this says nothing about the server.
    OutOfFiles {
        /// So many.
        limit: Option<u64>,
    },
}

/// What was not finished when the time was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Resolving the name of the first hop.
    Resolution,
    /// Connecting to the first hop.
    Connection,
    /// Asking the forward proxy for a tunnel (RFC 9110 section 9.3.6).
    Tunnel,
    /// The TLS handshake.
    Tls,
    /// Waiting for the server's SETTINGS (RFC 9113 section 3.4).
    Http2,
    /// One of the above; it is not known which.
    Connecting,
    /// The request had been sent, and no response had begun.
    Waiting,
    /// The response had begun.
    Reading,
}

/// Why a name has no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameProblem {
    /// The name server does not know it.
    Unknown,
    /// No name server responded.
    NoNameServer,
    /// It is known, and has no address.
    NoAddress,
}

/// Why a forward proxy opens no tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardProxyProblem {
    /// It cannot be reached. Says how.
    Unreachable(String),
    /// It demands credentials of its own (407).
    Unauthenticated,
    /// It refused to connect to the server, with this status where it is known.
    Refused(Option<u16>),
}

/// What is the same for every occurrence of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The cause in one word, for the log's field `cause`.
    pub word: &'static str,
    /// The label `outcome` of the metric of token requests.
    pub outcome: &'static str,
    /// The last part of the type of the problem that a client gets where the API is the server.
    pub problem: &'static str,
    /// How bad it is.
    pub severity: Severity,
}

/// What ends a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Waiting does not help: the credentials, the address or the certificate must be fixed first.
    Fix,
    /// It may be over the next moment.
    Wait,
}

impl Cause {
    /// The table.
    pub fn row(&self) -> Row {
        use Severity::{Fix, Wait};
        let (word, outcome, problem, severity) = match self {
            Self::Refused { .. } => ("refused", "refused", "token-refused", Fix),
            Self::Unusable(_) => ("unusable", "unusable", "upstream-malformed", Fix),
            Self::Redirected { .. } => ("redirected", "unusable", "upstream-malformed", Fix),
            Self::Untrusted(_) => ("certificate", "unreachable", "upstream-certificate", Fix),
            Self::Tls(_) => ("tls", "unreachable", "upstream-tls", Wait),
            Self::Name(_) => ("name", "unreachable", "upstream-name", Wait),
            Self::Unreachable(_) => ("unreachable", "unreachable", "upstream-unreachable", Wait),
            Self::ForwardProxy(_) => ("forward_proxy", "unreachable", "forward-proxy", Wait),
            Self::ServerError(_) => ("server_error", "unreachable", "upstream-malformed", Wait),
            Self::RateLimited => ("rate_limited", "rate_limited", "rate-limit-wait", Wait),
            Self::TimedOut { stage: Stage::Waiting | Stage::Reading, .. } => {
                ("response_time_out", "unreachable", "response-timeout", Wait)
            }
            Self::TimedOut { .. } => ("connect_time_out", "unreachable", "connect-timeout", Wait),
            Self::Closed { .. } => ("closed", "unreachable", "upstream-closed", Wait),
            Self::Silent => ("silent", "unreachable", "upstream-closed", Wait),
            Self::NotHttp => ("no_http", "unreachable", "upstream-malformed", Wait),
            Self::HeaderTooLarge => ("header_size", "unreachable", "upstream-header-size", Wait),
            Self::UnaskedUpgrade => ("unasked_upgrade", "unreachable", "unasked-upgrade", Wait),
            Self::RequestBody => ("request_body", "unreachable", "malformed-request", Wait),
            Self::OutOfFiles { .. } => ("open_files", "unreachable", "too-many-requests-in-flight", Wait),
        };
        Row { word, outcome, problem, severity }
    }

    /// True where the token endpoint refused the credentials, or what was requested with them.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// True where waiting does not help. The proxy responds 502 to requests that need a token then, and 503
    /// otherwise.
    pub fn needs_fixing(&self) -> bool {
        self.row().severity == Severity::Fix
    }

    /// The metric label: `refused`, `rate_limited`, `unreachable` or `unusable`.
    ///
    /// An untrusted certificate counts as `unreachable`: there was no response.
    pub fn outcome(&self) -> &'static str {
        self.row().outcome
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
            | Self::Tls(_)
            | Self::Name(_)
            | Self::Unreachable(_)
            | Self::ForwardProxy(_)
            | Self::TimedOut { .. }
            | Self::Closed { .. }
            | Self::Silent
            | Self::NotHttp
            | Self::HeaderTooLarge
            | Self::UnaskedUpgrade
            | Self::RequestBody
            | Self::OutOfFiles { .. } => None,
        }
    }

    /// The response's `error` code, where it had one.
    pub fn error_code(&self) -> Option<&str> {
        if let Self::Refused { error, .. } = self { error.as_deref() } else { None }
    }

    /// True where two failures are the same to an operator. The server's own words do not count, since they
    /// may hold a time or a number.
    pub fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
            && (self.status(), self.error_code()) == (other.status(), other.error_code())
    }
}

impl NameProblem {
    /// What the system's resolver says, which has no kind of its own; `None` where the text is another's.
    pub fn of(text: &str) -> Option<Self> {
        if !text.contains("failed to lookup address") && !text.starts_with("dns error") {
            return None;
        }
        Some(if text.contains("Temporary failure") { Self::NoNameServer } else { Self::Unknown })
    }
}

/// The predicate of a sentence without its reason. [`Peer::sentence`] says more.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&peer::predicate(self, "the request"))?;
        peer::reason(self, None).map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

//! Failures of the layers below, as problems for the client. What each is for the log is said here
//! too, once.

use std::error::Error;
use std::io;

use super::guard::Refusal;
use super::problem::{Problem, ProblemKind};
use super::profile::Profile;
use crate::log;
use crate::message::{RequestHead, ResponseHead};
use crate::oauth::{AccessToken, Unavailable};
use crate::transport::{Failure, FailureKind};

/// Why an exchange has no answer to pass on.
pub(super) enum Refused {
    /// We answer ourselves.
    Problem(Problem),
    /// Nobody is there to answer.
    Gone,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// The answer to a request that the guard turned away.
pub fn not_admitted(refusal: Refusal, head: &RequestHead) -> Problem {
    let (kind, detail) = match refusal {
        Refusal::Connect => (ProblemKind::Connect, String::new()),
        Refusal::Asterisk => (ProblemKind::Asterisk, String::new()),
        Refusal::Target => (
            ProblemKind::Malformed,
            "The request target is neither a path nor an http or https address.".to_owned(),
        ),
        Refusal::Host => (ProblemKind::Malformed, "There must be exactly one Host field.".to_owned()),
        Refusal::WrongHost => (ProblemKind::WrongHost, host_detail(head)),
        Refusal::Origin => (ProblemKind::Origin, origin_detail(head)),
        Refusal::CrossSite => (
            ProblemKind::Origin,
            "A web page of another site sent this request, without saying which.".to_owned(),
        ),
    };
    tracing::debug!(status = kind.status(), ?refusal, "request not admitted");
    Problem::new(kind, detail)
}

fn host_detail(head: &RequestHead) -> String {
    let host = super::guard::authority_of(head).unwrap_or_default();
    format!("The request is for `{}`, and this proxy does not answer to that name.", shown(host))
}

fn origin_detail(head: &RequestHead) -> String {
    let origins: Vec<String> = head.fields.all(b"Origin").map(shown).collect();
    format!("The request comes from a web page of `{}`.", origins.join("` and `"))
}

/// Text from a client, made safe to show: bounded, and without control characters.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes));
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A failed attempt that is not repeated.
pub(super) fn refused(failure: &Failure) -> Refused {
    let kind = match failure.kind {
        FailureKind::ClientGone => return Refused::Gone,
        FailureKind::ClientMalformed => ProblemKind::Malformed,
        FailureKind::Resolve => ProblemKind::UpstreamName,
        FailureKind::Connect => ProblemKind::UpstreamUnreachable,
        FailureKind::ConnectTimeout => ProblemKind::ConnectTimeout,
        FailureKind::ForwardProxy => ProblemKind::ForwardProxy,
        FailureKind::Certificate => ProblemKind::UpstreamCertificate,
        FailureKind::Tls => ProblemKind::UpstreamTls,
        FailureKind::Closed => ProblemKind::UpstreamClosed,
        FailureKind::Malformed => ProblemKind::UpstreamMalformed,
        FailureKind::TooLarge => ProblemKind::UpstreamHeaderSize,
        FailureKind::ResponseTimeout => ProblemKind::ResponseTimeout,
    };
    let detail = sentence(&log::causes(failure));
    tracing::warn!(status = kind.status(), error = %detail, "request failed");
    let mut problem = Problem::new(kind, detail);
    if failure.kind == FailureKind::Connect && is_refusal(failure) {
        problem = problem.hint(
            "Nothing listens at the upstream's address: check CXONE_BASE_URL (host and port), and that the service is up.",
        );
    }
    problem.into()
}

/// A request that fits none of the profiles.
pub(super) fn no_profile(profiles: &[Profile]) -> Problem {
    let selectors: Vec<String> = profiles
        .iter()
        .map(|profile| format!("{} ({})", profile.select.describe(profile.address.as_deref()), profile.name))
        .collect();
    Problem::new(ProblemKind::WrongHost, "No profile is selected by this request's host and path.")
        .hint(format!("Profiles are selected by: {}.", selectors.join("; ")))
}

/// A 403 is never renewed, but the log says what the token may do, where that is the reason.
pub(super) fn explain_forbidden(head: &ResponseHead, profile: &Profile, token: &AccessToken) {
    let insufficient =
        head.fields.all(b"WWW-Authenticate").any(|challenge| contains(challenge, b"insufficient_scope"));
    let said = head.fields.all(b"icStatusDescription").next();
    if insufficient || said.is_some_and(|said| contains(said, b"scope") || contains(said, b"permission")) {
        tracing::warn!(
            profile = %profile.name,
            scopes = token.scopes().join(" "),
            said = said.map(shown),
            "forbidden: the token lacks a scope that the API asks for; grant it to the client in CXone, and list it in CXONE_SCOPES where that is set"
        );
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// No token to send the request with.
pub(super) fn no_token(unavailable: &Unavailable) -> Problem {
    let kind = if unavailable.why.needs_mending() {
        ProblemKind::TokenRefused
    } else {
        ProblemKind::TokenUnavailable
    };
    // The keeper logs what happened to each token request; here it would be repeated for each
    // request that waits.
    tracing::debug!(status = kind.status(), why = %unavailable.why, "no token");
    let problem = Problem::new(kind, sentence(&unavailable.why.to_string())).hint(unavailable.why.hint());
    if kind == ProblemKind::TokenUnavailable { problem.retry_after(unavailable.retry_after) } else { problem }
}

fn is_refusal(failure: &Failure) -> bool {
    failure
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str().trim_end_matches('.'))
}

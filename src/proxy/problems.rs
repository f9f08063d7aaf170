//! Failures of the layers below as problems for the client, and as one line each in the log.

use std::sync::PoisonError;
use std::time::Duration;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use tokio::time::Instant;

use super::replay::ClientFailure;
use super::request::Template;
use super::route::Profile;
use crate::access::{Problem, ProblemKind};
use crate::log::{self, Due};
use crate::tokens::{AccessToken, Unavailable, redact};
use crate::upstream::{BaseUrl, Delivered, ErrorKind, SendError};

/// What identifies a failed request in the log.
pub(super) struct Request<'a> {
    pub(super) profile: &'a Profile,
    pub(super) template: &'a Template,
    pub(super) base: &'a BaseUrl,
    pub(super) elapsed: Duration,
}

/// A failed attempt that is not repeated.
pub(super) fn send_error(error: &SendError, request: &Request<'_>) -> Problem {
    let kind = problem_kind(error.kind);
    let maybe_carried_out = error.delivered == Delivered::Maybe;
    let host = request.base.authority();
    let causes = log::causes(error);
    let problem = Problem::new(kind).detail(format!("{} ({host}).", sentence(&causes)));
    let problem = match error.certificate() {
        Some(certificate) => problem.hint(certificate.hint("CXONE_BASE_URL")),
        None => problem,
    };
    let problem = if maybe_carried_out { problem.maybe_carried_out() } else { problem };
    tracing::warn!(
        profile = %request.profile.name,
        method = %request.template.method(),
        path = request.template.path(),
        api = host,
        status = problem.status().as_u16(),
        elapsed_ms = u64::try_from(request.elapsed.as_millis()).unwrap_or(u64::MAX),
        maybe_carried_out,
        hint = &*problem.hint_text(),
        error = causes,
        "request failed"
    );
    problem
}

/// The problem that a failed attempt is.
pub(crate) fn problem_kind(error: ErrorKind) -> ProblemKind {
    match error {
        ErrorKind::Resolution => ProblemKind::UpstreamName,
        ErrorKind::Connection => ProblemKind::UpstreamUnreachable,
        ErrorKind::ConnectTimeout(_) => ProblemKind::ConnectTimeout,
        ErrorKind::ForwardProxy { .. } => ProblemKind::ForwardProxy,
        ErrorKind::Certificate => ProblemKind::UpstreamCertificate,
        ErrorKind::Tls => ProblemKind::UpstreamTls,
        ErrorKind::Closed | ErrorKind::Silent => ProblemKind::UpstreamClosed,
        ErrorKind::Malformed => ProblemKind::UpstreamMalformed,
        ErrorKind::HeaderTooLarge => ProblemKind::UpstreamHeaderSize,
        ErrorKind::ResponseTimeout => ProblemKind::ResponseTimeout,
        ErrorKind::UnaskedUpgrade => ProblemKind::UnaskedUpgrade,
        ErrorKind::RequestBody => ProblemKind::Malformed,
    }
}

/// The client failed in the middle of its body. One that has gone gets no response.
pub(super) fn client_failure(failure: &ClientFailure) -> Problem {
    Problem::new(ProblemKind::Malformed).detail(format!("{}.", sentence(&failure.to_string())))
}

/// A request that selects none of the profiles.
pub(super) fn no_profile(profiles: &[Profile]) -> Problem {
    let selectors: Vec<String> =
        profiles.iter().map(|profile| format!("{} ({})", profile.describe(), profile.name)).collect();
    Problem::new(ProblemKind::NoProfile)
        .detail("This request's host and path select no profile.")
        .hint(format!("Profiles are selected by: {}.", selectors.join("; ")))
}

/// No token to send the request with. The refresh task logs what happened to each token request; here
/// it would be repeated for each request that waits.
pub(super) fn no_token(unavailable: &Unavailable) -> Problem {
    let kind =
        if unavailable.needs_fixing() { ProblemKind::TokenRefused } else { ProblemKind::TokenUnavailable };
    let problem = Problem::new(kind)
        .detail(format!("{}.", sentence(&unavailable.to_string())))
        .hint(unavailable.hint());
    let problem = if kind == ProblemKind::TokenUnavailable {
        problem.retry_after(unavailable.retry_after)
    } else {
        problem
    };
    tracing::debug!(status = problem.status().as_u16(), error = %unavailable, "no token");
    problem
}

/// A 403 is never answered by a renewal, but the log says what the token may do where that is the
/// reason.
pub(super) fn explain_forbidden(headers: &HeaderMap, profile: &Profile, token: &AccessToken) {
    let insufficient = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .any(|challenge| contains(challenge.as_bytes(), b"insufficient_scope"));
    let description = headers.get_all("icstatusdescription").iter().next().map(http::HeaderValue::as_bytes);
    let names_scope =
        description.is_some_and(|text| contains(text, b"scope") || contains(text, b"permission"));
    if insufficient || names_scope {
        let mut repeats = profile.forbidden.lock().unwrap_or_else(PoisonError::into_inner);
        let more = match repeats.met((), Instant::now()) {
            None => return,
            Some(Due::First) => None,
            Some(Due::Again { more, .. }) => Some(more),
        };
        drop(repeats);
        let shown = |text: &[u8]| redact(&String::from_utf8_lossy(text), &[token.text()]);
        tracing::warn!(
            profile = %profile.name,
            scopes = token.scopes().iter().map(|scope| shown(scope.as_bytes())).collect::<Vec<_>>().join(" "),
            description = description.map(shown),
            responses_since_the_last_such_line = more,
            "forbidden: the token lacks a scope that the API asks for. Grant it to the client in CXone, and list it in CXONE_SCOPES where that is set"
        );
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}", characters.as_str().trim_end_matches('.'))
}

//! Failures of the layers below as problems for the client, and as one line each in the log.

use std::time::Duration;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

use super::health::Trouble;
use super::replay::ClientFailure;
use super::request::Template;
use super::route::Profile;
use crate::access::{Problem, ProblemKind};
use crate::cause::{Cause, Peer, Server};
use crate::clock::Now;
use crate::log;
use crate::text::{printable_bytes, sentence, spoken};
use crate::tokens::{AccessToken, Unavailable, redact};
use crate::upstream::{BaseUrl, Delivered, SendError};

/// What identifies a failed request in the log.
pub(super) struct Request<'a> {
    pub(super) profile: &'a Profile,
    pub(super) template: &'a Template,
    pub(super) base: &'a BaseUrl,
    pub(super) elapsed: Duration,
}

/// A failed attempt that is not repeated.
pub(super) fn send_error(error: &SendError, request: &Request<'_>) -> Problem {
    tracing::debug!(error = log::causes(error), "no response");
    let Request { profile, template, base, elapsed } = request;
    let cause = error.cause();
    let forward_proxy = profile.destination.forward_proxy();
    let peer = Peer {
        server: Server::Api,
        address: base.authority(),
        forward_proxy: forward_proxy.as_deref(),
        credentials: None,
        origins: &profile.origins,
    };
    let (kind, hint) = (problem_kind(&cause), peer.hint(&cause));
    let maybe_carried_out = error.delivered == Delivered::Maybe;
    let problem = Problem::new(kind).detail(peer.detail(&cause, *elapsed)).hint(hint.clone());
    let problem = if maybe_carried_out { problem.maybe_carried_out() } else { problem };
    let (method, path) = (template.method(), printable_bytes(template.path().as_bytes()));
    if let Some(due) = profile.health.met(Trouble::Failed(kind.slug())) {
        let status = problem.status().as_u16();
        let carried = if maybe_carried_out {
            "The request may have been carried out: look before you repeat it"
        } else {
            "The request was not carried out"
        };
        tracing::warn!(
            profile = %profile.name,
            method = %method,
            path,
            api = base.authority(),
            cause = cause.row().word,
            status,
            elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            maybe_carried_out,
            hint,
            more = due.more(),
            "request failed: {method} {path} after {} ({status}): {}{due}. {carried}. {hint}",
            spoken(*elapsed),
            peer.sentence(&cause),
        );
    }
    profile.health.not_a_success(&profile.name, base.authority(), || {
        format!("{method} {path}: {}", peer.sentence(&cause))
    });
    problem
}

/// The problem that a cause is for a client.
fn problem_kind(cause: &Cause) -> ProblemKind {
    ProblemKind::of_slug(cause.row().problem).unwrap_or(ProblemKind::Internal)
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
pub(super) fn no_token(unavailable: &Unavailable, now: Now) -> Problem {
    let kind =
        if unavailable.needs_fixing() { ProblemKind::TokenRefused } else { ProblemKind::TokenUnavailable };
    let next_try =
        unavailable.next_try(now).map(|next_try| format!(" Next try {next_try}.")).unwrap_or_default();
    let problem = Problem::new(kind)
        .detail(format!("{}.{next_try}", sentence(&unavailable.to_string())))
        .hint(unavailable.hint())
        .retry_after(unavailable.retry_after);
    tracing::debug!(status = problem.status().as_u16(), error = %unavailable, "no token");
    problem
}

/// A 403 is never answered by a renewal, but the log says what the token may do where that is the
/// reason.
pub(super) fn explain_forbidden(
    headers: &HeaderMap,
    profile: &Profile,
    token: &AccessToken,
    template: &Template,
) {
    let insufficient = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .any(|challenge| contains(challenge.as_bytes(), b"insufficient_scope"));
    let description = headers.get_all("icstatusdescription").iter().next().map(http::HeaderValue::as_bytes);
    let names_scope =
        description.is_some_and(|text| contains(text, b"scope") || contains(text, b"permission"));
    if insufficient || names_scope {
        let Some(due) = profile.health.met(Trouble::Forbidden) else { return };
        let shown = |text: &[u8]| redact(&String::from_utf8_lossy(text), &[token.text()]);
        let scopes: Vec<String> = token.scopes().iter().map(|scope| shown(scope.as_bytes())).collect();
        let scopes = scopes.join(" ");
        let has = if scopes.is_empty() { "no scope that it names".to_owned() } else { scopes.clone() };
        let description = description.map(shown);
        let said = description.as_ref().map(|text| format!(": \"{text}\"")).unwrap_or_default();
        let api = profile.api();
        tracing::warn!(
            profile = %profile.name,
            method = %template.method(),
            path = printable_bytes(template.path().as_bytes()),
            api,
            status = 403,
            scopes,
            description,
            more = due.more(),
            "forbidden: the token lacks a scope that the CXone API ({api}) asks for ({} {}: 403{said}); it has \
             {has}{due}. Grant the scope to the client in CXone, and list it in {} where that is set.",
            template.method(),
            printable_bytes(template.path().as_bytes()),
            profile.origins.name("CXONE_SCOPES"),
        );
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

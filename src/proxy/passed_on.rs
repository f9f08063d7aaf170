//! Errors of the API that go to the client as they came: who said it, for the client and for the log.

use std::time::Duration;

use http::{Method, Response, StatusCode};
use tokio::time::Instant;

use super::attempts::Attempts;
use super::health::Trouble;
use super::request::Template;
use super::response::{PROXY_STATUS, add_received_status};
use super::retry::{Limits, Spent};
use super::route::Profile;
use crate::drain::Drain;
use crate::text::{printable_bytes, spoken};

/// A client that leaves sooner has not given up: it has changed its mind.
const PATIENCE: Duration = Duration::from_secs(1);

/// How the paths of token endpoints end.
const LOG_INS: [&str; 5] = [
    "/oauth/token",
    "/auth/token",
    "/token/access-key",
    "/token/refresh",
    "/InContactAuthorizationServer/Token",
];

/// A request that asks for a token itself. What it is answered is about its own credentials.
pub(super) fn is_log_in(template: &Template) -> bool {
    let path = template.path();
    let ends = |end: &&str| {
        path.len()
            .checked_sub(end.len())
            .and_then(|at| path.get(at..))
            .is_some_and(|own| own.eq_ignore_ascii_case(end))
    };
    template.method() == Method::POST && LOG_INS.iter().any(ends)
}

/// Says in the response that the API itself has sent this status, and in the log what an operator should know.
pub(super) fn note<B>(
    profile: &Profile,
    attempts: &Attempts,
    response: &mut Response<B>,
    spent: &Spent,
    limits: Limits,
) {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return;
    }
    // Where this or another proxy has said it already, it is plain enough.
    if !response.headers().contains_key(&PROXY_STATUS) {
        add_received_status(response.headers_mut(), status, None);
    }
    if status == StatusCode::TOO_MANY_REQUESTS && limits.rate_limit_retries > 0 {
        limited(profile, attempts, spent, limits);
    }
}

/// A request as the log names it: method, path, and the API that it is for.
fn named<'t>(profile: &Profile, template: &'t Template) -> (&'t Method, String, String) {
    (template.method(), printable_bytes(template.path().as_bytes()), profile.api())
}

/// A 401 to a client that asked for a token itself.
pub(super) fn log_in_refused(profile: &Profile, template: &Template) {
    let Some(due) = profile.health.met(Trouble::OwnLogIn) else { return };
    let (method, path, api) = named(profile, template);
    tracing::warn!(
        profile = %profile.name,
        %method,
        path,
        api,
        status = 401,
        more = due.more(),
        "a client logs in by itself through the proxy, and the CXone API ({api}) refuses it: {method} {path}: 401{due}. \
         The proxy replaces the client's Authorization by its own token, so such a log-in cannot work. Take it out of \
         the client: the proxy adds a token to each request."
    );
}

fn limited(profile: &Profile, attempts: &Attempts, spent: &Spent, limits: Limits) {
    let Some(due) = profile.health.met(Trouble::Limited) else { return };
    let (method, path, api) = named(profile, &attempts.template);
    let (retries, most) = (spent.rate_limited, limits.rate_limit_retries);
    let again = if retries == 1 { "1 retry".to_owned() } else { format!("{retries} retries") };
    let (decided, variable) = if !attempts.replay.is_replayable() {
        ("its body is too large to be sent again", "CXONE_PROXY_REPLAY_BUFFER")
    } else if retries >= most {
        ("no more are allowed", "CXONE_PROXY_RATE_LIMIT_RETRIES")
    } else {
        ("the next wait would be too long", "CXONE_PROXY_MAX_WAIT")
    };
    tracing::warn!(
        profile = %profile.name,
        %method,
        path,
        api,
        status = 429,
        retries,
        waited_ms = u64::try_from(spent.waited.as_millis()).unwrap_or(u64::MAX),
        decided_by = variable,
        more = due.more(),
        "the rate limit of the CXone API ({api}) reaches clients: {method} {path} got 429 after {again} and {} of \
         waiting; {decided} ({variable}){due}. Send less, ask CXone for a higher limit, or raise {variable}.",
        spoken(spent.waited),
    );
}

/// An attempt that waits for its response. Dropping it says that the client has left meanwhile, or that a drain has cut
/// the request off.
pub(super) struct Unanswered<'a> {
    profile: &'a Profile,
    template: &'a Template,
    began: Instant,
    drain: &'a Drain,
}

impl<'a> Unanswered<'a> {
    pub(super) fn since(
        began: Instant,
        profile: &'a Profile,
        template: &'a Template,
        drain: &'a Drain,
    ) -> Self {
        Self { profile, template, began, drain }
    }

    /// There is a response, or an error.
    pub(super) fn end(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    #[cold]
    fn drop(&mut self) {
        let waited = self.began.elapsed();
        if waited < PATIENCE || self.drain.has_begun() {
            return;
        }
        let Some(due) = self.profile.health.unanswered() else { return };
        let (method, path, api) = named(self.profile, self.template);
        tracing::warn!(
            profile = %self.profile.name,
            %method,
            path,
            api,
            elapsed_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            more = due.more(),
            "the CXone API ({api}) has stopped responding, and clients give up: {method} {path} was left by its client after \
             {}{due}. The request may have been carried out. `cxone-proxy check` says whether the API can be reached; with \
             CXONE_PROXY_RESPONSE_TIMEOUT clients get 504 after a time of your choice.",
            spoken(waited),
        );
    }
}

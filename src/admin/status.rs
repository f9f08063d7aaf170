//! `/status`: the state of the proxy, for people and scripts. The names are promised.

use std::time::SystemTime;

use serde::Serialize;

use super::history::milliseconds;
use super::{Pages, ProfilePages, pace::Pace, readiness, rfc3339::rfc3339};
use crate::access::Failure;
use crate::clock::Now;
use crate::metrics::{Percentiles, RetryReason, Statuses, WaitReason};
use crate::reloads::ReloadState;
use crate::tokens::Snapshot;

#[derive(Serialize)]
struct Status<'a> {
    version: &'a str,
    uptime_seconds: u64,
    draining: bool,
    /// Every profile is.
    ready: bool,
    paused_since: Option<String>,
    /// Whether the one who asks may pause, resume and renew.
    actions: bool,
    listen: &'a [String],
    /// Of the first profile, as the token.
    upstream: Option<Upstream<'a>>,
    token: Option<Token>,
    requests: Requests,
    retries: Retries,
    /// Of the first profile.
    pace: Option<Pace>,
    upstream_responses: Statuses,
    rate_limited_responses: u64,
    wait_seconds: WaitSeconds,
    latency: Latency,
    reload: Reload,
    failures: Vec<Failed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profiles: Option<Vec<Profile<'a>>>,
}

#[derive(Serialize)]
struct Profile<'a> {
    name: &'a str,
    ready: bool,
    upstream: Upstream<'a>,
    token: Token,
    requests: Requests,
    retries: Retries,
    pace: Pace,
    upstream_responses: Statuses,
    rate_limited_responses: u64,
    wait_seconds: WaitSeconds,
}

/// What came of the attempts to read the configuration again.
#[derive(Serialize)]
struct Reload {
    succeeded: u64,
    failed: u64,
    last_success: Option<String>,
    last_failure: Option<String>,
    /// `null` where the latest one was taken over.
    last_error: Option<String>,
    needs_restart: Vec<&'static str>,
}

#[derive(Serialize)]
struct Upstream<'a> {
    base_url: Option<String>,
    token_url: &'a str,
}

#[derive(Serialize)]
struct Token {
    state: &'static str,
    scopes: Vec<String>,
    obtained_at: Option<String>,
    expires_at: Option<String>,
    expires_in_seconds: Option<u64>,
    generation: u64,
    last_error: Option<String>,
    hint: Option<String>,
    next_try_at: Option<String>,
}

#[derive(Clone, Default, Serialize)]
struct Requests {
    total: u64,
    in_flight: usize,
    /// How long the oldest of them has been in flight; `null` where there is none.
    oldest_in_flight_seconds: Option<u64>,
    abandoned: u64,
    /// Responses to clients, by status.
    statuses: Statuses,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Retries {
    unauthorized: u64,
    rate_limited: u64,
    connection: u64,
}

/// How long requests have waited in the proxy, all together.
#[derive(Clone, Copy, Default, Serialize)]
struct WaitSeconds {
    rate_limited: f64,
    token: f64,
    queue: f64,
}

/// Of the last minute, in milliseconds; `null` where nothing was measured.
#[derive(Serialize)]
struct Latency {
    /// What the proxy added to a request, its own work and all waits, until the response's header section.
    added_ms: Option<Spread>,
    /// What the API took for an attempt, until its response's header section.
    upstream_ms: Option<Spread>,
}

#[derive(Serialize)]
struct Spread {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

/// A failure, and how often it came.
#[derive(Serialize)]
struct Failed {
    status: u16,
    title: String,
    profile: String,
    request: Option<String>,
    detail: String,
    hint: String,
    count: u64,
    first_at: Option<String>,
    latest_at: Option<String>,
}

/// The JSON text, of this moment. `latest` is what the proxy added, and what the API took.
pub(super) fn render(
    pages: &Pages,
    latest: (Option<Percentiles>, Option<Percentiles>),
    actions: bool,
    now: Now,
) -> String {
    let profiles: Vec<Profile<'_>> = pages.profiles.iter().map(|own| profile(pages, own, now)).collect();
    let first = pages.profiles.first();
    let status = Status {
        version: pages.version,
        uptime_seconds: now.steady.saturating_duration_since(pages.started.steady).as_secs(),
        draining: pages.drain.is_announced(),
        ready: profiles.iter().all(|own| own.ready),
        paused_since: pages.pause.since().and_then(rfc3339),
        actions,
        listen: &pages.listen,
        upstream: first.map(upstream),
        token: first.map(|own| token(own.tokens.snapshot(now), now.wall)),
        requests: profiles.iter().fold(Requests::default(), |sum, own| sum.plus(&own.requests)),
        retries: profiles.iter().fold(Retries::default(), |sum, own| sum.plus(own.retries)),
        pace: first.map(|own| Pace::of(&own.pace, now.wall)),
        upstream_responses: profiles
            .iter()
            .fold(Statuses::new(), |sum, own| added(sum, &own.upstream_responses)),
        rate_limited_responses: profiles.iter().map(|own| own.rate_limited_responses).sum(),
        wait_seconds: profiles.iter().fold(WaitSeconds::default(), |sum, own| sum.plus(own.wait_seconds)),
        latency: Latency { added_ms: latest.0.map(spread), upstream_ms: latest.1.map(spread) },
        reload: reload(pages.reloads.state()),
        failures: pages.failures.latest().into_iter().map(failed).collect(),
        profiles: pages.named.then_some(profiles),
    };
    // Serialising texts, numbers and flags cannot fail.
    let mut text = serde_json::to_string_pretty(&status).unwrap_or_default();
    text.push('\n');
    text
}

fn profile<'a>(pages: &Pages, own: &'a ProfilePages, now: Now) -> Profile<'a> {
    let retries = |reason| own.metrics.retries(reason);
    Profile {
        name: own.metrics.name(),
        ready: readiness::is_ready(pages, own, now),
        upstream: upstream(own),
        token: token(own.tokens.snapshot(now), now.wall),
        requests: Requests {
            total: own.metrics.responses(),
            in_flight: own.metrics.in_flight(),
            oldest_in_flight_seconds: own
                .metrics
                .oldest_in_flight()
                .map(|began| now.steady.saturating_duration_since(began).as_secs()),
            abandoned: own.metrics.abandoned_requests(),
            statuses: own.metrics.statuses(),
        },
        retries: Retries {
            unauthorized: retries(RetryReason::Unauthorized),
            rate_limited: retries(RetryReason::RateLimited),
            connection: retries(RetryReason::Connection),
        },
        pace: Pace::of(&own.pace, now.wall),
        upstream_responses: own.metrics.upstream_statuses(),
        rate_limited_responses: own.metrics.rate_limited_responses(),
        wait_seconds: WaitSeconds {
            rate_limited: own.metrics.waited_seconds(WaitReason::RateLimited),
            token: own.metrics.waited_seconds(WaitReason::Token),
            queue: own.metrics.waited_seconds(WaitReason::Queue),
        },
    }
}

fn reload(state: ReloadState) -> Reload {
    Reload {
        succeeded: state.succeeded,
        failed: state.failed,
        last_success: state.last_success.and_then(rfc3339),
        last_failure: state.last_failure.and_then(rfc3339),
        last_error: state.last_error,
        needs_restart: state.needs_restart,
    }
}

fn upstream(own: &ProfilePages) -> Upstream<'_> {
    Upstream { base_url: (own.base_url)(), token_url: without_query(&own.token_url) }
}

fn token(snapshot: Snapshot, now: SystemTime) -> Token {
    let failure = snapshot.failure;
    Token {
        state: snapshot.state.as_str(),
        scopes: snapshot.scopes,
        obtained_at: snapshot.obtained_at.and_then(rfc3339),
        expires_at: snapshot.expires_at.and_then(rfc3339),
        expires_in_seconds: snapshot.expires_at.map(|end| seconds_until(end, now)),
        generation: snapshot.generation,
        last_error: failure.as_ref().map(ToString::to_string),
        hint: failure.as_ref().map(|failure| failure.hint()),
        next_try_at: failure.and_then(|failure| rfc3339(failure.next_try.wall)),
    }
}

fn spread(percentiles: Percentiles) -> Spread {
    let Percentiles { p50, p90, p99, max } = percentiles;
    Spread { p50: milliseconds(p50), p90: milliseconds(p90), p99: milliseconds(p99), max: milliseconds(max) }
}

fn failed(failure: Failure) -> Failed {
    Failed {
        status: failure.kind.status().as_u16(),
        title: failure.kind.title(),
        profile: failure.profile,
        request: failure.request,
        detail: failure.detail,
        hint: failure.hint,
        count: failure.count,
        first_at: rfc3339(failure.first),
        latest_at: rfc3339(failure.latest),
    }
}

fn added(mut sum: Statuses, other: &Statuses) -> Statuses {
    for (status, count) in other {
        *sum.entry(*status).or_default() += count;
    }
    sum
}

impl Requests {
    fn plus(self, other: &Self) -> Self {
        Self {
            total: self.total + other.total,
            in_flight: self.in_flight + other.in_flight,
            oldest_in_flight_seconds: self.oldest_in_flight_seconds.max(other.oldest_in_flight_seconds),
            abandoned: self.abandoned + other.abandoned,
            statuses: added(self.statuses, &other.statuses),
        }
    }
}

impl WaitSeconds {
    fn plus(self, other: Self) -> Self {
        Self {
            rate_limited: self.rate_limited + other.rate_limited,
            token: self.token + other.token,
            queue: self.queue + other.queue,
        }
    }
}

impl Retries {
    fn plus(self, other: Self) -> Self {
        Self {
            unauthorized: self.unauthorized + other.unauthorized,
            rate_limited: self.rate_limited + other.rate_limited,
            connection: self.connection + other.connection,
        }
    }
}

/// Never negative.
fn seconds_until(end: SystemTime, now: SystemTime) -> u64 {
    end.duration_since(now).unwrap_or_default().as_secs()
}

/// A query may hold a key.
fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(address, _)| address)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_query_of_an_address_is_not_shown() {
        assert_eq!(without_query("https://a.example/token?key=s3cret"), "https://a.example/token");
        assert_eq!(without_query("https://a.example/token"), "https://a.example/token");
    }

    proptest! {
        #[test]
        fn the_rest_of_a_token_is_never_negative(end in 0..4_000_000_000_u64, now in 0..4_000_000_000_u64) {
            let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert_eq!(seconds_until(at(end), at(now)), end.saturating_sub(now));
        }
    }
}

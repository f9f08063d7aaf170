//! `/status`: the state of the proxy, for people and scripts. The names are promised.

use std::time::SystemTime;

use serde::Serialize;

use super::{Pages, ProfilePages, pace::Pace, rfc3339::rfc3339};
use crate::clock::Now;
use crate::metrics::RetryReason;
use crate::tokens::Snapshot;

#[derive(Serialize)]
struct Status<'a> {
    version: &'a str,
    uptime_seconds: u64,
    draining: bool,
    /// Of the first profile, as the token.
    upstream: Option<Upstream<'a>>,
    token: Option<Token>,
    requests: Requests,
    retries: Retries,
    /// Of the first profile.
    pace: Option<Pace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profiles: Option<Vec<Profile<'a>>>,
}

#[derive(Serialize)]
struct Profile<'a> {
    name: &'a str,
    upstream: Upstream<'a>,
    token: Token,
    requests: Requests,
    retries: Retries,
    pace: Pace,
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

#[derive(Clone, Copy, Default, Serialize)]
struct Requests {
    total: u64,
    in_flight: usize,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Retries {
    unauthorized: u64,
    rate_limited: u64,
    connection: u64,
}

/// The JSON text, of this moment.
pub(super) fn render(pages: &Pages, now: Now) -> String {
    let profiles: Vec<Profile<'_>> = pages.profiles.iter().map(|own| profile(own, now)).collect();
    let first = pages.profiles.first();
    let status = Status {
        version: pages.version,
        uptime_seconds: now.steady.saturating_duration_since(pages.started.steady).as_secs(),
        draining: pages.drain.is_announced(),
        upstream: first.map(upstream),
        token: first.map(|own| token(own.tokens.snapshot(now), now.wall)),
        requests: profiles.iter().fold(Requests::default(), |sum, own| sum.plus(own.requests)),
        retries: profiles.iter().fold(Retries::default(), |sum, own| sum.plus(own.retries)),
        pace: first.map(|own| Pace::of(&own.pace, now.wall)),
        profiles: pages.named.then_some(profiles),
    };
    // Serialising texts, numbers and flags cannot fail.
    let mut text = serde_json::to_string_pretty(&status).unwrap_or_default();
    text.push('\n');
    text
}

fn profile(own: &ProfilePages, now: Now) -> Profile<'_> {
    let retries = |reason| own.metrics.retries(reason);
    Profile {
        name: own.metrics.name(),
        upstream: upstream(own),
        token: token(own.tokens.snapshot(now), now.wall),
        requests: Requests { total: own.metrics.responses(), in_flight: own.metrics.in_flight() },
        retries: Retries {
            unauthorized: retries(RetryReason::Unauthorized),
            rate_limited: retries(RetryReason::RateLimited),
            connection: retries(RetryReason::Connection),
        },
        pace: Pace::of(&own.pace, now.wall),
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

impl Requests {
    fn plus(self, other: Self) -> Self {
        Self { total: self.total + other.total, in_flight: self.in_flight + other.in_flight }
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

//! `/status`: how things stand, for people and scripts. The names are promised.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

use super::{Pages, ProfilePages};
use crate::clock::Now;
use crate::oauth::Snapshot;

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
    #[serde(skip_serializing_if = "Option::is_none")]
    profiles: Option<Vec<Profile<'a>>>,
}

#[derive(Serialize)]
struct Profile<'a> {
    name: &'a str,
    upstream: Upstream<'a>,
    token: Token,
    requests: Requests,
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
}

#[derive(Serialize)]
struct Requests {
    total: u64,
    in_flight: usize,
}

/// In the order of [`crate::metrics::RESENDS`].
#[derive(Serialize)]
struct Retries {
    unauthorized: u64,
    rate_limited: u64,
    connection: u64,
}

/// The JSON text, of this moment.
pub(super) fn render(pages: &Pages, now: Now) -> String {
    let mut resends = [0; 3];
    for (sum, count) in
        pages.profiles.iter().flat_map(|profile| profile.shards.resends().into_iter().enumerate())
    {
        if let Some(total) = resends.get_mut(sum) {
            *total += count;
        }
    }
    let [unauthorized, rate_limited, connection] = resends;
    let first = pages.profiles.first();
    let status = Status {
        version: pages.version,
        uptime_seconds: now.steady.saturating_duration_since(pages.started.steady).as_secs(),
        draining: pages.drain.has_begun(),
        upstream: first.map(upstream),
        token: first.map(|profile| token(profile.tokens.snapshot(now), now.wall)),
        requests: Requests {
            total: pages.profiles.iter().map(|profile| profile.shards.answered()).sum(),
            in_flight: pages.profiles.iter().map(|profile| profile.shards.in_flight()).sum(),
        },
        retries: Retries { unauthorized, rate_limited, connection },
        profiles: pages
            .named
            .then(|| pages.profiles.iter().map(|profile| of_profile(profile, now)).collect()),
    };
    // Serialising strings, numbers and flags cannot fail.
    let mut text = serde_json::to_string_pretty(&status).unwrap_or_default();
    text.push('\n');
    text
}

fn of_profile(profile: &ProfilePages, now: Now) -> Profile<'_> {
    Profile {
        name: &profile.name,
        upstream: upstream(profile),
        token: token(profile.tokens.snapshot(now), now.wall),
        requests: Requests { total: profile.shards.answered(), in_flight: profile.shards.in_flight() },
    }
}

fn upstream(profile: &ProfilePages) -> Upstream<'_> {
    Upstream { base_url: (profile.base_url)(), token_url: without_query(&profile.token_url) }
}

fn token(snapshot: Snapshot, now: SystemTime) -> Token {
    let Snapshot { state, scopes, obtained_at, expires_at, generation, last_error } = snapshot;
    Token {
        state: state.as_str(),
        scopes,
        obtained_at: obtained_at.and_then(rfc3339),
        expires_at: expires_at.and_then(rfc3339),
        expires_in_seconds: expires_at.map(|end| end.duration_since(now).unwrap_or_default().as_secs()),
        generation,
        last_error,
    }
}

/// In UTC, with whole seconds; `None` beyond the year 9999.
fn rfc3339(at: SystemTime) -> Option<String> {
    let exact = Timestamp::try_from(at).ok()?;
    Timestamp::from_second(exact.as_second()).ok().map(|whole| whole.to_string())
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
    use crate::oauth::State;

    #[test]
    fn times_are_written_with_seconds_in_utc() {
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_999);
        assert_eq!(rfc3339(at).unwrap(), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(UNIX_EPOCH).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_hours(24 * 366 * 9000)), None);
    }

    #[test]
    fn what_a_query_says_is_not_shown() {
        assert_eq!(without_query("https://a.example/token?key=s3cret"), "https://a.example/token");
        assert_eq!(without_query("https://a.example/token"), "https://a.example/token");
    }

    proptest! {
        #[test]
        fn the_rest_of_a_token_is_never_negative(end in 0..4_000_000_000_u64, now in 0..4_000_000_000_u64) {
            let (end_at, now_at) = (UNIX_EPOCH + Duration::from_secs(end), UNIX_EPOCH + Duration::from_secs(now));
            let snapshot = Snapshot {
                state: State::Valid,
                scopes: Vec::new(),
                obtained_at: None,
                expires_at: Some(end_at),
                generation: 1,
                last_error: None,
            };
            prop_assert_eq!(token(snapshot, now_at).expires_in_seconds, Some(end.saturating_sub(now)));
        }
    }
}

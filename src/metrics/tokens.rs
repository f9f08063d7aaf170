//! What is counted of token requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::TokenObserver;

/// Grants that have a label of their own; every other counts as `other`.
pub const GRANTS: [&str; 4] = ["client_credentials", "refresh_token", "password", "access_key"];
/// Outcomes of token requests, as the label says them; every other counts as `other`.
pub const OUTCOMES: [&str; 5] = ["ok", "refused", "rate_limited", "unreachable", "unusable"];

/// Counts token requests by grant and outcome, and remembers the latest success. Lock-free.
#[derive(Debug, Default)]
pub struct TokenCounters {
    /// A row for each of [`GRANTS`] and one more, a column for each of [`OUTCOMES`] and one more.
    requests: [[AtomicU64; OUTCOMES.len() + 1]; GRANTS.len() + 1],
    /// Milliseconds since 1970; 0 before the first token.
    expiry: AtomicU64,
    /// Milliseconds since 1970; 0 before the first token.
    last_success: AtomicU64,
}

impl TokenObserver for TokenCounters {
    fn token_request(&self, grant: &'static str, outcome: &'static str) {
        let row = self.requests.get(place(&GRANTS, grant));
        if let Some(counter) = row.and_then(|row| row.get(place(&OUTCOMES, outcome))) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn token_obtained(&self, at: SystemTime, expires_at: SystemTime) {
        self.last_success.store(millis(at), Ordering::Relaxed);
        self.expiry.store(millis(expires_at), Ordering::Relaxed);
    }
}

impl TokenCounters {
    /// Token requests so far: grant, outcome, count. All pairs that have labels of their own, even
    /// those that never occurred, since a rate needs a start; and of the others those that occurred.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        let grants = GRANTS.into_iter().map(Some).chain([None]);
        self.requests.iter().zip(grants).flat_map(|(row, grant)| {
            let outcomes = OUTCOMES.into_iter().map(Some).chain([None]);
            row.iter().zip(outcomes).filter_map(move |(counter, outcome)| {
                let count = counter.load(Ordering::Relaxed);
                let labelled = grant.is_some() && outcome.is_some();
                (labelled || count > 0).then(|| (grant.unwrap_or("other"), outcome.unwrap_or("other"), count))
            })
        })
    }

    /// The latest token's end as its issuer states it, as the time since 1970; nought before the
    /// first.
    pub fn expiry(&self) -> Duration {
        Duration::from_millis(self.expiry.load(Ordering::Relaxed))
    }

    /// When the latest token came, as the time since 1970; nought before the first.
    pub fn last_success(&self) -> Duration {
        Duration::from_millis(self.last_success.load(Ordering::Relaxed))
    }
}

/// The index of `word`, or the one behind the last.
fn place(words: &[&str], word: &str) -> usize {
    words.iter().position(|known| *known == word).unwrap_or(words.len())
}

fn millis(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_has_its_own_counter_from_the_start() {
        let counters = TokenCounters::default();
        assert_eq!(counters.requests().count(), GRANTS.len() * OUTCOMES.len());
        assert!(counters.requests().all(|(_, _, count)| count == 0));
        for (times, (grant, outcome)) in
            GRANTS.iter().flat_map(|grant| OUTCOMES.map(|outcome| (*grant, outcome))).enumerate()
        {
            for _ in 0..times {
                counters.token_request(grant, outcome);
            }
        }
        let counts: Vec<u64> = counters.requests().map(|(_, _, count)| count).collect();
        assert_eq!(counts, (0..20).collect::<Vec<u64>>());
        assert_eq!(counters.requests().nth(8), Some(("refresh_token", "unreachable", 8)));
    }

    #[test]
    fn words_that_are_not_known_make_no_labels() {
        let counters = TokenCounters::default();
        counters.token_request("authorization_code", "ok");
        counters.token_request("urn:ietf:params:oauth:grant-type:jwt-bearer", "ok");
        counters.token_request("client_credentials", "lost");
        let others: Vec<_> = counters.requests().filter(|(.., count)| *count > 0).collect();
        assert_eq!(others, [("client_credentials", "other", 1), ("other", "ok", 2)]);
    }

    #[test]
    fn the_latest_token_counts() {
        let counters = TokenCounters::default();
        assert_eq!((counters.last_success(), counters.expiry()), (Duration::ZERO, Duration::ZERO));
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        counters.token_obtained(at, at + Duration::from_hours(1));
        counters.token_obtained(at + Duration::from_secs(1), at + Duration::from_secs(61));
        assert_eq!(counters.last_success(), Duration::from_millis(1_700_000_001_250));
        assert_eq!(counters.expiry(), Duration::from_millis(1_700_000_061_250));
    }
}

//! What is counted of token requests.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounter, IntCounterVec};

use super::TokenObserver;

/// Grants that have a label of their own; every other counts as `other`.
pub const GRANTS: [&str; 4] = ["client_credentials", "refresh_token", "password", "access_key"];
/// Outcomes of token requests, as the label says them; every other counts as `other`.
pub const OUTCOMES: [&str; 5] = ["ok", "refused", "rate_limited", "unreachable", "unusable"];

/// Token requests of one set of credentials, by grant and outcome, and the latest success.
#[derive(Debug)]
pub(super) struct TokenMetrics {
    /// Of every pair that has labels of its own, since a rate needs a start.
    known: Vec<(&'static str, &'static str, IntCounter)>,
    /// For words that are not known.
    family: IntCounterVec,
    profile: String,
    expiry: Gauge,
    last_success: Gauge,
}

impl TokenMetrics {
    pub(super) fn new(profile: &str, family: &IntCounterVec, expiry: Gauge, last_success: Gauge) -> Self {
        let pairs = GRANTS.iter().flat_map(|grant| OUTCOMES.map(|outcome| (*grant, outcome)));
        let known = pairs
            .map(|(grant, outcome)| (grant, outcome, family.with_label_values(&[grant, outcome, profile])))
            .collect();
        Self { known, family: family.clone(), profile: profile.to_owned(), expiry, last_success }
    }
}

impl TokenObserver for TokenMetrics {
    fn token_request(&self, grant: &'static str, outcome: &'static str, _: Range<SystemTime>) {
        if let Some((.., counter)) = self.known.iter().find(|(g, o, _)| (*g, *o) == (grant, outcome)) {
            counter.inc();
            return;
        }
        let grant = if GRANTS.contains(&grant) { grant } else { "other" };
        let outcome = if OUTCOMES.contains(&outcome) { outcome } else { "other" };
        self.family.with_label_values(&[grant, outcome, self.profile.as_str()]).inc();
    }

    fn token_obtained(&self, at: SystemTime, expires_at: SystemTime) {
        self.last_success.set(unix_seconds(at));
        self.expiry.set(unix_seconds(expires_at));
    }
}

/// 0 for times before 1970.
pub(super) fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

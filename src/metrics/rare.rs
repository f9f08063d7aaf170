//! What not every request counts, of each profile.

use prometheus::{CounterVec, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::tokens::TokenMetrics;
use super::{Counters, Label, RetryReason, WaitReason, counters, register};

/// The families; each profile has its samples in them.
#[derive(Clone, Debug)]
pub(super) struct Rare {
    retries: IntCounterVec,
    replays_skipped: IntCounterVec,
    waits: CounterVec,
    rate_limited: IntCounterVec,
    abandoned: IntCounterVec,
    ready: IntGaugeVec,
    token_requests: IntCounterVec,
    token_expiry: GaugeVec,
    token_last_success: GaugeVec,
}

/// One profile's samples in them.
#[derive(Debug)]
pub(super) struct RareOf {
    pub(super) retries: Counters<RetryReason>,
    pub(super) replays_skipped: Counters<RetryReason>,
    pub(super) waits: Vec<(WaitReason, prometheus::Counter)>,
    pub(super) rate_limited: IntCounter,
    pub(super) abandoned: IntCounter,
    pub(super) ready: IntGauge,
}

impl Rare {
    pub(super) fn new(registry: &Registry) -> Self {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let gauges =
            |name: &str, help: &str| register(registry, GaugeVec::new(Opts::new(name, help), &["profile"]));
        let waits = Opts::new(
            "cxone_proxy_wait_seconds_total",
            "Time that requests have waited in the proxy, by what they waited for.",
        );
        let ready = Opts::new(
            "cxone_proxy_ready",
            "1 while the profile holds a valid token, its API is known and the process is not draining, else 0.",
        );
        Self {
            retries: counters(
                "cxone_proxy_retries_total",
                "Requests sent to the API again, by what made it necessary.",
                &["profile", RetryReason::NAME],
            ),
            replays_skipped: counters(
                "cxone_proxy_replays_skipped_total",
                "Requests not sent to the API again because too much of their body was gone, by what would have made it necessary.",
                &["profile", RetryReason::NAME],
            ),
            waits: register(registry, CounterVec::new(waits, &["profile", WaitReason::NAME])),
            rate_limited: counters(
                "cxone_proxy_rate_limited_responses_total",
                "Responses in which the API asked for fewer requests (429, or 503 with Retry-After), passed on or not.",
                &["profile"],
            ),
            abandoned: counters(
                "cxone_proxy_requests_abandoned_total",
                "Requests whose client went away before a response.",
                &["profile"],
            ),
            ready: register(registry, IntGaugeVec::new(ready, &["profile"])),
            token_requests: counters(
                "cxone_proxy_token_requests_total",
                "Token requests by grant and outcome.",
                &["grant", "outcome", "profile"],
            ),
            token_expiry: gauges(
                "cxone_proxy_token_expiry_timestamp_seconds",
                "When the latest token expires, as Unix time; 0 before the first.",
            ),
            token_last_success: gauges(
                "cxone_proxy_token_last_success_timestamp_seconds",
                "When the latest token was obtained, as Unix time; 0 before the first.",
            ),
        }
    }

    pub(super) fn of(&self, profile: &str) -> RareOf {
        RareOf {
            retries: Counters::resolve(&self.retries, &[profile]),
            replays_skipped: Counters::resolve(&self.replays_skipped, &[profile]),
            waits: counters::resolve(&self.waits, &[profile]).collect(),
            rate_limited: self.rate_limited.with_label_values(&[profile]),
            abandoned: self.abandoned.with_label_values(&[profile]),
            ready: self.ready.with_label_values(&[profile]),
        }
    }

    pub(super) fn tokens_of(&self, profile: &str) -> TokenMetrics {
        TokenMetrics::new(
            profile,
            &self.token_requests,
            self.token_expiry.with_label_values(&[profile]),
            self.token_last_success.with_label_values(&[profile]),
        )
    }
}

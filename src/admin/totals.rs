//! All that the profiles count, added up for the history.

use super::Pages;
use super::history::{PerRetry, PerWait, Totals};
use crate::metrics::{ProfileMetrics, RetryReason, WaitReason};

/// Of this moment.
pub(super) fn totals(pages: &Pages) -> Totals {
    let mut totals = Totals::default();
    pages.profiles.iter().for_each(|profile| totals.add(&profile.metrics));
    totals
}

/// Requests in flight, of all profiles.
pub(super) fn in_flight(pages: &Pages) -> usize {
    pages.profiles.iter().map(|profile| profile.metrics.in_flight()).sum()
}

impl Totals {
    fn add(&mut self, metrics: &ProfileMetrics) {
        for (status, count) in metrics.statuses() {
            *match status {
                ..400 => &mut self.succeeded,
                429 => &mut self.rate_limited,
                400..500 => &mut self.client_errors,
                500.. => &mut self.server_errors,
            } += count;
        }
        self.api_rate_limited += metrics.rate_limited_responses();
        let PerRetry { unauthorized, rate_limited, connection } = &mut self.retries;
        *unauthorized += metrics.retries(RetryReason::Unauthorized);
        *rate_limited += metrics.retries(RetryReason::RateLimited);
        *connection += metrics.retries(RetryReason::Connection);
        let PerWait { rate_limited, token, queue } = &mut self.waited;
        *rate_limited += metrics.waited_seconds(WaitReason::RateLimited);
        *token += metrics.waited_seconds(WaitReason::Token);
        *queue += metrics.waited_seconds(WaitReason::Queue);
        self.added.add(&metrics.added_durations());
        self.upstream.add(&metrics.upstream_durations());
    }
}

//! What has been counted of one profile so far, on all cores.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::super::spread::Durations;
use super::{Core, ProfileMetrics, STATUSES};
use crate::metrics::{RetryReason, WaitReason};

/// Counts by status; statuses that never came are left out.
pub type Statuses = BTreeMap<u16, u64>;

impl ProfileMetrics {
    /// Responses to clients so far, on all cores.
    pub fn responses(&self) -> u64 {
        let all = |core: &Core| core.responses.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>();
        self.profile.cores().iter().map(|core| all(core)).sum()
    }

    /// Requests in flight, on all cores.
    pub fn in_flight(&self) -> usize {
        self.profile.in_flight()
    }

    /// When the oldest request in flight began, on any core.
    pub fn oldest_in_flight(&self) -> Option<Instant> {
        self.profile.oldest_in_flight()
    }

    /// Requests sent to the API again so far.
    pub fn retries(&self, reason: RetryReason) -> u64 {
        self.profile.rare.retries.count(reason)
    }

    /// Responses to clients, by status.
    pub fn statuses(&self) -> Statuses {
        self.by_status(|core| &core.responses)
    }

    /// Responses of the API, one for each attempt, by status.
    pub fn upstream_statuses(&self) -> Statuses {
        self.by_status(|core| &core.upstream_responses)
    }

    /// Requests whose client went away before a response.
    pub fn abandoned_requests(&self) -> u64 {
        self.profile.rare.abandoned.get()
    }

    /// Responses in which the API asked for fewer requests.
    pub fn rate_limited_responses(&self) -> u64 {
        self.profile.rare.rate_limited.get()
    }

    /// Seconds that requests have waited for this reason.
    pub fn waited_seconds(&self, reason: WaitReason) -> f64 {
        let waits = &self.profile.rare.waits;
        waits.iter().find(|(own, _)| *own == reason).map_or(0.0, |(_, seconds)| seconds.get())
    }

    /// What the proxy added to requests: its own work and all waits.
    pub fn added_durations(&self) -> Durations {
        let mut durations = Durations::default();
        self.profile.cores().iter().for_each(|core| durations.add_core(&core.added));
        durations
    }

    /// What the upstream took for attempts.
    pub fn upstream_durations(&self) -> Durations {
        let mut durations = Durations::default();
        self.profile.cores().iter().for_each(|core| durations.add_core(&core.upstream));
        durations
    }

    fn by_status(&self, table: impl Fn(&Core) -> &Vec<AtomicU64>) -> Statuses {
        let mut statuses = Statuses::new();
        for core in self.profile.cores() {
            for row in table(&core).chunks(STATUSES) {
                for (status, count) in (100_u16..).zip(row) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        *statuses.entry(status).or_default() += count;
                    }
                }
            }
        }
        statuses
    }
}

//! What one client has used of one quota, by its kind. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::{Quota, QuotaKind};

/// A client's use of a quota.
#[derive(Debug)]
pub(super) enum Window {
    /// The window that runs, and what was used in it. Windows follow one another without a gap.
    Fixed { start: Instant, used: u32 },
    /// When the requests of the last window came.
    Sliding(VecDeque<Instant>),
    /// When the bucket will be full again; in the past where it is.
    Bucket { full_at: Instant },
}

impl Window {
    /// Of a client whose first request comes now.
    pub(super) fn new(kind: QuotaKind, now: Instant) -> Self {
        match kind {
            QuotaKind::Fixed => Self::Fixed { start: now, used: 0 },
            QuotaKind::Sliding => Self::Sliding(VecDeque::new()),
            QuotaKind::Bucket => Self::Bucket { full_at: now },
        }
    }

    /// How long until a request would be let pass; `None` for now. Time must not go back between calls.
    pub(super) fn wait(&mut self, quota: &Quota, now: Instant) -> Option<Duration> {
        match self {
            Self::Fixed { start, used } => {
                let age = now.saturating_duration_since(*start);
                let over = Duration::from_nanos_u128(age.as_nanos() % quota.per.as_nanos().max(1));
                if age >= quota.per {
                    (*start, *used) = (now.checked_sub(over).unwrap_or(now), 0);
                }
                (*used >= quota.requests).then(|| quota.per.saturating_sub(over))
            }
            Self::Sliding(starts) => {
                while starts.front().is_some_and(|start| now.saturating_duration_since(*start) >= quota.per) {
                    starts.pop_front();
                }
                let is_full = starts.len() >= usize::try_from(quota.requests).unwrap_or(usize::MAX);
                let oldest = starts.front().copied().unwrap_or(now);
                is_full.then(|| quota.per.saturating_sub(now.saturating_duration_since(oldest)))
            }
            Self::Bucket { full_at } => {
                let Some(one) = quota.per.checked_div(quota.requests) else { return Some(quota.per) };
                let burst = quota.burst.unwrap_or(quota.requests).max(1);
                let missing = full_at.saturating_duration_since(now);
                let wait = missing.saturating_sub(one.saturating_mul(burst - 1));
                (!wait.is_zero()).then_some(wait)
            }
        }
    }

    /// Counts a request that [`Window::wait`] has just let pass.
    pub(super) fn count(&mut self, quota: &Quota, now: Instant) {
        match self {
            Self::Fixed { used, .. } => *used = used.saturating_add(1),
            Self::Sliding(starts) => starts.push_back(now),
            Self::Bucket { full_at } => {
                let one = quota.per.checked_div(quota.requests).unwrap_or(quota.per);
                *full_at = (*full_at).max(now) + one;
            }
        }
    }
}

//! What is counted, and how a scraper reads it.
//!
//! Counting ([`Shards`], [`TokenCounters`]) knows nothing of formats; [`exposition()`] takes one
//! snapshot of both when somebody asks, so that a request pays for no label, name or lock.

mod exposition;
mod process;
mod shard;
mod tokens;

use std::time::SystemTime;

pub use exposition::{MEDIA_TYPE, ProfileReadings, Readings, exposition};
pub use shard::{BOUNDS, Histogram, METHODS, RESENDS, Shard, Shards};
pub use tokens::{GRANTS, OUTCOMES, TokenCounters};

/// Counters of token requests and the gauges that belong to them.
///
/// A trait so that the keeper needs no registry and tests can listen.
pub trait TokenObserver: Send + Sync + 'static {
    /// One token request ended. `grant` is the `grant_type`, or `access_key`; `outcome` is `ok`, `refused`,
    /// `rate_limited`, `unreachable` or `unusable`.
    fn token_request(&self, grant: &'static str, outcome: &'static str);
    /// A token was obtained at `at` that its issuer says is good until `expires_at`.
    fn token_obtained(&self, at: SystemTime, expires_at: SystemTime);
}

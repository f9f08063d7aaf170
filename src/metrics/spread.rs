//! How durations are spread, fine enough for percentiles of the last minute.
//!
//! Every request counts here, so it takes one relaxed addition and no lock.

use std::fmt;
use std::time::Duration;

use histogram::{AtomicHistogram, Bucket, Config, Histogram};

/// A bucket is a sixteenth of its duration wide.
const GROUPING_POWER: u8 = 4;
/// The longest duration that has a place of its own, as a power of two in nanoseconds: 73 minutes. With the width above,
/// it takes 5 KiB.
const LONGEST_POWER: u8 = 42;
const LONGEST: u64 = (1 << LONGEST_POWER) - 1;

/// Durations of one profile on one core. Lock-free.
#[derive(Debug)]
pub(super) struct Spread(AtomicHistogram);

/// Durations so far, or within a stretch of time.
#[derive(Clone, Debug)]
pub struct Durations(Histogram);

/// Percentiles of durations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the percentile that its name says")]
pub struct Percentiles {
    pub p50: Duration,
    pub p90: Duration,
    pub p99: Duration,
    pub max: Duration,
}

/// The crate checks what the constants keep: it has no constructor for a configuration that is known to be good.
fn config() -> Config {
    #[expect(clippy::expect_used, reason = "the constants are in range: every test of this file makes one")]
    Config::new(GROUPING_POWER, LONGEST_POWER).expect("constants are in range")
}

impl Default for Spread {
    fn default() -> Self {
        Self(AtomicHistogram::with_config(&config()))
    }
}

impl Spread {
    /// Counts one duration.
    pub(super) fn observe(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(LONGEST).min(LONGEST);
        // In range, by the line above.
        let _ = self.0.increment(nanos);
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self(Histogram::with_config(&config()))
    }
}

impl Durations {
    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        // All have the same buckets, and no count comes near its end.
        let _ = self.0.checked_add_assign(&other.0);
    }

    /// Adds what one core has counted.
    pub(super) fn add_core(&mut self, spread: &Spread) {
        self.add(&Self(spread.0.load()));
    }

    /// What was counted since `earlier`, a reading of the same kind.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.0.wrapping_sub(&earlier.0).map_or_else(|_| self.clone(), Self)
    }

    /// Percentiles, exact to three in a hundred; `None` where nothing was counted.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let mut found = [const { None }; 4];
        self.0.quantile_buckets_into(&[0.5, 0.9, 0.99, 1.0], &mut found).ok()?;
        let [p50, p90, p99, max] = found.map(|bucket| bucket.as_ref().map(middle));
        Some(Percentiles { p50: p50?, p90: p90?, p99: p99?, max: max? })
    }
}

fn middle(bucket: &Bucket) -> Duration {
    Duration::from_nanos(bucket.start() + (bucket.end() - bucket.start()) / 2)
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {:?}, p90 {:?}, p99 {:?}, max {:?}", self.p50, self.p90, self.p99, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(millis: impl IntoIterator<Item = u64>) -> Durations {
        let spread = Spread::default();
        for millis in millis {
            spread.observe(Duration::from_millis(millis));
        }
        let mut durations = Durations::default();
        durations.add_core(&spread);
        durations
    }

    fn close(seen: Duration, due: u64) -> bool {
        seen.abs_diff(Duration::from_millis(due)) <= Duration::from_millis(due) * 4 / 100
    }

    #[test]
    fn percentiles_are_within_three_in_a_hundred() {
        let found = of(1..=1000).percentiles().unwrap();
        for (seen, due) in [(found.p50, 500), (found.p90, 900), (found.p99, 990), (found.max, 1000)] {
            assert!(close(seen, due), "{found}: {due}");
        }
        assert_eq!(of([]).percentiles(), None);
    }

    #[test]
    fn what_came_before_does_not_count_and_cores_are_added_up() {
        let earlier = of([1, 1, 1]);
        let mut later = of([1, 1, 1, 200]);
        later.add(&of([200]));
        let found = later.since(&earlier).percentiles().unwrap();
        assert!(close(found.p50, 200) && close(found.max, 200), "{found}");
        assert_eq!(earlier.since(&earlier).percentiles(), None);
    }

    #[test]
    fn no_duration_is_too_long_or_too_short() {
        let spread = Spread::default();
        spread.observe(Duration::MAX);
        spread.observe(Duration::ZERO);
        let mut durations = Durations::default();
        durations.add_core(&spread);
        let found = durations.percentiles().unwrap();
        assert_eq!(found.p50, Duration::ZERO);
        assert!(found.max > Duration::from_mins(70), "{found}");
    }
}

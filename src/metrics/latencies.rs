//! How long requests took, fine enough for percentiles: kept only where a summary was asked for.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// The longest duration that has a place of its own, in microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;
/// A duration is known to one in a thousand. With the longest above, a histogram takes 200 KiB.
const DIGITS: u8 = 3;

/// The durations of one profile on one core. The lock is free but for the one reading at the end.
#[derive(Debug)]
pub(super) struct Latencies(Mutex<Recorded>);

/// Durations, and the stretch of time that they come from.
#[derive(Debug)]
pub(super) struct Recorded {
    micros: Histogram<u64>,
    /// When the first request began and the last one ended.
    pub(super) span: Option<(Instant, Instant)>,
}

impl Recorded {
    /// Nothing yet. `None` is not to be expected: the bounds are constants that the crate takes.
    pub(super) fn new() -> Option<Self> {
        Some(Self { micros: Histogram::new_with_bounds(1, LONGEST, DIGITS).ok()?, span: None })
    }

    fn record(&mut self, taken: Duration, ended: Instant) {
        self.micros.saturating_record(u64::try_from(taken.as_micros()).unwrap_or(u64::MAX));
        let began = ended.checked_sub(taken).unwrap_or(ended);
        self.widen((began, ended));
    }

    fn widen(&mut self, (began, ended): (Instant, Instant)) {
        let (first, last) = self.span.unwrap_or((began, ended));
        self.span = Some((first.min(began), last.max(ended)));
    }

    /// Adds what was recorded elsewhere.
    pub(super) fn add(&mut self, latencies: &Latencies) {
        let other = latencies.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Both have the same bounds, so it fits.
        let _ = self.micros.add(&other.micros);
        if let Some(span) = other.span {
            self.widen(span);
        }
    }

    /// The durations.
    pub(super) fn micros(&self) -> &Histogram<u64> {
        &self.micros
    }
}

impl Latencies {
    pub(super) fn new() -> Option<Self> {
        Recorded::new().map(|recorded| Self(Mutex::new(recorded)))
    }

    /// A request has ended just now, `taken` after it began.
    pub(super) fn record(&self, taken: Duration) {
        let ended = Instant::now();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).record(taken, ended);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_all_cores_are_added_up_and_none_is_too_long() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let cores: Vec<_> = (1..=2).map(|_| Latencies::new().unwrap()).collect();
        cores[0].0.lock().unwrap().record(Duration::from_millis(5), start + second);
        cores[1].0.lock().unwrap().record(second, start + 3 * second);
        cores[1].0.lock().unwrap().record(Duration::from_hours(1000), start + 2 * second);
        let mut all = Recorded::new().unwrap();
        for core in &cores {
            all.add(core);
        }
        assert_eq!(all.micros().len(), 3);
        assert!(all.micros().value_at_quantile(0.3).abs_diff(5000) <= 5);
        assert!(all.micros().max() >= LONGEST);
        assert_eq!(all.span.map(|(_, last)| last), Some(start + 3 * second));
    }
}

//! How many requests the upstream accepted a moment ago. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// One count is kept for so long.
const SLICE: Duration = Duration::from_millis(125);
/// So many counts are kept: ten seconds.
const SLICES: usize = 80;

/// Counts of accepted requests by slices of time.
#[derive(Debug)]
pub(super) struct Accepted {
    began: Duration,
    /// The youngest slice comes last.
    counts: VecDeque<(Duration, u32)>,
}

impl Accepted {
    pub(super) fn new(began: Duration) -> Self {
        Self { began, counts: VecDeque::new() }
    }

    pub(super) fn add(&mut self, now: Duration) {
        match self.counts.back_mut() {
            Some((began, count)) if now < *began + SLICE => *count += 1,
            _ => {
                self.counts.push_back((now, 1));
                if self.counts.len() > SLICES {
                    self.counts.pop_front();
                }
            }
        }
    }

    /// The rate per second of late: over one second, or longer where `expected` is so low that a second says
    /// little.
    pub(super) fn rate(&self, now: Duration, expected: f64) -> f64 {
        let window = (20.0 / expected).clamp(1.0, 10.0);
        let window = Duration::from_secs_f64(window).min(now.saturating_sub(self.began)).max(SLICE);
        let from = now.saturating_sub(window);
        let recent = self.counts.iter().rev().take_while(|(began, _)| *began >= from);
        let (count, oldest) = recent.fold((0, now), |(sum, _), (began, count)| (sum + count, *began));
        // A slice that is cut in two is left out, and so is its time.
        let cut = oldest.saturating_sub(from).min(SLICE);
        f64::from(count) / window.saturating_sub(cut).max(SLICE).as_secs_f64()
    }
}

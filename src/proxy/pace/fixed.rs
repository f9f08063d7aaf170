//! A configured limit: rate, spacing, requests at once. Pure. A moment is the time since any fixed start.
//!
//! Not the `governor` crate: its rates are token buckets, which let twice the count through in some windows,
//! where a configured rate is never to be exceeded; and it cannot say how long the hundredth in a queue will
//! wait, which an honest `Retry-After` needs.

use std::num::NonZeroU32;
use std::time::Duration;

use super::rate::Rate;
use super::window::Window;

/// Starts of a rate above ten a second are spread evenly; below that, a burst is what the rate is for.
const EVEN: Duration = Duration::from_millis(100);
/// A late timer may be made up for by this much, so that the rate is met.
const LATENESS: Duration = Duration::from_millis(20);

/// What is configured for one limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedLimit {
    /// The most starts in any window.
    pub rate: Option<Rate>,
    /// The most requests at once.
    pub concurrent: Option<NonZeroU32>,
    /// The least time between two starts.
    pub spacing: Option<Duration>,
}

impl FixedLimit {
    /// The part of each of so many replicas that share it. One request at once is the least.
    #[must_use]
    fn divided(self, among: NonZeroU32) -> Self {
        Self {
            rate: self.rate.map(|rate| rate.divided(among)),
            concurrent: self
                .concurrent
                .map(|most| NonZeroU32::new(most.get() / among).unwrap_or(NonZeroU32::MIN)),
            spacing: self.spacing.map(|spacing| spacing.saturating_mul(among.get())),
        }
    }
}

/// What has been used of it.
#[derive(Debug)]
pub(super) struct Fixed {
    /// What all replicas have together.
    configured: FixedLimit,
    /// This replica's part.
    limit: FixedLimit,
    window: Option<Window>,
    /// The even distance between two starts, and when the next one is due.
    step: Duration,
    next_step: Duration,
    last: Option<Duration>,
    in_use: u32,
}

/// When the next request may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    At(Duration),
    /// When another one has ended.
    WhenOneEnds,
}

impl Fixed {
    pub(super) fn new(limit: FixedLimit) -> Self {
        Self {
            configured: limit,
            limit,
            window: limit.rate.map(Window::new),
            step: step(limit),
            next_step: Duration::ZERO,
            last: None,
            in_use: 0,
        }
    }

    /// So many replicas share the limit from now on. What was used stays used.
    pub(super) fn share_among(&mut self, replicas: NonZeroU32) {
        self.limit = self.configured.divided(replicas);
        if let (Some(window), Some(rate)) = (&mut self.window, self.limit.rate) {
            window.set_rate(rate);
        }
        self.step = step(self.limit);
    }

    /// True where requests must say when they have ended.
    pub(super) fn counts_ends(&self) -> bool {
        self.limit.concurrent.is_some()
    }

    /// When the next request may start: `now` where that is at once.
    pub(super) fn next(&mut self, now: Duration) -> Start {
        if self.limit.concurrent.is_some_and(|most| self.in_use >= most.get()) {
            return Start::WhenOneEnds;
        }
        Start::At(now + self.wait(0, now))
    }

    /// How long the request at this place of the queue (from 0) waits at least.
    pub(super) fn wait(&mut self, place: usize, now: Duration) -> Duration {
        let places = u32::try_from(place).unwrap_or(u32::MAX);
        let spaced = match (self.limit.spacing, self.last) {
            (Some(spacing), Some(last)) => last + spacing.saturating_mul(places.saturating_add(1)),
            (Some(spacing), None) => now + spacing.saturating_mul(places),
            (None, _) => now,
        };
        let even = self.next_step.max(now) + self.step.saturating_mul(places);
        let window = self.window.as_mut().map_or(now, |window| window.free_at(place, now));
        spaced.max(even).max(window).saturating_sub(now)
    }

    /// A request starts.
    pub(super) fn take(&mut self, now: Duration) {
        if let Some(window) = &mut self.window {
            window.take(now);
        }
        self.next_step = self.next_step.max(now.saturating_sub(LATENESS)) + self.step;
        self.last = Some(now);
        self.in_use += 1;
    }

    /// A request has ended.
    pub(super) fn give_back(&mut self) {
        self.in_use = self.in_use.saturating_sub(1);
    }
}

/// The even distance between two starts.
fn step(limit: FixedLimit) -> Duration {
    let step = limit.rate.map(|rate| rate.per / rate.count.get()).filter(|step| *step <= EVEN);
    step.unwrap_or_default()
}

#[cfg(test)]
mod tests;

//! The controller against quotas of three kinds, in virtual time and with many seeds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Bucket,
    Fixed,
    Sliding,
    /// No quota at all: one in a hundred is rejected.
    Random,
}

const QUOTAS: [Kind; 3] = [Kind::Bucket, Kind::Fixed, Kind::Sliding];

/// So many requests a second, by windows of one second.
struct Quota {
    kind: Kind,
    rate: f64,
    tokens: f64,
    filled: Duration,
    starts: VecDeque<Duration>,
}

impl Quota {
    fn new(kind: Kind, rate: f64) -> Self {
        Self { kind, rate, tokens: rate, filled: Duration::ZERO, starts: VecDeque::new() }
    }

    /// `None` where the request is served, else how long until one would be.
    fn ask(&mut self, now: Duration, random: &mut fastrand::Rng) -> Option<Duration> {
        let second = Duration::from_secs(1);
        match self.kind {
            Kind::Random => return (random.u32(..100) == 0).then_some(second),
            Kind::Bucket => {
                let more = now.saturating_sub(self.filled).as_secs_f64() * self.rate;
                self.tokens = (self.tokens + more).min(self.rate);
                self.filled = now;
                if self.tokens < 1.0 {
                    return Some(Duration::from_secs_f64((1.0 - self.tokens) / self.rate));
                }
                self.tokens -= 1.0;
                return None;
            }
            Kind::Fixed => {
                while self.starts.front().is_some_and(|start| start.as_secs() < now.as_secs()) {
                    self.starts.pop_front();
                }
            }
            Kind::Sliding => {
                while self.starts.front().is_some_and(|start| *start + second <= now) {
                    self.starts.pop_front();
                }
            }
        }
        if f64::from(u32::try_from(self.starts.len()).unwrap()) < self.rate {
            self.starts.push_back(now);
            return None;
        }
        let ends = if self.kind == Kind::Fixed {
            Duration::from_secs(now.as_secs() + 1)
        } else {
            self.starts.front().copied().unwrap_or(now) + second
        };
        Some(ends.saturating_sub(now))
    }
}

/// When its response arrives, when it was sent, when its caller began, how often it was rejected before, and the
/// `Retry-After` where it is rejected.
type Attempt = (Duration, Duration, Duration, u32, Option<Duration>);

/// Each caller sends its next request when the last one is served.
struct Run {
    controller: Controller,
    quota: Quota,
    retry_after: bool,
    random: fastrand::Rng,
    now: Duration,
    /// When each caller began to wait, and how often it was rejected.
    queue: VecDeque<(Duration, u32)>,
    /// Those that back off by themselves, with the end of that.
    backing_off: BinaryHeap<Reverse<(Duration, Duration, u32)>>,
    flying: BinaryHeap<Reverse<Attempt>>,
    served: u32,
    rejected: u32,
    /// Requests that were rejected more often than the default of retries allows.
    failed: u32,
    durations: Vec<Duration>,
}

impl Run {
    fn new(kind: Kind, rate: f64, callers: usize, retry_after: bool, seed: u64) -> Self {
        Self {
            controller: Controller::default(),
            quota: Quota::new(kind, rate),
            retry_after,
            random: fastrand::Rng::with_seed(seed),
            now: Duration::ZERO,
            queue: std::iter::repeat_n((Duration::ZERO, 0), callers).collect(),
            backing_off: BinaryHeap::new(),
            flying: BinaryHeap::new(),
            served: 0,
            rejected: 0,
            failed: 0,
            durations: Vec::new(),
        }
    }

    fn until(&mut self, end: u64) -> &mut Self {
        let end = Duration::from_secs(end);
        while self.now < end {
            while let Some(Reverse((_, began, rejections))) =
                self.backing_off.peek().copied().filter(|Reverse((due, ..))| *due <= self.now)
            {
                self.backing_off.pop();
                // The queue is in the order of arrival.
                let place = self.queue.partition_point(|(other, _)| *other <= began);
                self.queue.insert(place, (began, rejections));
            }
            let next = self.controller.next(self.now);
            if next <= self.now && !self.queue.is_empty() {
                let (began, rejections) = self.queue.pop_front().unwrap();
                self.controller.sent(self.now);
                let after = self.quota.ask(self.now, &mut self.random);
                let back = self.now + Duration::from_millis(self.random.u64(20..60));
                self.flying.push(Reverse((back, self.now, began, rejections, after)));
                continue;
            }
            let wake = if self.queue.is_empty() { end } else { next.min(end) };
            let wake = self.backing_off.peek().map_or(wake, |Reverse((due, ..))| wake.min(*due));
            match self.flying.peek() {
                Some(Reverse((back, ..))) if *back <= wake => self.response(),
                _ => self.now = wake,
            }
        }
        self
    }

    fn response(&mut self) {
        let Some(Reverse((back, sent, began, rejections, rejected))) = self.flying.pop() else { return };
        self.now = self.now.max(back);
        if let Some(after) = rejected {
            self.rejected += 1;
            let whole = Duration::from_secs(after.as_secs() + u64::from(after.subsec_nanos() > 0));
            self.controller.rejected(self.now, sent, self.retry_after.then_some(whole));
            if rejections == 3 {
                self.failed += 1;
                self.queue.push_back((self.now, 0));
            } else {
                let roll = self.random.f64();
                let backoff = crate::proxy::retry::paced_backoff(rejections, roll);
                let due = if self.retry_after { self.now } else { self.now + backoff };
                self.backing_off.push(Reverse((due, began, rejections + 1)));
            }
        } else {
            self.served += 1;
            self.durations.push(self.now.saturating_sub(began));
            self.controller.accepted(self.now, sent);
            self.queue.push_back((self.now, 0));
        }
        self.controller.forget(self.now);
    }

    fn count_anew(&mut self) -> &mut Self {
        (self.served, self.rejected, self.failed) = (0, 0, 0);
        self.durations.clear();
        self
    }

    fn rejected_share(&self) -> f64 {
        f64::from(self.rejected) / f64::from(self.served + self.rejected)
    }

    fn use_of(&self, rate: f64, seconds: f64) -> f64 {
        f64::from(self.served) / (rate * seconds)
    }
}

#[test]
fn a_quota_without_retry_after_is_used_and_not_burned() {
    for kind in QUOTAS {
        for (callers, rate) in [(20, 50.0), (100, 50.0), (400, 50.0), (1000, 100.0)] {
            for seed in 0..20 {
                let mut run = Run::new(kind, rate, callers, false, seed);
                run.until(5).count_anew().until(65);
                let (used, rejected) = (run.use_of(rate, 60.0), run.rejected_share());
                let at = format!("{kind:?} {callers} {seed}: {used:.3} used, {rejected:.3} rejected");
                assert!(used >= 0.97 && rejected <= 0.03, "{at}");
            }
        }
    }
}

#[test]
fn after_retry_after_few_are_rejected_and_most_of_the_quota_is_used() {
    for kind in QUOTAS {
        for (callers, rate) in [(20, 50.0), (100, 50.0), (400, 50.0), (1000, 100.0)] {
            for seed in 0..20 {
                let mut run = Run::new(kind, rate, callers, true, seed);
                run.until(10).count_anew().until(130);
                let (used, rejected) = (run.use_of(rate, 120.0), run.rejected_share());
                // Each rejection pauses everybody for a whole second. A bucket fills meanwhile; what a window
                // would have served is lost, and so are the first seconds that look for the rate.
                let least = if kind == Kind::Bucket { 0.97 } else { 0.8 };
                let at = format!("{kind:?} {callers} {seed}: {used:.3} used, {rejected:.3} rejected");
                assert!(used >= least && rejected <= 0.03, "{at}");
            }
        }
    }
}

#[test]
fn a_quota_that_changes_is_followed_within_ten_seconds() {
    for kind in QUOTAS {
        for factor in [0.5, 2.0] {
            for seed in 0..20 {
                let mut run = Run::new(kind, 50.0, 400, false, seed);
                run.until(30);
                run.quota.rate = 50.0 * factor;
                run.until(40).count_anew().until(60);
                let (used, rejected) = (run.use_of(50.0 * factor, 20.0), run.rejected_share());
                let at = format!("{kind:?} {factor} {seed}: {used:.3} used, {rejected:.3} rejected");
                assert!(used >= 0.95 && rejected <= 0.05, "{at}");
            }
        }
    }
}

#[test]
fn a_quota_that_is_lifted_is_forgotten_within_a_minute() {
    for kind in QUOTAS {
        for seed in 0..3 {
            let mut run = Run::new(kind, 50.0, 400, false, seed);
            run.until(30);
            run.quota.rate = 1e9;
            run.until(90);
            assert!(!run.controller.is_limited(), "{kind:?} {seed}: {:?}", run.controller.rate());
        }
    }
}

#[test]
fn equal_callers_finish_at_about_the_same_time() {
    for kind in QUOTAS {
        for seed in 0..20 {
            let mut run = Run::new(kind, 50.0, 100, false, seed);
            run.until(10).count_anew().until(70);
            run.durations.sort();
            let at = |percent: usize| run.durations[run.durations.len() * percent / 100];
            assert!(at(99) <= at(50).mul_f64(2.1), "{kind:?} {seed}: {:?} {:?}", at(50), at(99));
        }
    }
}

#[test]
fn random_rejections_do_not_slow_everybody_down() {
    for seed in 0..40 {
        // 100 callers at 25 requests a second each, were there no pace.
        let mut run = Run::new(Kind::Random, 0.0, 100, false, seed);
        run.until(10).count_anew().until(70);
        let used = run.use_of(2500.0, 60.0);
        assert!(used >= 0.9, "{seed}: {used:.3} of what is possible");
    }
}

#[test]
fn rejections_for_ever_are_asked_about_ever_less() {
    let mut run = Run::new(Kind::Fixed, 0.0, 100, false, 1);
    run.until(60).count_anew().until(120);
    assert_eq!(run.served, 0);
    assert!((1..200).contains(&run.rejected), "{} attempts in a minute", run.rejected);
}

#[test]
fn a_pause_holds_for_everybody() {
    let second = Duration::from_secs(1);
    let mut controller = Controller::default();
    assert!(controller.rejected(second, second, Some(second * 3)));
    assert_eq!(controller.next(second * 2), second * 4);
    assert_eq!(controller.paused_until(second * 2), Some(second * 4));
    assert_eq!(controller.wait(0, second * 2), second * 2);
    assert_eq!(controller.paused_until(second * 4), None);
}

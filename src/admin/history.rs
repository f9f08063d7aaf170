//! The last ten minutes, one sample a second, so that a page that is opened after a failure shows it. Pure.
//!
//! Rates are per second, durations in milliseconds.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::time::Instant;

use crate::clock::Now;
use crate::metrics::{Durations, Percentiles};

/// The time between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// Ten minutes.
const KEPT: usize = 600;
/// The latest percentiles are of so many stretches of this many samples: a minute.
const STRETCHES: usize = 12;
const STRETCH: u64 = 5;

/// All that is counted, up to one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    /// Responses to clients below 400.
    pub(super) succeeded: u64,
    /// Responses to clients from 400 to 499, but for 429.
    pub(super) client_errors: u64,
    /// Responses to clients with 429.
    pub(super) rate_limited: u64,
    /// Responses to clients from 500 on.
    pub(super) server_errors: u64,
    /// Responses in which the API asked for fewer requests, passed on or not.
    pub(super) api_rate_limited: u64,
    /// Requests sent again.
    pub(super) retries: PerRetry<u64>,
    /// Seconds that requests have waited.
    pub(super) waited: PerWait<f64>,
    /// What the proxy added to requests.
    pub(super) added: Durations,
    /// What the API took.
    pub(super) upstream: Durations,
}

/// A number for each reason to send a request again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerRetry<T> {
    pub(super) unauthorized: T,
    pub(super) rate_limited: T,
    pub(super) connection: T,
}

/// A number for each thing that requests wait for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerWait<T> {
    pub(super) rate_limited: T,
    pub(super) token: T,
    pub(super) queue: T,
}

/// Samples of the last minutes.
#[derive(Debug, Default)]
pub(super) struct History {
    /// The number of the next sample.
    next: u64,
    before: Option<(Instant, Totals)>,
    samples: VecDeque<Sample>,
    /// Durations as they were at the end of each of the last stretches.
    stretches: VecDeque<(Durations, Durations)>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: u64,
    in_flight: usize,
    succeeded: f64,
    client_errors: f64,
    rate_limited: f64,
    server_errors: f64,
    api_rate_limited: f64,
    retries: PerRetry<f64>,
    waiting: PerWait<f64>,
    added: Option<Percentiles>,
    upstream: Option<Percentiles>,
}

/// Samples as `/history` has them: a list for each number, all of one length.
#[derive(Debug, Default, Serialize)]
pub(super) struct Columns {
    /// What to ask for next time: `after`.
    next: u64,
    interval_seconds: f64,
    /// Unix time in milliseconds.
    at_ms: Vec<u64>,
    in_flight: Vec<usize>,
    succeeded: Vec<f64>,
    client_errors: Vec<f64>,
    rate_limited: Vec<f64>,
    server_errors: Vec<f64>,
    api_rate_limited: Vec<f64>,
    retries_unauthorized: Vec<f64>,
    retries_rate_limited: Vec<f64>,
    retries_connection: Vec<f64>,
    waiting_rate_limited: Vec<f64>,
    waiting_token: Vec<f64>,
    waiting_queue: Vec<f64>,
    added_p50_ms: Vec<Option<f64>>,
    added_p99_ms: Vec<Option<f64>>,
    upstream_p50_ms: Vec<Option<f64>>,
    upstream_p90_ms: Vec<Option<f64>>,
    upstream_p99_ms: Vec<Option<f64>>,
}

impl History {
    /// Takes a sample. The first call only marks a beginning.
    pub(super) fn sample(&mut self, totals: Totals, in_flight: usize, now: Now) {
        if self.next.is_multiple_of(STRETCH) {
            self.stretches.push_back((totals.added.clone(), totals.upstream.clone()));
            if self.stretches.len() > STRETCHES {
                self.stretches.pop_front();
            }
        }
        if let Some((since, before)) = &self.before {
            let seconds = now.steady.saturating_duration_since(*since).as_secs_f64();
            if seconds <= 0.0 {
                return;
            }
            self.samples.push_back(Sample::of(&totals, before, seconds, in_flight, now.wall));
            if self.samples.len() > KEPT {
                self.samples.pop_front();
            }
        }
        self.next += 1;
        self.before = Some((now.steady, totals));
    }

    /// What the proxy added, and what the API took, within about the last minute.
    pub(super) fn latest(&self) -> (Option<Percentiles>, Option<Percentiles>) {
        match (&self.before, self.stretches.front()) {
            (Some((_, totals)), Some((added, upstream))) => {
                (totals.added.since(added).percentiles(), totals.upstream.since(upstream).percentiles())
            }
            (_, _) => (None, None),
        }
    }

    /// The samples from the one with this number on, as far as they are kept.
    pub(super) fn after(&self, number: u64) -> Columns {
        let missed = usize::try_from(self.next.saturating_sub(number)).unwrap_or(usize::MAX);
        // A number that was never given is from another run of the program: everything is new then.
        let wanted = if number > self.next { KEPT } else { missed };
        let skipped = self.samples.len().saturating_sub(wanted);
        let mut columns =
            Columns { next: self.next, interval_seconds: INTERVAL.as_secs_f64(), ..Columns::default() };
        self.samples.iter().skip(skipped).for_each(|sample| columns.push(sample));
        columns
    }
}

impl Sample {
    fn of(totals: &Totals, before: &Totals, seconds: f64, in_flight: usize, wall: SystemTime) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
        let rate = |number: fn(&Totals) -> u64| {
            rounded(number(totals).saturating_sub(number(before)) as f64 / seconds)
        };
        let share =
            |number: fn(&Totals) -> f64| rounded((number(totals) - number(before)).max(0.0) / seconds);
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            in_flight,
            succeeded: rate(|totals| totals.succeeded),
            client_errors: rate(|totals| totals.client_errors),
            rate_limited: rate(|totals| totals.rate_limited),
            server_errors: rate(|totals| totals.server_errors),
            api_rate_limited: rate(|totals| totals.api_rate_limited),
            retries: PerRetry {
                unauthorized: rate(|totals| totals.retries.unauthorized),
                rate_limited: rate(|totals| totals.retries.rate_limited),
                connection: rate(|totals| totals.retries.connection),
            },
            waiting: PerWait {
                rate_limited: share(|totals| totals.waited.rate_limited),
                token: share(|totals| totals.waited.token),
                queue: share(|totals| totals.waited.queue),
            },
            added: totals.added.since(&before.added).percentiles(),
            upstream: totals.upstream.since(&before.upstream).percentiles(),
        }
    }
}

impl Columns {
    fn push(&mut self, sample: &Sample) {
        self.at_ms.push(sample.at_ms);
        self.in_flight.push(sample.in_flight);
        self.succeeded.push(sample.succeeded);
        self.client_errors.push(sample.client_errors);
        self.rate_limited.push(sample.rate_limited);
        self.server_errors.push(sample.server_errors);
        self.api_rate_limited.push(sample.api_rate_limited);
        self.retries_unauthorized.push(sample.retries.unauthorized);
        self.retries_rate_limited.push(sample.retries.rate_limited);
        self.retries_connection.push(sample.retries.connection);
        self.waiting_rate_limited.push(sample.waiting.rate_limited);
        self.waiting_token.push(sample.waiting.token);
        self.waiting_queue.push(sample.waiting.queue);
        self.added_p50_ms.push(sample.added.map(|own| milliseconds(own.p50)));
        self.added_p99_ms.push(sample.added.map(|own| milliseconds(own.p99)));
        self.upstream_p50_ms.push(sample.upstream.map(|own| milliseconds(own.p50)));
        self.upstream_p90_ms.push(sample.upstream.map(|own| milliseconds(own.p90)));
        self.upstream_p99_ms.push(sample.upstream.map(|own| milliseconds(own.p99)));
    }
}

/// With microseconds.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1000.0)
}

/// More digits would say more than is known, and make the page's text longer.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn totals(succeeded: u64) -> Totals {
        Totals { succeeded, ..Totals::default() }
    }

    /// A history with a request more in every second.
    fn filled(samples: u64) -> History {
        let start = Clock::anchored(UNIX_EPOCH).now();
        let mut history = History::default();
        for second in 0..=samples {
            history.sample(totals(second * (second + 1) / 2), 1, start.plus(Duration::from_secs(second)));
        }
        history
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_gets_what_came_since() {
        let history = filled(3);
        let all = history.after(0);
        assert_eq!((all.succeeded.clone(), all.at_ms), (vec![1.0, 2.0, 3.0], vec![1000, 2000, 3000]));
        assert_eq!(history.after(all.next - 1).succeeded, [3.0]);
        assert!(history.after(all.next).succeeded.is_empty());
        assert_eq!(history.after(all.next + 100).succeeded.len(), 3, "a number of another run");
        let text = serde_json::to_value(history.after(0)).unwrap();
        let lengths = text.as_object().unwrap().values().filter_map(|value| Some(value.as_array()?.len()));
        assert!(lengths.clone().count() > 15 && lengths.clone().all(|length| length == 3), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn ten_minutes_are_kept() {
        let history = filled(700);
        assert_eq!(history.after(0).at_ms.len(), KEPT);
        assert_eq!(history.after(0).at_ms.last(), Some(&700_000));
        assert_eq!(history.stretches.len(), STRETCHES);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_per_second_however_late_a_sample_comes() {
        let start = Clock::anchored(UNIX_EPOCH).now();
        let mut history = History::default();
        history.sample(totals(0), 0, start);
        history.sample(totals(100), 0, start);
        history.sample(totals(100), 0, start.plus(Duration::from_secs(4)));
        assert_eq!(history.after(0).succeeded, [25.0], "a sample that takes no time is none");
        assert_eq!(history.after(0).upstream_p50_ms, [None]);
    }
}

//! What each core counts of requests and connections. Counting is one relaxed addition to memory that
//! no other core writes to; summing is left to whoever reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;

/// Methods that have a label of their own; every other counts as `other`.
pub const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
/// Why requests are sent again, as the label says it.
pub const RESENDS: [&str; 3] = ["unauthorized", "rate_limited", "connection"];
/// Upper bounds of the duration histograms, in seconds.
pub const BOUNDS: [f64; 17] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0];

const STATUSES: usize = 500;

/// What one core counts. No two cores write to the same shard, so counting never waits.
#[derive(Debug)]
pub struct Shard {
    requests: Vec<AtomicU64>,
    resends: [AtomicU64; 3],
    replays_skipped: [AtomicU64; 3],
    /// Requests whose answer has not ended.
    pub in_flight: AtomicUsize,
    /// Client connections. Shared with the worker, which counts them for itself too.
    pub connections: Arc<AtomicUsize>,
    /// Requests that were abandoned by their client before an answer.
    pub abandoned: AtomicU64,
    /// From the end of a request's head to the end of its answer.
    pub request_duration: Histogram,
    /// From the sending of an attempt to the head of its answer.
    pub upstream_duration: Histogram,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            requests: (0..(METHODS.len() + 1) * STATUSES).map(|_| AtomicU64::new(0)).collect(),
            resends: Default::default(),
            replays_skipped: Default::default(),
            in_flight: AtomicUsize::new(0),
            connections: Arc::default(),
            abandoned: AtomicU64::new(0),
            request_duration: Histogram::default(),
            upstream_duration: Histogram::default(),
        }
    }
}

impl Shard {
    /// Counts an answer. Statuses beyond 599 count as 599.
    pub fn answered(&self, method: &Method, status: u16) {
        let row = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len());
        let column = usize::from(status.clamp(100, 599) - 100);
        if let Some(counter) = self.requests.get(row * STATUSES + column) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a resend; `reason` is an index into [`RESENDS`].
    pub fn resent(&self, reason: usize) {
        if let Some(counter) = self.resends.get(reason) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a resend that a too large body prevented; `reason` is an index into [`RESENDS`].
    pub fn replay_skipped(&self, reason: usize) {
        if let Some(counter) = self.replays_skipped.get(reason) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Answers so far: method, status, count; only those that occurred.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, u16, u64)> {
        self.requests.iter().enumerate().filter_map(|(index, counter)| {
            let count = counter.load(Ordering::Relaxed);
            let status = u16::try_from(index % STATUSES + 100).ok()?;
            (count > 0).then(|| (*METHODS.get(index / STATUSES).unwrap_or(&"other"), status, count))
        })
    }

    /// Resends so far, in the order of [`RESENDS`].
    pub fn resends(&self) -> [u64; 3] {
        self.resends.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Prevented resends so far, in the order of [`RESENDS`].
    pub fn replays_skipped(&self) -> [u64; 3] {
        self.replays_skipped.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// The shards of all cores.
#[derive(Clone, Debug, Default)]
pub struct Shards(Arc<[Arc<Shard>]>);

impl FromIterator<Arc<Shard>> for Shards {
    fn from_iter<I: IntoIterator<Item = Arc<Shard>>>(shards: I) -> Self {
        Self(shards.into_iter().collect())
    }
}

impl Shards {
    /// `count` of them.
    pub fn new(count: usize) -> Self {
        Self((0..count).map(|_| Arc::default()).collect())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.0.iter()
    }

    /// Requests whose answer has not ended, on all cores.
    pub fn in_flight(&self) -> usize {
        self.iter().map(|shard| shard.in_flight.load(Ordering::Relaxed)).sum()
    }

    /// Client connections, on all cores.
    pub fn connections(&self) -> usize {
        self.iter().map(|shard| shard.connections.load(Ordering::Relaxed)).sum()
    }

    /// Answers, on all cores.
    pub fn answered(&self) -> u64 {
        self.iter().flat_map(|shard| shard.requests()).map(|(_, _, count)| count).sum()
    }

    /// Requests that were abandoned by their client before an answer, on all cores.
    pub fn abandoned(&self) -> u64 {
        self.iter().map(|shard| shard.abandoned.load(Ordering::Relaxed)).sum()
    }

    /// Resends in the order of [`RESENDS`], on all cores.
    pub fn resends(&self) -> [u64; RESENDS.len()] {
        self.sum(Shard::resends)
    }

    /// Prevented resends in the order of [`RESENDS`], on all cores.
    pub fn replays_skipped(&self) -> [u64; RESENDS.len()] {
        self.sum(Shard::replays_skipped)
    }

    fn sum<const N: usize>(&self, read: impl Fn(&Shard) -> [u64; N]) -> [u64; N] {
        self.iter().fold([0; N], |mut sums, shard| {
            sums.iter_mut().zip(read(shard)).for_each(|(sum, count)| *sum += count);
            sums
        })
    }

    /// True where one core's share of `limit` is used up and so is the whole of it. Looks at the
    /// other cores only then.
    pub fn is_over(&self, own: usize, limit: usize) -> bool {
        own > limit / self.0.len().max(1) && self.in_flight() > limit
    }
}

/// Durations in buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let index = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(index) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// The counts of the buckets, the last without a bound, not cumulative; and the sum of all
    /// durations in seconds.
    pub fn read(&self) -> ([u64; BOUNDS.len() + 1], f64) {
        let counts = self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        (counts, Duration::from_nanos(self.sum_nanos.load(Ordering::Relaxed)).as_secs_f64())
    }
}

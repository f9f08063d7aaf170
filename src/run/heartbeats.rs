//! Whether the threads that serve clients still do so: each says so every few seconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A thread that has been silent for so long stands still: it beats every five seconds.
const LONGEST_SILENCE: Duration = Duration::from_secs(20);

/// The latest beats of all threads.
#[derive(Debug)]
pub(super) struct Heartbeats {
    start: Instant,
    /// Milliseconds since the start.
    latest: Vec<Arc<AtomicU64>>,
}

/// One thread's.
#[derive(Debug)]
pub(super) struct Heart {
    start: Instant,
    latest: Arc<AtomicU64>,
}

impl Heartbeats {
    /// As if every one of `threads` had just beaten.
    pub(super) fn new(threads: usize) -> Self {
        Self { start: Instant::now(), latest: (0..threads).map(|_| Arc::default()).collect() }
    }

    /// The one of this thread.
    pub(super) fn of(&self, thread: usize) -> Heart {
        Heart { start: self.start, latest: self.latest.get(thread).cloned().unwrap_or_default() }
    }

    /// True where none has been silent for too long.
    pub(super) fn are_regular(&self) -> bool {
        let now = self.start.elapsed();
        let silence = |latest: &Arc<AtomicU64>| {
            now.saturating_sub(Duration::from_millis(latest.load(Ordering::Relaxed)))
        };
        self.latest.iter().all(|latest| silence(latest) < LONGEST_SILENCE)
    }
}

impl Heart {
    /// The thread does its work.
    pub(super) fn beat(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.latest.store(now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_silent_thread_is_enough() {
        let all = Heartbeats::new(2);
        let (one, two) = (all.of(0), all.of(1));
        advance(Duration::from_secs(19)).await;
        assert!(all.are_regular());
        one.beat();
        advance(Duration::from_secs(2)).await;
        assert!(!all.are_regular(), "the second one is silent");
        two.beat();
        assert!(all.are_regular());
    }
}

//! The operator's pause: while it is on, the proxy sends nothing to the API and says so with 503.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whether the proxy is paused. Cheap to clone; all clones are one switch. It does not outlive the process.
#[derive(Clone, Debug, Default)]
pub struct Pause(Arc<AtomicU64>);

/// The number that means that there is no pause.
const OFF: u64 = 0;

impl Pause {
    /// One relaxed load: every request asks.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) != OFF
    }

    /// Since when, with milliseconds.
    pub fn since(&self) -> Option<SystemTime> {
        match self.0.load(Ordering::Relaxed) {
            OFF => None,
            millis => Some(UNIX_EPOCH + Duration::from_millis(millis)),
        }
    }

    /// Begins a pause at `now`. False where there is one already; it keeps its beginning.
    pub fn begin(&self, now: SystemTime) -> bool {
        let millis = now.duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis());
        let millis = u64::try_from(millis).unwrap_or(u64::MAX).max(1);
        self.0.compare_exchange(OFF, millis, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Ends the pause. False where there was none.
    pub fn end(&self) -> bool {
        self.0.swap(OFF, Ordering::Relaxed) != OFF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_keeps_its_beginning_and_has_one_end() {
        let pause = Pause::default();
        let (first, second) = (UNIX_EPOCH + Duration::from_secs(1), UNIX_EPOCH + Duration::from_secs(2));
        assert!(!pause.is_on() && pause.since().is_none() && !pause.end());
        assert!(pause.begin(first) && !pause.clone().begin(second));
        assert_eq!((pause.is_on(), pause.since()), (true, Some(first)));
        assert!(pause.end() && !pause.end());
        assert!(pause.begin(UNIX_EPOCH), "a clock that was never set");
        assert!(pause.is_on());
    }
}

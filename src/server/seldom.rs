//! Says which of many equal log lines are written.
//!
//! Decides without a clock: the moment is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Equal lines are logged no more often.
const EVERY: Duration = Duration::from_secs(10);

/// One kind of line.
#[derive(Debug, Default)]
pub(super) struct Seldom {
    logged: Option<Instant>,
    silent: u64,
}

impl Seldom {
    /// One more. Where it is to be logged, returns how many were not since the last one that was.
    pub(super) fn note(&mut self, now: Instant) -> Option<u64> {
        if self.logged.is_some_and(|logged| now < logged + EVERY) {
            self.silent += 1;
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_are_logged_once_in_ten_seconds() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut lines = Seldom::default();
        assert_eq!(lines.note(at(0)), Some(0));
        for millis in (100..10_000).step_by(100) {
            assert_eq!(lines.note(at(millis)), None);
        }
        assert_eq!(lines.note(at(10_000)), Some(99));
        assert_eq!(lines.note(at(10_100)), None);
    }
}

//! What time it is: the only place of this crate that reads a clock.

use std::time::SystemTime;

use tokio::time::Instant;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// Never goes back. Follows tokio's paused clock in tests.
    pub(crate) steady: Instant,
    /// The calendar's time.
    pub(crate) wall: SystemTime,
}

impl Now {
    /// Reads both clocks.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clocks")]
    pub(crate) fn read() -> Self {
        Self { steady: Instant::now(), wall: SystemTime::now() }
    }

    /// Both clocks moved on by `by`.
    #[cfg(test)]
    pub(crate) fn plus(self, by: std::time::Duration) -> Self {
        Self { steady: self.steady + by, wall: self.wall + by }
    }
}

//! What time it is: the only place that reads a clock.
//!
//! Two clocks are read together because each lies in its own way. The steady one stops while a
//! laptop is suspended; the wall clock jumps when somebody sets it. To the question
//! "has this expired?" a yes of either clock counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Never goes back; stops during a suspension. Follows tokio's paused clock in tests.
    pub steady: Instant,
    /// The calendar's time.
    pub wall: SystemTime,
}

/// Where the time comes from.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clocks.
    #[default]
    System,
    /// A calendar that moves with tokio's (possibly paused) clock from a fixed start.
    Anchored {
        /// The steady time that `wall` belongs to.
        steady: Instant,
        /// The calendar's time at `steady`.
        wall: SystemTime,
        /// For how many milliseconds the steady clock has stood still since; see [`Clock::suspend`].
        suspended: Arc<AtomicU64>,
    },
}

impl Clock {
    /// A clock whose calendar starts at `wall` now and moves with tokio's clock from there.
    pub fn anchored(wall: SystemTime) -> Self {
        Self::Anchored { steady: Instant::now(), wall, suspended: Arc::default() }
    }

    /// Moves the calendar of an anchored clock, and of all its clones, on by `by` (whole
    /// milliseconds) while the steady clock stands still, as a suspension of the machine does. The
    /// machine's own clocks take no orders.
    pub fn suspend(&self, by: Duration) {
        match self {
            Self::System => {}
            Self::Anchored { suspended, .. } => {
                let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
                suspended.fetch_add(millis, Ordering::Relaxed);
            }
        }
    }

    /// Reads both clocks.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
    pub fn now(&self) -> Now {
        let steady = Instant::now();
        let wall = match self {
            Self::System => SystemTime::now(),
            Self::Anchored { steady: start, wall, suspended } => {
                *wall + (steady - *start) + Duration::from_millis(suspended.load(Ordering::Relaxed))
            }
        };
        Now { steady, wall }
    }
}

impl Now {
    /// Both clocks moved on by `by`.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self { steady: self.steady + by, wall: self.wall + by }
    }

    /// True where either clock has reached `moment`.
    pub fn has_reached(self, moment: Self) -> bool {
        self.steady >= moment.steady || self.wall >= moment.wall
    }

    /// How long until `moment`, by the clock that gets there first; zero where it has passed.
    pub fn until(self, moment: Self) -> Duration {
        let by_wall = moment.wall.duration_since(self.wall).unwrap_or_default();
        moment.steady.saturating_duration_since(self.steady).min(by_wall)
    }
}

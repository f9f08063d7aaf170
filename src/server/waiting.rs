//! Whether a request, a stream or a tunnel stands still because of the client.
//!
//! Nothing is measured while bytes move: they move a number, and the task that keeps time looks at it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Where the connection waits for the client, for the stall time-out.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Somebody waits for bytes of the request's body that the client has not sent.
    owes: AtomicBool,
    /// Bytes wait that the client does not take.
    blocked: AtomicBool,
    /// Moves whenever bytes arrive.
    arrived: AtomicU32,
    /// Moves whenever bytes leave.
    left: AtomicU32,
}

/// For how long the client has stood still, found out by looking from time to time: nothing is
/// measured in between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stall {
    last: Look,
    /// When the look was that nothing has moved since.
    since: Option<Instant>,
}

/// What [`Waiting`] was at some moment: how far each thing had come that was the client's turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Look {
    owed: Option<u32>,
    blocked: Option<u32>,
}

impl Stall {
    /// Looks at `now`, and says for how long something has been the client's turn and has not moved.
    /// Never too long; too short by the time between two looks.
    pub(super) fn look(&mut self, waiting: &Waiting, now: Instant) -> Duration {
        let look = waiting.look();
        let stands = (look.owed.is_some() && look.owed == self.last.owed)
            || (look.blocked.is_some() && look.blocked == self.last.blocked);
        self.last = look;
        if !stands {
            self.since = Some(now);
        }
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

impl Waiting {
    /// The client owes bytes from now on, or no longer.
    pub(super) fn set_owes(&self, owes: bool) {
        self.owes.store(owes, Relaxed);
    }

    /// Bytes wait for the client from now on, or no longer.
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Relaxed);
    }

    /// Bytes have arrived. One writer at a time, so it need not be an atomic addition.
    pub(super) fn arrived(&self) {
        self.arrived.store(self.arrived.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Bytes have left. One writer at a time.
    pub(super) fn left(&self) {
        self.left.store(self.left.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// A number that changes whenever bytes leave.
    pub(super) fn departures(&self) -> u32 {
        self.left.load(Relaxed)
    }

    /// What is the client's turn, and how far it has come.
    fn look(&self) -> Look {
        Look {
            owed: self.owes.load(Relaxed).then(|| self.arrived.load(Relaxed)),
            blocked: self.blocked.load(Relaxed).then(|| self.left.load(Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_what_is_the_clients_turn_counts() {
        let waiting = Waiting::default();
        let mut stall = Stall::default();
        let start = Instant::now();
        for second in 0..100 {
            assert_eq!(stall.look(&waiting, start + SECOND * second), Duration::ZERO);
        }
        waiting.set_owes(true);
        assert_eq!(stall.look(&waiting, start + SECOND * 100), Duration::ZERO);
        assert_eq!(stall.look(&waiting, start + SECOND * 105), SECOND * 5);
        assert_eq!(stall.look(&waiting, start + SECOND * 107), SECOND * 7);
        waiting.arrived();
        assert_eq!(stall.look(&waiting, start + SECOND * 108), Duration::ZERO);
        assert_eq!(stall.look(&waiting, start + SECOND * 110), SECOND * 2);
        waiting.set_owes(false);
        assert_eq!(stall.look(&waiting, start + SECOND * 120), Duration::ZERO);
    }

    #[test]
    fn bytes_in_one_direction_are_no_progress_in_the_other() {
        let waiting = Waiting::default();
        let mut stall = Stall::default();
        let start = Instant::now();
        waiting.set_blocked(true);
        stall.look(&waiting, start);
        waiting.arrived();
        assert_eq!(stall.look(&waiting, start + SECOND), SECOND);
        waiting.left();
        assert_eq!(stall.look(&waiting, start + SECOND * 2), Duration::ZERO);
    }
}

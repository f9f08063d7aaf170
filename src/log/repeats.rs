//! Equal events, counted instead of repeated. Pure: the moment is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// The least time between two lines about the same state.
const BETWEEN_LINES: Duration = Duration::from_mins(1);

/// Remembers which state lasts, since when, and how often it has been met.
///
/// One line when a state begins, at most one a minute while it lasts, one when it ends: so that neither a
/// storm of equal events fills the log nor a state passes unseen. `S` is what tells states apart; `()`
/// where there is only one.
#[derive(Clone, Debug, Default)]
pub struct Repeats<S> {
    lasting: Option<Lasting<S>>,
}

#[derive(Clone, Debug)]
struct Lasting<S> {
    state: S,
    since: Instant,
    count: u64,
    /// When the latest line was due, and what the count was then.
    line_at: Instant,
    counted: u64,
}

/// A line that is due now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The state has just begun.
    First,
    /// It lasts.
    Again {
        /// Events since the line before, this one included.
        more: u64,
        /// How long the state has lasted.
        lasted: Duration,
    },
}

/// What there is to say of a state that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended<S> {
    /// Which state it was.
    pub state: S,
    /// How often it was met.
    pub count: u64,
    /// From its first event until now.
    pub lasted: Duration,
}

impl<S: PartialEq> Repeats<S> {
    /// No state yet.
    pub const fn new() -> Self {
        Self { lasting: None }
    }

    /// An event of `state` at `now`; says whether a line is due. Another state replaces the one before,
    /// which then ends without a line of its own.
    pub fn met(&mut self, state: S, now: Instant) -> Option<Due> {
        let Some(lasting) = self.lasting.as_mut().filter(|lasting| lasting.state == state) else {
            self.lasting = Some(Lasting { state, since: now, count: 1, line_at: now, counted: 1 });
            return Some(Due::First);
        };
        lasting.count = lasting.count.saturating_add(1);
        if now.saturating_duration_since(lasting.line_at) < BETWEEN_LINES {
            return None;
        }
        let more = lasting.count - lasting.counted;
        (lasting.line_at, lasting.counted) = (now, lasting.count);
        Some(Due::Again { more, lasted: now.saturating_duration_since(lasting.since) })
    }

    /// The state is over, where one lasted.
    pub fn end(&mut self, now: Instant) -> Option<Ended<S>> {
        let Lasting { state, since, count, .. } = self.lasting.take()?;
        Some(Ended { state, count, lasted: now.saturating_duration_since(since) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_first_event_is_said_and_the_next_ones_are_counted() {
        let start = Instant::now();
        let mut repeats = Repeats::new();
        assert_eq!(repeats.met('a', start), Some(Due::First));
        assert_eq!(repeats.met('a', start + seconds(1)), None);
        assert_eq!(repeats.met('a', start + seconds(59)), None);
        let again = Due::Again { more: 3, lasted: seconds(60) };
        assert_eq!(repeats.met('a', start + seconds(60)), Some(again));
        assert_eq!(repeats.met('a', start + seconds(61)), None);
        assert_eq!(
            repeats.end(start + seconds(90)),
            Some(Ended { state: 'a', count: 5, lasted: seconds(90) })
        );
        assert_eq!(repeats.end(start + seconds(90)), None);
    }

    #[test]
    fn another_state_is_said_at_once() {
        let start = Instant::now();
        let mut repeats = Repeats::new();
        for state in ['a', 'b', 'a'] {
            assert_eq!(repeats.met(state, start), Some(Due::First), "{state}");
        }
        assert_eq!(repeats.met('a', start), None);
    }

    #[test]
    fn a_state_that_ended_begins_anew() {
        let start = Instant::now();
        let mut repeats = Repeats::new();
        repeats.met((), start);
        repeats.end(start);
        assert_eq!(repeats.met((), start + seconds(1)), Some(Due::First));
    }

    proptest! {
        #[test]
        fn no_event_is_lost_and_no_two_lines_come_within_a_minute(
            gaps in proptest::collection::vec(0..50_u64, 1..200),
        ) {
            let mut now = Instant::now();
            let mut repeats = Repeats::new();
            let (mut said, mut line_at) = (0, None);
            for gap in &gaps {
                now += seconds(*gap);
                let due = repeats.met((), now);
                if let Some(due) = due {
                    let early = line_at.is_some_and(|at: Instant| now - at < BETWEEN_LINES);
                    prop_assert!(!early);
                    line_at = Some(now);
                    said += match due {
                        Due::First => 1,
                        Due::Again { more, .. } => more,
                    };
                }
            }
            let ended = repeats.end(now);
            prop_assert_eq!(ended.map(|ended| ended.count), Some(gaps.len() as u64));
            prop_assert!(said <= gaps.len() as u64);
            prop_assert!(line_at.is_some_and(|at| now - at < BETWEEN_LINES) || said == gaps.len() as u64);
        }
    }
}

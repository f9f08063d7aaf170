//! Equal events, counted instead of repeated. Pure: the moment is an argument.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use crate::text::spoken;

/// The usual least time between two lines about the same state.
const BETWEEN_LINES: Duration = Duration::from_mins(1);
/// A state that comes and goes is over when it has not been met for so long.
const CALM: Duration = Duration::from_secs(10);

/// Remembers which state lasts, since when, and how often it has been met.
///
/// One line when a state begins, at most one a minute while it lasts, one when it ends: so that neither a
/// storm of equal events fills the log nor a state passes unseen. `S` is what tells states apart; `()`
/// where there is only one.
#[derive(Clone, Debug)]
pub struct Repeats<S> {
    lasting: Option<Lasting<S>>,
    between_lines: Duration,
}

#[derive(Clone, Debug)]
struct Lasting<S> {
    state: S,
    since: Instant,
    latest: Instant,
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
        Self::every(BETWEEN_LINES)
    }

    /// The same with this least time between two lines.
    pub const fn every(between_lines: Duration) -> Self {
        Self { lasting: None, between_lines }
    }

    /// An event of `state` at `now`; says whether a line is due. Another state replaces the one before,
    /// which then ends without a line of its own.
    pub fn met(&mut self, state: S, now: Instant) -> Option<Due> {
        let Some(lasting) = self.lasting.as_mut().filter(|lasting| lasting.state == state) else {
            self.lasting =
                Some(Lasting { state, since: now, latest: now, count: 1, line_at: now, counted: 1 });
            return Some(Due::First);
        };
        lasting.count = lasting.count.saturating_add(1);
        lasting.latest = now;
        if now.saturating_duration_since(lasting.line_at) < self.between_lines {
            return None;
        }
        let more = lasting.count - lasting.counted;
        (lasting.line_at, lasting.counted) = (now, lasting.count);
        Some(Due::Again { more, lasted: now.saturating_duration_since(lasting.since) })
    }

    /// The state is over, where one lasted and has not been met for ten seconds: of a state that comes and goes
    /// the log says so once.
    pub fn end_when_calm(&mut self, now: Instant) -> Option<Ended<S>> {
        let latest = self.lasting.as_ref()?.latest;
        if now.saturating_duration_since(latest) < CALM { None } else { self.end(now) }
    }

    /// True where a state lasts.
    pub fn is_lasting(&self) -> bool {
        self.lasting.is_some()
    }

    /// The state is over, where one lasted.
    pub fn end(&mut self, now: Instant) -> Option<Ended<S>> {
        let Lasting { state, since, count, .. } = self.lasting.take()?;
        Some(Ended { state, count, lasted: now.saturating_duration_since(since) })
    }
}

impl<S: PartialEq> Default for Repeats<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl Due {
    /// Events since the line before that had no line of their own, this one included; 0 for the first line.
    pub fn more(self) -> u64 {
        match self {
            Self::First => 0,
            Self::Again { more, .. } => more,
        }
    }
}

/// What a line about a state that lasts says behind its sentence; nothing in the first line.
impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => Ok(()),
            Self::Again { more, lasted } => write!(f, " ({more} times more, for {} now)", spoken(*lasted)),
        }
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

    #[test]
    fn a_state_that_comes_and_goes_ends_when_it_is_calm() {
        let start = Instant::now();
        let mut repeats = Repeats::every(seconds(10));
        assert_eq!(repeats.end_when_calm(start), None);
        assert_eq!(repeats.met((), start), Some(Due::First));
        for second in 1..10 {
            assert_eq!(repeats.end_when_calm(start + seconds(second)), None);
            assert_eq!(repeats.met((), start + seconds(second)), None);
        }
        let again = Due::Again { more: 10, lasted: seconds(10) };
        assert_eq!(repeats.met((), start + seconds(10)), Some(again));
        assert_eq!(again.to_string(), " (10 times more, for 10 s now)");
        assert!(repeats.is_lasting());
        let ended = repeats.end_when_calm(start + seconds(20)).unwrap();
        assert_eq!((ended.count, ended.lasted), (11, seconds(20)));
        assert!(!repeats.is_lasting());
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

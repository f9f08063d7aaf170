//! Notices that tokens are rejected long before their end, because other programs' token requests end them.
//! Pure.

use std::time::Duration;

use super::notice::Notice;

/// So many tokens in a row make a pattern: one may be an operator's revocation, two a coincidence.
const PATTERN: u32 = 3;

/// Counts tokens that the upstream accepted at first and rejected within the first half of their life.
#[derive(Debug, Default)]
pub(super) struct EarlyRejections {
    suspected: Option<Suspected>,
    in_a_row: u32,
    is_reported: bool,
}

/// A token that was accepted and has been rejected. It is dead only if its successor is accepted where it
/// was rejected.
#[derive(Clone, Copy, Debug)]
struct Suspected {
    generation: u64,
    age: Duration,
    lifetime: Duration,
}

impl EarlyRejections {
    /// A token that had been accepted was rejected at this age.
    pub(super) fn suspect(&mut self, generation: u64, age: Duration, lifetime: Duration) {
        self.suspected = Some(Suspected { generation, age, lifetime });
    }

    /// A path that rejected the token of `generation` accepts its successor.
    pub(super) fn confirmed(&mut self, generation: u64) -> Option<Notice> {
        let Suspected { age, lifetime, .. } =
            self.suspected.take_if(|suspected| suspected.generation == generation)?;
        if age >= lifetime / 2 {
            return self.replaced_in_time();
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        let is_news = self.in_a_row >= PATTERN && !self.is_reported;
        self.is_reported |= is_news;
        is_news.then_some(Notice::EarlyRejections { tokens: self.in_a_row, age, lifetime })
    }

    /// A token lived until it was replaced on schedule.
    pub(super) fn replaced_in_time(&mut self) -> Option<Notice> {
        self.in_a_row = 0;
        std::mem::take(&mut self.is_reported).then_some(Notice::EarlyRejectionsEnded)
    }
}

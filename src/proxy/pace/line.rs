//! Requests that wait for one limit: first come first served, and by turns among callers. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

/// An identified caller; all that are not identified are one.
pub type Caller = Option<Arc<str>>;

/// A request's place: the one that arrived first comes first, also when it comes back after a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket {
    pub(super) arrived: Instant,
    /// Tells requests of the same moment apart.
    pub(super) number: u64,
}

/// The waiting requests, each with what belongs to it.
#[derive(Debug)]
pub(super) struct Line<W> {
    /// The caller whose turn it is comes first. None has an empty map.
    callers: VecDeque<(Caller, BTreeMap<Ticket, W>)>,
}

impl<W> Line<W> {
    pub(super) fn new() -> Self {
        Self { callers: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.callers.iter().map(|(_, own)| own.len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    pub(super) fn join(&mut self, caller: &Caller, ticket: Ticket, waiter: W) {
        match self.callers.iter_mut().find(|(own, _)| own == caller) {
            Some((_, own)) => {
                own.insert(ticket, waiter);
            }
            None => self.callers.push_back((caller.clone(), BTreeMap::from([(ticket, waiter)]))),
        }
    }

    /// Takes a request out. Where it was `served`, it is the next caller's turn.
    pub(super) fn leave(&mut self, caller: &Caller, ticket: Ticket, served: bool) {
        let Some(index) = self.callers.iter().position(|(own, _)| own == caller) else { return };
        let Some((_, own)) = self.callers.get_mut(index) else { return };
        own.remove(&ticket);
        if own.is_empty() {
            self.callers.remove(index);
        } else if served && let Some(turn) = self.callers.remove(index) {
            self.callers.push_back(turn);
        }
    }

    pub(super) fn head(&self) -> Option<(Ticket, &W)> {
        let (_, own) = self.callers.front()?;
        own.first_key_value().map(|(ticket, waiter)| (*ticket, waiter))
    }

    /// How many are served before a request with this ticket, as far as it is known now.
    pub(super) fn ahead_of(&self, caller: &Caller, ticket: Ticket) -> usize {
        let index = self.callers.iter().position(|(own, _)| own == caller).unwrap_or(self.callers.len());
        let own = self.callers.get(index).map_or(0, |(_, own)| match own.last_key_value() {
            Some((last, _)) if *last > ticket => own.range(..ticket).count(),
            Some((last, _)) if *last == ticket => own.len() - 1,
            _ => own.len(),
        });
        let others = self.callers.iter().enumerate().filter(|(other, _)| *other != index);
        let turns = |other: usize| if other < index { own + 1 } else { own };
        own + others.map(|(other, (_, waiting))| waiting.len().min(turns(other))).sum::<usize>()
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = &W> {
        self.callers.iter().flat_map(|(_, own)| own.values())
    }
}

#[cfg(test)]
mod tests;

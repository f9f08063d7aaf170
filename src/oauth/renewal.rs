//! When a token is asked for, and with what. Pure: events in, decisions out, with the moment and
//! the rolled number as arguments.
//!
//! Decides everything about the order of token requests. Knows nothing of what a token looks like,
//! of sockets, or of who waits. [`keeper`](mod@super::keeper) is the one that acts on it.

use std::time::Duration;

use super::failure::Nature;
use super::token::{Ask, RefreshToken, Validity};
use crate::backoff::{doubling, full_jitter};
use crate::clock::Now;

/// First wait after a passing failure, before jitter. As for API requests.
const BACKOFF: Duration = Duration::from_millis(500);
/// Longest wait after a passing failure, unless the endpoint asks for more.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// How long the first lasting failure is remembered, and the first spacing of forced renewals.
const MEMORY: Duration = Duration::from_secs(1);
/// How long any lasting failure is remembered, and the widest spacing.
const LONGEST_MEMORY: Duration = Duration::from_mins(1);
/// The least time between a token and its successor where nobody forces it. A token that is due the
/// moment it arrives, because the endpoint took as long to answer as the token lives, must not make
/// a loop of requests without a pause.
const BREATH: Duration = Duration::from_millis(500);

/// What is to be done now.
#[derive(Debug)]
pub(super) enum Decision {
    /// Ask for a token with this, at once, and report what came of it.
    Ask(Ask),
    /// Nothing before this moment, unless something happens.
    WaitUntil(Now),
    /// Nothing until the answer to the request under way is reported.
    WaitForAnswer,
}

/// What becomes of the wish for a token other than the one refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// There is a newer one already.
    Superseded,
    /// It will be renewed as soon as that is allowed.
    Granted,
    /// Freshly renewed tokens were refused as well; nothing happens before the spacing is over.
    TooSoon,
}

/// How a failed request is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    /// No request is made before.
    pub(super) until: Now,
    /// Whoever needs a token is told so at once instead of waiting.
    pub(super) remembered: bool,
}

/// The state of renewal for one set of credentials.
#[derive(Debug)]
pub(super) struct Renewal {
    refresh_margin: Duration,
    /// Of the latest token; 0 before the first.
    generation: u64,
    refresh_token: Option<RefreshToken>,
    /// When the latest token must be replaced; `None` before the first.
    due: Option<Now>,
    /// The latest token was refused upstream.
    forced: bool,
    asking: Option<Asking>,
    hold: Option<Now>,
    /// Passing failures since the last token.
    passing: u32,
    /// Lasting failures since the last token.
    lasting: u32,
    spacing: Option<Spacing>,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
struct Asking {
    refreshing: bool,
    forced: bool,
}

/// Forced renewals since the last accepted request.
#[derive(Clone, Copy, Debug)]
struct Spacing {
    /// The first token that was renewed by force: its acceptance, or a later one's, ends the spacing.
    since: u64,
    renewals: u32,
    /// No forced renewal before.
    until: Now,
}

impl Renewal {
    /// Nothing is there yet: the first decision is to ask.
    pub(super) fn new(refresh_margin: Duration) -> Self {
        Self {
            refresh_margin,
            generation: 0,
            refresh_token: None,
            due: None,
            forced: false,
            asking: None,
            hold: None,
            passing: 0,
            lasting: 0,
            spacing: None,
        }
    }

    /// What is to be done at `now`. Deciding to ask counts as asking: the refresh token is handed
    /// over with the decision, and no other request is decided on before an answer is reported.
    pub(super) fn decide(&mut self, now: Now) -> Decision {
        if self.asking.is_some() {
            return Decision::WaitForAnswer;
        }
        let due = if self.forced { None } else { self.due };
        if let Some(moment) = [due, self.hold].into_iter().flatten().find(|moment| !now.has_reached(*moment))
        {
            return Decision::WaitUntil(moment);
        }
        let ask = self.refresh_token.take().map_or(Ask::LogIn, Ask::Refresh);
        let refreshing = matches!(ask, Ask::Refresh(_));
        self.asking = Some(Asking { refreshing, forced: self.forced });
        Decision::Ask(ask)
    }

    /// The upstream refused the token of this `generation`.
    pub(super) fn demand(&mut self, generation: u64, now: Now) -> Demand {
        if generation < self.generation {
            return Demand::Superseded;
        }
        if self.spacing.is_some_and(|spacing| !now.has_reached(spacing.until)) {
            return Demand::TooSoon;
        }
        self.forced = true;
        Demand::Granted
    }

    /// The upstream accepted the token of this `generation`.
    pub(super) fn accepted(&mut self, generation: u64) {
        if self.spacing.is_some_and(|spacing| generation >= spacing.since) {
            self.spacing = None;
        }
    }

    /// The request under way brought a token. Gives its generation.
    pub(super) fn obtained(
        &mut self,
        validity: Validity,
        refresh_token: Option<RefreshToken>,
        now: Now,
    ) -> u64 {
        self.generation += 1;
        if self.asking.take().is_some_and(|asking| asking.forced) {
            let renewals = self.spacing.map_or(0, |spacing| spacing.renewals);
            self.spacing = Some(Spacing {
                since: self.spacing.map_or(self.generation, |spacing| spacing.since),
                renewals: renewals.saturating_add(1),
                until: now.plus(doubling(MEMORY, LONGEST_MEMORY, renewals)),
            });
        }
        let (due, soonest) = (validity.due(self.refresh_margin), now.plus(BREATH));
        self.due = Some(Now { steady: due.steady.max(soonest.steady), wall: due.wall.max(soonest.wall) });
        self.refresh_token = refresh_token;
        self.forced = false;
        self.hold = None;
        self.passing = 0;
        self.lasting = 0;
        self.generation
    }

    /// The request under way brought no token.
    ///
    /// A refused refresh says nothing of the program's own credentials, so these are tried next, at
    /// once unless the endpoint asked for a pause. Everything else is held back.
    pub(super) fn failed(
        &mut self,
        nature: Nature,
        retry_after: Option<Duration>,
        now: Now,
        roll: f64,
    ) -> Hold {
        let refreshing = self.asking.take().is_some_and(|asking| asking.refreshing);
        let (wait, remembered) = match nature {
            Nature::Refused if refreshing => (Duration::ZERO, false),
            Nature::Refused | Nature::Lasting => {
                let wait = doubling(MEMORY, LONGEST_MEMORY, self.lasting);
                self.lasting = self.lasting.saturating_add(1);
                (wait, true)
            }
            Nature::Passing => {
                let wait = full_jitter(BACKOFF, LONGEST_BACKOFF, self.passing, roll);
                self.passing = self.passing.saturating_add(1);
                (wait, false)
            }
        };
        let until = now.plus(wait.max(retry_after.unwrap_or_default()));
        self.hold = Some(until);
        Hold { until, remembered }
    }

    /// Of the latest token; 0 before the first.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// While forced renewals are spaced out: the lowest generation whose acceptance ends that, and
    /// the moment before which none is made.
    pub(super) fn spacing(&self) -> Option<(u64, Now)> {
        self.spacing.map(|spacing| (spacing.since, spacing.until))
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

//! Whether a rejected token is renewed before its time. Pure: events in, decisions out; time is an
//! argument.
//!
//! The upstream's 401 may mean that the token was revoked, that the path rejects every token, or that the
//! API does. A renewal helps only in the first case, and costs a token request. So there are three limits:
//! a path that rejects fresh tokens is left alone for a minute, forced renewals are spaced out while no
//! fresh token is accepted, and all together have a budget.

use std::time::Duration;

use super::early_rejections::EarlyRejections;
use super::notice::Notice;
use super::path_memory::{PathId, PathMemory};
use super::token::Validity;
use crate::backoff::doubling;
use crate::clock::Now;

/// The first pause after a forced renewal while no fresh token is accepted.
const SPACING: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_SPACING: Duration = Duration::from_mins(1);
/// Forced renewals that may follow each other without a pause.
const BUDGET: u32 = 60;
/// How long it takes until one more is allowed.
const REFILL: Duration = Duration::from_secs(5);
/// After so many forced renewals without an accepted token, the API seems to reject all of them.
const REJECTED_EVERYWHERE: u32 = 2;
/// Memory is looked through at most this often.
const BETWEEN_FORGETTING: Duration = Duration::from_secs(10);
/// The bit of [`ForcedRenewals::attention`] that stands for the latest token.
const UNACCEPTED: u64 = 1 << 63;

/// What becomes of a rejected token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// There is a newer token already.
    Superseded,
    /// A token request that is in flight, or about to be sent, replaces it.
    Joined,
    /// A renewal is forced.
    Granted,
}

/// Why a rejected token is not renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// The path rejects fresh tokens as well.
    PathRejected,
    /// No fresh token has been accepted since the last forced renewal, and that is too short ago.
    TooSoon,
    /// There were too many forced renewals.
    BudgetSpent,
}

/// All that is remembered of rejected tokens, for one set of credentials.
#[derive(Debug)]
pub(super) struct ForcedRenewals {
    latest: Option<Latest>,
    /// The highest generation that the upstream has accepted; 0 for none.
    accepted: u64,
    request: Request,
    spacing: Option<Spacing>,
    budget: Budget,
    paths: PathMemory,
    early: EarlyRejections,
    reported_rejections: bool,
    notices: Vec<Notice>,
    forgot_at: Option<Now>,
}

/// The latest token.
#[derive(Clone, Copy, Debug)]
struct Latest {
    generation: u64,
    obtained_at: Now,
    lifetime: Duration,
}

/// Where the next token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// The schedule alone decides.
    Scheduled { in_flight: bool },
    /// A renewal is granted. `widens` where its success widens the spacing.
    Forced { in_flight: bool, widens: bool },
}

/// The pause between forced renewals while no fresh token is accepted.
#[derive(Clone, Copy, Debug)]
struct Spacing {
    /// The first generation that was forced: its acceptance, or that of a later one, ends the spacing.
    since: u64,
    renewals: u32,
    /// No forced renewal before.
    until: Now,
}

impl ForcedRenewals {
    pub(super) fn new() -> Self {
        Self {
            latest: None,
            accepted: 0,
            request: Request::Scheduled { in_flight: false },
            spacing: None,
            budget: Budget::full(),
            paths: PathMemory::default(),
            early: EarlyRejections::default(),
            reported_rejections: false,
            notices: Vec::new(),
            forgot_at: None,
        }
    }

    /// The upstream rejected the token of `generation` on this path.
    pub(super) fn demand(&mut self, generation: u64, path: PathId, now: Now) -> Result<Demand, Denial> {
        let latest = self.generation();
        if generation < latest {
            let useless = self.is_left_alone(path, now);
            return if useless { Err(Denial::PathRejected) } else { Ok(Demand::Superseded) };
        }
        let is_the_path_s_own = self.accepted > 0 && self.paths.rejects_fresh_tokens(path);
        self.paths.rejected(path, generation, now);
        if self.is_left_alone(path, now) {
            return Err(Denial::PathRejected);
        }
        if self.request != (Request::Scheduled { in_flight: false }) {
            return Ok(Demand::Joined);
        }
        if self.spaced_until().is_some_and(|until| !now.has_reached(until)) {
            return Err(Denial::TooSoon);
        }
        if !self.budget.take(now) {
            return Err(Denial::BudgetSpent);
        }
        self.request = Request::Forced { in_flight: false, widens: !is_the_path_s_own };
        self.suspect_early_rejection(now);
        Ok(Demand::Granted)
    }

    /// A person asks for a renewal, whatever the upstream says of the latest token.
    pub(super) fn ordered(&mut self, now: Now) -> Result<Demand, Denial> {
        if self.request != (Request::Scheduled { in_flight: false }) {
            return Ok(Demand::Joined);
        }
        if !self.budget.take(now) {
            return Err(Denial::BudgetSpent);
        }
        self.request = Request::Forced { in_flight: false, widens: false };
        Ok(Demand::Granted)
    }

    /// The upstream rejected the token of `generation`, which had been obtained for the sake of a request
    /// on this path. Returns true where the path is left alone from now on.
    pub(super) fn rejected_again(&mut self, generation: u64, path: PathId, now: Now) -> bool {
        self.paths.rejected_fresh(path, generation, now)
    }

    /// The upstream accepted the token of `generation` on this path.
    pub(super) fn accepted(&mut self, generation: u64, path: PathId, now: Now) {
        self.accepted = self.accepted.max(generation);
        if let Some(rejected) = self.paths.accepted(path, generation, now) {
            // The path rejected that one and accepts this one: the older token was really dead.
            self.notices.extend(self.early.confirmed(rejected));
        }
        if self.spacing.is_some_and(|spacing| generation >= spacing.since) {
            self.spacing = None;
            if std::mem::take(&mut self.reported_rejections) {
                self.notices.push(Notice::AcceptedAgain);
            }
        }
    }

    /// A token request is sent now.
    pub(super) fn sent(&mut self) {
        match &mut self.request {
            Request::Scheduled { in_flight } | Request::Forced { in_flight, .. } => *in_flight = true,
        }
    }

    /// The request in flight brought no token. A granted renewal stays granted.
    pub(super) fn failed(&mut self) {
        match &mut self.request {
            Request::Scheduled { in_flight } | Request::Forced { in_flight, .. } => *in_flight = false,
        }
    }

    /// The request in flight brought the token of `generation`.
    pub(super) fn obtained(&mut self, generation: u64, validity: &Validity, now: Now) {
        match std::mem::replace(&mut self.request, Request::Scheduled { in_flight: false }) {
            Request::Forced { widens, .. } => self.space_out(generation, widens, now),
            Request::Scheduled { .. } => self.notices.extend(self.early.replaced_in_time()),
        }
        self.latest = Some(Latest { generation, obtained_at: now, lifetime: validity.lifetime() });
    }

    /// Whether a renewal is granted and has brought no token yet.
    pub(super) fn is_forced(&self) -> bool {
        matches!(self.request, Request::Forced { .. })
    }

    /// While forced renewals are spaced out: none before this moment.
    pub(super) fn spaced_until(&self) -> Option<Now> {
        self.spacing.map(|spacing| spacing.until)
    }

    /// True where the upstream has accepted the latest token.
    pub(super) fn is_latest_accepted(&self) -> bool {
        self.generation() > 0 && self.accepted >= self.generation()
    }

    /// True while the API rejects fresh tokens, on whatever path they were tried.
    pub(super) fn is_rejected_everywhere(&self) -> bool {
        self.spacing.is_some_and(|spacing| spacing.renewals >= REJECTED_EVERYWHERE)
    }

    /// The paths that are left alone now.
    pub(super) fn blocked_paths(&self, now: Now) -> usize {
        self.paths.blocked(now)
    }

    /// Zero where an acceptance changes nothing. Else the bits of the paths whose acceptance does
    /// ([`PathId::bit`]), and one more where any path's does: [`Self::concerns`].
    pub(super) fn attention(&self) -> u64 {
        let unaccepted = if self.is_latest_accepted() || self.generation() == 0 { 0 } else { UNACCEPTED };
        self.paths.mask() | unaccepted
    }

    /// Whether an acceptance on this path may change something.
    pub(super) fn concerns(attention: u64, path: PathId) -> bool {
        attention & (UNACCEPTED | path.bit()) != 0
    }

    /// Forgets what has ended. Does nothing where it has just been called.
    pub(super) fn forget(&mut self, now: Now) {
        if self.forgot_at.is_none_or(|at| now.has_reached(at.plus(BETWEEN_FORGETTING))) {
            self.forgot_at = Some(now);
            self.paths.forget(now);
        }
    }

    /// Whether there is something that an operator should know.
    pub(super) fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// What an operator should know since the last call.
    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn generation(&self) -> u64 {
        self.latest.map_or(0, |latest| latest.generation)
    }

    /// Whether this path's rejection of the latest token says nothing of the token. Where no path
    /// has accepted the token yet, one that has accepted others is believed; and where no token at all has been
    /// accepted, it is not the path's fault. Then the spacing alone holds renewals back.
    fn is_left_alone(&self, path: PathId, now: Now) -> bool {
        let believed =
            self.accepted == 0 || (!self.is_latest_accepted() && self.paths.has_accepted(path, now));
        !believed && self.paths.is_blocked(path, self.generation(), now)
    }

    fn suspect_early_rejection(&mut self, now: Now) {
        if let Some(latest) = self.latest.filter(|_| self.is_latest_accepted()) {
            let age = now.steady.saturating_duration_since(latest.obtained_at.steady);
            self.early.suspect(latest.generation, age, latest.lifetime);
        }
    }

    fn space_out(&mut self, generation: u64, widens: bool, now: Now) {
        let before = self.spacing.map_or(0, |spacing| spacing.renewals);
        let since = self.spacing.map_or(generation, |spacing| spacing.since);
        let renewals = if widens { before.saturating_add(1) } else { before };
        let until = now.plus(doubling(SPACING, LONGEST_SPACING, renewals.saturating_sub(1)));
        self.spacing = Some(Spacing { since, renewals, until });
        if self.is_rejected_everywhere() && !self.reported_rejections {
            self.reported_rejections = true;
            self.notices.push(Notice::RejectedEverywhere);
        }
    }
}

/// Forced renewals that are still allowed: a token bucket.
#[derive(Clone, Copy, Debug)]
struct Budget {
    left: u32,
    /// Since when the next one is being refilled; `None` while the budget is full.
    since: Option<Now>,
}

impl Budget {
    fn full() -> Self {
        Self { left: BUDGET, since: None }
    }

    fn take(&mut self, now: Now) -> bool {
        self.refill(now);
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        self.since.get_or_insert(now);
        true
    }

    fn refill(&mut self, now: Now) {
        let Some(since) = self.since else { return };
        let refills = now.steady.saturating_duration_since(since.steady).as_nanos() / REFILL.as_nanos();
        let refills = u32::try_from(refills).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(refills).min(BUDGET);
        self.since = (self.left < BUDGET).then(|| since.plus(REFILL.saturating_mul(refills.min(BUDGET))));
    }
}

#[cfg(test)]
mod tests;

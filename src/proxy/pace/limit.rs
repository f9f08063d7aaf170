//! One limit of the whole process: what is learned, what is configured, and the requests that wait.
//!
//! The states are pure; here are the lock around them and the waiting. Only the head of the line waits for a
//! moment; the others wait until they are woken, or for their deadline. Cancel safe: a [`Turn`] that is
//! dropped leaves the line and wakes the next head.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::controller::Controller;
use super::fixed::{Fixed, FixedLimit, Start};
use super::line::{Caller, Line, Ticket};

/// Why a request is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its turn would come after its deadline, in so long.
    TooLong(Duration),
    /// Too many wait already; the last of them for so long, as far as that is known.
    Full(Duration),
    /// The budget is used up, and its window ends in so long.
    BudgetUsedUp(Duration),
}

/// What all limits of a profile share.
#[derive(Debug)]
pub(super) struct Counts {
    /// How many of the limits can make a request wait. While it is zero, no request looks any further.
    pub(super) active: AtomicUsize,
    /// How many requests are in a line, and how many may be.
    pub(super) waiting: AtomicUsize,
    pub(super) most: usize,
}

/// One limit.
#[derive(Debug)]
pub(super) struct Limit {
    /// For the log: which profile or path it belongs to.
    name: String,
    counts: Arc<Counts>,
    start: Instant,
    /// It can make a request wait.
    active: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    learned: Controller,
    fixed: Fixed,
    /// Something is configured, so it is always active.
    configured: bool,
    /// Until when the API has asked for a pause, this replica itself.
    own_pause: Option<Instant>,
    line: Line<Arc<Notify>>,
    tickets: u64,
}

/// Who asks, since when, and until when it waits.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) caller: Caller,
    pub(super) arrived: Instant,
    pub(super) deadline: Instant,
}

/// What is known of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LimitState {
    /// It was met, and is not forgotten yet.
    pub limited: bool,
    /// The learned rate per second.
    pub rate: Option<f64>,
    /// For how long nothing is sent.
    pub paused: Option<Duration>,
    /// How many requests wait.
    pub waiting: usize,
}

/// One of the requests that a limit on requests at once counts. Dropping it says that it has ended.
#[derive(Debug)]
pub struct Permit(Arc<Limit>);

/// A place in the line.
#[derive(Debug)]
pub(super) struct Turn {
    limit: Arc<Limit>,
    request: Request,
    ticket: Ticket,
    woken: Arc<Notify>,
    left: bool,
}

/// The turn has gone to another request meanwhile.
#[derive(Debug)]
pub(super) struct NotYet;

enum Step {
    Now,
    At(Instant),
    /// Something must end first: a request, or the wait of another one. Not before this moment.
    Later(Instant),
}

impl Limit {
    pub(super) fn new(name: String, counts: &Arc<Counts>, fixed: FixedLimit) -> Self {
        let configured = fixed != FixedLimit::default();
        if configured {
            counts.active.fetch_add(1, Ordering::Release);
        }
        Self {
            name,
            counts: Arc::clone(counts),
            start: Instant::now(),
            active: AtomicBool::new(configured),
            state: Mutex::new(State {
                learned: Controller::default(),
                fixed: Fixed::new(fixed),
                configured,
                own_pause: None,
                line: Line::new(),
                tickets: 0,
            }),
        }
    }

    /// False while no request has to wait for it.
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// The API served a request that was sent then.
    pub(super) fn accepted(&self, now: Instant, sent: Instant) {
        if !self.is_active() {
            return;
        }
        let mut state = self.lock();
        let before = state.learned.rate();
        state.learned.accepted(self.moment(now), self.moment(sent));
        let changed = state.learned.rate() != before;
        if self.forget(&mut state, now) || changed {
            state.wake_head();
        }
    }

    /// The API rejected a request that was sent then.
    pub(super) fn rejected(&self, now: Instant, sent: Instant, retry_after: Option<Duration>) {
        let mut state = self.lock();
        self.forget(&mut state, now);
        state.own_pause = state.own_pause.max(retry_after.and_then(|after| now.checked_add(after)));
        if state.learned.rejected(self.moment(now), self.moment(sent), retry_after) {
            self.activate(&state);
            tracing::warn!(
                limit = self.name,
                retry_after_seconds = retry_after.map(|after| after.as_secs()),
                "the CXone API's rate limit is met: requests are paced from now on"
            );
        }
        if retry_after.is_some() {
            // Those that cannot wait for so long are to know it now.
            state.line.waiters().for_each(|waiter| waiter.notify_one());
        }
    }

    /// The API has rejected a request of another replica, and asked for a pause until then.
    pub(super) fn paused_elsewhere(&self, now: Instant, until: Instant) {
        let mut state = self.lock();
        self.forget(&mut state, now);
        if state.learned.paused(self.moment(now), self.moment(until)) {
            self.activate(&state);
            tracing::warn!(
                limit = self.name,
                pause_seconds = (until - now).as_secs(),
                "another replica has met the CXone API's rate limit: requests are paced from now on"
            );
        }
        state.line.waiters().for_each(|waiter| waiter.notify_one());
    }

    /// For how long yet the API has asked for a pause, this replica itself.
    pub(super) fn own_pause(&self, now: Instant) -> Option<Duration> {
        self.lock().own_pause.filter(|until| *until > now).map(|until| until - now)
    }

    /// So many replicas share what is configured.
    pub(super) fn share_among(&self, replicas: NonZeroU32) {
        let mut state = self.lock();
        state.fixed.share_among(replicas);
        state.wake_head();
    }

    fn activate(&self, state: &State) {
        if !state.configured {
            self.active.store(true, Ordering::Release);
            self.counts.active.fetch_add(1, Ordering::Release);
        }
    }

    /// How long a request would wait that comes now.
    pub(super) fn wait(&self, request: &Request, now: Instant) -> Duration {
        let mut state = self.lock();
        let ticket = Ticket { arrived: request.arrived, number: 0 };
        let place = state.line.ahead_of(&request.caller, ticket);
        state.wait(place, self.moment(now))
    }

    /// Joins the line. The turn has come when [`Turn::come`] says so.
    pub(super) fn join(self: &Arc<Self>, request: Request) -> Result<Turn, Refused> {
        let now = Instant::now();
        let mut state = self.lock();
        self.forget(&mut state, now);
        state.tickets += 1;
        let ticket = Ticket { arrived: request.arrived, number: state.tickets };
        let place = state.line.ahead_of(&request.caller, ticket);
        let waits = !state.line.is_empty()
            || !matches!(state.start(self.moment(now)), Start::At(at) if at <= self.moment(now));
        let wait = state.wait(place, self.moment(now));
        if waits && self.counts.waiting.load(Ordering::Relaxed) >= self.counts.most {
            return Err(Refused::Full(wait));
        }
        if now + wait > request.deadline {
            return Err(Refused::TooLong(wait));
        }
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        let woken = Arc::new(Notify::new());
        state.line.join(&request.caller, ticket, Arc::clone(&woken));
        drop(state);
        Ok(Turn { limit: Arc::clone(self), request, ticket, woken, left: false })
    }

    /// Waits for a turn and takes it. Cancel safe.
    pub(super) async fn acquire(self: &Arc<Self>, request: Request) -> Result<Option<Permit>, Refused> {
        let mut turn = self.join(request)?;
        loop {
            turn.come().await?;
            if let Ok(taken) = turn.take() {
                return Ok(taken);
            }
        }
    }

    pub(super) fn state(&self, now: Instant) -> LimitState {
        let mut state = self.lock();
        if self.forget(&mut state, now) {
            state.wake_head();
        }
        let moment = self.moment(now);
        LimitState {
            limited: state.learned.is_limited(),
            rate: state.learned.rate(),
            paused: state.learned.paused_until(moment).map(|until| until.saturating_sub(moment)),
            waiting: state.line.len(),
        }
    }

    /// Forgets what was learned where it was not met for a while. True where it is forgotten now.
    fn forget(&self, state: &mut State, now: Instant) -> bool {
        let forgotten = state.line.is_empty() && state.learned.forget(self.moment(now));
        if forgotten {
            if !state.configured {
                self.active.store(false, Ordering::Release);
                self.counts.active.fetch_sub(1, Ordering::Release);
            }
            tracing::info!(
                limit = self.name,
                "the CXone API's rate limit is no longer met: requests are not paced"
            );
        }
        forgotten
    }

    fn moment(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn start(&mut self, now: Duration) -> Start {
        match self.fixed.next(now) {
            Start::WhenOneEnds => Start::WhenOneEnds,
            Start::At(at) => Start::At(at.max(self.learned.next(now))),
        }
    }

    fn wait(&mut self, place: usize, now: Duration) -> Duration {
        self.learned.wait(place, now).max(self.fixed.wait(place, now))
    }

    fn wake_head(&self) {
        if let Some((_, waiter)) = self.line.head() {
            waiter.notify_one();
        }
    }
}

impl Turn {
    /// Resolves when it is this request's turn, which [`Self::take`] then takes. Cancel safe.
    pub(super) async fn come(&mut self) -> Result<(), Refused> {
        let deadline = self.request.deadline;
        loop {
            let now = Instant::now();
            let until = match self.step(now) {
                Step::Now => return Ok(()),
                Step::At(at) | Step::Later(at) if at > deadline => {
                    return Err(Refused::TooLong(at.saturating_duration_since(now)));
                }
                Step::At(at) => at,
                Step::Later(_) => deadline,
            };
            let in_time = timeout_at(until, self.woken.notified()).await.is_ok();
            let now = Instant::now();
            if !in_time && now >= deadline && !matches!(self.step(now), Step::Now) {
                return Err(Refused::TooLong(self.limit.wait(&self.request, now)));
            }
        }
    }

    /// Starts the request, where the limit still allows it: with a permit where its end counts.
    pub(super) fn take(&mut self) -> Result<Option<Permit>, NotYet> {
        let moment = self.limit.moment(Instant::now());
        let mut state = self.limit.lock();
        if !matches!(state.start(moment), Start::At(at) if at <= moment) {
            return Err(NotYet);
        }
        state.learned.sent(moment);
        state.fixed.take(moment);
        self.leave(&mut state, true);
        self.left = true;
        let counts_ends = state.fixed.counts_ends();
        drop(state);
        Ok(counts_ends.then(|| Permit(Arc::clone(&self.limit))))
    }

    fn step(&self, now: Instant) -> Step {
        let limit = &self.limit;
        let moment = limit.moment(now);
        let mut state = limit.lock();
        let is_head = state.line.head().is_some_and(|(ticket, _)| ticket == self.ticket);
        if !is_head {
            let paused_until = state.learned.paused_until(moment).unwrap_or(moment);
            return Step::Later(limit.start + paused_until);
        }
        match state.start(moment) {
            Start::WhenOneEnds => Step::Later(now),
            Start::At(at) if at <= moment => Step::Now,
            Start::At(at) => Step::At(limit.start + at),
        }
    }

    fn leave(&self, state: &mut State, served: bool) {
        state.line.leave(&self.request.caller, self.ticket, served);
        self.limit.counts.waiting.fetch_sub(1, Ordering::Relaxed);
        state.wake_head();
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.left {
            self.leave(&mut self.limit.lock(), false);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.fixed.give_back();
        state.wake_head();
    }
}

#[cfg(test)]
mod tests;

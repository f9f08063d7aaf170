//! The exchanges' handle: the current token, and a way to say that one was refused.
//!
//! Decides nothing about token requests; it reads what the keeper publishes and leaves word for it.
//! On the walk of a request it answers "as whom?".

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::failure::{NoNewer, Unavailable, Why};
use super::renewal::Hold;
use super::token::AccessToken;
use crate::clock::{Clock, Now};

/// What exchanges and keeper leave for each other without waiting.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// The latest token, valid or not.
    pub(super) latest: ArcSwapOption<AccessToken>,
    /// The highest generation refused upstream since the keeper last looked; 0 for none.
    pub(super) rejected: AtomicU64,
    /// While forced renewals are spaced out, the lowest generation whose acceptance ends that; else 0.
    pub(super) spaced_since: AtomicU64,
    /// Calls the keeper.
    pub(super) call: Notify,
}

/// What the keeper publishes after every answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// The latest failure, where no token came after it.
    pub(super) failure: Option<(Arc<Why>, Hold)>,
    /// No forced renewal before, as long as the board says that they are spaced out.
    pub(super) spaced_until: Option<Now>,
}

/// A cheap handle on the tokens of one set of credentials. All clones see the same.
#[derive(Clone, Debug)]
pub struct Tokens {
    board: Arc<Board>,
    standing: watch::Receiver<Standing>,
}

/// How things stand with the token, for people and probes. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// In one word.
    pub state: State,
    /// Of the latest token, valid or not.
    pub scopes: Vec<String>,
    /// When the latest token came.
    pub obtained_at: Option<SystemTime>,
    /// The latest token's end as its issuer states it.
    pub expires_at: Option<SystemTime>,
    /// Of the latest token; 0 before the first.
    pub generation: u64,
    /// The latest failure in plain words, where no token came after it.
    pub last_error: Option<String>,
}

/// How things stand with the token, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// None has been obtained yet, and no attempt has failed.
    Absent,
    /// It may be used.
    Valid,
    /// It has run out, and no attempt to replace it has failed.
    Expired,
    /// There is none: the token endpoint refuses the credentials.
    Refused,
    /// There is none: the token endpoint cannot be reached, or gives no usable answer.
    Unreachable,
}

impl State {
    /// The word for `/status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

impl Tokens {
    pub(super) fn new(board: Arc<Board>, standing: watch::Receiver<Standing>) -> Self {
        Self { board, standing }
    }

    /// The current token, as long as it is valid. One atomic load, no lock and no allocation: this
    /// is what every exchange calls first.
    pub fn current(&self, now: Now) -> Option<Arc<AccessToken>> {
        self.board.latest.load_full().filter(|token| token.is_valid(now))
    }

    /// A valid token, waiting for one until `deadline` where there is none.
    ///
    /// Answers at once while a failure that waiting does not mend is remembered, and when the keeper
    /// has ended. Cancel safe: whoever stops waiting stops nothing else.
    pub async fn valid(&self, clock: &Clock, deadline: Instant) -> Result<Arc<AccessToken>, Unavailable> {
        if let Some(token) = self.current(clock.now()) {
            return Ok(token);
        }
        let look = |standing: &Standing, now| match self.current(now) {
            Some(token) => Some(Ok(token)),
            None => standing.remembered(now).map(Err),
        };
        let seen = self.wait(clock, deadline, look, || ()).await;
        seen.unwrap_or_else(Err)
    }

    /// A valid token newer than the one of `generation`, which the upstream has refused (RFC 6750
    /// section 3.1). Where there is none yet, one renewal is forced, however many ask for it, and
    /// waited for until `deadline`.
    ///
    /// Answers [`NoNewer::TooSoon`] at once while forced renewals are spaced out, and
    /// [`NoNewer::Unavailable`] as [`Self::valid`] does. Cancel safe: the renewal goes on.
    pub async fn newer_than(
        &self,
        generation: u64,
        clock: &Clock,
        deadline: Instant,
    ) -> Result<Arc<AccessToken>, NoNewer> {
        let look = |standing: &Standing, now| {
            if let Some(token) = self.current(now).filter(|token| token.generation() > generation) {
                return Some(Ok(token));
            }
            if self.is_too_soon(standing, generation, now) {
                return Some(Err(NoNewer::TooSoon));
            }
            standing.remembered(now).map(|unavailable| Err(unavailable.into()))
        };
        let seen = self.wait(clock, deadline, look, || self.reject(generation)).await;
        seen.unwrap_or_else(|unavailable| Err(unavailable.into()))
    }

    /// Says that the upstream refused the token of `generation`, without waiting for its successor.
    /// Where forced renewals are spaced out, this one comes to nothing.
    pub fn reject(&self, generation: u64) {
        // Released, so that a keeper that sees it also sees the spacing as this exchange saw it.
        self.board.rejected.fetch_max(generation, Ordering::Release);
        self.board.call.notify_one();
    }

    /// Says that the upstream accepted the token of `generation`. Costs one relaxed load unless it
    /// ends a spacing of forced renewals.
    pub fn accepted(&self, generation: u64) {
        let since = self.board.spaced_since.load(Ordering::Relaxed);
        if since != 0 && generation >= since {
            // Only this very spacing: the keeper may have begun another in the meantime.
            let _ = self.board.spaced_since.compare_exchange(since, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// How things stand at `now`.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let failure = self.standing.borrow().failure.clone();
        let latest = self.board.latest.load_full();
        let state = match (&latest, &failure) {
            (Some(token), _) if token.is_valid(now) => State::Valid,
            (_, Some((why, _))) if matches!(**why, Why::Refused { .. }) => State::Refused,
            (_, Some(_)) => State::Unreachable,
            (Some(_), None) => State::Expired,
            (None, None) => State::Absent,
        };
        Snapshot {
            state,
            scopes: latest.as_ref().map(|token| token.scopes().to_vec()).unwrap_or_default(),
            obtained_at: latest.as_ref().map(|token| token.obtained_at().wall),
            expires_at: latest.as_ref().map(|token| token.expires_at().wall),
            generation: latest.as_ref().map_or(0, |token| token.generation()),
            last_error: failure.map(|(why, _)| why.to_string()),
        }
    }

    fn is_too_soon(&self, standing: &Standing, generation: u64, now: Now) -> bool {
        let superseded =
            self.board.latest.load().as_ref().is_some_and(|token| token.generation() > generation);
        !superseded
            && self.board.spaced_since.load(Ordering::Relaxed) != 0
            && standing.spaced_until.is_some_and(|until| !now.has_reached(until))
    }

    /// Looks, and looks again after everything that the keeper publishes, until `look` has an answer.
    /// Calls the keeper before each wait, after `leave_word`: it may be asleep over a token that has
    /// run out while the machine was suspended.
    async fn wait<T>(
        &self,
        clock: &Clock,
        deadline: Instant,
        look: impl Fn(&Standing, Now) -> Option<T>,
        leave_word: impl Fn(),
    ) -> Result<T, Unavailable> {
        let mut news = self.standing.clone();
        loop {
            let seen = look(&news.borrow_and_update(), clock.now());
            if let Some(seen) = seen {
                return Ok(seen);
            }
            leave_word();
            self.board.call.notify_one();
            match timeout_at(deadline, news.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(Unavailable::new(Arc::new(Why::Stopped), Duration::ZERO)),
                Err(_) => return Err(news.borrow().late(clock.now())),
            }
        }
    }
}

impl Standing {
    /// The failure that is answered at once, while it is remembered.
    fn remembered(&self, now: Now) -> Option<Unavailable> {
        let (why, hold) = self.failure.as_ref()?;
        let stands = hold.remembered && !now.has_reached(hold.until);
        stands.then(|| Unavailable::new(Arc::clone(why), now.until(hold.until)))
    }

    /// What to say when the deadline has come.
    fn late(&self, now: Now) -> Unavailable {
        match &self.failure {
            Some((why, hold)) => Unavailable::new(Arc::clone(why), now.until(hold.until)),
            None => Unavailable::new(Arc::new(Why::Pending), Duration::ZERO),
        }
    }
}

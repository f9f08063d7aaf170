//! The handle on the tokens of one set of credentials: it gives the current token, and takes reports of how
//! the upstream received it.
//!
//! It sends no token request: it reads what the [refresh task](super::refresh_task) publishes and wakes it.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::Method;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use super::error::{NoRenewal, Unavailable};
use super::forced_renewals::{Demand, ForcedRenewals};
use super::path_memory::PathId;
use super::snapshot::{Published, Snapshot};
use super::token::AccessToken;
use crate::clock::{Clock, Now};

/// A cheap handle on the tokens of one set of credentials. All clones share them.
#[derive(Clone, Debug)]
pub struct TokenSource {
    shared: Arc<Shared>,
    published: watch::Receiver<()>,
    clock: Clock,
}

/// Which request the upstream rejected or accepted: its method and its path. A query does not count.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey<'a> {
    /// The request's method.
    pub method: &'a Method,
    /// The path, as it is sent upstream or as the client sent it: always the same one of the two.
    pub path: &'a str,
}

/// What requests and the refresh task share.
#[derive(Debug)]
pub(super) struct Shared {
    /// The only thing that most requests look at.
    pub(super) latest: ArcSwap<Published>,
    forced: Mutex<ForcedRenewals>,
    /// [`ForcedRenewals::attention`] as of the last change.
    attention: AtomicU64,
    /// Somebody says that what made the latest request fail may have been corrected.
    pub(super) try_again: AtomicBool,
    /// Wakes the refresh task.
    pub(super) wake: Notify,
    paths: RandomState,
}

impl TokenSource {
    pub(super) fn new(shared: Arc<Shared>, published: watch::Receiver<()>, clock: Clock) -> Self {
        Self { shared, published, clock }
    }

    /// The current token, as long as it is valid. One atomic load, without lock and allocation: every
    /// request calls this first.
    pub fn current(&self, now: Now) -> Option<Arc<AccessToken>> {
        self.shared.latest.load().token.as_ref().filter(|token| token.is_valid(now)).map(Arc::clone)
    }

    /// A valid token. Waits for one until `deadline` where there is none.
    ///
    /// Fails at once while a failure is remembered that waiting does not fix, and when the refresh task has
    /// ended. Cancel safe: a caller that stops waiting stops nothing else.
    pub async fn valid(&self, deadline: Instant) -> Result<Arc<AccessToken>, Unavailable> {
        let mut published = self.published.clone();
        loop {
            published.borrow_and_update();
            let now = self.clock.now();
            if let Some(token) = self.current(now) {
                return Ok(token);
            }
            if let Some(unavailable) = self.remembered_failure(now) {
                return Err(unavailable);
            }
            self.wait(&mut published, deadline).await?;
        }
    }

    /// A valid token that is newer than the one of `generation`, which the upstream has rejected (401) for
    /// the request of this `key` (RFC 6750 section 3.1).
    ///
    /// Where there is no newer token yet, one renewal is forced, however many callers need it, and waited
    /// for until `deadline`. Fails at once where no renewal may be forced, and as [`Self::valid`] does. The
    /// response to the request that is sent again must be reported by [`Self::accepted`] or
    /// [`Self::rejected_again`]. Cancel safe: the renewal goes on.
    pub async fn renew(
        &self,
        generation: u64,
        key: RequestKey<'_>,
        deadline: Instant,
    ) -> Result<Arc<AccessToken>, NoRenewal> {
        let mut published = self.published.clone();
        published.borrow_and_update();
        self.demand(generation, key)?;
        loop {
            let now = self.clock.now();
            if let Some(token) = self.current(now).filter(|token| token.generation() > generation) {
                return Ok(token);
            }
            if let Some(unavailable) = self.remembered_failure(now) {
                return Err(unavailable.into());
            }
            self.wait(&mut published, deadline).await?;
            published.borrow_and_update();
        }
    }

    /// Reports that the upstream rejected (401) a request whose token of `generation` came from
    /// [`Self::renew`]: a fresh token, rejected for the same method and path again.
    pub fn rejected_again(&self, generation: u64, key: RequestKey<'_>) {
        let (path, now) = (self.shared.path(key), self.clock.now());
        if self.shared.forced(|forced| forced.rejected_again(generation, path, now)) {
            tracing::debug!(
                method = %key.method,
                path = key.without_query(),
                generation,
                "this path rejects a fresh token: its 401s are passed on for a minute"
            );
        }
    }

    /// Reports that the upstream rejected (401) the token of `generation` for a request that cannot be sent
    /// again. Renews the token under the same limits as [`Self::renew`], without waiting, so that the next
    /// request succeeds.
    pub fn rejected(&self, generation: u64, key: RequestKey<'_>) -> Result<(), NoRenewal> {
        self.demand(generation, key)
    }

    /// Asks for a new token, as a person wants it. Does not wait for it: the current one is given out until the new
    /// one is there. Fails where too many renewals were forced; a failed token request's pause stays.
    pub fn replace(&self) -> Result<(), NoRenewal> {
        let now = self.clock.now();
        if self.shared.forced(|forced| forced.ordered(now))? == Demand::Granted {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    /// Says that what made the latest token request fail may have been corrected, so that the wait for the next one
    /// is not needed. A pause that the token endpoint asked for stays.
    pub fn try_again(&self) {
        self.shared.try_again.store(true, Ordering::Release);
        self.shared.wake.notify_one();
    }

    /// True where both give the same tokens.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Reports that the upstream accepted the token of `generation`: it sent any response but 401. Costs
    /// one relaxed load, unless tokens have been rejected lately or the token is new.
    pub fn accepted(&self, generation: u64, key: RequestKey<'_>) {
        let attention = self.shared.attention.load(Ordering::Relaxed);
        if attention == 0 {
            return;
        }
        let path = self.shared.path(key);
        if ForcedRenewals::concerns(attention, path) {
            let now = self.clock.now();
            let has_news = self.shared.forced(|forced| {
                forced.accepted(generation, path, now);
                forced.has_notices()
            });
            if has_news {
                self.shared.wake.notify_one();
            }
        }
    }

    /// The state of the token at `now`, for people and probes.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let latest = self.shared.latest.load_full();
        let forced = self.shared.forced.lock().unwrap_or_else(PoisonError::into_inner);
        Snapshot::new(&latest, &forced, now)
    }

    fn demand(&self, generation: u64, key: RequestKey<'_>) -> Result<(), NoRenewal> {
        let (path, now) = (self.shared.path(key), self.clock.now());
        let demand = self.shared.forced(|forced| forced.demand(generation, path, now));
        tracing::debug!(generation, ?demand, "the CXone API rejected the token (401)");
        if demand? == Demand::Granted {
            self.shared.wake.notify_one();
        }
        Ok(())
    }

    fn remembered_failure(&self, now: Now) -> Option<Unavailable> {
        let latest = self.shared.latest.load();
        let failure = latest.failure.as_ref()?;
        (failure.is_remembered && !now.has_reached(failure.next_try))
            .then(|| Unavailable::failed(Arc::clone(failure), now))
    }

    /// Waits for the next thing that the refresh task publishes. Wakes the task first: it may be asleep
    /// over a token that expired while the machine was suspended.
    async fn wait(&self, published: &mut watch::Receiver<()>, deadline: Instant) -> Result<(), Unavailable> {
        self.shared.wake.notify_one();
        match timeout_at(deadline, published.changed()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Unavailable::stopped()),
            Err(_) => Err(self.late()),
        }
    }

    /// What to say when the deadline has come.
    fn late(&self) -> Unavailable {
        match &self.shared.latest.load().failure {
            Some(failure) => Unavailable::failed(Arc::clone(failure), self.clock.now()),
            None => Unavailable::pending(),
        }
    }
}

impl RequestKey<'_> {
    fn without_query(&self) -> &str {
        self.path.split_once('?').map_or(self.path, |(path, _)| path)
    }
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            latest: ArcSwap::default(),
            forced: Mutex::new(ForcedRenewals::new()),
            try_again: AtomicBool::new(false),
            attention: AtomicU64::new(0),
            wake: Notify::new(),
            paths: RandomState::new(),
        }
    }

    /// Looks at or changes what is remembered of rejected tokens. The lock is held for a few hundred
    /// nanoseconds, and only around a 401, a new token or a path that has rejected one.
    pub(super) fn forced<T>(&self, change: impl FnOnce(&mut ForcedRenewals) -> T) -> T {
        // No change leaves it half done, so a panic elsewhere under the lock spoils nothing.
        let mut forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = change(&mut forced);
        // Under the lock, so that the word is never older than the state. It is read before the token that
        // it is about can be: the task changes the state first and publishes the token then.
        self.attention.store(forced.attention(), Ordering::Relaxed);
        outcome
    }

    /// Keyed by a random number of this process, so that no client can make paths collide.
    fn path(&self, key: RequestKey<'_>) -> PathId {
        let mut hasher = self.paths.build_hasher();
        key.method.hash(&mut hasher);
        key.without_query().hash(&mut hasher);
        PathId(hasher.finish())
    }
}

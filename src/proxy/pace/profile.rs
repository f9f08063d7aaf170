//! The limits of one profile, and which of them a request has to wait for.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::fixed::FixedLimit;
use super::limit::{Counts, Limit, LimitState, Permit, Refused, Request};
use super::line::Caller;
use super::rate::Rate;
use super::spending::Spending;
use crate::backoff::LONGEST_RETRY_AFTER;
use crate::proxy::rewrite::strip_path_prefix;

/// What replicas call the limit of the requests without one of their own. No path limit is described so.
const OWN: &str = "";

/// How the requests of one profile are paced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaceSettings {
    /// Limits are learned from 429s.
    pub adaptive: bool,
    /// The most starts in any window.
    pub max: Option<Rate>,
    /// The most requests at once.
    pub concurrent: Option<NonZeroU32>,
    /// The most requests that wait.
    pub queue: usize,
    /// The most requests in a window, beyond which they are refused.
    pub budget: Option<Rate>,
    /// Limits for some of the requests.
    pub limits: Vec<PathLimit>,
}

/// A limit for the requests with some methods or below some path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathLimit {
    /// Their path begins with this, at a segment's end; without a trailing slash.
    pub path_prefix: Option<String>,
    /// They have one of these methods; any where there is none.
    pub methods: Vec<Method>,
    /// What they may use.
    pub limit: FixedLimit,
}

/// The pace of one profile, for all cores.
#[derive(Debug)]
pub struct Pace {
    adaptive: bool,
    counts: Arc<Counts>,
    /// What is learned of the requests without a limit of their own.
    own: Arc<Limit>,
    /// What is configured for all requests. Apart from the former, so that its line is not held up by a pause
    /// that does not concern all of them.
    common: Arc<Limit>,
    /// The most specific first.
    paths: Vec<(PathLimit, Arc<Limit>)>,
    budget: Option<(Instant, Mutex<Spending>)>,
    /// The API has asked for a pause, which other replicas are to know.
    news: Notify,
    /// How many share what is configured; zero while that is not known.
    replicas: AtomicU32,
    /// The store of the replicas answers.
    hears: AtomicBool,
}

/// Which limit a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Place(Option<usize>);

/// What is known of a profile's limits at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PaceState {
    /// Of the requests without a limit of their own; `waiting` is the number of all that wait.
    pub profile: LimitState,
    /// How many of the budget are left, where there is one.
    pub budget_left: Option<u32>,
    /// How many replicas share what is configured, this one included, where that is known; and whether they are heard now.
    pub replicas: Option<(NonZeroU32, bool)>,
    /// Of each configured limit, with what selects it.
    pub limits: Vec<(String, LimitState)>,
}

impl Pace {
    /// No request was sent yet. `name` is the profile's, for the log.
    pub fn new(name: &str, settings: &PaceSettings) -> Self {
        let counts = Arc::new(Counts {
            active: AtomicUsize::new(usize::from(settings.budget.is_some())),
            waiting: AtomicUsize::new(0),
            most: settings.queue,
        });
        let limit = |name, fixed| Arc::new(Limit::new(name, &counts, fixed));
        let mut paths = settings.limits.clone();
        // Equal ones stay in the order of the file.
        paths.sort_by_key(|path| std::cmp::Reverse(path.specificity()));
        let paths = paths.into_iter().map(|path| {
            let limit = limit(format!("{name} {}", path.describe()), path.limit);
            (path, limit)
        });
        let common = FixedLimit { rate: settings.max, concurrent: settings.concurrent, spacing: None };
        Self {
            adaptive: settings.adaptive,
            own: limit(name.to_owned(), FixedLimit::default()),
            common: limit(name.to_owned(), common),
            paths: paths.collect(),
            budget: settings.budget.map(|budget| (Instant::now(), Mutex::new(Spending::new(budget)))),
            counts,
            news: Notify::new(),
            replicas: AtomicU32::new(0),
            hears: AtomicBool::new(false),
        }
    }

    /// True while no request waits for anything: all that a request costs then.
    pub(in crate::proxy) fn is_idle(&self) -> bool {
        self.counts.active.load(Ordering::Acquire) == 0
    }

    /// True where limits are learned.
    pub fn is_adaptive(&self) -> bool {
        self.adaptive
    }

    /// Which limit a request belongs to: the one with the longest fitting path prefix, then one with
    /// methods, then the first.
    pub(in crate::proxy) fn place(&self, method: &Method, path: &str) -> Place {
        Place(self.paths.iter().position(|(limit, _)| limit.fits(method, path)))
    }

    /// Waits until the request may be sent; it counts as sent then. What comes of it is kept until the request
    /// has ended. Cancel safe: a request that leaves gives its place back.
    pub(in crate::proxy) async fn admit(
        &self,
        place: Place,
        caller: Caller,
        arrived: Instant,
        deadline: Instant,
    ) -> Result<Vec<Permit>, Refused> {
        self.look_at_budget()?;
        let request = Request { caller, arrived, deadline };
        let first = self.limit(place);
        let permits = match (first.is_active(), self.common.is_active()) {
            (false, false) => Vec::new(),
            (true, false) => first.acquire(request).await?.into_iter().collect(),
            (false, true) => self.common.acquire(request).await?.into_iter().collect(),
            (true, true) => self.both(first, request).await?,
        };
        self.spend()?;
        Ok(permits)
    }

    /// The first limit's turn is taken when the second one's has come, so that no start that is due in the
    /// first is kept waiting and then falls together with the next.
    async fn both(&self, first: &Arc<Limit>, request: Request) -> Result<Vec<Permit>, Refused> {
        let mut turn = first.join(request.clone())?;
        loop {
            turn.come().await?;
            let second = self.common.acquire(request.clone()).await?;
            if let Ok(first) = turn.take() {
                return Ok(first.into_iter().chain(second).collect());
            }
        }
    }

    /// In how long the turn of a request comes that arrived then, as far as that is known.
    pub(in crate::proxy) fn wait(&self, place: Place, caller: Caller, arrived: Instant) -> Duration {
        let now = Instant::now();
        let request = Request { caller, arrived, deadline: now };
        let turn = self.limit(place).wait(&request, now).max(self.common.wait(&request, now));
        match self.look_at_budget() {
            Err(Refused::BudgetUsedUp(rest)) => turn.max(rest),
            Ok(()) | Err(Refused::TooLong(_) | Refused::Full(_)) => turn,
        }
    }

    /// The API served a request that was sent then.
    pub(in crate::proxy) fn accepted(&self, place: Place, sent: Instant) {
        self.limit(place).accepted(Instant::now(), sent);
    }

    /// The API rejected a request that was sent then.
    pub(in crate::proxy) fn rejected(&self, place: Place, sent: Instant, retry_after: Option<Duration>) {
        self.limit(place).rejected(Instant::now(), sent, retry_after);
        if retry_after.is_some() {
            self.news.notify_one();
        }
    }

    /// Resolves when there is something that other replicas should know. Cancel safe.
    pub(super) async fn has_news(&self) {
        self.news.notified().await;
    }

    /// The pauses that the API has asked for, this replica itself: which limit, and for how long yet.
    pub(super) fn own_pauses(&self) -> Vec<(String, Duration)> {
        let now = Instant::now();
        let named = self.paths.iter().map(|(path, limit)| (path.describe(), limit));
        let all = named.chain([(OWN.to_owned(), &self.own)]);
        all.filter_map(|(name, limit)| Some((name, limit.own_pause(now)?))).collect()
    }

    /// The API has asked another replica for a pause of this limit that lasts so long yet. One that lasts longer than any
    /// `Retry-After` is believed is cut.
    pub(super) fn paused_elsewhere(&self, name: &str, now: Instant, rest: Duration) {
        if !self.adaptive || rest.is_zero() {
            return;
        }
        let named = self.paths.iter().find(|(path, _)| path.describe() == name).map(|(_, limit)| limit);
        if let Some(limit) = named.or_else(|| (name == OWN).then_some(&self.own)) {
            limit.paused_elsewhere(now, now + rest.min(LONGEST_RETRY_AFTER));
        }
    }

    /// Other replicas are not heard now. The last number of them goes on to hold, so that together they stay within
    /// what is configured.
    pub(super) fn hears_nobody(&self) {
        self.hears.store(false, Ordering::Relaxed);
        // One that has never heard of others takes itself for the only one.
        let _ = self.replicas.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// So many replicas share what is configured from now on.
    pub(super) fn share_among(&self, number: NonZeroU32) {
        self.hears.store(true, Ordering::Relaxed);
        if self.replicas.swap(number.get(), Ordering::Relaxed) != number.get() {
            self.divide(number);
        }
    }

    /// There is no store any more: what is configured is for this process alone.
    pub(super) fn share_no_more(&self) {
        self.hears.store(false, Ordering::Relaxed);
        if self.replicas.swap(0, Ordering::Relaxed) > 1 {
            self.divide(NonZeroU32::MIN);
        }
    }

    fn divide(&self, number: NonZeroU32) {
        for limit in self.paths.iter().map(|(_, limit)| limit).chain([&self.common]) {
            limit.share_among(number);
        }
        if let Some((_, budget)) = &self.budget {
            lock(budget).share_among(number);
        }
    }

    /// What is known now.
    pub fn state(&self) -> PaceState {
        let now = Instant::now();
        let profile = self.own.state(now);
        let waiting = self.counts.waiting.load(Ordering::Relaxed);
        PaceState {
            profile: LimitState { waiting, ..profile },
            budget_left: self.budget.as_ref().map(|(start, budget)| lock(budget).left(now - *start)),
            replicas: NonZeroU32::new(self.replicas.load(Ordering::Relaxed))
                .map(|number| (number, self.hears.load(Ordering::Relaxed))),
            limits: self.paths.iter().map(|(path, limit)| (path.describe(), limit.state(now))).collect(),
        }
    }

    fn limit(&self, place: Place) -> &Arc<Limit> {
        place.0.and_then(|index| self.paths.get(index)).map_or(&self.own, |(_, limit)| limit)
    }

    fn look_at_budget(&self) -> Result<(), Refused> {
        let Some((start, budget)) = &self.budget else { return Ok(()) };
        lock(budget).look(start.elapsed()).map_err(Refused::BudgetUsedUp)
    }

    fn spend(&self) -> Result<(), Refused> {
        let Some((start, budget)) = &self.budget else { return Ok(()) };
        lock(budget).spend(start.elapsed()).map_err(Refused::BudgetUsedUp)
    }
}

fn lock(budget: &Mutex<Spending>) -> MutexGuard<'_, Spending> {
    budget.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PathLimit {
    /// True where both are for the same requests.
    pub fn selects_as(&self, other: &Self) -> bool {
        self.path_prefix == other.path_prefix
            && self.methods.len() == other.methods.len()
            && self.methods.iter().all(|method| other.methods.contains(method))
    }

    fn fits(&self, method: &Method, path: &str) -> bool {
        (self.methods.is_empty() || self.methods.contains(method))
            && self.path_prefix.as_ref().is_none_or(|prefix| strip_path_prefix(path, prefix).is_some())
    }

    fn specificity(&self) -> (usize, bool) {
        (self.path_prefix.as_ref().map_or(0, String::len), !self.methods.is_empty())
    }

    /// What selects it, for people.
    fn describe(&self) -> String {
        let mut words: Vec<String> = self.methods.iter().map(ToString::to_string).collect();
        words.extend(self.path_prefix.clone());
        if words.is_empty() { "all".to_owned() } else { words.join(" ") }
    }
}

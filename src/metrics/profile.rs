//! What every request counts, of each profile: one table a core, so that cores do not write to the same
//! memory. The reader adds the tables up.

mod collector;
mod reading;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::time::Instant;

use super::begun::Begun;
use super::histogram::Histogram;
use super::latencies::{Latencies, Recorded};
use super::rare::{Rare, RareOf};
use super::spread::Spread;
use super::{RetryReason, TokenObserver, WaitReason};

pub(super) use collector::ProfileCollector;
pub use reading::Statuses;

/// The label values of methods; every method without one of its own counts as the last.
const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "other"];
/// Statuses 100 to 599.
const STATUSES: usize = 500;

/// Counts what happens to the requests of one profile on one core. Cheap to clone: clones count into the
/// same table.
#[derive(Clone)]
pub struct ProfileMetrics {
    profile: Arc<Profile>,
    core: Arc<Core>,
}

/// One profile, on all cores.
#[derive(Debug)]
pub(super) struct Profile {
    name: String,
    cores: Mutex<Vec<Arc<Core>>>,
    rare: RareOf,
    families: Rare,
    /// Of all profiles.
    in_flight: Arc<AtomicUsize>,
    records_latencies: bool,
}

/// One profile on one core.
#[derive(Debug)]
struct Core {
    /// A row for each method, a column for each status.
    responses: Vec<AtomicU64>,
    /// By status.
    upstream_responses: Vec<AtomicU64>,
    request_duration: Histogram,
    upstream_duration: Histogram,
    latencies: Option<Latencies>,
    /// What the proxy itself added to each request, and what the upstream took for each attempt.
    added: Spread,
    upstream: Spread,
    /// The requests in flight. Only its own core and the admin pages lock it.
    begun: Mutex<Begun>,
    /// Of all profiles on all cores.
    all_in_flight: Arc<AtomicUsize>,
}

impl ProfileMetrics {
    pub(super) fn new(profile: Arc<Profile>) -> Self {
        Self { core: profile.add_core(), profile }
    }

    /// A handle on the same profile with a table of its own, for another core.
    #[must_use]
    pub fn for_core(&self) -> Self {
        Self::new(Arc::clone(&self.profile))
    }

    /// The profile's name, as the label `profile` has it.
    pub fn name(&self) -> &str {
        &self.profile.name
    }

    /// True where both count into the same table.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.core, &other.core)
    }

    /// One more request in flight since `began`, until the value is dropped.
    pub fn enter(&self, began: Instant) -> InFlight {
        let total = self.core.all_in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let place = self.core.begun().begin(began);
        InFlight { core: Arc::clone(&self.core), place, total }
    }

    /// A response to a client, passed on or the proxy's own. A status beyond 599 counts as 599.
    pub fn response(&self, method: &Method, status: StatusCode) {
        let place = row(method) * STATUSES + column(status);
        if let Some(count) = self.core.responses.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request has come to its end, `taken` after the end of its header section.
    pub fn request_finished(&self, taken: Duration) {
        self.core.request_duration.observe(taken);
        if let Some(latencies) = &self.core.latencies {
            latencies.record(taken);
        }
    }

    /// A response of the API, `taken` after the attempt began.
    pub fn upstream_response(&self, status: StatusCode, taken: Duration) {
        if let Some(count) = self.core.upstream_responses.get(column(status)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.core.upstream_duration.observe(taken);
        self.core.upstream.observe(taken);
    }

    /// A response of the API goes to the client, and the proxy has added so much to the time of the request: its
    /// own work and all waits, to the head of the response.
    pub fn added(&self, taken: Duration) {
        self.core.added.observe(taken);
    }

    /// A request is sent to the API again.
    pub fn retry(&self, reason: RetryReason) {
        self.profile.rare.retries.add(reason);
    }

    /// A request is not sent again because too much of its body is gone.
    pub fn replay_skipped(&self, reason: RetryReason) {
        self.profile.rare.replays_skipped.add(reason);
    }

    /// A request has waited so long in the proxy.
    pub fn wait(&self, reason: WaitReason, waited: Duration) {
        if let Some((_, seconds)) = self.profile.rare.waits.iter().find(|(own, _)| *own == reason) {
            seconds.inc_by(waited.as_secs_f64());
        }
    }

    /// The API asked for fewer requests: 429, or 503 with `Retry-After`.
    pub fn rate_limited(&self) {
        self.profile.rare.rate_limited.inc();
    }

    /// A client went away before a response.
    pub fn abandoned(&self) {
        self.profile.rare.abandoned.inc();
    }

    /// Says whether requests of the profile can be served; asked for at every scrape.
    pub fn set_ready(&self, ready: bool) {
        self.profile.rare.ready.set(i64::from(ready));
    }

    /// Counts the token requests of the profile's credentials. Credentials that several profiles share
    /// are observed for the first of them alone: the others then have no samples.
    pub fn token_observer(&self) -> Arc<dyn TokenObserver> {
        Arc::new(self.profile.families.tokens_of(&self.profile.name))
    }
}

impl fmt::Debug for ProfileMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProfileMetrics").field(&self.profile.name).finish()
    }
}

/// A request whose response has not ended. Dropping it says that it has.
#[derive(Debug)]
pub struct InFlight {
    core: Arc<Core>,
    place: usize,
    total: usize,
}

impl InFlight {
    /// How many were in flight when this one came, itself included, of all profiles on all cores.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Counts for another profile from now on: which one serves a request is known only after it has
    /// been looked at.
    pub fn move_to(&mut self, other: &ProfileMetrics) {
        if !Arc::ptr_eq(&self.core, &other.core) {
            let began = self.core.begun().end(self.place);
            self.place = other.core.begun().begin(began.unwrap_or_else(Instant::now));
            self.core = Arc::clone(&other.core);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.core.begun().end(self.place);
        self.core.all_in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn row(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::DELETE => 4,
        Method::CONNECT => 5,
        Method::OPTIONS => 6,
        Method::TRACE => 7,
        Method::PATCH => 8,
        _ => 9,
    }
}

fn column(status: StatusCode) -> usize {
    usize::from(status.as_u16().clamp(100, 599) - 100)
}

impl Profile {
    pub(super) fn new(
        name: &str,
        families: &Rare,
        in_flight: Arc<AtomicUsize>,
        records_latencies: bool,
    ) -> Self {
        Self {
            name: name.to_owned(),
            cores: Mutex::default(),
            rare: families.of(name),
            families: families.clone(),
            in_flight,
            records_latencies,
        }
    }

    fn add_core(&self) -> Arc<Core> {
        let zeroes = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        let core = Arc::new(Core {
            responses: zeroes(METHODS.len() * STATUSES),
            upstream_responses: zeroes(STATUSES),
            request_duration: Histogram::default(),
            upstream_duration: Histogram::default(),
            latencies: self.records_latencies.then(Latencies::new).flatten(),
            added: Spread::default(),
            upstream: Spread::default(),
            begun: Mutex::default(),
            all_in_flight: Arc::clone(&self.in_flight),
        });
        self.cores.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&core));
        core
    }

    fn cores(&self) -> Vec<Arc<Core>> {
        self.cores.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds the latencies of all cores.
    pub(super) fn add_latencies(&self, recorded: &mut Recorded) {
        for core in self.cores() {
            if let Some(latencies) = &core.latencies {
                recorded.add(latencies);
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.cores().iter().map(|core| core.begun().count()).sum()
    }

    fn oldest_in_flight(&self) -> Option<Instant> {
        self.cores().iter().filter_map(|core| core.begun().oldest()).min()
    }
}

impl Core {
    fn begun(&self) -> MutexGuard<'_, Begun> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

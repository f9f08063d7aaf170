//! How many client connections there are, and which of them are idle.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::signals::Signals;

/// What all unfinished heads together may take beyond their first buffer, in bytes: 1,000 clients that
/// each send most of a large head must not take the memory that good clients need.
const UNFINISHED: usize = 16 * 1024 * 1024;

/// How long a connection may take to begin its first request before it counts as idle, in milliseconds.
const FRESH: u64 = 1000;

/// The number of open client connections, of all listeners and all workers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// By worker.
    open: Vec<AtomicUsize>,
    limit: AtomicUsize,
    /// Somebody waits for one to be closed.
    is_crowded: AtomicBool,
    closed: Notify,
    /// Bytes of unfinished heads.
    unfinished: AtomicUsize,
    /// Milliseconds count from here.
    epoch: Instant,
}

impl Connections {
    pub(super) fn new(workers: usize, limit: usize) -> Self {
        Self(Arc::new(Shared {
            open: (0..workers).map(|_| AtomicUsize::new(0)).collect(),
            limit: AtomicUsize::new(limit),
            is_crowded: AtomicBool::new(false),
            closed: Notify::new(),
            unfinished: AtomicUsize::new(0),
            epoch: Instant::now(),
        }))
    }

    /// How many are open now, tunnels included.
    pub fn open(&self) -> usize {
        self.0.open.iter().map(|open| open.load(Relaxed)).sum()
    }

    /// True where another one would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.open() >= self.0.limit.load(Relaxed)
    }

    /// Another limit from now on. Connections that are open stay open.
    pub(super) fn set_limit(&self, limit: usize) {
        self.0.limit.store(limit, Relaxed);
    }

    /// Says whether somebody waits for one to be closed.
    pub(super) fn set_crowded(&self, crowded: bool) {
        self.0.is_crowded.store(crowded, Relaxed);
    }

    /// Waits for one to be closed while crowded. Cancel safe.
    pub(super) async fn closed(&self) {
        self.0.closed.notified().await;
    }

    /// How many idle ones to close at once, so that looking for them does not become the main work.
    pub(super) fn batch(&self) -> usize {
        (self.0.limit.load(Relaxed) / 100).max(1)
    }

    /// The worker with the fewest; `own` where that is among them.
    pub(super) fn least(&self, own: usize) -> usize {
        let load = |index: usize| self.0.open.get(index).map_or(usize::MAX, |open| open.load(Relaxed));
        let least = (0..self.0.open.len()).min_by_key(|index| load(*index)).unwrap_or(own);
        if load(least) < load(own) { least } else { own }
    }

    /// Counts one more for a worker.
    pub(super) fn add(&self, worker: usize) -> Counted {
        if let Some(open) = self.0.open.get(worker) {
            open.fetch_add(1, Relaxed);
        }
        Counted { connections: self.clone(), worker }
    }

    /// Nothing, so far, of the budget of unfinished heads.
    pub(super) fn head_size(&self) -> HeadSize {
        HeadSize { connections: self.clone(), taken: 0 }
    }

    /// `now` in milliseconds, from 1.
    pub(super) fn millis(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.0.epoch).as_millis();
        u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// What one unfinished head takes of the budget of all.
#[derive(Debug)]
pub(super) struct HeadSize {
    connections: Connections,
    taken: usize,
}

impl HeadSize {
    /// So many bytes more. False where all together take too much.
    pub(super) fn grow(&mut self, by: usize) -> bool {
        self.taken += by;
        self.connections.0.unfinished.fetch_add(by, Relaxed) + by <= UNFINISHED
    }

    /// The head has come whole.
    pub(super) fn clear(&mut self) {
        if self.taken > 0 {
            self.connections.0.unfinished.fetch_sub(self.taken, Relaxed);
            self.taken = 0;
        }
    }
}

impl Drop for HeadSize {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Counts one connection for one worker.
#[derive(Debug)]
pub(super) struct Counted {
    connections: Connections,
    worker: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let shared = &self.connections.0;
        if let Some(open) = shared.open.get(self.worker) {
            open.fetch_sub(1, Relaxed);
        }
        if shared.is_crowded.load(Relaxed) {
            shared.closed.notify_one();
        }
    }
}

/// The connections of one worker.
#[derive(Clone, Debug, Default)]
pub(super) struct Registry(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    signals: HashMap<u64, Arc<Signals>>,
}

impl Registry {
    /// Adds a connection, which stays for as long as the returned value does.
    pub(super) fn add(&self, signals: Arc<Signals>, counted: Counted, alive: mpsc::Sender<()>) -> Open {
        let mut entries = self.entries();
        let key = entries.next;
        entries.next += 1;
        entries.signals.insert(key, signals);
        drop(entries);
        Open { registry: self.clone(), key, _counted: counted, _alive: alive }
    }

    /// Tells all connections that the process drains.
    pub(super) fn order_drain(&self) {
        for signals in self.all() {
            signals.order_drain();
        }
    }

    /// Closes those that have been idle for longest, at most `count`. One that has just been accepted is not idle yet:
    /// its first request may be on its way.
    pub(super) fn close_idle(&self, count: usize, now: u64) {
        let is_new =
            |signals: &Signals, since: u64| signals.finished() == 0 && now.saturating_sub(since) < FRESH;
        let idle = self.all().into_iter().filter_map(|signals| Some((signals.idle_since()?, signals)));
        let mut idle: Vec<_> = idle.filter(|(since, signals)| !is_new(signals, *since)).collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        for (_, signals) in idle.into_iter().take(count) {
            signals.order_close_idle();
        }
    }

    fn all(&self) -> Vec<Arc<Signals>> {
        self.entries().signals.values().cloned().collect()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection: counted, and known to its worker.
#[derive(Debug)]
pub(super) struct Open {
    registry: Registry,
    key: u64,
    _counted: Counted,
    _alive: mpsc::Sender<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.registry.entries().signals.remove(&self.key);
    }
}

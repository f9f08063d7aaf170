//! The open streams of one HTTP/2 connection, for its time-outs.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::waiting::{Stall, Waiting};

/// What is known of one stream.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    pub(super) waiting: Waiting,
    /// The task that answers it.
    task: OnceLock<AbortHandle>,
}

/// The streams of one connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: AtomicUsize,
    begun: AtomicUsize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    entries: Vec<Option<Entry>>,
    free: Vec<usize>,
    /// The stream whose task hyper is about to hand to the executor.
    next: Option<Arc<StreamState>>,
}

#[derive(Debug)]
struct Entry {
    state: Arc<StreamState>,
    stall: Stall,
}

impl Streams {
    /// Opens a stream. Its task is the next one that the executor is given: hyper calls the service
    /// and spawns what it returned in one breath (`Serving::poll_server`).
    pub(super) fn open(self: &Arc<Self>) -> OpenStream {
        let state = Arc::new(StreamState::default());
        self.open.fetch_add(1, Relaxed);
        self.begun.fetch_add(1, Relaxed);
        let mut table = self.table();
        table.next = Some(state.clone());
        let entry = Entry { state: state.clone(), stall: Stall::default() };
        let index = table.free.pop().unwrap_or(table.entries.len());
        if let Some(place) = table.entries.get_mut(index) {
            *place = Some(entry);
        } else {
            table.entries.push(Some(entry));
        }
        drop(table);
        OpenStream { state, streams: self.clone(), index }
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// How many have ever been opened; wraps.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Relaxed)
    }

    /// Looks at every stream, and cuts off those that have stood still for `limit` because of the
    /// client. `now`: the moment of this look.
    pub(super) fn cut_stalled(&self, now: Instant, limit: Duration) {
        let mut stalled = Vec::new();
        for entry in self.table().entries.iter_mut().flatten() {
            if entry.stall.look(&entry.state.waiting, now) >= limit {
                stalled.extend(entry.state.task.get().cloned());
            }
        }
        // Outside of the lock: an aborted task may end at once, and takes its entry away.
        for task in stalled {
            tracing::debug!("an HTTP/2 stream is cut off: the client stands still");
            task.abort();
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a stream counted as open.
#[derive(Debug)]
pub(super) struct OpenStream {
    pub(super) state: Arc<StreamState>,
    streams: Arc<Streams>,
    index: usize,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.streams.open.fetch_sub(1, Relaxed);
        let mut table = self.streams.table();
        if let Some(place) = table.entries.get_mut(self.index) {
            *place = None;
        }
        table.free.push(self.index);
        if table.free.len() == table.entries.len() {
            // All are closed: gives the memory of a burst back.
            table.entries = Vec::new();
            table.free = Vec::new();
        }
    }
}

/// Spawns the tasks of one connection's streams on the current runtime.
#[derive(Clone, Debug)]
pub(super) struct StreamExecutor(pub(super) Arc<Streams>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for StreamExecutor {
    #[expect(clippy::disallowed_methods, reason = "hyper ends a stream's task with its connection")]
    fn execute(&self, future: F) {
        let task = tokio::spawn(future).abort_handle();
        if let Some(state) = self.0.table().next.take() {
            let _ = state.task.set(task);
        }
    }
}

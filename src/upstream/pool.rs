//! Connections that wait for their next request. One pool a core, so its locks are never contended.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::http1::{Home, Http1};
use super::http2::{Http2, Stream};
use super::upstream_io::UpstreamIo;

/// Below the minute after which common load balancers close: a connection that both sides close at the same
/// moment would cost a request that must not be repeated.
const IDLE_LIMIT: Duration = Duration::from_secs(50);

pub(super) struct Pool<B> {
    http1: Mutex<Waiting<B>>,
    http2: Mutex<Vec<Http2<B>>>,
    /// What the origin chose, the last time that HTTP/2 was offered to it.
    speaks_http1: AtomicBool,
    /// Held by the request that finds out what the origin speaks.
    turn: tokio::sync::Mutex<()>,
}

/// Last in, first out: the warmest connection serves, the surplus grows old and goes.
struct Waiting<B> {
    live: Vec<(Arc<Http1<B>>, Instant)>,
    /// Only byte streams; hyper begins anew on them.
    parked: Vec<(UpstreamIo, Instant)>,
    /// The moment of the last sweep. Connections count as idle since then, at most a few seconds too early;
    /// no request reads a clock for that.
    swept: Instant,
}

/// A connection as it waited.
pub(super) enum Kept<B> {
    Live(Arc<Http1<B>>),
    Parked(UpstreamIo),
}

impl<B> Pool<B> {
    /// An empty pool. `now` is the time until the first sweep.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            http1: Mutex::new(Waiting { live: Vec::new(), parked: Vec::new(), swept: now }),
            http2: Mutex::new(Vec::new()),
            speaks_http1: AtomicBool::new(false),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    /// A connection that was alive a moment ago.
    pub(super) fn take_http1(&self) -> Option<Kept<B>> {
        loop {
            let mut waiting = lock(&self.http1);
            let Some((connection, _)) = waiting.live.pop() else {
                return waiting.parked.pop().map(|(io, _)| Kept::Parked(io));
            };
            drop(waiting);
            if connection.is_ready() {
                return Some(Kept::Live(connection));
            }
            connection.close();
        }
    }

    /// A connection with room for one more stream; where it matters, one that was made `since` then.
    pub(super) fn share_http2(&self, since: Option<Instant>) -> Option<(Http2<B>, Stream)> {
        let mut connections = lock(&self.http2);
        connections.retain(Http2::is_open);
        let fits = |connection: &&Http2<B>| since.is_none_or(|since| connection.is_younger_than(since));
        connections.iter().filter(fits).find_map(Http2::take_stream)
    }

    pub(super) fn add_http2(&self, connection: Http2<B>) {
        lock(&self.http2).push(connection);
    }

    pub(super) fn learn(&self, http1: bool) {
        self.speaks_http1.store(http1, Ordering::Relaxed);
    }

    pub(super) fn speaks_http1(&self) -> bool {
        self.speaks_http1.load(Ordering::Relaxed)
    }

    /// Waits for the turn to find out what the origin speaks. Cancel safe.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Closes what has died or grown old, and parks what has been idle for long.
    pub(super) fn sweep(&self, now: Instant) {
        let mut waiting = lock(&self.http1);
        let before = std::mem::replace(&mut waiting.swept, now);
        let old = |since: Instant| now.saturating_duration_since(since) >= IDLE_LIMIT;
        waiting.parked.retain_mut(|(io, since)| !old(*since) && io.is_quiet());
        // The oldest stand first. One that was not used since the sweep before has some 17 KiB of buffers that are
        // worth more elsewhere.
        let count = waiting.live.iter().take_while(|(_, since)| *since < before || old(*since)).count();
        let leaving: Vec<_> = waiting.live.drain(..count).collect();
        drop(waiting);
        for (connection, since) in leaving {
            if old(since) {
                connection.close();
            } else {
                connection.park(since);
            }
        }
        lock(&self.http2).retain(|connection| connection.is_open() && !connection.is_stale(now, IDLE_LIMIT));
    }
}

impl<B: Send + 'static> Home<B> for Pool<B> {
    fn put_http1(&self, connection: Arc<Http1<B>>) {
        let mut waiting = lock(&self.http1);
        let since = waiting.swept;
        waiting.live.push((connection, since));
    }

    fn put_parked(&self, io: UpstreamIo, since: Instant) {
        lock(&self.http1).parked.push((io, since));
    }
}

/// Connections that wait end with their pool; those in use end after their response.
impl<B> Drop for Pool<B> {
    fn drop(&mut self) {
        for (connection, _) in lock(&self.http1).live.drain(..) {
            connection.close();
        }
    }
}

/// Nothing panics while it holds one of these locks; if something did, the list would be whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Connections that wait for their next request. One pool a core, so its locks are never contended.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::h1::Http1Connection;
use super::h2::Http2Connection;

/// Below the minute after which common load balancers close: a connection that both sides close at
/// the same moment would cost a request that must not be repeated.
const IDLE_LIMIT: Duration = Duration::from_secs(50);
/// After this long a waiting connection's buffers are worth more elsewhere.
const SHED_AFTER: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(super) struct Pool {
    #[allow(
        clippy::vec_box,
        reason = "a connection is large and moves on every request: its pointer is cheap"
    )]
    /// Last in, first out: the warmest connection serves, the surplus grows old and goes.
    http1: Mutex<Vec<Box<Http1Connection>>>,
    http2: Mutex<Vec<Http2Connection>>,
    http1_only: AtomicBool,
    dialing: tokio::sync::Mutex<()>,
}

impl Pool {
    /// A connection that was alive a moment ago.
    pub(super) fn take_http1(&self) -> Option<Box<Http1Connection>> {
        loop {
            let mut connection = lock(&self.http1).pop()?;
            if connection.is_alive() {
                return Some(connection);
            }
        }
    }

    pub(super) fn put_http1(&self, connection: Box<Http1Connection>) {
        lock(&self.http1).push(connection);
    }

    /// A connection with room for one more stream; where it matters, one that was made `since` then.
    pub(super) fn share_http2(&self, since: Option<Instant>) -> Option<Http2Connection> {
        let mut connections = lock(&self.http2);
        connections.retain(Http2Connection::is_open);
        let fits = |connection: &&Http2Connection| {
            connection.has_room() && since.is_none_or(|since| connection.is_younger_than(since))
        };
        connections.iter().find(fits).cloned()
    }

    pub(super) fn add_http2(&self, connection: Http2Connection) -> Http2Connection {
        lock(&self.http2).push(connection.clone());
        connection
    }

    /// What the origin chose, the last time that HTTP/2 was offered to it.
    pub(super) fn learn(&self, http1: bool) {
        self.http1_only.store(http1, Ordering::Relaxed);
    }

    pub(super) fn speaks_http1(&self) -> bool {
        self.http1_only.load(Ordering::Relaxed)
    }

    /// Waits for the turn to find out what the origin speaks.
    pub(super) async fn first_dial(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.dialing.lock().await
    }

    pub(super) fn sweep(&self, now: Instant) {
        lock(&self.http1).retain_mut(|connection| {
            let idle = now.saturating_duration_since(connection.idle_since);
            if idle >= SHED_AFTER {
                connection.shed();
            }
            idle < IDLE_LIMIT && connection.is_alive()
        });
        lock(&self.http2).retain(|connection| connection.is_open() && !connection.is_stale(now, IDLE_LIMIT));
    }
}

/// Nothing panics while it holds one of these locks; if something did, the list would be whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

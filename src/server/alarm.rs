//! A connection's one timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that is set only when it has to fire earlier, or has fired: while requests come one after
/// the other it costs a comparison. The task that waits for it looks at the clock when it fires.
#[derive(Debug)]
pub(super) struct Alarm {
    at: Instant,
    sleep: Pin<Box<Sleep>>,
    /// The current task has been registered since the last `set`.
    is_registered: bool,
}

impl Alarm {
    /// An alarm that fires at `at`.
    pub(super) fn new(at: Instant) -> Self {
        Self { at, sleep: Box::pin(sleep_until(at)), is_registered: false }
    }

    /// Ready when the alarm fires: at `due` or earlier. To be called by one task only.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, due: Instant) -> Poll<()> {
        self.not_after(due);
        if self.is_registered {
            // The task keeps its waker for life, so there is nothing to register anew.
            return if self.sleep.is_elapsed() { Poll::Ready(()) } else { Poll::Pending };
        }
        self.is_registered = true;
        self.sleep.as_mut().poll(cx)
    }

    /// Has it fire at `due` or earlier.
    pub(super) fn not_after(&mut self, due: Instant) {
        if due < self.at {
            self.set(due);
        }
    }

    /// When it fires.
    pub(super) fn at(&self) -> Instant {
        self.at
    }

    /// Has it fire at `at`, and not before.
    pub(super) fn set(&mut self, at: Instant) {
        self.at = at;
        self.is_registered = false;
        self.sleep.as_mut().reset(at);
    }
}

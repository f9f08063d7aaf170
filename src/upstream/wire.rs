//! What a connection's byte stream and the request that uses it tell each other.
//!
//! One object a connection over HTTP/1.1, one a request with a body over HTTP/2. Everything runs on one core,
//! so the atomics are never contended; they are atomics because the parts must be `Send`.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

/// What one HTTP/1.1 connection may hold of a request's body while the socket takes no more. hyper's own
/// bound has to be as large as the largest header section.
const UPLOAD_BUFFER: usize = 32 * 1024;

type Failure = Box<dyn Error + Send + Sync>;

#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Something of the current request was handed to the socket or to TLS.
    written: AtomicBool,
    /// How many bytes of the current response have arrived.
    received: AtomicUsize,
    /// The next read asks the system, whatever the runtime believes of the socket's readiness.
    look: AtomicBool,
    /// Bytes of the body that hyper took and that have not left yet.
    buffered: AtomicUsize,
    /// Woken when they have left.
    room: AtomicWaker,
    /// The request's body was read to its end, or has failed.
    uploaded: AtomicBool,
    /// Woken then.
    end: AtomicWaker,
    failed: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

impl Wire {
    /// Begins a request on a connection.
    pub(super) fn begin(&self) {
        self.written.store(false, Ordering::Relaxed);
        self.received.store(0, Ordering::Relaxed);
        self.look.store(true, Ordering::Relaxed);
        self.buffered.store(0, Ordering::Relaxed);
        self.uploaded.store(false, Ordering::Relaxed);
        self.failed.store(false, Ordering::Relaxed);
    }

    pub(super) fn note_written(&self) {
        self.written.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_written(&self) -> bool {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn note_received(&self, count: usize) {
        self.received.store(self.received() + count, Ordering::Relaxed);
    }

    /// In bytes, without TLS.
    pub(super) fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn has_received(&self) -> bool {
        self.received() > 0
    }

    /// True once after [`Wire::begin`].
    pub(super) fn take_look(&self) -> bool {
        // A load is cheaper than an exchange, and reads are many.
        self.look.load(Ordering::Relaxed) && self.look.swap(false, Ordering::Relaxed)
    }

    /// Ready where hyper may have more of the body. Cancel safe.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.buffered.load(Ordering::Relaxed) < UPLOAD_BUFFER {
            return Poll::Ready(());
        }
        self.room.register(cx.waker());
        if self.buffered.load(Ordering::Relaxed) < UPLOAD_BUFFER { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn note_buffered(&self, count: usize) {
        self.buffered.fetch_add(count, Ordering::Relaxed);
    }

    /// Everything that hyper had has left.
    pub(super) fn note_flushed(&self) {
        if self.buffered.load(Ordering::Relaxed) > 0
            && self.buffered.swap(0, Ordering::Relaxed) >= UPLOAD_BUFFER
        {
            self.room.wake();
        }
    }

    pub(super) fn note_uploaded(&self) {
        if !self.uploaded.swap(true, Ordering::Relaxed) {
            self.end.wake();
        }
    }

    pub(super) fn is_uploaded(&self) -> bool {
        self.uploaded.load(Ordering::Relaxed)
    }

    /// Ready when the request's body was read to its end. Cancel safe.
    pub(super) fn poll_uploaded(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_uploaded() {
            return Poll::Ready(());
        }
        self.end.register(cx.waker());
        if self.is_uploaded() { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn fail(&self, error: Failure) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.failed.store(true, Ordering::Relaxed);
        self.note_uploaded();
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Why the request's body failed; only the first caller gets it.
    pub(super) fn take_failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

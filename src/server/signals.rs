//! What the parts of one client connection tell each other: the byte stream under hyper, the bodies
//! of request and response, the task that drives them, and the worker.
//!
//! All of them live on one thread nearly always; the atomics let a body be polled elsewhere, and they
//! guard no other memory, so `Relaxed` is enough. Wakers bring their own order.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use hyper::upgrade::OnUpgrade;

use super::states::{BodyState, Phase, Reading, Stop};
use super::waiting::Waiting;

/// The worker's order to close the connection where nothing goes on.
const CLOSE_IDLE: u8 = 1;
/// The worker's news that the process drains.
const DRAIN: u8 = 2;

/// The state that is shared by all parts of one connection.
#[derive(Debug)]
pub(super) struct Signals {
    pub(super) waiting: Waiting,
    orders: AtomicU8,
    /// Since when the connection has been idle, as the worker counts milliseconds; 0 while it is not.
    idle_since: AtomicU64,
    phase: AtomicU8,
    reading: AtomicU8,
    /// How many responses have left.
    finished: AtomicU32,
    /// A head has begun to arrive that no request has been made of.
    head_begun: AtomicBool,
    /// A [`Stop`]; 0 for none.
    stop: AtomicU32,
    /// A [`BodyState`].
    body: AtomicU8,
    /// A body has been dropped, and hyper has not noticed yet.
    body_dropped: AtomicBool,
    /// A response ends with the connection.
    close_delimited: AtomicBool,
    /// A response body waits for everything before its error to leave.
    flush_wanted: AtomicBool,
    broke_off: AtomicBool,
    /// Look whether the client has gone.
    look: AtomicBool,
    /// The byte stream is to fail: a tunnel has no other end.
    cut: AtomicBool,
    /// The client has ended the stream, or it has failed.
    ended: AtomicBool,
    /// The byte stream has been dropped.
    closed: AtomicBool,
    /// Wakes the task that drives the connection: the same one for life.
    driver: OnceLock<Waker>,
    /// The task that reads a tunnel.
    pub(super) tunnel: AtomicWaker,
    /// Gives the connection back if hyper ends it as an upgrade that nobody made use of.
    upgrade: Mutex<Option<OnUpgrade>>,
}

impl Signals {
    /// Signals of a connection that has just been accepted, idle since `now` (milliseconds, from 1).
    pub(super) fn new(now: u64) -> Self {
        Self {
            waiting: Waiting::default(),
            orders: AtomicU8::new(0),
            idle_since: AtomicU64::new(now),
            phase: AtomicU8::new(Phase::Idle as u8),
            reading: AtomicU8::new(Reading::Head as u8),
            finished: AtomicU32::new(0),
            head_begun: AtomicBool::new(false),
            stop: AtomicU32::new(0),
            body: AtomicU8::new(BodyState::Ended as u8),
            body_dropped: AtomicBool::new(false),
            close_delimited: AtomicBool::new(false),
            flush_wanted: AtomicBool::new(false),
            broke_off: AtomicBool::new(false),
            look: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            driver: OnceLock::new(),
            tunnel: AtomicWaker::new(),
            upgrade: Mutex::new(None),
        }
    }

    /// Says which task drives the connection. To be called once, before anything else.
    pub(super) fn set_driver(&self, waker: &Waker) {
        let _ = self.driver.set(waker.clone());
    }

    fn wake_driver(&self) {
        if let Some(waker) = self.driver.get() {
            waker.wake_by_ref();
        }
    }

    // --- requests ---

    /// hyper has made a request of a head.
    pub(super) fn begin(&self, has_body: bool) {
        self.phase.store(Phase::Serving as u8, Relaxed);
        self.set_reading(if has_body { Reading::Body } else { Reading::Behind });
        self.head_begun.store(false, Relaxed);
        self.set_body(if has_body { BodyState::Open } else { BodyState::Ended });
        self.idle_since.store(0, Relaxed);
    }

    /// The request's body has been read to its end.
    pub(super) fn body_ended(&self) {
        self.leave_body(BodyState::Ended, Reading::Behind);
    }

    /// Nobody reads the request's body any more. hyper reads a short rest, or ends the connection
    /// (`Conn::poll_drain_or_close_read`).
    pub(super) fn drop_body(&self) {
        if self.body.load(Relaxed) == BodyState::Open as u8 {
            self.leave_body(BodyState::Dropped, Reading::Unknown);
            self.body_dropped.store(true, Relaxed);
        }
    }

    /// True once after [`Signals::drop_body`].
    pub(super) fn take_body_dropped(&self) -> bool {
        let dropped = self.body_dropped.load(Relaxed);
        if dropped {
            self.body_dropped.store(false, Relaxed);
        }
        dropped
    }

    /// The request's body has not been read to its end.
    pub(super) fn has_open_body(&self) -> bool {
        self.body.load(Relaxed) != BodyState::Ended as u8
    }

    fn set_body(&self, state: BodyState) {
        self.body.store(state as u8, Relaxed);
    }

    fn leave_body(&self, state: BodyState, reading: Reading) {
        self.set_body(state);
        if self.reading() == Reading::Body {
            self.set_reading(reading);
        }
        if self.phase() == Phase::Uploading {
            self.finish();
        }
    }

    fn finish(&self) {
        self.phase.store(Phase::Idle as u8, Relaxed);
        self.finished.store(self.finished.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// hyper has everything of the response.
    pub(super) fn response_ended(&self) {
        if self.phase() == Phase::Serving {
            self.phase.store(Phase::Flushing as u8, Relaxed);
        }
    }

    /// Everything that hyper had has left.
    pub(super) fn flushed(&self) {
        if self.phase() == Phase::Flushing {
            if self.body.load(Relaxed) == BodyState::Open as u8 {
                self.phase.store(Phase::Uploading as u8, Relaxed);
            } else {
                self.finish();
            }
        }
        if self.flush_wanted.load(Relaxed) {
            self.flush_wanted.store(false, Relaxed);
            self.wake_driver();
        }
    }

    /// What goes on.
    pub(super) fn phase(&self) -> Phase {
        Phase::from_code(self.phase.load(Relaxed))
    }

    /// How many responses have left; wraps.
    pub(super) fn finished(&self) -> u32 {
        self.finished.load(Relaxed)
    }

    // --- reading ---

    pub(super) fn reading(&self) -> Reading {
        Reading::from_code(self.reading.load(Relaxed))
    }

    pub(super) fn set_reading(&self, reading: Reading) {
        self.reading.store(reading as u8, Relaxed);
    }

    /// No more HTTP/1 is read.
    pub(super) fn leave_http1(&self) {
        self.set_reading(Reading::Raw);
        self.head_begun.store(false, Relaxed);
    }

    pub(super) fn set_head_begun(&self, begun: bool) {
        self.head_begun.store(begun, Relaxed);
    }

    pub(super) fn has_head_begun(&self) -> bool {
        self.head_begun.load(Relaxed)
    }

    // --- the end of hyper's turn ---

    /// Asks the driver to take the connection from hyper.
    pub(super) fn stop(&self, why: Stop) {
        self.stop.store(why.code(), Relaxed);
    }

    /// Why the driver is to take the connection from hyper, once.
    pub(super) fn take_stop(&self) -> Option<Stop> {
        let why = Stop::from_code(self.stop.load(Relaxed));
        if why.is_some() {
            self.stop.store(0, Relaxed);
        }
        why
    }

    /// The client has ended the stream, or it has failed.
    pub(super) fn set_ended(&self) {
        self.ended.store(true, Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    // --- the response ---

    /// The response that is about to be written ends with the connection.
    pub(super) fn set_close_delimited(&self) {
        self.close_delimited.store(true, Relaxed);
    }

    pub(super) fn is_close_delimited(&self) -> bool {
        self.close_delimited.load(Relaxed)
    }

    /// A response body has an error and waits for what came before it to leave.
    pub(super) fn want_flush(&self) {
        self.flush_wanted.store(true, Relaxed);
    }

    /// True until everything that came before has left.
    pub(super) fn wants_flush(&self) -> bool {
        self.flush_wanted.load(Relaxed)
    }

    /// A response has not come to its end.
    pub(super) fn set_broke_off(&self) {
        self.broke_off.store(true, Relaxed);
    }

    pub(super) fn has_broken_off(&self) -> bool {
        self.broke_off.load(Relaxed)
    }

    // --- upgrades ---

    /// Keeps what gives the connection back, in case that nobody upgrades it.
    pub(super) fn keep_upgrade(&self, upgrade: Option<OnUpgrade>) {
        if let Ok(mut slot) = self.upgrade.lock() {
            *slot = upgrade;
        }
    }

    pub(super) fn take_upgrade(&self) -> Option<OnUpgrade> {
        self.upgrade.lock().ok().and_then(|mut slot| slot.take())
    }

    /// Makes reads and writes fail, so that a tunnel ends.
    pub(super) fn cut(&self) {
        self.cut.store(true, Relaxed);
        self.tunnel.wake();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    /// The byte stream has been dropped.
    pub(super) fn set_closed(&self) {
        self.closed.store(true, Relaxed);
        self.wake_driver();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Asks the byte stream to look whether the client has gone.
    pub(super) fn want_look(&self) {
        self.look.store(true, Relaxed);
    }

    /// True once after [`Signals::want_look`].
    pub(super) fn take_look(&self) -> bool {
        let look = self.look.load(Relaxed);
        if look {
            self.look.store(false, Relaxed);
        }
        look
    }

    // --- the worker ---

    /// Since when nothing has been going on, in the worker's milliseconds; `None` while it does.
    pub(super) fn idle_since(&self) -> Option<u64> {
        if self.has_head_begun() {
            return None;
        }
        Some(self.idle_since.load(Relaxed)).filter(|since| *since != 0)
    }

    pub(super) fn set_idle_since(&self, now: u64) {
        self.idle_since.store(now, Relaxed);
    }

    /// The process drains.
    pub(super) fn order_drain(&self) {
        self.orders.fetch_or(DRAIN, Relaxed);
        self.wake_driver();
    }

    pub(super) fn is_draining(&self) -> bool {
        self.orders.load(Relaxed) & DRAIN != 0
    }

    /// The connection is to be closed if nothing goes on.
    pub(super) fn order_close_idle(&self) {
        self.orders.fetch_or(CLOSE_IDLE, Relaxed);
        self.wake_driver();
    }

    /// True once after [`Signals::order_close_idle`].
    pub(super) fn take_close_idle(&self) -> bool {
        self.orders.load(Relaxed) & CLOSE_IDLE != 0
            && self.orders.fetch_and(!CLOSE_IDLE, Relaxed) & CLOSE_IDLE != 0
    }
}

//! How long a connection may stay as it is while no request is in progress.
//!
//! Decides without a clock: moments in, the next deadline out.

use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// After so much silence the buffers of a connection are worth more elsewhere.
const PARK_AFTER: Duration = Duration::from_secs(2);
/// A connection that was used so recently may have a request on its way when the process drains.
const GRACE: Duration = Duration::from_secs(1);

/// What is known of a connection while no request is in progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silence {
    /// When the last response left, or the connection was accepted.
    since: Instant,
    /// A request has been served.
    is_used: bool,
    /// When a head that has not come whole began to arrive.
    head_since: Option<Instant>,
}

/// What is to happen when a silence has lasted long enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// The buffers are given back.
    Park,
    /// The connection is closed.
    Close,
    /// The head has taken too long.
    HeadTimedOut,
}

impl Silence {
    /// The silence before the first request.
    pub(super) fn new(accepted: Instant) -> Self {
        Self { since: accepted, is_used: false, head_since: None }
    }

    /// A response has left.
    pub(super) fn begin(&mut self, now: Instant) {
        *self = Self { since: now, is_used: true, head_since: None };
    }

    /// A head has begun to arrive, and has not come whole. The first one is timed from the accept.
    pub(super) fn head_begins(&mut self, now: Instant) {
        self.head_since = Some(if self.is_used { now } else { self.since });
    }

    /// True after [`Silence::head_begins`].
    pub(super) fn has_head(&self) -> bool {
        self.head_since.is_some()
    }

    /// What happens next, and when. `is_parked`: the buffers have been given back already.
    pub(super) fn deadline(
        &self,
        limits: &Limits,
        is_draining: bool,
        is_parked: bool,
    ) -> (Instant, Deadline) {
        if let Some(begun) = self.head_since {
            return (begun + limits.header_timeout, Deadline::HeadTimedOut);
        }
        if is_draining {
            return (self.since + GRACE, Deadline::Close);
        }
        let patience = if self.is_used { limits.idle_timeout } else { limits.header_timeout };
        if !is_parked && PARK_AFTER < patience {
            (self.since + PARK_AFTER, Deadline::Park)
        } else {
            (self.since + patience, Deadline::Close)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header_case::HeaderCase;

    const LIMITS: Limits = Limits {
        header_size: 8192,
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_mins(5),
        stall_timeout: None,
        connections: 1,
        header_case: HeaderCase::Title,
    };

    /// After how many seconds what happens.
    fn next(silence: &Silence, start: Instant, is_draining: bool, is_parked: bool) -> (u64, Deadline) {
        let (at, what) = silence.deadline(&LIMITS, is_draining, is_parked);
        ((at - start).as_secs(), what)
    }

    #[test]
    fn a_connection_is_parked_and_then_closed() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        assert_eq!(next(&silence, start, false, false), (2, Deadline::Park));
        assert_eq!(next(&silence, start, false, true), (10, Deadline::Close));
        silence.begin(start + Duration::from_secs(5));
        assert_eq!(next(&silence, start, false, false), (7, Deadline::Park));
        assert_eq!(next(&silence, start, false, true), (305, Deadline::Close));
    }

    #[test]
    fn a_head_is_timed_from_its_first_byte_and_the_first_one_from_the_accept() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.head_begins(start + Duration::from_secs(5));
        assert_eq!(next(&silence, start, false, false), (10, Deadline::HeadTimedOut));
        silence.begin(start + Duration::from_secs(6));
        assert!(!silence.has_head());
        silence.head_begins(start + Duration::from_secs(100));
        assert_eq!(next(&silence, start, false, false), (110, Deadline::HeadTimedOut));
        // It is served although the process drains.
        assert_eq!(next(&silence, start, true, false), (110, Deadline::HeadTimedOut));
    }

    #[test]
    fn a_drain_leaves_a_second_from_the_last_use() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        assert_eq!(next(&silence, start, true, true), (1, Deadline::Close));
        silence.begin(start + Duration::from_secs(7));
        assert_eq!(next(&silence, start, true, false), (8, Deadline::Close));
    }

    #[test]
    fn no_memory_is_given_back_shortly_before_the_end() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.begin(start);
        let limits = Limits { idle_timeout: Duration::from_secs(1), ..LIMITS };
        assert_eq!(
            silence.deadline(&limits, false, false),
            (start + Duration::from_secs(1), Deadline::Close)
        );
    }
}

//! A client's content over HTTP/1, and its leave to send it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use super::io::ReadHalf;
use crate::http1::Reader;
use crate::message::{Content, ContentError, Fields, Framing, Next};

/// What the content tells the connection that waits for its reply. Both live in one task: the
/// atomics only let the borrow checker see it.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// The client waits for `100 Continue` (RFC 9110 section 10.1.1).
    pub(super) wants_continue: AtomicBool,
    /// The content has been read to its end.
    pub(super) complete: AtomicBool,
}

/// Content that is read off the connection when somebody asks for it.
#[derive(Debug)]
pub struct ClientContent<'a> {
    pub(super) reader: &'a mut Reader,
    pub(super) read: &'a mut ReadHalf,
    pub(super) framing: Framing,
    pub(super) signals: &'a Signals,
    /// `Expect: 100-continue` was sent and nothing has been answered to it.
    pub(super) expects: bool,
}

impl Content for ClientContent<'_> {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
        if self.expects {
            self.expects = false;
            // A client that has begun all the same needs no leave.
            if self.reader.buffer.is_empty() {
                self.signals.wants_continue.store(true, Ordering::Relaxed);
            }
        }
        let next = self.reader.poll_next(self.read, cx);
        if let Poll::Ready(Ok(Next::End)) = next {
            self.signals.complete.store(true, Ordering::Relaxed);
        }
        next
    }

    fn bytes(&self) -> &[u8] {
        self.reader.bytes()
    }

    fn consume(&mut self, count: usize) {
        self.reader.consume(count);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.reader.trailers()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.reader.poll_gone(self.read, cx)
    }
}

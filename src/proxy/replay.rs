//! A request's content that can be sent again: what has been sent is kept, up to a limit.
//!
//! A resend takes the kept part from memory and the rest from the client, so it works in the middle
//! of an upload as well: an upstream that answers 401 before it has read the content is the normal
//! case. Past the limit the memory is given up at once and the current attempt goes on. Only one
//! attempt at a time can read, by construction: it borrows the content.

use std::task::{Context, Poll, ready};

use super::fields::passing_trailers;
use crate::message::{Content, ContentError, Fields, Framing, Next};

/// Content with a memory.
#[derive(Debug)]
pub struct Replay<C> {
    content: C,
    kept: Vec<u8>,
    limit: usize,
    /// How much of what is kept this attempt has sent.
    at: usize,
    overflown: bool,
    ended: bool,
    trailers: Option<Fields>,
}

impl<C: Content> Replay<C> {
    /// Content of which at most `limit` bytes are kept. Allocates nothing until there are some.
    pub fn new(content: C, limit: usize) -> Self {
        Self { content, kept: Vec::new(), limit, at: 0, overflown: false, ended: false, trailers: None }
    }

    /// True where all that was sent is still at hand.
    pub fn is_replayable(&self) -> bool {
        !self.overflown
    }

    /// True where nothing of it has been sent yet, although there is some: nobody can have acted on
    /// a request whose content is still to come.
    pub fn is_unbegun(&self) -> bool {
        let none = matches!(self.framing(), Framing::None | Framing::Length(0));
        !none && !self.ended && self.kept.is_empty() && !self.overflown
    }

    /// Starts the content over for another attempt. To be called only where it is replayable.
    pub fn rewind(&mut self) {
        debug_assert!(self.is_replayable(), "content that is not at hand cannot be sent again");
        self.at = 0;
    }

    fn rest(&self) -> &[u8] {
        self.kept.get(self.at..).unwrap_or_default()
    }
}

impl<C: Content> Content for Replay<C> {
    fn framing(&self) -> Framing {
        self.content.framing()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
        if !self.rest().is_empty() {
            return Poll::Ready(Ok(Next::Bytes));
        }
        let next = ready!(self.content.poll_next(cx))?;
        self.ended |= next == Next::End;
        if next == Next::End && self.trailers.is_none() {
            self.trailers = self.content.trailers().and_then(passing_trailers);
        }
        Poll::Ready(Ok(next))
    }

    fn bytes(&self) -> &[u8] {
        let rest = self.rest();
        if rest.is_empty() { self.content.bytes() } else { rest }
    }

    fn consume(&mut self, count: usize) {
        let rest = self.rest().len();
        if rest > 0 {
            self.at += count.min(rest);
            return;
        }
        let bytes = self.content.bytes();
        let taken = bytes.get(..count).unwrap_or(bytes);
        if !self.overflown {
            if self.kept.len() + taken.len() <= self.limit {
                self.kept.extend_from_slice(taken);
                self.at = self.kept.len();
            } else {
                self.overflown = true;
                self.kept = Vec::new();
                self.at = 0;
            }
        }
        self.content.consume(count);
    }

    fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.content.poll_gone(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::task::Waker;

    /// Content that is there at once, in pieces.
    struct Pieces {
        pieces: Vec<Vec<u8>>,
        at: usize,
    }

    impl Content for Pieces {
        fn framing(&self) -> Framing {
            Framing::Open
        }
        fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
            while self.pieces.first().is_some_and(|piece| piece.len() == self.at) {
                self.pieces.remove(0);
                self.at = 0;
            }
            Poll::Ready(Ok(if self.pieces.is_empty() { Next::End } else { Next::Bytes }))
        }
        fn bytes(&self) -> &[u8] {
            self.pieces.first().map_or(&[], |piece| &piece[self.at..])
        }
        fn consume(&mut self, count: usize) {
            self.at += count;
        }
        fn trailers(&self) -> Option<&Fields> {
            None
        }
        fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    proptest! {
        /// However far an attempt came before the next one began, and in whatever steps: the next
        /// one sends the same bytes from the start, for as long as no more than the limit was sent.
        #[test]
        fn every_attempt_sends_the_same_from_the_start(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..12),
            limit in 0_usize..200,
            attempts in proptest::collection::vec(proptest::collection::vec(1_usize..15, 0..30), 1..6),
        ) {
            let whole = pieces.concat();
            let mut replay = Replay::new(Pieces { pieces, at: 0 }, limit);
            let mut cx = Context::from_waker(Waker::noop());
            let mut furthest = 0;
            for steps in attempts {
                if !replay.is_replayable() {
                    prop_assert!(furthest > limit);
                    break;
                }
                prop_assert!(furthest <= limit);
                replay.rewind();
                let mut sent = Vec::new();
                for step in steps {
                    let Poll::Ready(next) = replay.poll_next(&mut cx) else { unreachable!() };
                    if next.unwrap() == Next::End {
                        prop_assert_eq!(&sent, &whole);
                        break;
                    }
                    let count = step.min(replay.bytes().len());
                    sent.extend_from_slice(&replay.bytes()[..count]);
                    replay.consume(count);
                }
                furthest = furthest.max(sent.len());
                prop_assert!(whole.starts_with(&sent));
            }
        }
    }
}

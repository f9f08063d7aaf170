//! A request body that can be sent again: what was sent is kept in memory, up to a limit.
//!
//! A resent request takes the kept part from memory and the rest from the client, so that it works
//! in the middle of an upload as well: an upstream that responds 401 before it has read the body is
//! the normal case. Past the limit the memory is given up at once, and the current attempt goes on.
//!
//! Each attempt reads by a [`ReplayBody`] of its own. A new one takes over: the generation goes up, and
//! the older ones fail from then on, so that two attempts never share the client's bytes.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::budget::{Budget, Reserved};
use super::hop_by_hop::remove_forbidden_trailers;

/// An error of a client's body that the proxy knows nothing more of.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The body of a client's request.
pub(super) trait ClientBody:
    Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static
{
}

impl<B> ClientBody for B where B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static {}

/// A body is kept in blocks of this size: a growing buffer would be copied again and again, and would need
/// twice its room while it is.
const BLOCK: usize = 64 * 1024;
/// The first block is as small as the first piece allows: most bodies are small.
const SMALLEST_BLOCK: usize = 1024;
/// One part in so many is what the allocator needs beside a block, as far as that was measured.
const OVERHEAD: usize = 16;

/// A request's body with a memory of what was sent of it.
pub(super) enum Replay {
    /// There is no body.
    Empty,
    /// There is one.
    Body(Arc<Mutex<Tape>>),
}

/// What the proxy sends upstream as the body of one attempt.
///
/// Cancellation: dropping it loses nothing; the next one starts from the beginning.
#[derive(Debug)]
pub struct ReplayBody {
    tape: Option<Arc<Mutex<Tape>>>,
    generation: u64,
    /// How much of the body this attempt has sent.
    sent: u64,
    length: Option<u64>,
    ended: bool,
}

/// Why a body cannot be read on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplayError {
    /// A newer attempt reads the body.
    #[error("a newer attempt has taken the request body over")]
    Superseded,
    /// The client failed.
    #[error(transparent)]
    Client(#[from] ClientFailure),
}

/// How a client failed in the middle of its body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientFailure {
    /// It went away.
    #[error("the client went away")]
    Gone,
    /// What it sent is malformed.
    #[error("the request body is malformed: {0}")]
    Malformed(String),
}

/// The body as it comes from the client, and what was sent of it.
///
/// The source is a part of it, of whatever type: in a box of its own it would be one more allocation.
pub(super) struct Tape<S: ?Sized = dyn Body<Data = Bytes, Error = BoxError> + Send + Unpin> {
    generation: u64,
    /// What was sent, from the body's beginning; `None` once it was given up.
    kept: Option<Kept>,
    limit: usize,
    /// Something was taken from the client.
    begun: bool,
    /// How many bytes.
    taken: u64,
    ended: bool,
    trailers: Option<HeaderMap>,
    /// A body that has failed once stays failed: hyper's own reads as cleanly ended afterwards.
    failure: Option<ClientFailure>,
    source: S,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Replay {
    /// A body of which at most `limit` bytes are kept, within `budget`.
    pub(super) fn new<B: ClientBody>(body: B, limit: usize, budget: &Budget) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Body(Arc::new(Mutex::new(Tape {
            generation: 0,
            kept: Some(Kept { first: Vec::new(), more: Vec::new(), length: 0, room: budget.reserved() }),
            limit,
            begun: false,
            taken: 0,
            ended: false,
            trailers: None,
            failure: None,
            source: http_body_util::BodyExt::map_err(body, Into::into),
        })))
    }

    /// The body for the next attempt, from its beginning. To be called only where the body is
    /// replayable.
    pub(super) fn reader(&self) -> ReplayBody {
        let Self::Body(tape) = self else { return ReplayBody::empty() };
        let mut locked = lock(tape);
        locked.generation += 1;
        let kept = locked.kept.as_ref().map_or(0, |kept| kept.length) as u64;
        let length = locked.source.size_hint().exact().map(|left| left + kept);
        let generation = locked.generation;
        drop(locked);
        ReplayBody { tape: Some(tape.clone()), generation, sent: 0, length, ended: false }
    }

    /// True where all that was sent is still in memory.
    pub(super) fn is_replayable(&self) -> bool {
        self.tape().is_none_or(|tape| tape.kept.is_some() && tape.failure.is_none())
    }

    /// True where there is a body and nothing of it was sent: nobody can have acted on a request
    /// whose body is still to come.
    pub(super) fn is_unsent(&self) -> bool {
        self.tape().is_some_and(|tape| !tape.begun && !tape.ended)
    }

    /// How many bytes of it have come from the client.
    pub(super) fn taken(&self) -> u64 {
        self.tape().map_or(0, |tape| tape.taken)
    }

    /// How the client failed, where it did.
    pub(super) fn client_failure(&self) -> Option<ClientFailure> {
        self.tape()?.failure.clone()
    }

    fn tape(&self) -> Option<MutexGuard<'_, Tape>> {
        match self {
            Self::Empty => None,
            Self::Body(tape) => Some(lock(tape)),
        }
    }
}

impl Tape {
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ClientFailure>>> {
        if let Some(failure) = &self.failure {
            return Poll::Ready(Some(Err(failure.clone())));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = match ready!(Pin::new(&mut self.source).poll_frame(cx)) {
            None => {
                self.ended = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                let failure = ClientFailure::of(&*error);
                self.failure = Some(failure.clone());
                return Poll::Ready(Some(Err(failure)));
            }
            Some(Ok(frame)) => frame,
        };
        self.begun = true;
        match frame.into_data() {
            Ok(data) => {
                self.taken += data.len() as u64;
                self.keep(&data);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Err(frame) => {
                self.ended = true;
                let Ok(mut trailers) = frame.into_trailers() else { return Poll::Ready(None) };
                remove_forbidden_trailers(&mut trailers);
                self.trailers = (!trailers.is_empty()).then_some(trailers);
                Poll::Ready(self.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))))
            }
        }
    }

    /// True where the body ends, without trailers, after `sent` bytes from memory.
    fn ends_after(&self, sent: u64) -> bool {
        let all_kept = self.kept.as_ref().is_some_and(|kept| kept.length as u64 == sent);
        all_kept && self.trailers.is_none() && (self.ended || self.source.is_end_stream())
    }

    /// Remembers what is about to be sent. It is copied: a slice of the server's buffer would keep all of
    /// that buffer alive.
    fn keep(&mut self, data: &[u8]) {
        let Some(kept) = &mut self.kept else { return };
        if kept.length + data.len() > self.limit || !kept.append(data) {
            self.kept = None;
        }
    }
}

/// The kept beginning of a body. Dropping it gives its room back to the budget.
struct Kept {
    /// Most bodies need one block.
    first: Vec<u8>,
    more: Vec<Vec<u8>>,
    length: usize,
    room: Reserved,
}

impl Kept {
    /// False where the budget does not allow it.
    fn append(&mut self, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let block = self.more.last_mut().unwrap_or(&mut self.first);
            let room = block.capacity() - block.len();
            if room == 0 {
                let size = data.len().next_power_of_two().clamp(SMALLEST_BLOCK, BLOCK);
                if !self.room.grow_by(size + size / OVERHEAD) {
                    return false;
                }
                let block = Vec::with_capacity(size);
                if self.first.is_empty() {
                    self.first = block;
                } else {
                    self.more.push(block);
                }
                continue;
            }
            let (now, later) = data.split_at(room.min(data.len()));
            block.extend_from_slice(now);
            self.length += now.len();
            data = later;
        }
        true
    }

    /// What is kept from this place on, as far as it lies in one block.
    fn from(&self, mut place: usize) -> &[u8] {
        for block in std::iter::once(&self.first).chain(&self.more) {
            match block.get(place..) {
                Some(rest) if !rest.is_empty() => return rest,
                Some(_) | None => place -= block.len().min(place),
            }
        }
        &[]
    }
}

impl ReplayBody {
    /// No body.
    pub fn empty() -> Self {
        Self { tape: None, generation: 0, sent: 0, length: Some(0), ended: true }
    }
}

impl Body for ReplayBody {
    type Data = Bytes;
    type Error = ReplayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplayError>>> {
        let this = &mut *self;
        let Some(tape) = &this.tape else { return Poll::Ready(None) };
        if this.ended {
            return Poll::Ready(None);
        }
        let mut tape = lock(tape);
        if tape.generation != this.generation {
            return Poll::Ready(Some(Err(ReplayError::Superseded)));
        }
        let from_memory =
            tape.kept.as_ref().and_then(|kept| Some(kept.from(usize::try_from(this.sent).ok()?)));
        if let Some(rest) = from_memory.filter(|rest| !rest.is_empty()) {
            let piece = Bytes::copy_from_slice(rest);
            this.sent += piece.len() as u64;
            this.ended = tape.ends_after(this.sent);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if tape.ended
            && let Some(trailers) = &tape.trailers
        {
            this.ended = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))));
        }
        let polled = ready!(tape.poll_client(cx)).transpose()?;
        this.ended = match polled.as_ref().and_then(Frame::data_ref) {
            Some(data) => {
                this.sent += data.len() as u64;
                tape.source.is_end_stream()
            }
            None => true,
        };
        Poll::Ready(polled.map(Ok))
    }

    /// True with the last byte where no trailers can follow: hyper writes the end together with it then.
    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.sent)),
            None => SizeHint::default(),
        }
    }
}

impl ClientFailure {
    /// What an error of the client's body means: an I/O error in the chain of causes says "malformed" by its kind, as
    /// our own server's does. Anything else is a connection that ended.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<std::io::Error>()
                && matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput)
            {
                return Self::Malformed(io.to_string());
            }
            cause = error.source();
        }
        Self::Gone
    }
}

/// Nothing panics while it holds this lock; if something did, the tape would be whole.
fn lock(tape: &Mutex<Tape>) -> MutexGuard<'_, Tape> {
    tape.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

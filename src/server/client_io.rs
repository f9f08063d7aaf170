//! The byte stream under hyper: what hyper does not know of, and what we must know of hyper.
//!
//! It shows the head of a request to the gate, notices HTTP/2, keeps hyper's bare error responses
//! back so that a document of our own can take their place, and tells the driver what moves. It ends
//! nothing itself: hyper's wish to shut down is granted, and the driver does it (see `closing`).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connections::{HeadSize, Open};
use super::signals::Signals;
use super::states::{Phase, Reading, Stop};
use super::stream::Stream;
use super::target_gate::{Finding, TargetGate};

/// What an HTTP/2 client sends first (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// hyper takes so much for a head in any case (`INIT_BUFFER_SIZE`).
const FIRST_BUFFER: usize = 8 * 1024;

/// The most that hyper is given at once. hyper doubles its buffer when a read fills it; a cache line less than 16 KiB
/// stops that at 16 KiB, while its limit must be as large as the largest head. Each upload has some of these buffers
/// at a time, so they decide what many uploads take together.
const READ_LIMIT: usize = 16 * 1024 - 64;

/// A client connection's byte stream. Counts the connection as open for as long as it exists, in
/// whosever hands: a tunnel is a connection too.
#[derive(Debug)]
pub(super) struct ClientIo {
    stream: Stream,
    /// Comes before what the socket has.
    replay: Bytes,
    /// The beginning of an HTTP/2 preface, perhaps.
    preface: Vec<u8>,
    /// Nothing has been read, or only a part of a preface.
    is_fresh: bool,
    gate: TargetGate,
    /// How much of the head has arrived, and what it takes of the budget of all.
    head_bytes: usize,
    head_size: HeadSize,
    signals: Arc<Signals>,
    _open: Open,
}

impl ClientIo {
    /// The stream of a connection that has just been accepted.
    pub(super) fn new(stream: Stream, signals: Arc<Signals>, open: Open, head_size: HeadSize) -> Self {
        Self {
            stream,
            replay: Bytes::new(),
            preface: Vec::new(),
            is_fresh: true,
            gate: TargetGate::default(),
            head_bytes: 0,
            head_size,
            signals,
            _open: open,
        }
    }

    /// The socket itself, for the time when hyper is done with it.
    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(super) fn stream_mut(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// What the gate has seen of the head that arrives.
    pub(super) fn gate(&self) -> &TargetGate {
        &self.gate
    }

    /// Has `bytes` read before anything else. They have passed the gate.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        self.replay =
            if self.replay.is_empty() { bytes } else { [bytes, self.replay.split_off(0)].concat().into() };
    }

    /// Begins a head with `rest`, which has not passed the gate, perhaps.
    pub(super) fn begin_head(&mut self, rest: Bytes) {
        self.put_back(rest);
        self.reset_head();
        self.signals.set_reading(Reading::Head);
        match self.gate.examine(&self.replay) {
            Finding::Unchanged => {}
            Finding::Replaced(bytes) => self.replay = bytes.into(),
            Finding::Fragment => self.signals.stop(Stop::Fragment),
        }
        self.signals.set_head_begun(self.gate.has_begun());
    }

    /// Forgets what was put back, and what has been read of a preface.
    pub(super) fn forget(&mut self) {
        self.reset_head();
        self.replay = Bytes::new();
        self.preface = Vec::new();
    }

    /// Ready when there may be something to read.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.replay.is_empty() { self.stream.poll_readable(cx) } else { Poll::Ready(Ok(())) }
    }

    /// Reads the head of a request, or an HTTP/2 preface.
    fn poll_head(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        loop {
            ready!(self.poll_raw(cx, into))?;
            let arrived = into.filled().get(before..).unwrap_or_default();
            if arrived.is_empty() {
                // The end of the stream. hyper makes of a part of a preface what it can.
                let rest = std::mem::take(&mut self.preface);
                into.put_slice(rest.get(..into.remaining()).unwrap_or(&rest));
                return Poll::Ready(Ok(()));
            }
            let count = arrived.len();
            let finding = if self.is_fresh {
                match self.look_for_preface(arrived) {
                    Some(finding) => finding,
                    None => return Poll::Pending,
                }
            } else {
                self.gate.examine(arrived)
            };
            if self.gate.has_begun() || !self.preface.is_empty() {
                self.signals.set_head_begun(true);
            }
            if !self.charge(count) {
                into.set_filled(before);
                return Poll::Pending;
            }
            match finding {
                Finding::Unchanged => return Poll::Ready(Ok(())),
                Finding::Fragment => {
                    into.set_filled(before);
                    self.signals.stop(Stop::Fragment);
                    return Poll::Pending;
                }
                Finding::Replaced(bytes) => {
                    into.set_filled(before);
                    if !bytes.is_empty() {
                        self.replay = bytes.into();
                        self.give_back(into);
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }

    /// Counts bytes of a head against the budget of all. False where there is no room: the driver takes
    /// over.
    fn charge(&mut self, count: usize) -> bool {
        self.head_bytes += count;
        if self.head_bytes <= FIRST_BUFFER || self.head_size.grow(count) {
            return true;
        }
        self.signals.stop(Stop::NoMemory);
        false
    }

    fn reset_head(&mut self) {
        self.gate = TargetGate::default();
        self.head_bytes = 0;
        self.head_size.clear();
    }

    /// Decides whether the connection's first bytes are HTTP/2's. `None` where they are: the driver
    /// takes over.
    fn look_for_preface(&mut self, arrived: &[u8]) -> Option<Finding> {
        let held = std::mem::take(&mut self.preface);
        let due = PREFACE.get(held.len()..).unwrap_or_default();
        let common = arrived.iter().zip(due).take_while(|(own, due)| own == due).count();
        if common == due.len() {
            self.is_fresh = false;
            self.replay = [&held, arrived].concat().into();
            self.signals.stop(Stop::Http2);
            return None;
        }
        if common == arrived.len() {
            self.preface = [&held, arrived].concat();
            return Some(Finding::Replaced(Vec::new()));
        }
        self.is_fresh = false;
        if held.is_empty() {
            return Some(self.gate.examine(arrived));
        }
        let all = [&held, arrived].concat();
        Some(match self.gate.examine(&all) {
            Finding::Unchanged => Finding::Replaced(all),
            changed @ (Finding::Replaced(_) | Finding::Fragment) => changed,
        })
    }

    fn give_back(&mut self, into: &mut ReadBuf<'_>) {
        let piece = self.replay.get(..into.remaining()).unwrap_or(&self.replay);
        into.put_slice(piece);
        let count = piece.len();
        self.replay.advance(count);
        if self.replay.is_empty() {
            // Gives the memory back.
            self.replay = Bytes::new();
        }
    }

    fn poll_raw(&mut self, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = if into.remaining() <= READ_LIMIT {
            ready!(Pin::new(&mut self.stream).poll_read(cx, into))
        } else {
            let mut part = ReadBuf::new(into.initialize_unfilled_to(READ_LIMIT));
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part));
            let count = part.filled().len();
            into.advance(count);
            read
        };
        if read.is_ok() && into.filled().len() > before {
            self.signals.waiting.arrived();
        } else {
            self.signals.set_ended();
        }
        Poll::Ready(read)
    }

    fn check_cut(&self) -> io::Result<()> {
        if self.signals.is_cut() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }

    /// Fails where the driver has asked for a look, and the client has gone. hyper does not notice it
    /// while a request's body waits for somebody to take it (`Dispatcher::poll_read`).
    fn look_for_departure(&self) -> io::Result<()> {
        if self.signals.take_look() && self.stream.is_read_closed() {
            self.signals.set_ended();
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    /// True where hyper writes although no request is in progress: it refuses what it has read
    /// (`role.rs`, `Server::on_error`). The bytes are kept back, and the driver learns the status.
    fn keep_back(&self, bytes: &[u8]) -> bool {
        if self.signals.phase() != Phase::Idle || self.signals.reading() == Reading::Raw {
            return false;
        }
        let status = bytes.get("HTTP/1.1 ".len().."HTTP/1.1 400".len());
        let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        self.signals.stop(Stop::Refused(status.unwrap_or(400)));
        true
    }

    fn note_write(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(Ok(_)) => {
                self.signals.waiting.left();
                self.signals.waiting.set_blocked(false);
            }
            Poll::Ready(Err(_)) => self.signals.set_ended(),
            Poll::Pending => {
                self.signals.waiting.set_blocked(true);
                self.look_for_departure()?;
            }
        }
        written
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        // Cut off in the middle: the end of the connection must not look like the end of the response.
        if self.signals.is_close_delimited()
            && matches!(self.signals.phase(), Phase::Serving | Phase::Flushing)
        {
            self.stream.reset_on_close();
        }
        self.signals.set_closed();
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.replay.is_empty() {
            this.give_back(into);
            return Poll::Ready(Ok(()));
        }
        match this.signals.reading() {
            Reading::Head => this.poll_head(cx, into),
            Reading::Body => {
                this.head_size.clear();
                this.poll_raw(cx, into)
            }
            Reading::Behind if this.signals.phase() == Phase::Serving => {
                // hyper holds nothing (see `Reading::Behind`), so this is the beginning of a head.
                this.reset_head();
                this.signals.set_reading(Reading::Head);
                this.poll_head(cx, into)
            }
            Reading::Behind | Reading::Unknown => {
                this.reset_head();
                this.signals.set_reading(Reading::Unknown);
                let before = into.filled().len();
                ready!(this.poll_raw(cx, into))?;
                if into.filled().len() > before {
                    this.signals.set_head_begun(true);
                }
                Poll::Ready(Ok(()))
            }
            Reading::Raw => {
                this.check_cut()?;
                let read = this.poll_raw(cx, into);
                if read.is_pending() {
                    this.signals.tunnel.register(cx.waker());
                    // It may have been cut in between.
                    this.check_cut()?;
                }
                read
            }
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_cut()?;
        if this.keep_back(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.note_write(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_cut()?;
        if this.keep_back(pieces.first().map_or(&[], |piece| piece)) {
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, pieces);
        this.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper asks for this whenever it has nothing left to write (`Buffered::poll_flush`).
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Only what TLS has encrypted can wait here.
        let Poll::Ready(flushed) = Pin::new(&mut this.stream).poll_flush(cx) else {
            this.signals.waiting.set_blocked(true);
            this.look_for_departure()?;
            return Poll::Pending;
        };
        flushed?;
        this.signals.waiting.set_blocked(false);
        this.signals.flushed();
        Poll::Ready(this.look_for_departure())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.signals.reading() == Reading::Raw {
            return Pin::new(&mut this.stream).poll_shutdown(cx);
        }
        Poll::Ready(Ok(()))
    }
}

//! One HTTP/1 connection of a client: head, exchange, reply, and again.
//!
//! All of it is one task, and while requests come one after the other it registers no timer: one
//! coarse timer per connection notices silence, and looks at what really happened when it fires.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::content::{ClientContent, Signals};
use super::io::{ReadHalf, Whole, WriteHalf, readable, reset_on_close};
use super::sending::{Ending, Streamed, poll_continue, poll_stream, write_head};
use super::{Limits, Reply, Service, Unreadable, http2, tunnel};
use crate::drain::Drain;
use crate::http1::{
    Body, Chunked, HeadError, Outbox, PREFACE, Reader, keeps_alive, parse_request, request_framing,
};
use crate::message::{Content, Empty, Framing, RequestHead, Version};

/// After so much silence a connection's buffers are worth more elsewhere.
const SHED_AFTER: Duration = Duration::from_secs(2);
/// How long, and for how many bytes, we listen to a client after a reply that ended the connection:
/// closing at once would reset it, and the client might never see the reply.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 512 * 1024;

/// Serves a connection to its end. Cancellation: the connection is closed.
pub(super) async fn serve<S: Service>(
    read: ReadHalf,
    write: WriteHalf,
    service: S,
    limits: Limits,
    drain: Drain,
) {
    let now = Instant::now();
    let mut connection = Connection {
        read,
        write,
        reader: Reader::default(),
        outbox: Outbox::default(),
        head: RequestHead::default(),
        scanned: 0,
        service,
        limits,
        since: now,
        first: true,
    };
    // What serves requests is large, and behind a pointer it is there only while requests come.
    let after = loop {
        let after = Box::pin(connection.run(&drain)).await;
        if !(matches!(after, After::Parked) && connection.park(&drain).await) {
            break after;
        }
    };
    match after {
        After::Close | After::Parked => {}
        After::Linger => connection.linger().await,
        After::Reset => reset_on_close(connection.write),
        After::Http2 => {
            let Connection { read, write, reader, service, .. } = connection;
            let io = Whole { read, write, first: reader.buffer, heard: Arc::default() };
            Box::pin(http2::serve(io, service, limits, drain, now)).await;
        }
    }
}

struct Connection<S> {
    read: ReadHalf,
    write: WriteHalf,
    reader: Reader,
    outbox: Outbox,
    head: RequestHead,
    scanned: usize,
    service: S,
    limits: Limits,
    /// Since when the connection has been idle, or the head has been arriving.
    since: Instant,
    /// No request has been read yet.
    first: bool,
}

/// What the wait for a head ended with.
enum Arrived {
    Head,
    Http2,
    Unreadable(Unreadable),
    /// Nothing for a while.
    Silence,
    /// Nothing more is to be expected, or wanted.
    Nothing,
}

/// What is left to do with a connection.
enum After {
    /// Waits without memory for the next request.
    Parked,
    Close,
    Linger,
    Reset,
    Http2,
}

/// One reply has been sent.
enum Replied {
    Next,
    Last,
    Abandoned,
    BrokenOff,
}

impl<S: Service> Connection<S> {
    async fn run(&mut self, drain: &Drain) -> After {
        let mut alarm = Alarm { at: Instant::now() + SHED_AFTER };
        let mut sleep = pin!(sleep_until(alarm.at));
        let mut draining = pin!(drain.settled());
        loop {
            let arrived = std::future::poll_fn(|cx| {
                self.poll_arrival(cx, &mut alarm, sleep.as_mut(), draining.as_mut(), drain)
            });
            let replied = match arrived.await {
                Arrived::Nothing => return After::Close,
                Arrived::Silence => return After::Parked,
                Arrived::Http2 => return After::Http2,
                Arrived::Unreadable(why) => return self.refuse(why).await,
                Arrived::Head => match request_framing(&self.head) {
                    Ok(framing) => self.exchange(framing, drain).await,
                    Err(error) => return self.refuse(Unreadable::Framing(error)).await,
                },
            };
            match replied {
                Ok(Replied::Next) => {}
                Ok(Replied::Last) => return After::Linger,
                Ok(Replied::BrokenOff) => return After::Reset,
                Ok(Replied::Abandoned) | Err(_) => return After::Close,
            }
            self.first = false;
            self.scanned = 0;
            self.since = Instant::now();
        }
    }

    fn poll_arrival(
        &mut self,
        cx: &mut Context<'_>,
        alarm: &mut Alarm,
        mut sleep: Pin<&mut Sleep>,
        draining: Pin<&mut impl Future<Output = ()>>,
        drain: &Drain,
    ) -> Poll<Arrived> {
        let mut begun = false;
        loop {
            if let Some(arrived) = self.look() {
                return Poll::Ready(arrived);
            }
            // A head that did not come whole is given its time from its first byte.
            if begun && !self.first {
                self.since = Instant::now();
            }
            let idle = self.reader.buffer.is_empty();
            match self.reader.poll_more(&mut self.read, cx, self.limits.header_size + PREFACE.len()) {
                Poll::Ready(Ok(())) => begun = idle,
                Poll::Ready(Err(_)) => return Poll::Ready(Arrived::Nothing),
                Poll::Pending => break,
            }
        }
        let idle = self.reader.buffer.is_empty();
        // What has begun to arrive is served, so this comes after the attempt to read.
        if idle && draining.poll(cx).is_ready() {
            return Poll::Ready(Arrived::Nothing);
        }
        let due = if idle { self.since + SHED_AFTER } else { self.since + self.limits.header_timeout };
        loop {
            alarm.not_after(due, sleep.as_mut());
            ready!(sleep.as_mut().poll(cx));
            // The alarm may have been set for an earlier request.
            if Instant::now() >= due {
                if idle && drain.has_begun() {
                    // The drain is about to settle, and its future wakes this task then.
                    return Poll::Pending;
                }
                return Poll::Ready(if idle {
                    Arrived::Silence
                } else {
                    Arrived::Unreadable(Unreadable::TimedOut)
                });
            }
            alarm.set(due, sleep.as_mut());
        }
    }

    /// Waits for the client, for the drain, or for the end of patience, with as little memory as can
    /// be. True where it is worth looking at what has come.
    async fn park(&mut self, drain: &Drain) -> bool {
        self.shed();
        let patience = if self.first { self.limits.header_timeout } else { self.limits.idle_timeout };
        tokio::select! {
            readable = readable(&self.read) => readable.is_ok(),
            // The look comes before the farewell: something may have begun to arrive.
            () = drain.settled() => true,
            () = sleep_until(self.since + patience) => false,
        }
    }

    /// Looks at what has arrived; `None` where it is not enough to say.
    fn look(&mut self) -> Option<Arrived> {
        let bytes = self.reader.buffer.filled();
        if self.first && bytes.first() == Some(&b'P') {
            let common = bytes.iter().zip(PREFACE).take_while(|(own, due)| own == due).count();
            if common == PREFACE.len() {
                return Some(Arrived::Http2);
            }
            if common == bytes.len() {
                return None;
            }
        }
        // An empty line after the last content (RFC 9112 section 2.2) begins nothing.
        if bytes == b"\r\n" {
            self.reader.buffer.consume(2);
            return None;
        }
        match parse_request(bytes, &mut self.scanned, self.limits.header_size, &mut self.head) {
            Ok(Some(length)) => {
                self.reader.buffer.consume(length);
                Some(Arrived::Head)
            }
            Ok(None) if bytes.len() >= self.limits.header_size + PREFACE.len() => {
                Some(Arrived::Unreadable(Unreadable::Head(HeadError::TooLarge)))
            }
            Ok(None) => None,
            Err(error) => Some(Arrived::Unreadable(Unreadable::Head(error))),
        }
    }

    async fn exchange(&mut self, framing: Framing, drain: &Drain) -> io::Result<Replied> {
        let Self { read, write, reader, outbox, head, service, limits, .. } = self;
        reader.begin(match framing {
            Framing::None => Body::Done,
            Framing::Length(length) => Body::Length(length),
            Framing::Open => Body::Chunked(Box::new(Chunked::new(limits.header_size))),
        });
        let signals = Signals::default();
        signals.complete.store(reader.is_complete(), Ordering::Relaxed);
        let expects = head.version == Version::Http11
            && !reader.is_complete()
            && head.fields.lists(b"Expect", b"100-continue");
        let content = ClientContent { reader, read, framing, signals: &signals, expects };
        let mut reply = {
            let mut exchange = pin!(service.exchange(head, content));
            std::future::poll_fn(|cx| match exchange.as_mut().poll(cx) {
                Poll::Ready(reply) => Poll::Ready(Ok(reply)),
                // A client that takes no leave is gone, and with it the exchange.
                Poll::Pending => match poll_continue(&signals, outbox, write, cx) {
                    Ok(()) => Poll::Pending,
                    Err(error) => Poll::Ready(Err(error)),
                },
            })
            .await?
        };
        if reply.is_gone() {
            return Ok(Replied::Abandoned);
        }
        if reply.status() == 101 {
            write_head(&reply, head, Ending::Upgrade, outbox.buffer());
            let Some(far) = reply.into_tunnel() else { return Ok(Replied::Abandoned) };
            std::future::poll_fn(|cx| outbox.poll_flush(write, cx)).await?;
            Box::pin(tunnel::run(read, &mut reader.buffer, write, far, drain)).await;
            return Ok(Replied::Abandoned);
        }
        let complete = || signals.complete.load(Ordering::Relaxed);
        // A refusal that came before the content was read ends the connection: reading on would
        // only serve to throw away.
        let cut_short = !complete() && reply.status() >= 400;
        let keep = keeps_alive(head.version, &head.fields)
            && !drain.has_begun()
            && !cut_short
            && (head.version != Version::Http10 || reply.framing() != Framing::Open);
        let ending = if keep { Ending::Keep } else { Ending::Close };
        let chunked = write_head(&reply, head, ending, outbox.buffer());
        let streamed = std::future::poll_fn(|cx| poll_stream(&mut reply, chunked, outbox, write, cx)).await?;
        // The upstream's connection is free before the client has taken everything.
        drop(reply);
        let flushed = std::future::poll_fn(|cx| outbox.poll_flush(write, cx)).await;
        outbox.trim();
        flushed?;
        Ok(match streamed {
            Streamed::BrokenOff => Replied::BrokenOff,
            Streamed::Whole if keep && complete() => Replied::Next,
            Streamed::Whole => Replied::Last,
        })
    }

    /// Answers what could not be read, and ends the connection.
    async fn refuse(&mut self, why: Unreadable) -> After {
        // The head may hold half a request, or the last one.
        self.head.release();
        let mut reply = self.service.refuse::<Empty>(why);
        let Self { write, outbox, head, .. } = self;
        write_head(&reply, head, Ending::Close, outbox.buffer());
        let sent = std::future::poll_fn(|cx| {
            ready!(poll_stream(&mut reply, false, outbox, write, cx))?;
            outbox.poll_flush(write, cx)
        });
        if sent.await.is_ok() { After::Linger } else { After::Close }
    }

    /// Listens for a moment, so that the reply reaches a client that is still sending.
    async fn linger(&mut self) {
        let Self { read, write, reader, .. } = self;
        if tokio::io::AsyncWriteExt::shutdown(write).await.is_err() {
            return;
        }
        let mut left = LINGER_BYTES;
        let listen = std::future::poll_fn(|cx| {
            // What has been read already goes first: a full buffer would take no more.
            loop {
                left = left.saturating_sub(reader.buffer.len());
                reader.buffer.consume(reader.buffer.len());
                if left == 0 || ready!(reader.poll_more(read, cx, 64 * 1024)).is_err() {
                    return Poll::Ready(());
                }
            }
        });
        let _ = tokio::time::timeout(LINGER, listen).await;
    }

    fn shed(&mut self) {
        self.reader.buffer.shed();
        self.outbox.shed();
        self.head.release();
    }
}

/// The connection's one timer: it is moved forward only when it must fire earlier.
struct Alarm {
    at: Instant,
}

impl Alarm {
    fn not_after(&mut self, due: Instant, sleep: Pin<&mut Sleep>) {
        if due < self.at {
            self.set(due, sleep);
        }
    }

    fn set(&mut self, at: Instant, sleep: Pin<&mut Sleep>) {
        self.at = at;
        sleep.reset(at);
    }
}

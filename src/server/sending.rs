//! A reply on its way to an HTTP/1 client: head, content, and leave to send the request's.

use std::io;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use super::Reply;
use super::content::Signals;
use super::io::WriteHalf;
use crate::http1::Outbox;
use crate::message::{FieldSink, Fields, Framing, Next, RequestHead, Version};

/// Gives a client that waits for it leave to send its content.
pub(super) fn poll_continue(
    signals: &Signals,
    outbox: &mut Outbox,
    write: &mut WriteHalf,
    cx: &mut Context<'_>,
) -> io::Result<()> {
    if signals.wants_continue.swap(false, Ordering::Relaxed) {
        outbox.buffer().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    }
    if outbox.is_empty() {
        return Ok(());
    }
    match outbox.poll_flush(write, cx) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Ok(()),
    }
}

/// What becomes of the connection after a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Keep,
    Close,
    Upgrade,
}

/// Writes the reply's head; true where its content is to be chunked.
pub(super) fn write_head<R: Reply>(
    reply: &R,
    request: &RequestHead,
    ending: Ending,
    out: &mut Vec<u8>,
) -> bool {
    // An HTTP/1.0 client is answered in its own version: some compare it.
    let old = request.version == Version::Http10;
    out.extend_from_slice(if old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    out.extend_from_slice(itoa::Buffer::new().format(reply.status()).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reply.reason());
    out.extend_from_slice(b"\r\n");
    reply.fields(request, out);
    match ending {
        Ending::Close => out.line(b"Connection", b"close"),
        Ending::Upgrade => out.line(b"Connection", b"Upgrade"),
        Ending::Keep if old => out.line(b"Connection", b"keep-alive"),
        Ending::Keep => {}
    }
    let chunked = !old && ending != Ending::Upgrade && reply.framing() == Framing::Open;
    if chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    chunked
}

/// How a reply's content ended.
pub(super) enum Streamed {
    Whole,
    BrokenOff,
}

/// Passes content on, each piece when it arrives: what is gathered is written as soon as there is
/// nothing more to add.
pub(super) fn poll_stream<R: Reply>(
    reply: &mut R,
    chunked: bool,
    outbox: &mut Outbox,
    write: &mut WriteHalf,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Streamed>> {
    loop {
        match reply.poll_next(cx) {
            Poll::Ready(Ok(Next::Bytes)) => {
                let sent = if chunked {
                    outbox.poll_send_chunk(write, cx, reply.bytes())
                } else {
                    outbox.poll_send(write, cx, reply.bytes())
                };
                let count = ready!(sent)?;
                reply.consume(count);
            }
            Poll::Ready(Ok(Next::End)) => {
                if chunked {
                    let out = outbox.buffer();
                    out.extend_from_slice(b"0\r\n");
                    for (name, value) in reply.trailers().into_iter().flat_map(Fields::iter) {
                        out.line(name, value);
                    }
                    out.extend_from_slice(b"\r\n");
                }
                return Poll::Ready(Ok(Streamed::Whole));
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Ok(Streamed::BrokenOff)),
            Poll::Pending => {
                return match outbox.poll_flush(write, cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                };
            }
        }
    }
}

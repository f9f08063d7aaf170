//! Bytes in both directions, until both sides have ended or the process drains.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::io::{ReadHalf, WriteHalf};
use crate::drain::{Drain, Phase};
use crate::http1::{Buffer, Tunnel};

/// What waits in one direction at most.
const BUFFER: usize = 16 * 1024;

/// Runs a tunnel to its end. An end in one direction is passed on, an error ends both.
pub(super) async fn run(
    read: &mut ReadHalf,
    first: &mut Buffer,
    write: &mut WriteHalf,
    far: Tunnel,
    drain: &Drain,
) {
    let Tunnel { mut io, read: mut from_far } = far;
    let mut up = Direction::default();
    let mut down = Direction::default();
    let mut draining = pin!(drain.reached(Phase::Draining));
    let ended: io::Result<()> = poll_fn(|cx| {
        if draining.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let sent = up.poll(read, first, &mut io, cx)?;
        let received = down.poll(&mut io, &mut from_far, write, cx)?;
        if sent.is_ready() && received.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "tunnel broken off");
    }
}

#[derive(Default)]
struct Direction {
    ended: bool,
    done: bool,
}

impl Direction {
    fn poll<R, W>(
        &mut self,
        from: &mut R,
        buffer: &mut Buffer,
        to: &mut W,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.done {
            if !self.ended && buffer.is_empty() {
                match buffer.poll_read(from, cx, BUFFER) {
                    Poll::Ready(count) => self.ended = count? == 0,
                    Poll::Pending => {
                        // What was passed on before may still sit in TLS.
                        let _ = Pin::new(&mut *to).poll_flush(cx)?;
                        return Poll::Pending;
                    }
                }
            }
            if buffer.is_empty() {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.done = true;
            } else {
                let count = ready!(Pin::new(&mut *to).poll_write(cx, buffer.filled()))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                buffer.consume(count);
            }
        }
        Poll::Ready(Ok(()))
    }
}

//! One HTTP/1.1 connection to the upstream, and one exchange on it.

use std::io;
use std::task::{Context, Poll, Waker, ready};

use tokio::time::Instant;

use super::Outgoing;
use super::failure::{Delivered, Failure, FailureKind};
use super::io::UpstreamIo;
use super::upload::{self, Upload};
use crate::http1::{
    Body, Buffer, Chunked, HeadError, Outbox, ReadError, Reader, ResponseFraming, keeps_alive,
    parse_response, response_framing,
};
use crate::message::{Content, ContentError, Fields, Framing, Next, ResponseHead, Version};

/// Four times what common servers allow themselves.
const HEAD_LIMIT: usize = 256 * 1024;

/// A connection with its buffers, which serve exchange after exchange.
#[derive(Debug)]
pub(super) struct Http1Connection {
    pub(super) io: UpstreamIo,
    pub(super) reader: Reader,
    pub(super) outbox: Outbox,
    pub(super) head: ResponseHead,
    upload: Upload,
    course: Course,
    used: bool,
    pub(super) idle_since: Instant,
}

/// What belongs to one exchange alone.
#[derive(Debug)]
struct Course {
    scanned: usize,
    to_head: bool,
    reusable: bool,
    framing: ResponseFraming,
}

impl Course {
    fn new(to_head: bool) -> Self {
        Self { scanned: 0, to_head, reusable: false, framing: ResponseFraming::None }
    }
}

impl Http1Connection {
    pub(super) fn new(io: UpstreamIo) -> Box<Self> {
        Box::new(Self {
            io,
            reader: Reader::default(),
            outbox: Outbox::default(),
            head: ResponseHead::default(),
            upload: Upload::Done,
            course: Course::new(false),
            used: false,
            idle_since: Instant::now(),
        })
    }

    /// False where the peer has closed, or has said something that nobody asked for. Costs no
    /// system call while nothing has happened.
    pub(super) fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.reader.buffer.is_empty() && self.reader.poll_more(&mut self.io, &mut cx, 1024).is_pending()
    }

    pub(super) fn shed(&mut self) {
        self.reader.buffer.shed();
        self.outbox.shed();
        self.head.fields.release();
    }

    /// Puts the request's head where the first write takes it.
    pub(super) fn begin<O: Outgoing>(&mut self, request: &O, framing: Framing, authority: &str) {
        self.course = Course::new(request.method() == http::Method::HEAD);
        self.outbox.begin();
        let out = self.outbox.buffer();
        out.extend_from_slice(request.method().as_str().as_bytes());
        out.push(b' ');
        request.target(out);
        out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
        out.extend_from_slice(authority.as_bytes());
        out.extend_from_slice(b"\r\n");
        request.fields(out, Version::Http11);
        if framing == Framing::Open {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        out.extend_from_slice(b"\r\n");
        self.upload = Upload::of(framing);
    }

    /// Waits for the response's head while the request is being sent.
    pub(super) fn poll_head<C: Content>(
        &mut self,
        cx: &mut Context<'_>,
        content: &mut C,
    ) -> Poll<Result<(), Failure>> {
        loop {
            self.drive_client(cx, content)?;
            let parsed = parse_response(
                self.reader.buffer.filled(),
                &mut self.course.scanned,
                HEAD_LIMIT,
                &mut self.head,
            );
            match parsed {
                Ok(Some(length)) => {
                    self.reader.buffer.consume(length);
                    self.course.scanned = 0;
                    if !(100..200).contains(&self.head.status) || self.head.status == 101 {
                        return Poll::Ready(self.begin_answer());
                    }
                }
                Ok(None) => {
                    let more = ready!(self.reader.poll_more(&mut self.io, cx, HEAD_LIMIT + 1));
                    if let Err(error) = more {
                        return Poll::Ready(Err(self.closed(error)));
                    }
                }
                Err(error) => return Poll::Ready(Err(self.malformed(error))),
            }
        }
    }

    /// See [`Content::poll_next`]; goes on sending the request meanwhile.
    pub(super) fn poll_next<C: Content>(
        &mut self,
        cx: &mut Context<'_>,
        content: &mut C,
    ) -> Poll<Result<Next, Failure>> {
        self.drive_client(cx, content).map_err(Failure::while_answering)?;
        match ready!(self.reader.poll_next(&mut self.io, cx)) {
            Ok(next) => Poll::Ready(Ok(next)),
            Err(ContentError::Gone(source)) => {
                Poll::Ready(Err(self.fail(FailureKind::Closed, source).while_answering()))
            }
            Err(error @ ContentError::Malformed(_)) => {
                Poll::Ready(Err(self.fail(FailureKind::Malformed, Some(Box::new(error))).while_answering()))
            }
        }
    }

    pub(super) fn is_uploaded(&self) -> bool {
        self.upload.is_over()
    }

    pub(super) fn trailers(&self) -> Option<&Fields> {
        self.reader.trailers()
    }

    /// How the answer's content reaches the client.
    pub(super) fn framing(&self) -> Framing {
        match self.course.framing {
            ResponseFraming::None => Framing::None,
            ResponseFraming::Length(length) => Framing::Length(length),
            ResponseFraming::Chunked | ResponseFraming::UntilClose => Framing::Open,
        }
    }

    /// True where the exchange is over on both sides and the connection may serve another.
    pub(super) fn may_be_reused(&self) -> bool {
        self.course.reusable
            && self.upload.is_done()
            && self.reader.is_complete()
            && self.reader.buffer.is_empty()
            && !self.reader.is_closed()
    }

    /// To be called before it goes back into the pool.
    pub(super) fn rest(&mut self, now: Instant) {
        self.used = true;
        self.idle_since = now;
    }

    pub(super) fn fail(
        &self,
        kind: FailureKind,
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Failure {
        let delivered = if self.outbox.has_written() { Delivered::Maybe } else { Delivered::Nothing };
        Failure::on_the_way(kind, delivered, self.used, source)
    }

    pub(super) fn into_io(self) -> (UpstreamIo, Buffer) {
        (self.io, self.reader.buffer)
    }

    /// Sends on, and looks whether the client is still there.
    fn drive_client<C: Content>(&mut self, cx: &mut Context<'_>, content: &mut C) -> Result<(), Failure> {
        let polled = self.upload.poll(&mut self.io, &mut self.outbox, content, cx);
        upload::settle(polled.map_err(Failure::client), content, cx)
    }

    fn begin_answer(&mut self) -> Result<(), Failure> {
        self.course.framing = response_framing(&self.head, self.course.to_head)
            .map_err(|error| self.fail(FailureKind::Malformed, Some(Box::new(error))))?;
        let tells_its_end = self.course.framing != ResponseFraming::UntilClose;
        self.course.reusable = tells_its_end
            && self.head.status != 101
            && keeps_alive(self.head.version, &self.head.fields)
            // Both ways at once is settled by the RFC, but not every server settles it alike.
            && !(self.course.framing == ResponseFraming::Chunked && self.head.fields.contains(b"Content-Length"));
        self.reader.begin(match self.course.framing {
            ResponseFraming::None => Body::Done,
            ResponseFraming::Length(length) => Body::Length(length),
            ResponseFraming::Chunked => Body::Chunked(Box::new(Chunked::new(HEAD_LIMIT / 8))),
            ResponseFraming::UntilClose => Body::UntilClose,
        });
        Ok(())
    }

    fn closed(&mut self, error: ReadError) -> Failure {
        let source: Box<dyn std::error::Error + Send + Sync> = match (self.upload.take_error(), error) {
            // That writing failed first tells more than that reading did then.
            (Some(error), _) | (None, ReadError::Io(error)) => Box::new(error),
            (None, ReadError::Closed) => {
                Box::new(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection"))
            }
        };
        let begun = !self.reader.buffer.is_empty();
        let failure = self.fail(FailureKind::Closed, Some(source));
        if begun { failure.while_answering() } else { failure }
    }

    fn malformed(&self, error: HeadError) -> Failure {
        let kind = if error == HeadError::TooLarge { FailureKind::TooLarge } else { FailureKind::Malformed };
        self.fail(kind, Some(Box::new(error)))
    }
}

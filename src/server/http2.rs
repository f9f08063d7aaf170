//! A client connection that speaks HTTP/2 with prior knowledge (RFC 9113 section 3.3), driven by hyper.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::ServiceExt as _;
use tower::util::Oneshot;

use super::alarm::Alarm;
use super::checked_response::{CheckedBody, CheckedResponse};
use super::client_io::ClientIo;
use super::http1::{Payload, RequestService};
use super::request_body::{Owner, RequestBody};
use super::request_check::{FIELDS, check_http2};
use super::setup::Setup;
use super::signals::Signals;
use super::streams::{OpenStream, StreamExecutor, Streams};
use super::{BoxError, Limits};

/// What one client may have open at once. Where it reads nothing each stream holds [`SEND_BUFFER`], a
/// piece of as much that waits for room, and what the service has read ahead (64 KiB for the proxy):
/// 25 MiB. Where it sends large heads only, 160 KiB each: 32 MiB.
const STREAMS: u32 = 200;
/// What a client may send of one body before somebody takes it, and of all bodies together: uploads
/// that nobody takes must not stop the others.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// What is kept of one response before the client takes it.
const SEND_BUFFER: usize = 32 * 1024;
/// A peer that vanished without a word is found out within 20 seconds more.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long an idle peer may take over what it has not read, and over its acknowledgement of the end
/// (RFC 9113 section 6.8 has the first GOAWAY followed by a PING, so that its last requests are not
/// lost). One that takes nothing must not hold a drain up.
const LAST_WORD: Duration = Duration::from_secs(1);
/// The same for a client to which something is still being written, once no stream is open. One that has never
/// asked for anything waits for nothing.
const LONGEST_FAREWELL: Duration = Duration::from_secs(5);
/// RFC 9113 section 6.5.2: what each field counts for beyond its name and its value.
const FIELD_OVERHEAD: u32 = 32;

/// Serves a connection to its end: the client's, the idle time-out's, or the drain's. `accepted`: when
/// it was.
pub(super) async fn serve<S, B>(
    io: ClientIo,
    signals: Arc<Signals>,
    service: S,
    setup: Arc<Setup>,
    alarm: Alarm,
    accepted: Instant,
) where
    S: RequestService<B>,
    B: Payload,
{
    signals.leave_http1();
    let streams = Arc::new(Streams::default());
    let service =
        Http2Service { service, streams: streams.clone(), signals: signals.clone(), setup: setup.clone() };
    let connection = builder(&setup.limits, streams.clone()).serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    let mut watch =
        Watch { signals, streams, setup, alarm, quiet_since: Some(accepted), begun: 0, ending: None };
    let ended = poll_fn(|cx| {
        loop {
            match watch.poll(cx) {
                Poll::Ready(Next::End) => connection.as_mut().graceful_shutdown(),
                Poll::Ready(Next::Drop) => return Poll::Ready(Ok(())),
                Poll::Pending => break,
            }
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "an HTTP/2 connection of a client has ended"
        );
    }
}

fn builder(limits: &Limits, streams: Arc<Streams>) -> Builder<StreamExecutor> {
    // What fits over HTTP/1.1 fits here: our own check is the exact one.
    let fields = u32::try_from(FIELDS).unwrap_or(u32::MAX).saturating_mul(FIELD_OVERHEAD);
    let header_size = u32::try_from(limits.header_size).unwrap_or(u32::MAX).saturating_add(fields);
    let mut builder = Builder::new(StreamExecutor(streams));
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(header_size)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_EVERY)
        .auto_date_header(false);
    builder
}

/// What the watch wants done.
enum Next {
    /// The end is to be announced.
    End,
    /// The client had time enough.
    Drop,
}

/// Watches a connection's time-outs, by one alarm.
struct Watch {
    signals: Arc<Signals>,
    streams: Arc<Streams>,
    setup: Arc<Setup>,
    alarm: Alarm,
    /// The latest look before which no stream has been open since.
    quiet_since: Option<Instant>,
    /// How many streams had been opened at the last look.
    begun: usize,
    /// The end has been announced.
    ending: Option<Announced>,
}

/// What is known since the end was announced.
struct Announced {
    /// How many writes had been made at the last look.
    departures: u32,
    /// Since when no stream has been open.
    quiet_since: Option<Instant>,
}

impl Watch {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.ending.is_none() {
            let wanted = self.signals.take_close_idle() && self.streams.count() == 0;
            if wanted || self.signals.is_draining() {
                return Poll::Ready(self.end(Instant::now()));
            }
        }
        loop {
            let due = self.alarm.at();
            ready!(self.alarm.poll(cx, due));
            let now = Instant::now();
            if let Some(next) = self.look(now) {
                return Poll::Ready(next);
            }
        }
    }

    fn end(&mut self, now: Instant) -> Next {
        let departures = self.signals.waiting.departures();
        self.ending = Some(Announced { departures, quiet_since: None });
        self.alarm.set(now + LAST_WORD);
        Next::End
    }

    /// Looks at what has happened since the last look. PRIORITY frames and the like count for nothing.
    fn look(&mut self, now: Instant) -> Option<Next> {
        let limits = &self.setup.limits;
        if let Some(limit) = limits.stall_timeout {
            self.streams.cut_stalled(now, limit);
        }
        let is_quiet = self.streams.count() == 0 && self.streams.begun() == self.begun;
        self.begun = self.streams.begun();
        if let Some(announced) = &mut self.ending {
            let departures = self.signals.waiting.departures();
            let is_still = std::mem::replace(&mut announced.departures, departures) == departures;
            let since = is_quiet.then(|| *announced.quiet_since.get_or_insert(now));
            // Answers to PING and SETTINGS are writes too: a client can ask for them for ever.
            let longest = if self.begun == 0 { LAST_WORD } else { LONGEST_FAREWELL };
            if since.is_some_and(|since| is_still || now >= since + longest) {
                return Some(Next::Drop);
            }
            announced.quiet_since = since;
            self.alarm.set(now + LAST_WORD);
            return None;
        }
        let patience = if self.begun == 0 { limits.header_timeout } else { limits.idle_timeout };
        let mut next = now + self.setup.look_every().min(patience / 4).max(Duration::from_millis(20));
        if is_quiet {
            let since = *self.quiet_since.get_or_insert(now);
            if now >= since + patience {
                return Some(self.end(now));
            }
            next = next.min(since + patience);
            self.signals.set_idle_since(self.setup.connections.millis(since));
        } else {
            self.quiet_since = None;
        }
        self.alarm.set(next);
        None
    }
}

/// Gives each request to the service, and its response to hyper.
struct Http2Service<S> {
    service: S,
    streams: Arc<Streams>,
    signals: Arc<Signals>,
    setup: Arc<Setup>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Http2Service<S>
where
    S: tower::Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone,
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    type Response = Response<StreamBody<CheckedBody<B>>>;
    type Error = Infallible;
    type Future = Responding<Oneshot<S, Request<RequestBody>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let stream = self.streams.open();
        self.signals.set_idle_since(0);
        let (head, body) = request.into_parts();
        let future = if let Some(problem) = check_http2(&head, self.setup.limits.header_size) {
            CheckedResponse::refusal(self.setup.problem(problem))
        } else {
            let body = if body.is_end_stream() {
                RequestBody::none()
            } else {
                RequestBody::new(body, Owner::Http2(stream.state.clone()))
            };
            CheckedResponse::of(self.service.clone().oneshot(Request::from_parts(head, body)))
        };
        Responding { future, stream: Some(stream) }
    }
}

pin_project! {
    /// A response to come.
    struct Responding<F> {
        #[pin]
        future: CheckedResponse<F>,
        stream: Option<OpenStream>,
    }
}

impl<F, B> Future for Responding<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<StreamBody<CheckedBody<B>>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.future.poll(cx));
        let stream = this.stream.take();
        Poll::Ready(Ok(response.map(|body| StreamBody { body, rest: Bytes::new(), stream })))
    }
}

pin_project! {
    /// A response's body that keeps its stream counted as open, and tells whether the client takes it:
    /// hyper asks for the next piece as soon as the last one has found room
    /// (`PipeToSendStream::poll`). It gives pieces of [`SEND_BUFFER`] at most, because h2 keeps whatever
    /// it is given.
    struct StreamBody<B> {
        #[pin]
        body: B,
        rest: Bytes,
        stream: Option<OpenStream>,
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> StreamBody<B> {
    fn poll_piece(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if this.rest.is_empty() {
            let frame = match ready!(this.body.poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended.map(|frame| frame.map_err(Into::into))),
            };
            match frame.into_data() {
                Ok(data) => *this.rest = data,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(SEND_BUFFER));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for StreamBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = self.as_mut().poll_piece(cx);
        if let Some(stream) = self.project().stream {
            let waiting = &stream.state.waiting;
            waiting.left();
            waiting.set_blocked(frame.is_ready());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

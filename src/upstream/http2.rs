//! One HTTP/2 connection, shared by many requests.
//!
//! hyper drives it in a task of its own and spawns one more task a request, and another one for a body that
//! does not leave at once. Here is counted what hyper does not tell: streams, and streams that we reset.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::Request;
use http_body::Body;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper::rt::{Executor, Read, Write};
use hyper_util::rt::TokioTimer;
use tokio::time::Instant;

use super::error::{BoxError, ErrorKind, SendError};
use super::http1::{Outcome, Unanswered};
use super::upload::Upload;
use super::wire::Wire;

/// What one response may have waiting for its reader. Memory that a client which does not read can take is
/// this times its streams: 250 of them stay at 32 MiB. A single response over 50 ms still runs at 2.6 MB/s.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Five times what all streams together may have waiting, so that readers who stand still never take the
/// credit of others.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;
/// The most streams at once on one connection; more requests take another one.
const STREAM_LIMIT: usize = 100;
const HEADER_LIMIT: u32 = 256 * 1024;
/// What one request may have waiting to be written.
const SEND_BUFFER: usize = 64 * 1024;
/// How often the peer is asked whether it is there while streams are open, and how long it may take to say so:
/// a peer that has fallen silent is found within 40 s, and a request on a connection that fell silent while it
/// was idle fails within that time as well. An idle connection is not asked: some servers count such pings as
/// abuse.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// hyper's default number of streams until the peer's SETTINGS have come; no SETTINGS can say this.
const UNKNOWN_LIMIT: usize = usize::MAX - 1;
/// A connection on which we have reset this many streams takes no new ones. Servers that defend themselves
/// against rapid resets (CVE-2023-44487) close the whole connection, with the streams of others on it: Netty
/// at 200 in 30 s, http.sys at 400 in a minute, nginx and Envoy later.
const RESETS_TO_RETIRE: usize = 50;
/// Resets and open streams together stay below this, so that even if all of them are cancelled at once the peer
/// never sees more resets than half of what the strictest of those servers allows.
const RESETS_AND_STREAMS: usize = 100;

/// A handle to a shared connection.
pub(super) struct Http2<B> {
    sender: SendRequest<Upload<B>>,
    state: Arc<State>,
}

/// What is known of a connection.
struct State {
    made: Instant,
    /// It takes new streams, as far as is known.
    is_open: AtomicBool,
    streams: AtomicUsize,
    /// How many the peer allows.
    limit: AtomicUsize,
    /// Streams that we ended before the peer did.
    resets: AtomicUsize,
    /// A stream was opened since the last sweep.
    was_used: AtomicBool,
    /// The first of the last sweeps that all found it unused.
    idle_since: Mutex<Option<Instant>>,
}

/// One stream's place on its connection.
pub(super) struct Stream {
    state: Arc<State>,
    has_ended: bool,
}

/// Starts HTTP/2 on `io` and waits for the peer's SETTINGS, so that the number of streams it allows is known
/// before the first one is opened. The tasks end with the connection: when the last handle and stream are gone,
/// when the peer closes, or with the core's runtime.
/// Gives the first stream's place with it, before anybody else can take it.
pub(super) async fn start<B, T>(io: T, now: Instant) -> Result<(Http2<B>, Stream), SendError>
where
    T: Read + Write + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let tasks = Tasks::default();
    let beginning = tasks.0.clone();
    let (sender, mut connection) = builder(tasks.clone())
        .handshake(io)
        .await
        .map_err(|error| SendError::before_sending(super::error::read(&error).kind, Some(Box::new(error))))?;
    // SETTINGS come with a turn of the task that hyper has spawned.
    let known = &mut connection;
    let is_settled = poll_fn(move |cx| {
        beginning.settling.register(cx.waker());
        match known.current_max_send_streams() {
            _ if beginning.has_ended() => Poll::Ready(false),
            UNKNOWN_LIMIT => Poll::Pending,
            _ => Poll::Ready(true),
        }
    })
    .await;
    tasks.is_settled.store(true, Ordering::Relaxed);
    if !is_settled {
        return Err(SendError::before_sending(ErrorKind::Closed, None));
    }
    let state = Arc::new(State {
        made: now,
        is_open: AtomicBool::new(true),
        streams: AtomicUsize::new(0),
        limit: AtomicUsize::new(connection.current_max_send_streams()),
        resets: AtomicUsize::new(0),
        was_used: AtomicBool::new(true),
        idle_since: Mutex::new(None),
    });
    let driven = state.clone();
    #[expect(clippy::disallowed_methods, reason = "the task ends with the connection; see above")]
    tokio::spawn(drive(connection, driven));
    let connection = Http2 { sender, state };
    // A peer that allows no stream at all.
    connection.take_stream().ok_or_else(|| SendError::before_sending(ErrorKind::Closed, None))
}

fn builder(tasks: Tasks) -> Builder<Tasks> {
    let mut builder = Builder::new(tasks);
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(UNKNOWN_LIMIT)
        .max_header_list_size(HEADER_LIMIT)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(false);
    builder
}

async fn drive<B, T>(connection: Connection<T, Upload<B>, Tasks>, state: Arc<State>)
where
    T: Read + Write + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let mut connection = pin!(connection);
    let ended = poll_fn(|cx| {
        let polled = connection.as_mut().poll(cx);
        state.limit.store(connection.current_max_send_streams(), Ordering::Relaxed);
        polled
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "HTTP/2 connection to the upstream ended");
    }
    state.is_open.store(false, Ordering::Relaxed);
}

/// Spawns hyper's tasks. The first one drives the connection. [`start`] waits for the peer's SETTINGS, so it is
/// woken after each turn of that task until they have come.
#[derive(Clone, Default)]
struct Tasks(Arc<Beginning>);

#[derive(Default)]
struct Beginning {
    has_first: AtomicBool,
    has_ended: AtomicBool,
    is_settled: AtomicBool,
    settling: AtomicWaker,
}

impl std::ops::Deref for Tasks {
    type Target = Beginning;

    fn deref(&self) -> &Beginning {
        &self.0
    }
}

impl Beginning {
    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        let is_first = !self.has_first.swap(true, Ordering::Relaxed);
        #[expect(clippy::disallowed_methods, reason = "hyper's tasks end with their connection or stream")]
        if is_first {
            tokio::spawn(Watched { task: Box::pin(task), beginning: self.0.clone() });
        } else {
            tokio::spawn(task);
        }
    }
}

struct Watched<F> {
    task: Pin<Box<F>>,
    beginning: Arc<Beginning>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let polled = this.task.as_mut().poll(cx);
        if polled.is_ready() {
            this.beginning.has_ended.store(true, Ordering::Relaxed);
        }
        if !this.beginning.is_settled.load(Ordering::Relaxed) {
            this.beginning.settling.wake();
        }
        polled
    }
}

impl<B> Http2<B> {
    /// Whether it takes new streams.
    pub(super) fn is_open(&self) -> bool {
        self.state.is_open.load(Ordering::Relaxed)
            && self.sender.is_ready()
            && self.state.resets.load(Ordering::Relaxed) < RESETS_TO_RETIRE
    }

    /// True where it was made at `since` or later.
    pub(super) fn is_younger_than(&self, since: Instant) -> bool {
        self.state.made >= since
    }

    /// True where it has carried nothing for `limit`. Called by sweeps only.
    pub(super) fn is_stale(&self, now: Instant, limit: Duration) -> bool {
        let state = &self.state;
        let mut idle_since = state.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
        let was_used = state.was_used.swap(false, Ordering::Relaxed);
        if was_used || state.streams.load(Ordering::Relaxed) > 0 {
            *idle_since = None;
        }
        now.saturating_duration_since(*idle_since.get_or_insert(now)) >= limit
    }

    /// Takes a stream's place where the peer's limit, and ours, allow one more.
    pub(super) fn take_stream(&self) -> Option<(Self, Stream)> {
        let state = &self.state;
        let streams = state.streams.load(Ordering::Relaxed);
        let limit = state.limit.load(Ordering::Relaxed).min(STREAM_LIMIT);
        let resets = state.resets.load(Ordering::Relaxed);
        if !self.is_open() || streams >= limit || streams + resets >= RESETS_AND_STREAMS {
            return None;
        }
        state.streams.fetch_add(1, Ordering::Relaxed);
        state.was_used.store(true, Ordering::Relaxed);
        Some((self.clone(), Stream { state: state.clone(), has_ended: false }))
    }

    /// It has turned a request away: no other request should try it.
    pub(super) fn retire(&self) {
        self.state.is_open.store(false, Ordering::Relaxed);
    }
}

impl<B> Http2<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Opens a stream. Cancellation: dropping the future resets it.
    pub(super) fn send(
        &mut self,
        request: Request<B>,
        wire: &Arc<Wire>,
    ) -> impl Future<Output = Outcome<B>> + use<B> {
        let request = request.map(|body| Upload::over_http2(body, wire));
        let response = self.sender.try_send_request(request);
        async move { response.await.map_err(Unanswered::from) }
    }
}

/// Handles are cheap; the connection ends with the last of them.
impl<B> Clone for Http2<B> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), state: self.state.clone() }
    }
}

impl Stream {
    /// The peer has ended it, or it was never opened: dropping it resets nothing.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.has_ended {
            self.state.resets.fetch_add(1, Ordering::Relaxed);
        }
        self.state.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

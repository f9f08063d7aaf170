//! A client connection that speaks HTTP/2 with prior knowledge (RFC 9113 section 3.3), by hyper.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until};

use super::embed::answer;
use super::io::Whole;
use super::{Limits, Service};
use crate::drain::{Drain, Phase};

/// What one client may have open at once. Enough for a gateway's fan-in; each stream is cheap.
const STREAMS: u32 = 1000;
/// A peer that vanished without a word is found out within three of these.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long an idle peer may take to acknowledge the end (RFC 9113 section 6.8 has the first GOAWAY
/// followed by a PING, so that its last requests are not lost). One that says nothing at all must not
/// hold a drain up; one that does may still be reading.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Serves a connection to its end: the client's, the idle time-out's, or the drain's. `since`: when it
/// was accepted.
pub(super) async fn serve<S: Service>(io: Whole, service: S, limits: Limits, drain: Drain, since: Instant) {
    let heard = io.heard.clone();
    let activity = Arc::new(Activity { streams: AtomicUsize::new(0), begun: AtomicUsize::new(0) });
    let counting = activity.clone();
    let answer = service_fn(move |request: Request<Incoming>| {
        let (service, stream) = (service.clone(), Stream::open(counting.clone()));
        async move {
            let response = answer(service, request).await;
            Ok::<_, Infallible>(response.map(|body| Counted { body, _stream: stream }))
        }
    });
    let header_size = u32::try_from(limits.header_size).unwrap_or(u32::MAX);
    let connection = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_header_list_size(header_size)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .keep_alive_interval(PING_EVERY)
        .auto_date_header(false)
        .serve_connection(TokioIo::new(io), answer);
    let mut connection = pin!(connection);
    let mut draining = pin!(drain.reached(Phase::Draining));
    let mut silence = pin!(sleep_until(since + limits.header_timeout));
    let mut ending = false;
    let mut seen = 0;
    let ended = poll_fn(|cx| {
        loop {
            let begun = activity.begun.load(Ordering::Relaxed);
            let idle = activity.streams.load(Ordering::Relaxed) == 0;
            let due = silence.as_mut().poll(cx).is_ready();
            if !ending && (draining.as_mut().poll(cx).is_ready() || due && idle && begun == seen) {
                ending = true;
                heard.store(false, Ordering::Relaxed);
                connection.as_mut().graceful_shutdown();
                silence.as_mut().reset(Instant::now() + LAST_WORD);
            } else if due {
                if ending && idle && !heard.load(Ordering::Relaxed) {
                    return Poll::Ready(Ok(()));
                }
                silence.as_mut().reset(Instant::now() + limits.idle_timeout);
            } else {
                break;
            }
            seen = begun;
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "HTTP/2 connection of a client ended");
    }
}

/// Whether anything goes on, for the idle time-out.
struct Activity {
    streams: AtomicUsize,
    begun: AtomicUsize,
}

/// One open stream.
struct Stream(Arc<Activity>);

impl Stream {
    fn open(activity: Arc<Activity>) -> Self {
        activity.streams.fetch_add(1, Ordering::Relaxed);
        activity.begun.fetch_add(1, Ordering::Relaxed);
        Self(activity)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reply's content that keeps its stream counted as open.
struct Counted<B> {
    body: B,
    _stream: Stream,
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

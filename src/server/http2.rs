//! A client connection that speaks HTTP/2 with prior knowledge (RFC 9113 section 3.3), by hyper.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::{Instant, sleep_until};

use super::drain::{Drain, Phase};
use super::io::Whole;
use super::{Limits, Reply, Service};
use crate::message::{Content, ContentError, Fields, Framing, Next, RequestHead, Version};

/// What one client may have open at once. Enough for a gateway's fan-in; each stream is cheap.
const STREAMS: u32 = 1000;
/// A peer that vanished without a word is found out within three of these.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long an idle peer may take to acknowledge the end (RFC 9113 section 6.8 has the first GOAWAY
/// followed by a PING, so that its last requests are not lost). One that says nothing at all must not
/// hold a drain up; one that does may still be reading.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Pieces of a reply's content.
const PIECE: usize = 16 * 1024;

/// Serves a connection to its end: the client's, the idle time-out's, or the drain's. `since`: when it
/// was accepted.
pub(super) async fn serve<S: Service>(io: Whole, service: S, limits: Limits, drain: Drain, since: Instant) {
    let heard = io.heard.clone();
    let activity = Arc::new(Activity { streams: AtomicUsize::new(0), begun: AtomicUsize::new(0) });
    let counting = activity.clone();
    let answer = service_fn(move |request: Request<Incoming>| {
        let (service, stream) = (service.clone(), Stream::open(counting.clone()));
        async move { Ok::<_, Infallible>(answer(service, request, stream).await) }
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

async fn answer<S: Service>(
    service: S,
    request: Request<Incoming>,
    stream: Stream,
) -> Response<ReplyBody<S::Reply<StreamContent>>> {
    let (parts, incoming) = request.into_parts();
    let mut head = RequestHead {
        method: parts.method,
        target: parts
            .uri
            .path_and_query()
            .map_or_else(|| b"*".to_vec(), |target| target.as_str().as_bytes().to_vec()),
        authority: parts.uri.authority().map(|authority| authority.as_str().as_bytes().to_vec()),
        version: Version::Http2,
        ..RequestHead::default()
    };
    head.fields.extend_from_map(&parts.headers);
    let reply = service.exchange(&head, StreamContent::new(incoming)).await;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(reply.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    reply.fields(&head, response.headers_mut());
    response.map(|()| ReplyBody { reply, ended: false, _stream: stream })
}

/// A request's content as HTTP/2 brings it.
struct StreamContent {
    incoming: Incoming,
    framing: Framing,
    data: Bytes,
    ended: bool,
    trailers: Option<Fields>,
}

impl StreamContent {
    fn new(incoming: Incoming) -> Self {
        let framing = match (incoming.is_end_stream(), incoming.size_hint().exact()) {
            (true, _) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::Open,
        };
        Self { incoming, framing, data: Bytes::new(), ended: false, trailers: None }
    }
}

impl Content for StreamContent {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Next, ContentError>> {
        while self.data.is_empty() && !self.ended {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => self.ended = true,
                Some(Err(error)) => return Poll::Ready(Err(ContentError::Gone(Some(Box::new(error))))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.data = data,
                    Err(frame) => {
                        if let Ok(map) = frame.into_trailers() {
                            let mut trailers = Fields::default();
                            trailers.extend_from_map(&map);
                            self.trailers = Some(trailers);
                        }
                    }
                },
            }
        }
        Poll::Ready(Ok(if self.data.is_empty() { Next::End } else { Next::Bytes }))
    }

    fn bytes(&self) -> &[u8] {
        &self.data
    }

    fn consume(&mut self, count: usize) {
        self.data.advance(count.min(self.data.len()));
    }

    fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// hyper drops the exchange when the stream is reset.
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// A reply as hyper takes it.
struct ReplyBody<R> {
    reply: R,
    ended: bool,
    _stream: Stream,
}

impl<R: Reply + Unpin> Body for ReplyBody<R> {
    type Data = Bytes;
    type Error = ContentError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ContentError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.reply.poll_next(cx)) {
            Ok(Next::Bytes) => {
                let bytes = self.reply.bytes();
                let piece = Bytes::copy_from_slice(bytes.get(..PIECE).unwrap_or(bytes));
                self.reply.consume(piece.len());
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Ok(Next::End) => {
                self.ended = true;
                let mut trailers = HeaderMap::new();
                for (name, value) in self.reply.trailers().into_iter().flat_map(Fields::iter) {
                    crate::message::FieldSink::line(&mut trailers, name, value);
                }
                Poll::Ready((!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers))))
            }
            Err(error) => {
                self.ended = true;
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || matches!(self.reply.framing(), Framing::None | Framing::Length(0))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

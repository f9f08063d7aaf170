//! HTTP/2 to the upstream: one connection, many streams.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};

use super::failure::{Delivered, Failure, FailureKind};
use super::{Outgoing, Settings, upload};
use crate::message::{Content, FieldSink, Fields, Framing, Next, ResponseHead, Version};

/// Room for the largest common responses without a stall for credit.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
const HEAD_LIMIT: u32 = 256 * 1024;
/// What one stream may have waiting to be written.
const SEND_BUFFER: usize = 256 * 1024;
/// How often the peer is asked whether it is there, and how long it may take to say so. Many requests
/// hang on one connection, and one that has died without a word would keep them all.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_PATIENCE: Duration = Duration::from_secs(15);

/// A handle to a shared connection.
#[derive(Clone)]
pub(super) struct Http2Connection {
    send: SendRequest<Bytes>,
    state: Arc<State>,
}

struct State {
    /// It takes new streams, as far as is known.
    open: AtomicBool,
    made: Instant,
    streams: AtomicUsize,
    served: AtomicUsize,
    quiet_since: Mutex<Instant>,
}

impl Http2Connection {
    pub(super) fn is_open(&self) -> bool {
        self.state.open.load(Ordering::Relaxed)
    }

    /// True where it was made at `since` or later.
    pub(super) fn is_younger_than(&self, since: Instant) -> bool {
        self.state.made >= since
    }

    /// True where the peer's limit allows one more stream.
    pub(super) fn has_room(&self) -> bool {
        self.state.streams.load(Ordering::Relaxed) < self.send.current_max_send_streams()
    }

    /// True where it has carried nothing for `limit`.
    pub(super) fn is_stale(&self, now: Instant, limit: Duration) -> bool {
        let quiet_since = *self.state.quiet_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.state.streams.load(Ordering::Relaxed) == 0 && now.saturating_duration_since(quiet_since) >= limit
    }
}

/// Starts HTTP/2 on a new connection. Its task ends with the connection: when the last handle and
/// stream are gone, when the peer closes, or with the core's runtime.
#[allow(clippy::disallowed_methods, reason = "the task ends when the last handle and stream are gone")]
pub(super) async fn handshake<IO>(io: IO) -> Result<Http2Connection, Failure>
where
    IO: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (send, mut connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEAD_LIMIT)
        .max_send_buffer_size(SEND_BUFFER)
        .enable_push(false)
        .handshake(io)
        .await
        .map_err(|error| Failure::before_sending(kind_of(&error), Some(Box::new(error))))?;
    let state = Arc::new(State {
        open: AtomicBool::new(true),
        made: Instant::now(),
        streams: AtomicUsize::new(0),
        served: AtomicUsize::new(0),
        quiet_since: Mutex::new(Instant::now()),
    });
    let ending = state.clone();
    let pings = connection.ping_pong();
    tokio::spawn(async move {
        // Whichever ends first ends the other: a connection without an answer is dropped, and with it
        // its streams.
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "HTTP/2 connection to the upstream ended");
            },
            () = silence(pings, &ending) => tracing::warn!("HTTP/2 connection to the upstream is dead: it answers no ping"),
        }
        ending.open.store(false, Ordering::Relaxed);
    });
    Ok(Http2Connection { send, state })
}

/// Ends when the peer has not answered a ping in time. Asks only while streams wait for something.
async fn silence(pings: Option<PingPong>, state: &State) {
    let Some(mut pings) = pings else { return std::future::pending().await };
    loop {
        sleep(PING_EVERY).await;
        if state.streams.load(Ordering::Relaxed) > 0
            && timeout(PING_PATIENCE, pings.ping(Ping::opaque())).await.is_err()
        {
            return;
        }
    }
}

/// True where HTTP/2's `:path` holds the target exactly as it is.
pub(super) fn can_carry<O: Outgoing>(request: &O) -> bool {
    let mut target = Vec::new();
    request.target(&mut target);
    PathAndQuery::try_from(target.as_slice()).is_ok_and(|parsed| parsed.as_str().as_bytes() == target)
}

/// One stream: a request on its way and the answer to it.
pub(super) struct Http2Exchange {
    pub(super) head: ResponseHead,
    response: Option<ResponseFuture>,
    receive: Option<RecvStream>,
    send: Option<SendStream<Bytes>>,
    data: Bytes,
    ended: bool,
    trailers: Option<Fields>,
    reused: bool,
    to_head: bool,
    framing: Framing,
    state: Arc<State>,
}

impl Http2Exchange {
    /// Opens a stream with the request's head.
    pub(super) async fn begin<O: Outgoing>(
        connection: Http2Connection,
        request: &O,
        framing: Framing,
        settings: &Settings,
    ) -> Result<Self, Failure> {
        let reused = connection.state.served.fetch_add(1, Ordering::Relaxed) > 0;
        connection.state.streams.fetch_add(1, Ordering::Relaxed);
        let mut exchange = Self {
            head: ResponseHead { version: Version::Http2, ..ResponseHead::default() },
            response: None,
            receive: None,
            send: None,
            data: Bytes::new(),
            ended: false,
            trailers: None,
            reused,
            to_head: request.method() == http::Method::HEAD,
            framing: Framing::None,
            state: connection.state.clone(),
        };
        let head = outgoing_head(request, settings)
            .map_err(|error| Failure::before_sending(FailureKind::Malformed, Some(Box::new(error))))?;
        let mut send = connection.send.ready().await.map_err(|error| exchange.turned_away(error))?;
        let no_content = matches!(framing, Framing::None | Framing::Length(0));
        let (response, stream) =
            send.send_request(head, no_content).map_err(|error| exchange.unsent(error))?;
        exchange.response = Some(response);
        exchange.send = (!no_content).then_some(stream);
        Ok(exchange)
    }

    /// Sends what flow control allows; ready when the request is out, or will never be.
    fn poll_upload<C: Content>(
        &mut self,
        cx: &mut Context<'_>,
        content: &mut C,
    ) -> Poll<Result<(), Failure>> {
        while let Some(stream) = &mut self.send {
            match ready!(content.poll_next(cx)).map_err(Failure::client)? {
                Next::Bytes => {
                    let waiting = content.bytes().len().min(SEND_BUFFER);
                    stream.reserve_capacity(waiting);
                    let granted = stream.capacity();
                    let granted = if granted > 0 {
                        granted
                    } else if let Some(Ok(granted)) = ready!(stream.poll_capacity(cx)) {
                        granted
                    } else {
                        // The peer takes no more; its answer may be on the way all the same.
                        self.send = None;
                        continue;
                    };
                    let bytes = content.bytes();
                    let piece = bytes.get(..granted.min(bytes.len())).unwrap_or(bytes);
                    let count = piece.len();
                    if stream.send_data(Bytes::copy_from_slice(piece), false).is_err() {
                        self.send = None;
                        continue;
                    }
                    content.consume(count);
                }
                Next::End => {
                    let mut trailers = HeaderMap::new();
                    for (name, value) in content.trailers().into_iter().flat_map(Fields::iter) {
                        trailers.line(name, value);
                    }
                    // A stream that was reset meanwhile is told by its answer.
                    let _ = if trailers.is_empty() {
                        stream.send_data(Bytes::new(), true)
                    } else {
                        stream.send_trailers(trailers)
                    };
                    self.send = None;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the response's head while the request is being sent.
    pub(super) fn poll_head<C: Content>(
        &mut self,
        cx: &mut Context<'_>,
        content: &mut C,
    ) -> Poll<Result<(), Failure>> {
        self.drive_client(cx, content)?;
        let Some(response) = &mut self.response else { return Poll::Ready(Ok(())) };
        match ready!(std::pin::Pin::new(response).poll(cx)) {
            Ok(response) => {
                self.response = None;
                let (parts, receive) = response.into_parts();
                self.head.status = parts.status.as_u16();
                self.head.fields.extend_from_map(&parts.headers);
                self.ended = receive.is_end_stream();
                self.framing = self.answer_framing();
                self.receive = Some(receive);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.failure(error))),
        }
    }

    /// See [`Content::poll_next`]; goes on sending the request meanwhile.
    pub(super) fn poll_next<C: Content>(
        &mut self,
        cx: &mut Context<'_>,
        content: &mut C,
    ) -> Poll<Result<Next, Failure>> {
        self.drive_client(cx, content).map_err(Failure::while_answering)?;
        loop {
            if !self.data.is_empty() {
                return Poll::Ready(Ok(Next::Bytes));
            }
            let Some(receive) = &mut self.receive else { return Poll::Ready(Ok(Next::End)) };
            match ready!(receive.poll_data(cx)) {
                Some(Ok(data)) => self.data = data,
                Some(Err(error)) => return Poll::Ready(Err(self.failure(error).while_answering())),
                None => {
                    match ready!(receive.poll_trailers(cx)) {
                        Ok(Some(map)) => {
                            let mut trailers = Fields::default();
                            trailers.extend_from_map(&map);
                            self.trailers = Some(trailers);
                        }
                        Ok(None) => {}
                        Err(error) => return Poll::Ready(Err(self.failure(error).while_answering())),
                    }
                    self.receive = None;
                }
            }
        }
    }

    pub(super) fn is_uploaded(&self) -> bool {
        self.send.is_none()
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.data
    }

    pub(super) fn consume(&mut self, count: usize) {
        let count = count.min(self.data.len());
        self.data.advance(count);
        if let Some(receive) = &mut self.receive {
            // Credit for what was taken; a stream that has ended needs none.
            let _ = receive.flow_control().release_capacity(count);
        }
    }

    pub(super) fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    pub(super) fn fail(&self, kind: FailureKind) -> Failure {
        Failure::on_the_way(kind, Delivered::Maybe, self.reused, None)
    }

    fn drive_client<C: Content>(&mut self, cx: &mut Context<'_>, content: &mut C) -> Result<(), Failure> {
        let polled = self.poll_upload(cx, content);
        upload::settle(polled, content, cx)
    }

    fn answer_framing(&self) -> Framing {
        if self.to_head || matches!(self.head.status, 204 | 304) {
            return Framing::None;
        }
        let length = self.head.fields.only(b"Content-Length").ok().flatten();
        let length = length.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        match length {
            Some(length) => Framing::Length(length),
            None if self.ended => Framing::Length(0),
            None => Framing::Open,
        }
    }

    /// The connection takes no new streams: it has died, the peer said so while older streams go on
    /// (RFC 9113 section 6.8), or their numbers are used up. Nobody shall try it again.
    fn turned_away(&self, error: h2::Error) -> Failure {
        self.state.open.store(false, Ordering::Relaxed);
        Failure::on_the_way(FailureKind::Closed, Delivered::Nothing, self.reused, Some(Box::new(error)))
    }

    /// No stream was opened, so nothing of the request has left.
    fn unsent(&self, error: h2::Error) -> Failure {
        Failure::on_the_way(kind_of(&error), Delivered::Nothing, self.reused, Some(Box::new(error)))
    }

    /// RFC 9113 section 8.7: a refused stream, or one beyond a GOAWAY, was not processed.
    fn failure(&self, error: h2::Error) -> Failure {
        let unprocessed =
            error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote());
        let delivered = if unprocessed { Delivered::Nothing } else { Delivered::Maybe };
        let answered = error.is_reset() && error.is_remote() && !unprocessed;
        let failure = Failure::on_the_way(kind_of(&error), delivered, self.reused, Some(Box::new(error)));
        // The upstream has had its say about this stream, and its connection goes on.
        if answered { failure.while_answering() } else { failure }
    }
}

impl Drop for Http2Exchange {
    fn drop(&mut self) {
        if self.state.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            *self.state.quiet_since.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                Instant::now();
        }
    }
}

fn outgoing_head<O: Outgoing>(request: &O, settings: &Settings) -> Result<Request<()>, http::Error> {
    let mut target = Vec::new();
    request.target(&mut target);
    let uri = Uri::builder()
        .scheme(if settings.base.secure { "https" } else { "http" })
        .authority(settings.base.authority.as_str())
        .path_and_query(target.as_slice())
        .build()?;
    let mut head = Request::builder().method(request.method().clone()).uri(uri).body(())?;
    *head.version_mut() = http::Version::HTTP_2;
    request.fields(head.headers_mut(), Version::Http2);
    Ok(head)
}

fn kind_of(error: &h2::Error) -> FailureKind {
    if error.is_io() || error.is_reset() || error.is_go_away() {
        FailureKind::Closed
    } else {
        FailureKind::Malformed
    }
}

#[cfg(test)]
mod tests;

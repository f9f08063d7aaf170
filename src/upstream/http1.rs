//! One HTTP/1.1 connection: hyper's handle, and the task that drives hyper's connection.
//!
//! The task gives the connection back to its home, the pool, since it alone sees when hyper is ready for another
//! request; it does so only after the sender has examined the response's head and allowed it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::rt::Write as _;
use tokio::time::Instant;

use super::error::BoxError;
use super::upload::Upload;
use super::upstream_io::UpstreamIo;
use super::wire::Wire;
use crate::header_case::HeaderCase;

/// Four times what common servers allow themselves.
const HEADER_LIMIT: usize = 256 * 1024;

/// hyper waits for a request: nothing of the last request is left.
const READY: u8 = 1;
/// The last response's head allows another request.
const ALLOWED: u8 = 2;

/// A connection, for its sender.
pub(super) struct Http1<B> {
    sender: Mutex<Option<SendRequest<Upload<B>>>>,
    wire: Arc<Wire>,
    /// [`READY`] and [`ALLOWED`]; the one that is set last gives the connection back.
    phase: AtomicU8,
    /// Set where the task hands the byte stream to its home instead of closing it; idle since then.
    parking: Mutex<Option<Instant>>,
}

/// Takes connections that wait for their next request.
pub(super) trait Home<B>: Send + Sync + 'static {
    /// One that hyper has ready.
    fn put_http1(&self, connection: Arc<Http1<B>>);
    /// The byte stream of one that was parked; it was idle since then.
    fn put_parked(&self, io: UpstreamIo, since: Instant);
}

/// What a request on a connection came to.
pub(super) type Outcome<B> = Result<Response<Incoming>, Unanswered<B>>;

/// No response.
#[expect(clippy::large_enum_variant, reason = "the response, its alternative, is as large")]
pub(super) enum Unanswered<B> {
    /// The connection had ended before the request was begun; here it is again.
    Unsent(Request<B>),
    /// The connection took the request.
    Failed(hyper::Error),
}

impl<B> From<TrySendError<Request<Upload<B>>>> for Unanswered<B> {
    fn from(mut error: TrySendError<Request<Upload<B>>>) -> Self {
        match error.take_message() {
            Some(request) => Self::Unsent(request.map(Upload::into_body)),
            None => Self::Failed(error.into_error()),
        }
    }
}

/// How hyper reads and writes.
pub(super) fn builder(header_case: HeaderCase) -> Builder {
    let mut builder = Builder::new();
    builder
        .title_case_headers(true)
        .preserve_header_case(header_case == HeaderCase::Preserve)
        // RFC 9112 section 5.1: a proxy removes it.
        .allow_spaces_after_header_name_in_responses(true)
        .max_header_size(HEADER_LIMIT)
        // hyper's buffer must hold the largest header section. `UpstreamIo` and `Wire` keep it small otherwise.
        .max_buf_size(HEADER_LIMIT);
    builder
}

/// Starts HTTP/1.1 on `io`; the connection has no home yet. Its task ends with the connection: when it
/// is closed here or by the peer, or with the core's runtime.
pub(super) async fn start<B, H: Home<B>>(
    io: UpstreamIo,
    builder: &Builder,
    home: Weak<H>,
    upgrades: bool,
) -> hyper::Result<Arc<Http1<B>>>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let wire = io.wire().clone();
    let (sender, connection) = builder.handshake(io).await?;
    let handle = Arc::new(Http1 {
        sender: Mutex::new(Some(sender)),
        wire,
        phase: AtomicU8::new(0),
        parking: Mutex::new(None),
    });
    let driven = handle.clone();
    #[expect(clippy::disallowed_methods, reason = "the task ends with the connection; see above")]
    if upgrades {
        tokio::spawn(async move { drive(connection.with_upgrades(), &driven, &home).await });
    } else {
        tokio::spawn(async move { drive_and_park(connection, &driven, &home).await });
    }
    Ok(handle)
}

/// Drives a connection that may become a tunnel.
async fn drive<B, C, H: Home<B>>(connection: C, handle: &Arc<Http1<B>>, home: &Weak<H>)
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let ended = poll_fn(|cx| {
        let polled = connection.as_mut().poll(cx);
        handle.settle(home);
        polled
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "HTTP/1.1 connection to the upstream ended");
    }
    handle.close();
}

/// Drives a connection that gives its buffers back when it has been idle for long.
async fn drive_and_park<B, H: Home<B>>(
    mut connection: Connection<UpstreamIo, Upload<B>>,
    handle: &Arc<Http1<B>>,
    home: &Weak<H>,
) where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let ended = poll_fn(|cx| {
        let polled = connection.poll_without_shutdown(cx);
        handle.settle(home);
        polled
    })
    .await;
    handle.close();
    if let Err(error) = ended {
        tracing::debug!(%error, "HTTP/1.1 connection to the upstream ended");
        return;
    }
    let parts = connection.into_parts();
    let mut io = parts.io;
    let parking = *handle.parking.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(since) = parking
        && parts.read_buf.is_empty()
        && let Some(home) = home.upgrade()
    {
        home.put_parked(io, since);
        return;
    }
    let _ = poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await;
}

impl<B> Http1<B> {
    /// Whether it can take a request now, as far as is known.
    pub(super) fn is_ready(&self) -> bool {
        self.lock().as_ref().is_some_and(SendRequest::is_ready)
    }

    pub(super) fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// Ends it once what is under way is over.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    /// Ends hyper's part of a connection that is idle since then; its task gives the byte stream to its home.
    pub(super) fn park(&self, since: Instant) {
        *self.parking.lock().unwrap_or_else(PoisonError::into_inner) = Some(since);
        self.close();
    }

    /// Called after each turn of hyper's connection: gives it back where the request and its response are over.
    fn settle<H: Home<B>>(self: &Arc<Self>, home: &Weak<H>) {
        if self.phase.load(Ordering::Relaxed) & READY != 0 {
            return;
        }
        let sender = self.lock();
        let is_free = sender.as_ref().is_some_and(SendRequest::is_ready) && self.advance(READY);
        drop(sender);
        if is_free {
            match home.upgrade() {
                Some(home) => home.put_http1(self.clone()),
                // No request can ask for it any more.
                None => self.close(),
            }
        }
    }

    /// The response's head allows another request.
    pub(super) fn allow<H: Home<B>>(self: &Arc<Self>, home: &H) {
        if self.advance(ALLOWED) {
            home.put_http1(self.clone());
        }
    }

    /// True where `step` was the last one that was missing.
    fn advance(&self, step: u8) -> bool {
        let before = self.phase.fetch_or(step, Ordering::Relaxed);
        before & step == 0 && before | step == READY | ALLOWED
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<SendRequest<Upload<B>>>> {
        // Nothing panics while it is held; if something did, the handle would be whole.
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Http1<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Hands the request to hyper, or back where the connection has ended. Cancellation: dropping the future closes
    /// the connection.
    #[expect(clippy::result_large_err, reason = "the request goes to another connection as it is")]
    pub(super) fn send(
        &self,
        request: Request<B>,
    ) -> Result<impl Future<Output = Outcome<B>> + use<B>, Request<B>> {
        self.wire.begin();
        let mut sender = self.lock();
        let sent = match &mut *sender {
            Some(sender) => {
                let request = request.map(|body| Upload::over_http1(body, &self.wire));
                Ok(sender.try_send_request(request))
            }
            None => Err(request),
        };
        // Under the lock: the task must not take this request's connection for one that is ready.
        self.phase.store(0, Ordering::Relaxed);
        drop(sender);
        let response = sent?;
        Ok(async move { response.await.map_err(Unanswered::from) })
    }
}

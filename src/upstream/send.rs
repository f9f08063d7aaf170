//! One request and the head of its response.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use http::uri::{Authority, Parts, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version, header::HOST};
use http_body::Body;
use hyper::client::conn::http1::Builder;
use tokio::time::{Instant, timeout};

use super::connect::{Connector, Fresh, within};
use super::error::{BoxError, ErrorKind, SendError};
use super::framing::{self, Framing};
use super::http1::{self, Http1, Outcome, Unanswered};
use super::http2::{self, Http2, Stream};
use super::pool::{Kept, Pool};
use super::response_body::ResponseBody;
use super::settings::{Reuse, SendOptions, Settings};
use super::tls::TlsError;
use super::upstream_io::UpstreamIo;
use super::wire::Wire;
use crate::cause::Stage;

/// New connections that end before they take the request. The first may be a coincidence.
const FRESH_TRIES: u32 = 2;

/// One origin, for one core. Cheap to clone; connections end with the last clone.
///
/// `B` is the body of requests.
pub struct Upstream<B> {
    shared: Arc<Shared<B>>,
}

struct Shared<B> {
    settings: Settings,
    connector: Connector,
    http1: Builder,
    host: HeaderValue,
    authority: Authority,
    pool: Arc<Pool<B>>,
}

/// A connection that a request can be sent on.
enum Connection<B> {
    Http1(Arc<Http1<B>>),
    Http2(Http2<B>, Stream),
}

/// A new connection on the way to the request that it was made for. It is kept for others where that has gone.
struct Offer<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    connection: Option<Connection<B>>,
    shared: Arc<Shared<B>>,
}

/// A request was sent, or comes back because its connection had ended before.
enum Attempt<B> {
    Responded(Response<ResponseBody>),
    Failed(SendError),
    Unsent(Request<B>),
}

impl<B> Upstream<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// An upstream without any connection yet. Fails only where the host is no name that TLS can verify.
    pub fn new(settings: Settings) -> Result<Self, TlsError> {
        let text = settings.base_url.authority();
        let name = || TlsError::Name(text.to_owned());
        let host = HeaderValue::try_from(text).map_err(|_| name())?;
        let authority = Authority::try_from(text).map_err(|_| name())?;
        let shared = Shared {
            connector: Connector::new(&settings)?,
            http1: http1::builder(settings.header_case),
            host,
            authority,
            pool: Arc::new(Pool::new(Instant::now())),
            settings,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Sends `request` and waits for the response's head; the rest of the request's body is sent while the
    /// response arrives.
    ///
    /// The URI is in origin form, prefix and path already joined; of the fields only end-to-end ones are
    /// expected. `Host` (or `:authority`) is added, and the body is framed by what it is: by its length where
    /// its size hint is exact, else in chunks. The response's fields are as they came, hop-by-hop ones included,
    /// but for a length beside chunks.
    ///
    /// A 101 response has hyper's `OnUpgrade` in its extensions ([`hyper::upgrade::on`]).
    ///
    /// Cancellation: dropping the future closes the request's connection or resets its stream.
    pub async fn send(
        &self,
        mut request: Request<B>,
        options: SendOptions,
    ) -> Result<Response<ResponseBody>, SendError> {
        let mut fresh_tries = FRESH_TRIES;
        loop {
            let (connection, is_fresh) = self.connection(options).await?;
            let attempt = match connection {
                Connection::Http1(connection) => self.over_http1(&connection, request, options).await,
                Connection::Http2(connection, stream) => self.over_http2(connection, stream, request).await,
            };
            match attempt {
                Attempt::Responded(response) => return Ok(response),
                Attempt::Failed(error) => return Err(error),
                Attempt::Unsent(again) => request = again,
            }
            if is_fresh {
                fresh_tries -= 1;
                if fresh_tries == 0 {
                    return Err(SendError::before_sending(ErrorKind::Closed, None));
                }
            }
        }
    }

    /// Host and port of the forward proxy on the way to the origin.
    pub fn forward_proxy(&self) -> Option<String> {
        let settings = &self.shared.settings;
        let url = settings.forward_proxy.toward_base(&settings.base_url)?;
        Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
    }

    /// Looks after idle connections: closes those that have died or grown old, and takes the memory of the
    /// others. To be called every few seconds on the core that owns the upstream.
    pub fn sweep(&self, now: Instant) {
        self.shared.pool.sweep(now);
    }

    async fn over_http1(
        &self,
        connection: &Arc<Http1<B>>,
        mut request: Request<B>,
        options: SendOptions,
    ) -> Attempt<B> {
        let to_head = *request.method() == Method::HEAD;
        let wire = connection.wire();
        self.for_http1(&mut request, options.websocket);
        let outcome = match connection.send(request) {
            Ok(outcome) => outcome,
            Err(request) => return Attempt::Unsent(request),
        };
        let response = match self.in_time(outcome, wire).await {
            Some(Ok(response)) => response,
            Some(Err(Unanswered::Unsent(request))) => return Attempt::Unsent(request),
            Some(Err(Unanswered::Failed(error))) => {
                return Attempt::Failed(SendError::over_http1(error, wire));
            }
            None => {
                return Attempt::Failed(SendError::late(wire, self.shared.settings.response_timeout));
            }
        };
        let (mut parts, body) = response.into_parts();
        let examined = framing::examine_http1(&mut parts, to_head, options.websocket);
        if examined.is_ok_and(|examined| examined.is_reusable) {
            connection.allow(&*self.shared.pool);
        } else {
            connection.close();
        }
        match examined {
            Ok(examined) => {
                let body = ResponseBody::new(body, examined.is_bodiless, None);
                Attempt::Responded(Response::from_parts(parts, body))
            }
            Err(unusable) => Attempt::Failed(SendError::unusable(unusable)),
        }
    }

    async fn over_http2(
        &self,
        mut connection: Http2<B>,
        mut stream: Stream,
        mut request: Request<B>,
    ) -> Attempt<B> {
        let to_head = *request.method() == Method::HEAD;
        let wire = Arc::new(Wire::default());
        if let Err(error) = self.for_http2(&mut request) {
            return Attempt::Failed(error);
        }
        let outcome = connection.send(request, &wire);
        let response = match self.in_time(outcome, &wire).await {
            Some(Ok(response)) => response,
            Some(Err(Unanswered::Unsent(request))) => {
                connection.retire();
                stream.end();
                return Attempt::Unsent(request);
            }
            Some(Err(Unanswered::Failed(error))) => {
                // The peer has ended the stream, unless we did because the request's body failed.
                if !wire.has_failed() {
                    stream.end();
                }
                return Attempt::Failed(SendError::over_http2(error, &wire));
            }
            None => {
                return Attempt::Failed(SendError::late(&wire, self.shared.settings.response_timeout));
            }
        };
        let is_bodiless = framing::is_bodiless(response.status(), to_head);
        Attempt::Responded(response.map(|body| ResponseBody::new(body, is_bodiless, Some(stream))))
    }

    /// The response, or nothing where it took too long. The time counts from the end of the request's body: an
    /// upload may take as long as it likes.
    async fn in_time(&self, outcome: impl Future<Output = Outcome<B>>, wire: &Wire) -> Option<Outcome<B>> {
        let Some(limit) = self.shared.settings.response_timeout else { return Some(outcome.await) };
        let mut outcome = pin!(outcome);
        let early = poll_fn(|cx| match outcome.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => wire.poll_uploaded(cx).map(|()| None),
        });
        match early.await {
            Some(outcome) => Some(outcome),
            None => timeout(limit, outcome).await.ok(),
        }
    }

    /// Makes a request one over HTTP/1.1, in place.
    fn for_http1(&self, request: &mut Request<B>, websocket: bool) {
        *request.version_mut() = Version::HTTP_11;
        if request.uri().scheme().is_some() {
            // It was meant for an HTTP/2 connection that did not take it.
            let target = request.uri().path_and_query().cloned();
            *request.uri_mut() = target.map_or_else(Uri::default, Uri::from);
        }
        let (framing, method) = (Framing::of(request.body()), request.method().clone());
        let headers = request.headers_mut();
        headers.insert(HOST, self.shared.host.clone());
        framing.write_http1(headers, &method);
        if websocket {
            framing::ask_for_websocket(headers);
        }
    }

    /// Makes a request one over HTTP/2, in place.
    fn for_http2(&self, request: &mut Request<B>) -> Result<(), SendError> {
        *request.version_mut() = Version::HTTP_2;
        let mut parts = Parts::default();
        parts.scheme = Some(Scheme::HTTPS);
        parts.authority = Some(self.shared.authority.clone());
        parts.path_and_query = std::mem::take(request.uri_mut()).into_parts().path_and_query;
        *request.uri_mut() = Uri::from_parts(parts)
            .map_err(|error| SendError::before_sending(ErrorKind::Malformed, Some(Box::new(error))))?;
        let (framing, method) = (Framing::of(request.body()), request.method().clone());
        framing.write_http2(request.headers_mut(), &method);
        Ok(())
    }

    /// A connection, and whether it was made for this request.
    async fn connection(&self, options: SendOptions) -> Result<(Connection<B>, bool), SendError> {
        let shared = &self.shared;
        let pool = &shared.pool;
        let only_http1 = options.websocket;
        if options.reuse == Reuse::Allowed && !only_http1 {
            match pool.take_http1() {
                Some(Kept::Live(connection)) => return Ok((Connection::Http1(connection), false)),
                Some(Kept::Parked(io)) => return Ok((shared.begin_http1(io, false).await?, false)),
                None => {}
            }
            if let Some((connection, stream)) = pool.share_http2(None) {
                return Ok((Connection::Http2(connection, stream), false));
            }
        }
        let now = Instant::now();
        // The wait for other requests' connections counts: behind an upstream that does not accept they would
        // queue up, each for a time-out longer than the one before.
        let deadline = now + shared.settings.connect_timeout;
        if only_http1 || !shared.settings.base_url.is_secure() || pool.speaks_http1() {
            return Ok((shared.clone().dial(only_http1, deadline).await?, true));
        }
        // While it is not known that the origin speaks HTTP/1.1 only, one request at a time finds that out: two
        // hundred first requests need a few HTTP/2 connections, not two hundred.
        let turn = within(deadline, Stage::Connection, shared.settings.connect_timeout, async {
            Ok(pool.turn().await)
        })
        .await?;
        if pool.speaks_http1() {
            drop(turn);
        } else {
            // One that was made since is new enough for a request that may not have an old one.
            let since = (options.reuse == Reuse::Forbidden).then_some(now);
            if let Some((connection, stream)) = pool.share_http2(since) {
                return Ok((Connection::Http2(connection, stream), false));
            }
        }
        Ok((shared.clone().dial(false, deadline).await?, true))
    }
}

impl<B> Shared<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Makes a connection, in a task of its own: it serves another request where this one's client leaves
    /// meanwhile. Otherwise clients that are less patient than a handshake takes would never get one.
    async fn dial(self: Arc<Self>, only_http1: bool, deadline: Instant) -> Result<Connection<B>, SendError> {
        let (made, receiver) = tokio::sync::oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "the task ends at the deadline at the latest")]
        tokio::spawn(async move {
            let connection = self.make(only_http1, deadline).await;
            let _ =
                made.send(connection.map(|connection| Offer { connection: Some(connection), shared: self }));
        });
        let gone = || SendError::before_sending(ErrorKind::Closed, None);
        let mut offer = receiver.await.map_err(|_| gone())??;
        offer.connection.take().ok_or_else(gone)
    }

    async fn make(&self, only_http1: bool, deadline: Instant) -> Result<Connection<B>, SendError> {
        match self.connector.connect(only_http1, deadline).await? {
            Fresh::Http1(io) => {
                if !only_http1 {
                    self.pool.learn(true);
                }
                self.begin_http1(io, only_http1).await
            }
            Fresh::Http2(io) => {
                self.pool.learn(false);
                let started = http2::start(io, Instant::now());
                let (connection, stream) =
                    within(deadline, Stage::Http2, self.settings.connect_timeout, started).await?;
                self.pool.add_http2(connection.clone());
                Ok(Connection::Http2(connection, stream))
            }
        }
    }

    async fn begin_http1(&self, io: UpstreamIo, upgrades: bool) -> Result<Connection<B>, SendError> {
        let pool = Arc::downgrade(&self.pool);
        let begun = http1::start(io, &self.http1, pool, upgrades).await;
        let failed = |error| SendError::before_sending(ErrorKind::Closed, Some(Box::new(error)));
        begun.map(Connection::Http1).map_err(failed)
    }

    /// Keeps a connection whose request has gone.
    fn keep(&self, unwanted: Connection<B>) {
        match unwanted {
            Connection::Http1(connection) => connection.allow(&*self.pool),
            // It is in the pool already; no stream was opened.
            Connection::Http2(_, mut stream) => stream.end(),
        }
    }
}

impl<B> Drop for Offer<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    fn drop(&mut self) {
        if let Some(unwanted) = self.connection.take() {
            self.shared.keep(unwanted);
        }
    }
}

impl<B> Clone for Upstream<B> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<B> fmt::Debug for Upstream<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("base_url", &self.shared.settings.base_url).finish_non_exhaustive()
    }
}

//! Sends one request to the one origin it was made for, over a pooled connection or a new one.
//!
//! Decides nothing about retries: it says what went wrong and whether anything can have been
//! delivered ([`Failure`]), and `proxy::retry` judges. The connection is driven inside the task of
//! whoever sends: there is no channel and no second task between a client and its upstream (but
//! for HTTP/2's connection task, which many streams share).
//!
//! One `Transport` belongs to one core; nothing in it is shared with another.

mod answer;
mod dial;
mod failure;
mod h1;
mod h2;
mod io;
mod pool;
pub mod tls;
mod upload;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::Method;
use tokio::time::{Instant, timeout};
use url::Url;

pub use answer::Answer;
pub use dial::Route;
pub use failure::{Delivered, Failure, FailureKind};

use crate::message::{Content, FieldSink, Version};
use dial::{Dialed, Dialer};
use pool::Pool;

/// Where requests go and how long that may take.
#[derive(Clone)]
pub struct Settings {
    /// Where to.
    pub base: Arc<Base>,
    /// Name resolution, connection and TLS together.
    pub connect_timeout: Duration,
    /// From the request's end to the response's head; `None` is for ever.
    pub response_timeout: Option<Duration>,
    /// Whom to trust. ALPN is set here.
    pub tls: rustls::ClientConfig,
    /// `http://[user:password@]host:port` of a proxy to tunnel through.
    pub forward_proxy: Option<Url>,
}

/// A base URL, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// `https`, or clear text.
    pub secure: bool,
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `Host` or `:authority`: the host, with the port where it is not the scheme's own.
    pub authority: String,
    /// The path without its trailing slash.
    pub prefix: Vec<u8>,
}

/// As people write it.
impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, String::from_utf8_lossy(&self.prefix))
    }
}

/// A request as the transport needs to see it. Written anew for every attempt.
pub trait Outgoing {
    /// The method.
    fn method(&self) -> &Method;
    /// Appends path and query, byte for byte.
    fn target(&self, out: &mut Vec<u8>);
    /// Writes the field lines, without `Host` and `Transfer-Encoding`, which belong to the wire.
    fn fields(&self, sink: &mut impl FieldSink, to: Version);
    /// True where a WebSocket is asked for, which needs a connection of HTTP/1.1.
    fn upgrades(&self) -> bool;
}

/// How an attempt may get its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// A pooled one, if there is one.
    Allowed,
    /// A new one, because a pooled one has just turned out dead.
    Forbidden,
}

/// The way to one origin, for one core.
#[derive(Clone)]
pub struct Transport {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    dialer: Dialer,
    pool: Arc<Pool>,
}

impl Transport {
    /// A transport without any connection yet. Fails only where the host is no valid TLS name.
    pub fn new(settings: Settings) -> Result<Self, tls::TlsError> {
        let dialer = Dialer::new(&settings)?;
        Ok(Self { shared: Arc::new(Shared { settings, dialer, pool: Arc::new(Pool::default()) }) })
    }

    /// Sends `request` with `content` and waits for the response's head. The rest of the content
    /// is sent while the answer is read.
    ///
    /// Cancellation: dropping the future drops the exchange's connection or resets its stream.
    pub async fn send<O: Outgoing, C: Content>(
        &self,
        request: &O,
        content: &mut C,
        reuse: Reuse,
    ) -> Result<Answer, Failure> {
        let connected = self.connect(request, content, reuse).await?;
        let framing = content.framing();
        let mut answer = match connected {
            Dialed::Http1(connection) => {
                Answer::over_http1(connection, self.shared.pool.clone(), request, framing, self.authority())
            }
            Dialed::Http2(connection) => {
                Answer::over_http2(connection, request, framing, &self.shared.settings).await?
            }
        };
        self.head(&mut answer, content).await?;
        Ok(answer)
    }

    /// Looks after idle connections: closes those that have died or grown old and takes the memory
    /// of the others. To be called every few seconds on the core that owns the transport.
    pub fn sweep(&self, now: Instant) {
        self.shared.pool.sweep(now);
    }

    fn authority(&self) -> &str {
        &self.shared.settings.base.authority
    }

    async fn head<C: Content>(&self, answer: &mut Answer, content: &mut C) -> Result<(), Failure> {
        let Some(limit) = self.shared.settings.response_timeout else {
            return poll_fn(|cx| answer.poll_head(cx, content)).await;
        };
        // The time counts from the request's end: an upload may take as long as it likes.
        let early = poll_fn(|cx| match answer.poll_head(cx, content) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if answer.is_uploaded() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        if let Some(outcome) = early.await {
            return outcome;
        }
        match timeout(limit, poll_fn(|cx| answer.poll_head(cx, content))).await {
            Ok(outcome) => outcome,
            Err(_) => Err(answer.failure(FailureKind::ResponseTimeout)),
        }
    }

    async fn connect<O: Outgoing, C: Content>(
        &self,
        request: &O,
        content: &mut C,
        reuse: Reuse,
    ) -> Result<Dialed, Failure> {
        // Looked into only where HTTP/2 may be spoken.
        let may_be_http2 = self.shared.settings.base.secure && !self.shared.pool.speaks_http1();
        let only_http1 = request.upgrades() || (may_be_http2 && !h2::can_carry(request));
        if reuse == Reuse::Allowed {
            if let Some(connection) = self.shared.pool.take_http1() {
                return Ok(Dialed::Http1(connection));
            }
            if !only_http1 && let Some(connection) = self.shared.pool.share_http2(None) {
                return Ok(Dialed::Http2(connection));
            }
        }
        // The wait for other requests' dials counts: behind an upstream that does not answer they
        // would queue up, each for a time-out longer than the one before.
        let dial = timeout(self.shared.settings.connect_timeout, self.dial(only_http1, reuse));
        let mut dial = std::pin::pin!(dial);
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = dial.as_mut().poll(cx) {
                let too_late = |_| Err(Failure::before_sending(FailureKind::ConnectTimeout, None));
                return Poll::Ready(outcome.unwrap_or_else(too_late));
            }
            content.poll_gone(cx).map(|()| Err(Failure::client_gone()))
        })
        .await
    }

    /// A new connection. While it is not known that the origin speaks HTTP/1.1 only, one dial at a
    /// time finds that out: two hundred first requests need one HTTP/2 connection, not two hundred.
    async fn dial(&self, only_http1: bool, reuse: Reuse) -> Result<Dialed, Failure> {
        let pool = &self.shared.pool;
        if only_http1 || !self.shared.settings.base.secure || pool.speaks_http1() {
            return self.dial_now(only_http1).await;
        }
        // One that was made since is new enough for whoever may not have an old one.
        let since = (reuse == Reuse::Forbidden).then(Instant::now);
        let turn = pool.first_dial().await;
        if pool.speaks_http1() {
            drop(turn);
            return self.dial_now(false).await;
        }
        if let Some(connection) = pool.share_http2(since) {
            return Ok(Dialed::Http2(connection));
        }
        self.dial_now(false).await
    }

    async fn dial_now(&self, only_http1: bool) -> Result<Dialed, Failure> {
        Ok(match self.shared.dialer.dial(only_http1).await? {
            dial::Fresh::Http1(connection) => {
                if !only_http1 {
                    self.shared.pool.learn(true);
                }
                Dialed::Http1(connection)
            }
            dial::Fresh::Http2(io) => {
                self.shared.pool.learn(false);
                Dialed::Http2(self.shared.pool.add_http2(h2::handshake(io).await?))
            }
        })
    }
}

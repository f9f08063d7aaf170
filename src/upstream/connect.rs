//! A new connection to the origin: name resolution, TCP, a tunnel through a forward proxy where one is
//! configured, TLS.

use std::future::{Future, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tower::Service as _;
use url::Url;

use super::base_url::BaseUrl;
use super::error::{BoxError, ErrorKind, SendError};
use super::settings::Settings;
use super::socket::Socket;
use super::tls::TlsError;
use super::tunnel::Tunnel;
use super::upstream_io::UpstreamIo;
use super::wire::Wire;
use crate::cause::Stage;
use crate::certificate::CertificateProblem;

/// A burst of new connections asks for the name once: each question takes a thread. Shorter than any load
/// balancer's change of addresses is meant to take.
const NAME_LIFETIME: Duration = Duration::from_secs(2);
/// A connection without traffic is asked whether the peer is there after this long, and as often again.
const KEEPALIVE_TIME: Duration = Duration::from_secs(20);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 2;
/// Bytes that the peer has not acknowledged for this long end the connection (`TCP_USER_TIMEOUT`, RFC 5482), and
/// so do keepalive probes: a peer that has fallen silent is found within 50 s. A long poll is not affected, since
/// the peer's system acknowledges for it. A peer that lives but takes no byte of an upload for this long is.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(40);

/// A connection that has just been made, by the version that it speaks.
pub(super) enum Fresh {
    Http1(UpstreamIo),
    Http2(UpstreamIo),
}

/// Makes connections to one origin.
pub(super) struct Connector {
    route: Route,
    tls: Option<Tls>,
    /// The addresses that the name had a moment ago.
    known: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

struct Tls {
    name: ServerName<'static>,
    any: TlsConnector,
    only_http1: TlsConnector,
}

/// The path to an origin up to where TLS begins, one step at a time for a caller that reports which of them
/// fails. It has no limit of time of its own.
pub struct Route {
    host: String,
    port: u16,
    tunnel: Option<Tunnel>,
    /// Shared by the addresses of one family, where there are several.
    connect_timeout: Duration,
}

impl Connector {
    pub(super) fn new(settings: &Settings) -> Result<Self, TlsError> {
        let base = &settings.base_url;
        let tls = if base.is_secure() {
            let host = base.bare_host();
            let name = ServerName::try_from(host.clone()).map_err(|_| TlsError::Name(host))?;
            let with = |protocols| TlsConnector::from(Arc::new(settings.tls.client_config(protocols)));
            Some(Tls { name, any: with(&[b"h2", b"http/1.1"]), only_http1: with(&[b"http/1.1"]) })
        } else {
            None
        };
        let route = Route::new(base, settings.forward_proxy.toward_base(base), settings.connect_timeout);
        Ok(Self { route, tls, known: Mutex::default() })
    }

    /// Connects. Cancellation: a connection in the making is dropped.
    pub(super) async fn connect(&self, only_http1: bool, deadline: Instant) -> Result<Fresh, SendError> {
        let limit = self.route.connect_timeout;
        let addresses = within(deadline, Stage::Resolution, limit, self.addresses()).await?;
        let connected = match within(deadline, Stage::Connection, limit, self.route.connect(addresses)).await
        {
            Ok(tcp) => within(deadline, Stage::Tunnel, limit, self.route.tunnel(tcp)).await,
            Err(error) => Err(error),
        };
        let tcp = match connected {
            Ok(tcp) => tcp,
            Err(error) => {
                // The name may have moved.
                *self.known.lock().await = None;
                return Err(error);
            }
        };
        let wire = Arc::new(Wire::default());
        let Some(tls) = &self.tls else {
            return Ok(Fresh::Http1(UpstreamIo::plain(Socket::new(tcp, wire.clone(), false), wire)));
        };
        let connector = if only_http1 { &tls.only_http1 } else { &tls.any };
        let handshake = async {
            let socket = Socket::new(tcp, wire.clone(), true);
            connector.connect(tls.name.clone(), socket).await.map_err(tls_error)
        };
        let stream = within(deadline, Stage::Tls, limit, handshake).await?;
        let chose_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = UpstreamIo::tls(stream, wire);
        Ok(if chose_http2 { Fresh::Http2(io) } else { Fresh::Http1(io) })
    }

    /// The first hop's addresses. Callers at the same time wait for the same look-up.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, SendError> {
        let mut known = self.known.lock().await;
        if let Some((since, addresses)) = &*known
            && since.elapsed() < NAME_LIFETIME
        {
            return Ok(addresses.clone());
        }
        let addresses = self.route.resolve().await?;
        *known = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

/// Ends a step at the deadline, with an error that names it and `limit`, which has led to the deadline.
pub(super) async fn within<T>(
    deadline: Instant,
    stage: Stage,
    limit: Duration,
    step: impl Future<Output = Result<T, SendError>>,
) -> Result<T, SendError> {
    let late = |_| Err(SendError::connect_late(stage, limit, None));
    timeout_at(deadline, step).await.unwrap_or_else(late)
}

impl Route {
    /// The path to `base`, through `forward_proxy` (`http://[user:password@]host:port`) where there is one.
    /// Several addresses of one family share `connect_timeout`. Connects nowhere.
    pub fn new(base: &BaseUrl, forward_proxy: Option<&Url>, connect_timeout: Duration) -> Self {
        let tunnel = forward_proxy.map(|url| Tunnel::new(url, base));
        let (host, port) = match forward_proxy {
            None => (base.bare_host(), base.port()),
            Some(url) => (
                url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned(),
                url.port_or_known_default().unwrap_or(80),
            ),
        };
        Self { host, port, tunnel, connect_timeout }
    }

    /// The host whose name is resolved and that is connected to: the forward proxy, else the origin. IPv6
    /// without brackets.
    pub fn first_hop(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The addresses of the first hop; none is no error yet. Cancel safe.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, SendError> {
        let found = lookup_host(self.first_hop()).await;
        let kind = self.blames(ErrorKind::Resolution);
        Ok(found.map_err(|error| SendError::before_sending(kind, Some(Box::new(error))))?.collect())
    }

    /// Connects to the first of `addresses` that accepts; IPv6 and IPv4 are raced (RFC 8305).
    /// Cancellation: the connection is dropped.
    pub async fn connect(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, SendError> {
        let failed =
            |error: BoxError| SendError::before_sending(self.blames(ErrorKind::Connection), Some(error));
        if addresses.is_empty() {
            return Err(SendError::before_sending(self.blames(ErrorKind::Resolution), None));
        }
        // The connector wants a name to resolve; the addresses are here already.
        let target = format!("http://first-hop:{}/", self.port)
            .parse()
            .map_err(|error| failed(Box::<http::uri::InvalidUri>::new(error)))?;
        let tcp = self.connector(addresses).call(target).await.map_err(|error| {
            if is_late(&error) {
                SendError::connect_late(Stage::Connection, self.connect_timeout, Some(Box::new(error)))
            } else {
                failed(Box::new(error))
            }
        })?;
        Ok(tcp.into_inner())
    }

    /// Has the forward proxy open the tunnel (RFC 9110 section 9.3.6); without one, gives `tcp` back.
    /// Cancellation: the connection is dropped.
    pub async fn tunnel(&self, tcp: TcpStream) -> Result<TcpStream, SendError> {
        match &self.tunnel {
            None => Ok(tcp),
            Some(tunnel) => tunnel.open(tcp).await,
        }
    }

    fn connector(
        &self,
        addresses: Vec<SocketAddr>,
    ) -> HttpConnector<
        impl tower::Service<Name, Response = std::vec::IntoIter<SocketAddr>, Error = io::Error, Future: Send>
        + Clone
        + Send
        + use<>,
    > {
        let resolved = tower::service_fn(move |_: Name| ready(Ok(addresses.clone().into_iter())));
        let mut connector = HttpConnector::new_with_resolver(resolved);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.connect_timeout));
        connector.set_keepalive(Some(KEEPALIVE_TIME));
        connector.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        connector.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
        #[cfg(target_os = "linux")]
        connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED_LIMIT));
        connector
    }

    /// What goes wrong before the origin is reached is the forward proxy's.
    fn blames(&self, kind: ErrorKind) -> ErrorKind {
        if self.tunnel.is_some() { ErrorKind::ForwardProxy { status: None } } else { kind }
    }
}

/// True where every address took longer than its share of `connect_timeout`.
fn is_late(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn tls_error(error: io::Error) -> SendError {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause.and_then(CertificateProblem::of) {
        Some(problem) => SendError::before_sending(ErrorKind::Certificate, Some(Box::new(problem))),
        None => SendError::before_sending(ErrorKind::Tls, Some(Box::new(error))),
    }
}

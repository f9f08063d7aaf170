//! A new connection to the origin: name resolution, TCP, a tunnel through a proxy where one is
//! configured, TLS.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::Url;

use super::failure::{Failure, FailureKind};
use super::h1::Http1Connection;
use super::h2::Http2Connection;
use super::io::UpstreamIo;
use super::tls::TlsError;
use super::{Base, Settings};
use crate::http1::parse_response;
use crate::message::ResponseHead;

/// One address that does not answer may not use up the time of the others.
const PATIENCE_WITH_ONE_ADDRESS: Duration = Duration::from_secs(3);
/// A burst of new connections asks for the name once: each question takes a thread. Shorter than any
/// load balancer's change of addresses is meant to take.
const NAME_GOOD_FOR: Duration = Duration::from_secs(2);
/// A proxy's answer to CONNECT.
const TUNNEL_ANSWER_LIMIT: usize = 16 * 1024;

/// A connection that a request can be sent on.
pub(super) enum Dialed {
    Http1(Box<Http1Connection>),
    Http2(Http2Connection),
}

/// A connection that has just been made.
pub(super) enum Fresh {
    Http1(Box<Http1Connection>),
    Http2(UpstreamIo),
}

pub(super) struct Dialer {
    route: Route,
    tls: Option<Tls>,
    /// The addresses that the name had a moment ago.
    known: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
}

/// The way to an origin up to where TLS begins, one step at a time for whoever has to tell which of
/// them fails. Has no limit of time of its own, but for one address among several.
pub struct Route {
    host: String,
    port: u16,
    forward_proxy: Option<ForwardProxy>,
}

struct Tls {
    name: ServerName<'static>,
    any: TlsConnector,
    only_http1: TlsConnector,
}

struct ForwardProxy {
    host: String,
    port: u16,
    /// The whole request that asks for the tunnel.
    connect: Vec<u8>,
}

impl Dialer {
    pub(super) fn new(settings: &Settings) -> Result<Self, TlsError> {
        let tls = if settings.base.secure {
            let name = ServerName::try_from(settings.base.host.clone())
                .map_err(|_| TlsError::Name(settings.base.host.clone()))?;
            let with_alpn = |protocols: &[&[u8]]| {
                let mut config = settings.tls.clone();
                config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
                TlsConnector::from(Arc::new(config))
            };
            Some(Tls { name, any: with_alpn(&[b"h2", b"http/1.1"]), only_http1: with_alpn(&[b"http/1.1"]) })
        } else {
            None
        };
        Ok(Self {
            route: Route::new(&settings.base, settings.forward_proxy.as_ref()),
            tls,
            known: Mutex::default(),
        })
    }

    /// Connects. Cancellation: a connection in the making is dropped.
    pub(super) async fn dial(&self, only_http1: bool) -> Result<Fresh, Failure> {
        let tcp = self.connected().await?;
        let Some(tls) = &self.tls else {
            return Ok(Fresh::Http1(Http1Connection::new(UpstreamIo::Left(tcp))));
        };
        let connector = if only_http1 { &tls.only_http1 } else { &tls.any };
        let stream = connector.connect(tls.name.clone(), tcp).await.map_err(tls_failure)?;
        let chose_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = UpstreamIo::Right(Box::new(stream));
        Ok(if chose_http2 { Fresh::Http2(io) } else { Fresh::Http1(Http1Connection::new(io)) })
    }

    async fn connected(&self) -> Result<TcpStream, Failure> {
        let tcp = self.route.connect(self.addresses().await?).await;
        if tcp.is_err() {
            // The name may have moved.
            *self.known.lock().await = None;
        }
        tcp
    }

    /// The first hop's addresses; whoever comes while they are asked for waits for the same answer.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let mut known = self.known.lock().await;
        if let Some((since, addresses)) = &*known
            && since.elapsed() < NAME_GOOD_FOR
        {
            return Ok(addresses.clone());
        }
        let addresses = self.route.resolve().await?;
        *known = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}

impl Route {
    /// The way to `base`, through `forward_proxy` (`http://[user:password@]host:port`) where there is
    /// one. Connects nowhere.
    pub fn new(base: &Base, forward_proxy: Option<&Url>) -> Self {
        Self {
            host: base.host.clone(),
            port: base.port,
            forward_proxy: forward_proxy.map(|url| ForwardProxy::new(url, base)),
        }
    }

    /// Whose name is resolved and who is connected to: the forward proxy, else the origin. IPv6
    /// without brackets.
    pub fn first_hop(&self) -> (&str, u16) {
        match &self.forward_proxy {
            None => (&self.host, self.port),
            Some(proxy) => (&proxy.host, proxy.port),
        }
    }

    /// The addresses of the first hop; none is no error yet. Cancel safe.
    pub async fn resolve(&self) -> Result<Vec<SocketAddr>, Failure> {
        let found = lookup_host(self.first_hop()).await;
        let kind = self.blames(FailureKind::Resolve);
        Ok(found.map_err(|error| Failure::before_sending(kind, Some(Box::new(error))))?.collect())
    }

    /// Connects to the first of `addresses` that answers and, where that is a forward proxy, has it
    /// open the tunnel (RFC 9110 section 9.3.6). Cancellation: the connection is dropped.
    pub async fn connect(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, Failure> {
        let connected = connect(addresses).await;
        let kind = self.blames(FailureKind::Connect);
        let tcp = connected.map_err(|error| Failure::before_sending(kind, Some(Box::new(error))))?;
        match &self.forward_proxy {
            None => Ok(tcp),
            Some(proxy) => proxy.tunnel(tcp).await,
        }
    }

    /// What goes wrong before the origin is reached is the forward proxy's.
    fn blames(&self, kind: FailureKind) -> FailureKind {
        if self.forward_proxy.is_some() { FailureKind::ForwardProxy } else { kind }
    }
}

async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let count = addresses.len();
    for (index, address) in addresses.into_iter().enumerate() {
        let attempt = TcpStream::connect(address);
        let outcome = if index + 1 == count {
            attempt.await
        } else {
            timeout(PATIENCE_WITH_ONE_ADDRESS, attempt)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match outcome {
            Ok(stream) => {
                prepare(&stream);
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Options that make the connection better; without them it works all the same.
fn prepare(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    // A peer that vanished without a word is found out, so that a long poll does not wait for ever.
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

fn tls_failure(error: io::Error) -> Failure {
    let certificate = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
    let kind = if certificate { FailureKind::Certificate } else { FailureKind::Tls };
    Failure::before_sending(kind, Some(Box::new(error)))
}

impl ForwardProxy {
    fn new(url: &Url, base: &Base) -> Self {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let bracketed = if base.host.contains(':') { format!("[{}]", base.host) } else { base.host.clone() };
        let target = format!("{bracketed}:{}", base.port);
        let mut connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if !url.username().is_empty() {
            let user = percent_decode_str(url.username()).decode_utf8_lossy();
            let password = percent_decode_str(url.password().unwrap_or_default()).decode_utf8_lossy();
            connect.push_str("Proxy-Authorization: Basic ");
            connect.push_str(&BASE64_STANDARD.encode(format!("{user}:{password}")));
            connect.push_str("\r\n");
        }
        connect.push_str("\r\n");
        Self { host, port: url.port_or_known_default().unwrap_or(80), connect: connect.into_bytes() }
    }

    async fn tunnel(&self, mut stream: TcpStream) -> Result<TcpStream, Failure> {
        let refused =
            |error: io::Error| Failure::before_sending(FailureKind::ForwardProxy, Some(Box::new(error)));
        stream.write_all(&self.connect).await.map_err(refused)?;
        let mut answer = Vec::new();
        let (mut head, mut scanned) = (ResponseHead::default(), 0);
        loop {
            // Byte for byte: what follows the answer belongs to TLS.
            let mut byte = [0];
            let mut into = ReadBuf::new(&mut byte);
            poll_fn(|cx| tokio::io::AsyncRead::poll_read(std::pin::Pin::new(&mut stream), cx, &mut into))
                .await
                .map_err(refused)?;
            let Some(byte) = into.filled().first() else {
                return Err(refused(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "it closed the connection",
                )));
            };
            answer.push(*byte);
            let parsed = parse_response(&answer, &mut scanned, TUNNEL_ANSWER_LIMIT, &mut head)
                .map_err(|error| refused(io::Error::new(io::ErrorKind::InvalidData, error)))?;
            if parsed.is_some() {
                if head.status >= 200 {
                    break;
                }
                answer.clear();
                scanned = 0;
            }
        }
        if !(200..300).contains(&head.status) {
            let message = format!("it answered CONNECT with {}", head.status);
            return Err(refused(io::Error::other(message)));
        }
        Ok(stream)
    }
}

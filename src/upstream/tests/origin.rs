//! An upstream that does byte by byte what a test says.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::*;

/// Fails the test instead of letting it hang.
pub(super) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    timeout(Duration::from_secs(10), future).await.unwrap_or_else(|_| panic!("no {what} in 10 s"))
}

/// A listener of the test.
pub(super) struct Origin {
    listener: TcpListener,
    tls: Option<(TlsAcceptor, tls::Trust)>,
}

impl Origin {
    /// In clear text.
    pub(super) async fn plain() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls: None }
    }

    /// Over TLS, with these protocols.
    pub(super) async fn tls(protocols: &[&[u8]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let certified =
            rcgen::generate_simple_self_signed(["origin.example".to_owned(), "127.0.0.1".to_owned()])
                .unwrap();
        let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, certified.cert.pem()).unwrap();
        let trust = tls::Trust::load(Some(file.path())).unwrap();
        Self { listener, tls: Some((TlsAcceptor::from(Arc::new(config)), trust)) }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    pub(super) fn settings(&self) -> Settings {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let trust =
            self.tls.as_ref().map_or_else(|| tls::Trust::load(None).unwrap(), |(_, trust)| trust.clone());
        Settings {
            base_url: Arc::new(format!("{scheme}://127.0.0.1:{}", self.port()).parse().unwrap()),
            connect_timeout: Duration::from_secs(5),
            response_timeout: None,
            tls: trust,
            forward_proxy: ForwardProxy::default(),
            header_case: HeaderCase::Title,
        }
    }

    pub(super) fn upstream(&self) -> Upstream<RequestBody> {
        Upstream::new(self.settings()).unwrap()
    }

    pub(super) async fn accept_tcp(&self) -> TcpStream {
        soon("connection", self.listener.accept()).await.unwrap().0
    }

    /// The next connection, after its TLS handshake.
    pub(super) async fn accept(&self) -> Far {
        let tcp = self.accept_tcp().await;
        self.accepted(tcp).await
    }

    /// The same for a connection that has come in elsewhere.
    pub(super) async fn accepted(&self, tcp: TcpStream) -> Far {
        tcp.set_nodelay(true).unwrap();
        let stream: Box<dyn Duplex> = match &self.tls {
            None => Box::new(tcp),
            Some((acceptor, _)) => Box::new(soon("TLS", acceptor.accept(tcp)).await.unwrap()),
        };
        Far { stream, read: Vec::new() }
    }

    /// A handshake that may fail.
    pub(super) async fn handshake(&self, tcp: TcpStream) -> std::io::Result<()> {
        let (acceptor, _) = self.tls.as_ref().unwrap();
        soon("TLS", acceptor.accept(tcp)).await.map(|_| ())
    }

    /// True where nobody connects for a while.
    pub(super) async fn is_left_alone(&self) -> bool {
        timeout(Duration::from_millis(200), self.listener.accept()).await.is_err()
    }
}

pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The origin's end of a connection.
pub(super) struct Far {
    pub(super) stream: Box<dyn Duplex>,
    read: Vec<u8>,
}

impl Far {
    /// A request's head and, where a length tells, its body.
    pub(super) async fn request(&mut self) -> String {
        let head = self.until(b"\r\n\r\n").await;
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let body = self.exactly(length.map_or(0, |length| length.parse().unwrap())).await;
        head + body.as_str()
    }

    /// Everything up to and with `end`.
    pub(super) async fn until(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return String::from_utf8(self.read.drain(..at + end.len()).collect()).unwrap();
            }
            assert!(self.more().await, "it ended after {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    pub(super) async fn exactly(&mut self, count: usize) -> String {
        while self.read.len() < count {
            assert!(self.more().await, "it ended after {} of {count}", self.read.len());
        }
        String::from_utf8(self.read.drain(..count).collect()).unwrap()
    }

    async fn more(&mut self) -> bool {
        soon("bytes", self.stream.read_buf(&mut self.read)).await.is_ok_and(|count| count > 0)
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        soon("room", self.stream.write_all(bytes.as_ref())).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Waits until the other end closes.
    pub(super) async fn closed(&mut self) {
        while self.more().await {}
    }

    /// True where the other end keeps the connection, silent, for a while.
    pub(super) async fn is_kept(&mut self) -> bool {
        timeout(Duration::from_millis(200), self.stream.read_buf(&mut self.read)).await.is_err()
    }
}

/// An origin that speaks HTTP/2 by the h2 crate.
pub(super) struct Http2Origin {
    pub(super) origin: Origin,
    /// The most streams it allows at once.
    pub(super) streams: u32,
}

/// A request that has arrived, and the way to raw it.
pub(super) struct Arrived {
    pub(super) request: Request<h2::RecvStream>,
    pub(super) respond: h2::server::SendResponse<Bytes>,
}

/// One connection to it. Its task ends when this is dropped.
pub(super) struct Http2Far {
    arrived: tokio::sync::mpsc::UnboundedReceiver<Arrived>,
    shutdown: Option<tokio::sync::oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

impl Http2Origin {
    pub(super) async fn start() -> Self {
        Self { origin: Origin::tls(&[b"h2", b"http/1.1"]).await, streams: 250 }
    }

    pub(super) async fn accept(&self) -> Http2Far {
        let far = self.origin.accept().await;
        let mut connection = soon(
            "HTTP/2",
            h2::server::Builder::new().max_concurrent_streams(self.streams).handshake(far.stream),
        )
        .await
        .unwrap();
        let (arrive, arrived) = tokio::sync::mpsc::unbounded_channel();
        let (shutdown, mut asked) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            let mut is_ending = false;
            loop {
                tokio::select! {
                    _ = &mut asked, if !is_ending => {
                        is_ending = true;
                        connection.graceful_shutdown();
                    }
                    accepted = connection.accept() => match accepted {
                        Some(Ok((request, respond))) => {
                            let _ = arrive.send(Arrived { request, respond });
                        }
                        Some(Err(_)) | None => return,
                    },
                }
            }
        });
        Http2Far { arrived, shutdown: Some(shutdown), task }
    }
}

impl Http2Far {
    pub(super) async fn request(&mut self) -> Arrived {
        soon("a request", self.arrived.recv()).await.expect("the connection has ended")
    }

    /// Waits until the connection has ended.
    pub(super) async fn closed(mut self) {
        soon("the end", &mut self.task).await.unwrap();
    }

    /// GOAWAY without an error.
    pub(super) fn shut_down(&mut self) {
        let _ = self.shutdown.take().unwrap().send(());
    }
}

impl Drop for Http2Far {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Arrived {
    /// The head of a response that goes on.
    pub(super) fn begin(&mut self, status: u16) -> h2::SendStream<Bytes> {
        self.respond.send_response(Response::builder().status(status).body(()).unwrap(), false).unwrap()
    }

    pub(super) fn respond_with(&mut self, status: u16, body: &'static str) {
        self.begin(status).send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }

    pub(super) async fn body(&mut self) -> String {
        let mut text = String::new();
        while let Some(piece) = soon("a piece", self.request.body_mut().data()).await {
            let piece = piece.unwrap();
            self.request.body_mut().flow_control().release_capacity(piece.len()).unwrap();
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        text
    }

    /// Waits for a reset by the other end.
    pub(super) async fn reset(&mut self) -> h2::Reason {
        soon("a reset", std::future::poll_fn(|cx| self.respond.poll_reset(cx))).await.unwrap()
    }
}

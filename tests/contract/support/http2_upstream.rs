//! An upstream over TLS and HTTP/2 whose test answers each request itself.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response, StatusCode};
use socket2::Socket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::upstream::socket_of;
use super::{Certificate, FrameConnection, Launch, QUIET, RawConnection, Setup, in_time};

/// Listens; it answers nothing by itself.
pub(crate) struct Http2Upstream {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    certificate: Certificate,
    /// The most streams at once that a connection allows.
    streams: u32,
}

/// One of the program's connections. After `go_away` it ends with its last stream.
pub(crate) struct Http2Connection {
    arrived: mpsc::Receiver<Http2Request>,
    going: Arc<Notify>,
    driving: AbortHandle,
}

/// A request, and where its response goes.
pub(crate) struct Http2Request {
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

impl Http2Request {
    /// Responds with this body.
    pub(crate) fn respond_with(mut self, body: &'static str) {
        let mut stream = self.respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }

    /// Responds with this status and these bytes, whatever HTTP says about a body for it.
    pub(crate) fn respond_as(mut self, status: u16, body: &'static str) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        let mut stream = self.respond.send_response(response, false).unwrap();
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }
}

impl Http2Upstream {
    pub(crate) async fn start() -> Self {
        Self::with_streams(200).await
    }

    /// Allows so many streams at once.
    pub(crate) async fn with_streams(streams: u32) -> Self {
        let certificate = Certificate::of(&["localhost"]);
        let acceptor = certificate.acceptor(&["h2"]);
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), acceptor, certificate, streams }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// This as the API of a program that gets its tokens from a region.
    pub(crate) async fn setup(&self) -> Setup {
        self.launched(|launch| launch).await
    }

    /// The same with a program that is started as `launch` says.
    pub(crate) async fn launched(&self, launch: impl FnOnce(Launch) -> Launch) -> Setup {
        let base_url = format!("https://localhost:{}", self.address().port());
        Setup::launched(|program| launch(program.api_at(base_url).flag("ca-file", self.certificate.path())))
            .await
    }

    /// The program's next connection.
    pub(crate) async fn accept(&self) -> Http2Connection {
        self.driven(self.accept_tls().await)
    }

    fn driven(&self, stream: TlsStream<TcpStream>) -> Http2Connection {
        let (arriving, arrived) = mpsc::channel(1000);
        let going = Arc::new(Notify::new());
        let driving = tokio::spawn(drive(stream, self.streams, arriving, going.clone())).abort_handle();
        Http2Connection { arrived, going, driving }
    }

    /// Handles every request on every connection, until what is returned is dropped.
    pub(crate) fn serve(
        self: &Arc<Self>,
        handle: impl Fn(Http2Request) + Clone + Send + 'static,
    ) -> JoinSet<()> {
        let upstream = Arc::clone(self);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok(stream) = upstream.accept_tcp().await {
                let Ok(stream) = upstream.acceptor.accept(stream).await else { continue };
                let (arriving, mut arrived) = mpsc::channel(1000);
                connections.spawn(drive(stream, upstream.streams, arriving, Arc::default()));
                let handle = handle.clone();
                connections.spawn(async move {
                    while let Some(request) = arrived.recv().await {
                        handle(request);
                    }
                });
            }
        });
        task
    }

    /// Handles every connection frame by frame, until what is returned is dropped.
    pub(crate) fn serve_frames<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        handle: impl Fn(FrameConnection) -> F + Send + 'static,
    ) -> JoinSet<()> {
        let upstream = Arc::clone(self);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok(stream) = upstream.accept_tcp().await {
                let Ok(stream) = upstream.acceptor.accept(stream).await else { continue };
                let raw = RawConnection::over(stream);
                let connection = FrameConnection::server(raw, &[(SETTING_STREAMS, upstream.streams)]).await;
                connections.spawn(handle(connection));
            }
        });
        task
    }

    /// True where the program makes no further connection.
    pub(crate) async fn stays_unconnected(&self) -> bool {
        timeout(QUIET, self.listener.accept()).await.is_err()
    }

    /// The program's next connection, and its socket. Waits without a deadline.
    pub(crate) async fn accept_socket(&self) -> (Http2Connection, Socket) {
        let stream = self.accept_tcp().await.unwrap();
        let socket = socket_of(&stream);
        let stream = in_time("TLS", self.acceptor.accept(stream)).await.unwrap();
        (self.driven(stream), socket)
    }

    /// The program's next connection, frame by frame.
    pub(crate) async fn accept_frames(&self) -> FrameConnection {
        let stream = self.accept_tls().await;
        FrameConnection::server(RawConnection::over(stream), &[(SETTING_STREAMS, self.streams)]).await
    }

    async fn accept_tls(&self) -> TlsStream<TcpStream> {
        let stream = in_time("a connection from the program", self.accept_tcp()).await.unwrap();
        in_time("TLS", self.acceptor.accept(stream)).await.unwrap()
    }

    async fn accept_tcp(&self) -> io::Result<TcpStream> {
        let (stream, _) = self.listener.accept().await?;
        // Else a frame that follows a response, such as GOAWAY, may wait for an acknowledgement, and with it for
        // the program's next request (Nagle's algorithm).
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// `SETTINGS_MAX_CONCURRENT_STREAMS` (RFC 9113 section 6.5.2).
const SETTING_STREAMS: u16 = 3;

async fn drive(
    stream: TlsStream<TcpStream>,
    streams: u32,
    arriving: mpsc::Sender<Http2Request>,
    going: Arc<Notify>,
) {
    let mut server = h2::server::Builder::new();
    let mut connection = server.max_concurrent_streams(streams).handshake(stream).await.unwrap();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let _ = arriving.send(Http2Request { request, respond }).await;
            }
            () = going.notified() => connection.graceful_shutdown(),
        }
    }
}

impl Http2Connection {
    /// The next request on this connection.
    pub(crate) async fn request(&mut self) -> Http2Request {
        in_time("a request", self.arrived.recv()).await.unwrap()
    }

    /// Says that no more streams are taken, and lets the open ones finish (RFC 9113 section 6.8).
    pub(crate) fn go_away(&self) {
        self.going.notify_one();
    }

    /// Closes the connection in the middle of its streams.
    pub(crate) fn break_off(&self) {
        self.driving.abort();
    }
}

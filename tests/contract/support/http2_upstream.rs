//! An upstream over TLS and HTTP/2 that is played by hand.

use std::sync::Arc;

use bytes::Bytes;
use cxone_proxy::simulator::Settings;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Launch, Stage, soon};

/// Listens; nothing is answered by itself.
pub(crate) struct Http2Upstream {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    files: TempDir,
}

/// One of the program's connections. It ends with its last stream once it was told to go away.
pub(crate) struct Http2Far {
    arrived: mpsc::Receiver<Exchange>,
    going: Arc<Notify>,
    driving: AbortHandle,
}

/// A request, and where its answer goes.
pub(crate) struct Exchange {
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

impl Exchange {
    /// Answers with this body.
    pub(crate) fn answer(mut self, body: &'static str) {
        let mut stream = self.respond.send_response(Response::new(()), false).unwrap();
        stream.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }
}

impl Http2Upstream {
    pub(crate) async fn start() -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let files = TempDir::new().unwrap();
        std::fs::write(files.path().join("ca.pem"), cert.pem()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), acceptor, files }
    }

    /// This as the API of a program that gets its tokens from a region.
    pub(crate) async fn stage(&self) -> Stage {
        let base_url = format!("https://localhost:{}", self.listener.local_addr().unwrap().port());
        Stage::with(Settings::default(), |program: Launch| {
            let region = program.value("CXONE_BASE_URL").unwrap();
            let token_url = format!("{}/api/v2/oauth/token", region.display());
            program
                .variable("CXONE_BASE_URL", base_url)
                .variable("CXONE_TOKEN_URL", token_url)
                .flag("ca-file", self.files.path().join("ca.pem"))
        })
        .await
    }

    /// The program's next connection.
    pub(crate) async fn accept(&self) -> Http2Far {
        let (stream, _) = soon("a connection from the program", self.listener.accept()).await.unwrap();
        let stream = soon("TLS", self.acceptor.accept(stream)).await.unwrap();
        let (arriving, arrived) = mpsc::channel(100);
        let going = Arc::new(Notify::new());
        let driving = tokio::spawn(drive(stream, arriving, going.clone())).abort_handle();
        Http2Far { arrived, going, driving }
    }
}

async fn drive(stream: TlsStream<TcpStream>, arriving: mpsc::Sender<Exchange>, going: Arc<Notify>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(Ok((request, respond))) = accepted else { return };
                let _ = arriving.send(Exchange { request, respond }).await;
            }
            () = going.notified() => connection.graceful_shutdown(),
        }
    }
}

impl Http2Far {
    /// The next request on this connection.
    pub(crate) async fn request(&mut self) -> Exchange {
        soon("a request", self.arrived.recv()).await.unwrap()
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

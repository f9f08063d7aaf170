//! Section 10: TLS on the listener, and certificates of clients.

mod client_certificates;
mod files;
mod gateway;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{Http2Client, Launch, Metrics, RawConnection, Setup, get, in_time, request};

const ME: &str = "/api/v2/users/me";

/// An authority, and files with what it has issued.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    files: TempDir,
}

/// A certificate of a client with its key.
struct Identity(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let files = TempDir::new().unwrap();
        std::fs::write(files.path().join("ca.pem"), certificate.pem()).unwrap();
        let der = certificate.der().clone();
        let own = Self { issuer: Issuer::new(parameters, key), der, files };
        own.server("server", |_| {});
        own
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Issues a certificate for `localhost` and writes it with its key to `NAME.pem` and `NAME.key`.
    fn server(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut parameters = CertificateParams::new(names).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// Issues a certificate for a client.
    fn client(&self, names: Vec<SanType>) -> Identity {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.subject_alt_names = names;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        Identity(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// Has the proxy show the certificate of this name.
    fn on(&self, launch: Launch) -> Launch {
        launch.flag("tls-cert", self.path("server.pem")).flag("tls-key", self.path("server.key"))
    }

    /// A client that trusts this authority.
    fn config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<Identity>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        match identity {
            Some(Identity(chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        }
    }

    async fn connect(&self, setup: &Setup, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(setup.proxy.proxy_address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        in_time("a handshake", TlsConnector::from(Arc::new(config)).connect(name, socket)).await
    }

    async fn client_of(&self, setup: &Setup) -> RawConnection {
        RawConnection::over(self.connect(setup, self.config(&[&TLS13], None)).await.unwrap())
    }
}

#[tokio::test]
async fn both_versions_and_both_protocols_are_served() {
    let authority = Authority::new();
    let setup = Setup::launched(|launch| authority.on(launch)).await;
    for version in [&TLS12, &TLS13] {
        let mut config = authority.config(&[version], None);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let stream = authority.connect(&setup, config.clone()).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut client = RawConnection::over(stream);
        for _ in 0..3 {
            assert_eq!(client.fetch(get(ME)).await.status(), 200);
        }
        let body = "x".repeat(300_000);
        let echoed = client.fetch(request("POST", "/api/v2/echo-body", "", &body)).await;
        assert_eq!((echoed.status(), echoed.text() == body), (200, true));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = authority.connect(&setup, config).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let client = Http2Client::over(stream).await;
        let head = http::Request::builder().method("GET").uri(format!("https://localhost{ME}"));
        assert_eq!(client.fetch(head, b"", HeaderMap::new()).await.unwrap().status, 200);
        let wrong = http::Request::builder().method("GET").uri(format!("https://evil.example{ME}"));
        assert_eq!(client.fetch(wrong, b"", HeaderMap::new()).await.unwrap().status, 421);
    }
    let line = setup.proxy.event("listening").await;
    assert_eq!(line["tls"], true);
}

#[tokio::test]
async fn a_whole_response_ends_with_a_close_that_nobody_can_forge() {
    let authority = Authority::new();
    let setup = Setup::launched(|launch| authority.on(launch)).await;
    let mut stream = authority.connect(&setup, authority.config(&[&TLS13], None)).await.unwrap();
    stream.write_all(request("GET", ME, "Connection: close\r\n", "").as_bytes()).await.unwrap();
    let mut all = Vec::new();
    // Fails where the end comes without close_notify.
    in_time("the end", stream.read_to_end(&mut all)).await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&all));
}

#[tokio::test]
async fn addresses_of_the_api_become_https_addresses_here() {
    let authority = Authority::new();
    let setup = Setup::launched(|launch| authority.on(launch)).await;
    let mut client = authority.client_of(&setup).await;
    let port = setup.proxy.proxy_address().port();
    let host = format!("localhost:{port}");
    let ask = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
    let redirect = client.fetch(ask(&format!("/api/v2/redirect?to={ME}"), "")).await;
    assert_eq!(redirect.only("location"), Some(&*format!("https://{host}{ME}")), "{}", redirect.start);
    // A page of this very listener may ask, one of the plain address may not.
    let own = client.fetch(ask(ME, &format!("Origin: https://{host}\r\n"))).await;
    assert_eq!(own.status(), 200);
    let plain = client.fetch(ask(ME, &format!("Origin: http://{host}\r\n"))).await;
    assert_eq!(plain.status(), 403);
}

#[tokio::test]
async fn plain_http_is_told_to_speak_tls() {
    let authority = Authority::new();
    let setup = Setup::launched(|launch| authority.on(launch)).await;
    let mut plain = setup.connect().await;
    let response = plain.fetch(get(ME)).await;
    assert_eq!(response.status(), 400);
    let document = response.json();
    assert_eq!(document["type"], "urn:cxone-proxy:problem:plain-to-tls-port");
    assert!(document["hint"].as_str().unwrap().contains("https://"), "{document}");
}

#[tokio::test]
async fn a_client_that_does_not_trust_us_is_explained_and_counted() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let setup = Setup::launched(|launch| authority.on(launch)).await;
    assert!(stranger.connect(&setup, stranger.config(&[&TLS13], None)).await.is_err());
    let line = crate::support::eventually("a line", async || {
        setup
            .proxy
            .events()
            .into_iter()
            .find(|own| own["message"].as_str().unwrap_or_default().starts_with("TLS handshake"))
    })
    .await;
    assert!(line["message"].as_str().unwrap().contains("does not trust the certificate"), "{line}");
    let metrics: Metrics = setup.metrics().await;
    assert_eq!(metrics.count("cxone_proxy_tls_handshake_failures_total", &[]), 1);
    assert!(metrics.count("cxone_proxy_tls_certificate_expiry_timestamp_seconds", &[]) > 1_700_000_000);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_cut_off() {
    let authority = Authority::new();
    let setup = Setup::launched(|launch| authority.on(launch).flag("header-timeout", "1s")).await;
    for first in [&[][..], &[0x16, 3, 1][..]] {
        let mut socket = TcpStream::connect(setup.proxy.proxy_address()).await.unwrap();
        socket.write_all(first).await.unwrap();
        let began = Instant::now();
        let mut rest = Vec::new();
        let _ = in_time("the end", socket.read_to_end(&mut rest)).await;
        assert!(began.elapsed() >= Duration::from_millis(800) && rest.is_empty(), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_drain_finishes_what_has_begun() {
    let authority = Authority::new();
    let mut setup = Setup::launched(|launch| authority.on(launch)).await;
    let mut client = authority.client_of(&setup).await;
    client.send(get("/api/v2/long-poll?ms=800")).await;
    let mut idle = authority.client_of(&setup).await;
    assert_eq!(idle.fetch(get(ME)).await.status(), 200);
    // In the middle of its handshake.
    let mut begun = TcpStream::connect(setup.proxy.proxy_address()).await.unwrap();
    begun.write_all(&[0x16]).await.unwrap();
    setup.in_flight(1).await;
    setup.proxy.signal(Signal::TERM);
    let response = in_time("a response", client.response()).await.unwrap();
    assert_eq!((response.status(), response.only("connection")), (304, Some("close")));
    assert_eq!(in_time("the end", setup.proxy.ended()).await.code(), Some(0));
}

#[tokio::test]
async fn websockets_pass() {
    let authority = Authority::new();
    let setup = Setup::launched(|launch| authority.on(launch)).await;
    let mut client = authority.client_of(&setup).await;
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    client.send(request("GET", "/api/v2/ws", fields, "")).await;
    let head = in_time("a head", client.head()).await.unwrap();
    assert_eq!(head.status(), 101);
    // A ping without content (RFC 6455 section 5.5.2); the pong mirrors it.
    client.send([0x89, 0x80, 1, 2, 3, 4]).await;
    assert_eq!(in_time("a pong", client.some(2)).await, [0x8a, 0]);
}

/// Reads in small pieces with pauses. Returns how much came before the end.
async fn take_slowly(stream: &mut TlsStream<TcpStream>, pause: Duration) -> usize {
    let (mut piece, mut taken) = (vec![0; 48 * 1024], 0);
    while let Ok(count) = in_time("a piece", stream.read(&mut piece)).await {
        if count == 0 {
            break;
        }
        taken += count;
        tokio::time::sleep(pause).await;
    }
    taken
}

#[tokio::test]
async fn who_takes_slowly_is_served_and_who_takes_nothing_is_cut_off() {
    const BYTES: usize = 6_000_000;
    let authority = Authority::new();
    let setup = Setup::launched(|launch| authority.on(launch).flag("stall-timeout", "1s")).await;
    let ask = async || {
        let mut stream = authority.connect(&setup, authority.config(&[&TLS13], None)).await.unwrap();
        let target = format!("/api/v2/large?bytes={BYTES}");
        stream.write_all(request("GET", &target, "Connection: close\r\n", "").as_bytes()).await.unwrap();
        stream
    };
    let (mut slow, mut idle) = (ask().await, ask().await);
    let began = Instant::now();
    assert!(take_slowly(&mut slow, Duration::from_millis(15)).await > BYTES);
    assert!(
        began.elapsed() > Duration::from_millis(1500),
        "it took longer than a stall: {:?}",
        began.elapsed()
    );
    crate::support::eventually("the end of the idle one", async || {
        (setup.status().await["requests"]["in_flight"] == 0).then_some(())
    })
    .await;
    assert!(take_slowly(&mut idle, Duration::ZERO).await < BYTES, "cut off");
}

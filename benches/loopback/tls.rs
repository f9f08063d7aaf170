//! The upstream's certificate, made anew for every run.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::{io, thread};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::answers::Answers;
use super::http1;

/// What the upstream shows, and what its clients must trust.
pub(crate) struct Identity {
    /// Accepts with the certificate.
    pub(crate) acceptor: TlsAcceptor,
    /// The authority's certificate.
    pub(crate) ca_pem: String,
}

impl Identity {
    /// A certificate for `localhost` and 127.0.0.1; `protocols` are offered by ALPN (RFC 7301).
    pub(crate) fn new(protocols: &[&[u8]]) -> Result<Self, Box<dyn Error>> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority.distinguished_name.push(DnType::CommonName, "Bench CA");
        let ca_pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate()?;
        let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        server.distinguished_name.push(DnType::CommonName, "Bench upstream");
        server.use_authority_key_identifier_extension = true;
        let certificate = server.signed_by(&key, &issuer)?;

        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der())?,
            )?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem })
    }
}

/// As [`http1::start`], over TLS. Clients must trust the certificate in the result.
pub(crate) fn start() -> Result<(SocketAddr, String), Box<dyn Error>> {
    let Identity { acceptor, ca_pem } = Identity::new(&[])?;
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("upstream".to_owned()).spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            accept(listener, acceptor, Arc::default()).await
        })
    })?;
    Ok((address, ca_pem))
}

#[expect(clippy::disallowed_methods, reason = "connections end with their peers, or with the process")]
async fn accept(listener: TcpListener, acceptor: TlsAcceptor, answers: Arc<Answers>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, answers) = (acceptor.clone(), answers.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                http1::serve(stream, answers).await;
            }
        });
    }
}

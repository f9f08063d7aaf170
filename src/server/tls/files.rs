//! Certificate, key and authorities of a listener, from PEM files.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};

use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::file::{LONGEST, TIME_OUT, read_within};

/// A certificate that expires so soon should have been replaced.
pub const EXPIRES_SOON: Duration = Duration::from_hours(7 * 24);

/// What a listener needs to speak TLS 1.2 and 1.3, with HTTP/2 and HTTP/1.1 by ALPN.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    config: Arc<ServerConfig>,
    /// What the listener's own certificate says.
    pub certificate: Certificate,
    /// Clients have to show a certificate.
    pub wants_client_certificate: bool,
}

/// Which of the files is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// The certificate and those that lead to its authority.
    Certificate,
    /// Its private key.
    Key,
    /// The authorities that issue certificates of clients.
    ClientAuthorities,
}

/// A file cannot be used.
#[derive(Debug)]
pub struct TlsFault {
    /// Which one.
    pub file: TlsFile,
    /// Why the system does not give it; `None` where its content is at fault.
    pub unreadable: Option<io::Error>,
    /// The predicate of a sentence about the file.
    pub reason: String,
}

impl TlsSettings {
    /// Reads the files, each once.
    pub fn load(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Self, TlsFault> {
        let chain = certificates(certificate, TlsFile::Certificate)?;
        let own = chain.first().and_then(Certificate::read);
        let own =
            own.ok_or_else(|| unfit(TlsFile::Certificate, "holds a certificate that cannot be read"))?;
        let pem = read(key, TlsFile::Key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| unfit(TlsFile::Key, "holds no private key in PEM form without a password"))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| unfit(TlsFile::Certificate, &error.to_string()))?;
        let builder = match client_ca {
            Some(path) => {
                let roots = Arc::new(authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(
                    verifier.map_err(|error| unfit(TlsFile::ClientAuthorities, &error.to_string()))?,
                )
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            if matches!(error, Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) {
                unfit(TlsFile::Key, "does not belong to the certificate of tls.cert")
            } else {
                unfit(TlsFile::Key, &format!("cannot be used with the certificate ({error})"))
            }
        })?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Sessions are resumed without memory here. A ticket is good for half a day at most.
        if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
            config.ticketer = ticketer;
        }
        Ok(Self { config: Arc::new(config), certificate: own, wants_client_certificate: client_ca.is_some() })
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, TlsFile::ClientAuthorities)? {
        roots
            .add(certificate)
            .map_err(|_| unfit(TlsFile::ClientAuthorities, "holds a certificate that cannot be used"))?;
    }
    Ok(roots)
}

fn certificates(path: &Path, file: TlsFile) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let pem = read(path, file)?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|_| unfit(file, "is not a PEM file"))?;
    if found.is_empty() { Err(unfit(file, "holds no certificate in PEM form")) } else { Ok(found) }
}

fn read(path: &Path, file: TlsFile) -> Result<Zeroizing<Vec<u8>>, TlsFault> {
    read_within(path, LONGEST, TIME_OUT).map_err(|error| TlsFault {
        file,
        unreadable: Some(error),
        reason: String::new(),
    })
}

fn unfit(file: TlsFile, reason: &str) -> TlsFault {
    TlsFault { file, unreadable: None, reason: reason.to_owned() }
}

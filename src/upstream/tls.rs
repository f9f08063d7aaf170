//! Which server certificates are trusted: those of the platform's roots and of the operator's bundle.
//!
//! Decides about certificates and protocol versions, for the API, the token endpoint and discovery alike.
//! Files are read once, when a [`Trust`] is made.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};

use super::verifier::BundleVerifier;
use crate::file;

/// TLS cannot be set up as configured. Each variant names what is wrong for the operator.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The bundle cannot be read.
    #[error("{} cannot be read ({error})", path.display())]
    Unreadable {
        /// The bundle.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The bundle is broken.
    #[error("{} is not a PEM file ({error})", path.display())]
    NotPem {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// The bundle is empty, or holds other things (a private key, a signing request).
    #[error("{} holds no certificate in PEM form", path.display())]
    NoCertificate {
        /// The bundle.
        path: PathBuf,
    },
    /// One of the bundle's certificates cannot be parsed.
    #[error("{} holds a certificate that cannot be used ({error})", path.display())]
    Unusable {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// The upstream's host cannot be the name of a certificate.
    #[error("`{0}` is not a name that TLS can verify")]
    Name(String),
    /// The cryptography provider lacks something.
    #[error("TLS cannot be set up ({0})")]
    Setup(String),
}

/// The trusted authorities, parsed. Cheap to clone; all clones share one cache of TLS sessions.
#[derive(Clone)]
pub struct Trust {
    config: Arc<ClientConfig>,
    bundle: Arc<[CertificateDer<'static>]>,
}

impl Trust {
    /// The platform's roots and the certificates of `ca_file`, a PEM bundle.
    ///
    /// Reads files, the platform's once for the process, so it belongs before the first request. A platform
    /// without roots is no error, since `ca_file` may be all that is needed; the log says so.
    pub fn load(ca_file: Option<&Path>) -> Result<Self, TlsError> {
        let bundle = ca_file.map(read_bundle).transpose()?.unwrap_or_default();
        let mut roots = PLATFORM_ROOTS.clone();
        for certificate in &bundle {
            let added = roots.add(certificate.clone());
            added.map_err(|error| TlsError::Unusable { path: owned(ca_file), error })?;
        }
        if roots.is_empty() {
            tracing::warn!(
                "no trusted certificate authorities at all: no https origin can be reached; install the system's \
                 package of CA certificates, or set CXONE_CA_FILE"
            );
        }
        let bundle: Arc<[_]> = bundle.into();
        Ok(Self { config: Arc::new(client_config(roots, bundle.clone())?), bundle })
    }

    /// The client's side of TLS 1.2 and 1.3, without a client certificate. `protocols` are offered by ALPN
    /// (RFC 7301), the preferred one first; an empty list offers nothing.
    pub fn client_config(&self, protocols: &[&[u8]]) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }
}

/// Equal where they trust the same bundle.
impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        self.bundle == other.bundle
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").field("bundle", &self.bundle.len()).finish_non_exhaustive()
    }
}

fn client_config(
    roots: RootCertStore,
    bundle: Arc<[CertificateDer<'static>]>,
) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let setup = |error: &dyn fmt::Display| TlsError::Setup(error.to_string());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| setup(&error))?;
    let verifier = BundleVerifier::new(roots, bundle, provider).map_err(|error| setup(&error))?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// Read when they are first needed.
static PLATFORM_ROOTS: LazyLock<RootCertStore> = LazyLock::new(platform_roots);

fn platform_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Platforms ship a few roots that no parser accepts; nobody can fix those here.
    let (trusted, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(trusted, ignored, "platform roots loaded");
    if trusted == 0 {
        let reason = found.errors.first().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(
            reason,
            "this machine has no trusted certificate authorities: install the system's package of CA \
             certificates, or set CXONE_CA_FILE"
        );
    }
    roots
}

fn read_bundle(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let path = || path.to_owned();
    let pem = file::read_within(&path(), file::LONGEST, file::TIME_OUT)
        .map_err(|error| TlsError::Unreadable { path: path(), error })?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::NotPem { path: path(), error })?;
    if certificates.is_empty() { Err(TlsError::NoCertificate { path: path() }) } else { Ok(certificates) }
}

fn owned(path: Option<&Path>) -> PathBuf {
    path.map(Path::to_owned).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn bundle(content: &str) -> Result<Trust, TlsError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        fs::write(&path, content).unwrap();
        Trust::load(Some(&path))
    }

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn each_certificate_of_a_bundle_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        fs::write(&path, format!("# ours\n{}{}", certificate(), certificate())).unwrap();
        assert_eq!(read_bundle(&path).unwrap().len(), 2);
        let trust = Trust::load(Some(&path)).unwrap();
        assert!(trust.client_config(&[]).alpn_protocols.is_empty());
        assert_eq!(trust.client_config(&[b"h2"]).alpn_protocols, [b"h2".to_vec()]);
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        assert!(matches!(bundle(""), Err(TlsError::NoCertificate { .. })));
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let error = bundle(&key).unwrap_err();
        assert!(error.to_string().ends_with("ca.pem holds no certificate in PEM form"), "{error}");
    }

    #[test]
    fn broken_bundles_differ() {
        assert!(matches!(bundle("-----BEGIN CERTIFICATE-----\nAAAA\n"), Err(TlsError::NotPem { .. })));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(bundle(nonsense), Err(TlsError::Unusable { .. })));
        let gone = Trust::load(Some(Path::new("/nowhere/ca.pem")));
        assert!(matches!(gone, Err(TlsError::Unreadable { .. })));
    }
}

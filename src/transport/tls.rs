//! Whom to trust: the platform's roots and the operator's own.
//!
//! Decides about certificates and protocol versions, for the API and the token endpoint alike. Which HTTP
//! is spoken over the connection (ALPN) is for whoever opens it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer,
        pem::{self, PemObject},
    },
    version::{TLS12, TLS13},
};

/// TLS cannot be set up as configured. The operator's to mend, so each variant names what is wrong.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The bundle cannot be read.
    #[error("{} cannot be read ({error})", path.display())]
    Unreadable {
        /// The bundle.
        path: PathBuf,
        /// What the system said.
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
    /// One of the bundle's certificates is none.
    #[error("{} holds a certificate that cannot be used ({error})", path.display())]
    Unusable {
        /// The bundle.
        path: PathBuf,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// The upstream's host cannot stand in a certificate.
    #[error("`{0}` is not a name that TLS can verify")]
    Name(String),
    /// The cryptography provider lacks the protocol versions.
    #[error("TLS cannot be set up ({0})")]
    Versions(rustls::Error),
}

/// A client's side of TLS 1.2 and 1.3 that trusts the platform's roots and those of `ca_file`, without
/// ALPN and without a client certificate.
///
/// Reads files, the platform's once for the process, so it belongs before the first exchange. A platform without roots is no error, since
/// `ca_file` may be all that is needed; the log says so.
pub fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = PLATFORM_ROOTS.clone();
    if let Some(path) = ca_file {
        add_bundle(&mut roots, path)?;
    }
    if roots.is_empty() {
        tracing::warn!("no trusted certificate authorities at all: no https origin can be reached");
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Versions)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Read when they are first needed: every profile asks for them several times.
static PLATFORM_ROOTS: LazyLock<RootCertStore> = LazyLock::new(platform_roots);

fn platform_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Platforms ship a few roots that no parser takes; they are not ours to mend.
    let (trusted, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(trusted, ignored, "platform roots loaded");
    if trusted == 0 {
        let reason = found.errors.first().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(
            reason,
            "this machine has no trusted certificate authorities: install its package of CA certificates, or name \
             a bundle by CXONE_CA_FILE"
        );
    }
    roots
}

fn add_bundle(roots: &mut RootCertStore, path: &Path) -> Result<(), TlsError> {
    let path = || path.to_owned();
    let pem = fs::read(path()).map_err(|error| TlsError::Unreadable { path: path(), error })?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| TlsError::NotPem { path: path(), error })?;
        roots.add(certificate).map_err(|error| TlsError::Unusable { path: path(), error })?;
    }
    if roots.len() == before { Err(TlsError::NoCertificate { path: path() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(content: &str) -> Result<ClientConfig, TlsError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        fs::write(&path, content).unwrap();
        client_config(Some(&path))
    }

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn a_bundle_is_trusted_beside_the_platforms_roots() {
        let mut roots = RootCertStore::empty();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        fs::write(&path, format!("# ours\n{}{}", certificate(), certificate())).unwrap();
        add_bundle(&mut roots, &path).unwrap();
        assert_eq!(roots.len(), 2);
        assert!(client_config(Some(&path)).unwrap().alpn_protocols.is_empty());
    }

    #[test]
    fn a_file_without_a_certificate_is_named() {
        assert!(matches!(bundle(""), Err(TlsError::NoCertificate { .. })));
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let error = bundle(&key).unwrap_err();
        assert!(error.to_string().ends_with("ca.pem holds no certificate in PEM form"), "{error}");
    }

    #[test]
    fn broken_bundles_are_told_apart() {
        assert!(matches!(bundle("-----BEGIN CERTIFICATE-----\nAAAA\n"), Err(TlsError::NotPem { .. })));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(bundle(nonsense), Err(TlsError::Unusable { .. })));
        let gone = client_config(Some(Path::new("/nowhere/ca.pem")));
        assert!(matches!(gone, Err(TlsError::Unreadable { .. })));
    }
}

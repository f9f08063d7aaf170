//! Accepts a server certificate that the operator's bundle holds itself, as curl and OpenSSL do.
//!
//! A self-signed certificate is often marked as an authority (`openssl req -x509` does so), and the usual
//! verifier refuses an authority's certificate as a server's own. Where the very certificate that the server
//! presents is in the bundle, nothing is left to prove but its name and its dates.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The usual verifier, and the bundle's certificates beside it.
#[derive(Debug)]
pub(super) struct BundleVerifier {
    usual: Arc<WebPkiServerVerifier>,
    bundle: Arc<[CertificateDer<'static>]>,
}

impl BundleVerifier {
    /// Trusts `roots`, and the certificates of `bundle` as servers' own.
    pub(super) fn new(
        roots: RootCertStore,
        bundle: Arc<[CertificateDer<'static>]>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { usual, bundle })
    }
}

impl ServerCertVerifier for BundleVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if verified.is_ok() || !self.bundle.iter().any(|certificate| certificate == end_entity) {
            return verified;
        }
        verify_dates(end_entity, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

fn verify_dates(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let validity = parsed.validity();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now < validity.not_before.timestamp() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now > validity.not_after.timestamp() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::crypto::aws_lc_rs;

    use super::*;

    /// Noon of 2 January in this year.
    fn day(year: i32) -> UnixTime {
        let noon = rcgen::date_time_ymd(year, 1, 2).unix_timestamp();
        UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(noon).unwrap() + 43_200))
    }

    /// As `openssl req -x509` makes it: self-signed, and marked as an authority.
    fn self_signed(name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2024, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn verify(
        bundle: &[CertificateDer<'static>],
        presented: &CertificateDer<'_>,
        name: &str,
        now: UnixTime,
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        for certificate in bundle {
            roots.add(certificate.clone()).unwrap();
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = BundleVerifier::new(roots, bundle.into(), provider).unwrap();
        let name = ServerName::try_from(name).unwrap();
        verifier.verify_server_cert(presented, &[], &name, &[], now).map(|_| ())
    }

    #[test]
    fn a_self_signed_certificate_in_the_bundle_is_accepted() {
        let certificate = self_signed("api.example");
        assert_eq!(
            verify(std::slice::from_ref(&certificate), &certificate, "api.example", day(2025)),
            Ok(())
        );
    }

    #[test]
    fn its_name_and_its_dates_still_count() {
        let certificate = self_signed("api.example");
        let reason =
            |name, year| match verify(std::slice::from_ref(&certificate), &certificate, name, day(year)) {
                Err(Error::InvalidCertificate(reason)) => reason,
                other => panic!("{other:?}"),
            };
        assert!(matches!(
            reason("other.example", 2025),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ));
        assert_eq!(reason("api.example", 2027), CertificateError::Expired);
        assert_eq!(reason("api.example", 2023), CertificateError::NotValidYet);
    }

    #[test]
    fn another_certificate_of_the_same_name_is_refused() {
        let refused =
            verify(&[self_signed("api.example")], &self_signed("api.example"), "api.example", day(2025));
        assert!(matches!(refused, Err(Error::InvalidCertificate(_))), "{refused:?}");
    }
}

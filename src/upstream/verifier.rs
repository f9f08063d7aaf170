//! Accepts a server certificate that the operator's bundle holds itself, as curl and OpenSSL do, and says of every
//! other one what is wrong with it, in words and with what the certificate says of itself.
//!
//! A self-signed certificate is often marked as an authority (`openssl req -x509` does so), and the usual
//! verifier refuses an authority's certificate as a server's own. Where the very certificate that the server
//! presents is in the bundle, nothing is left to prove but its name and its dates.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificate::{Certificate, CertificateProblem};

/// The usual verifier, and the bundle's certificates beside it.
#[derive(Debug)]
pub(super) struct BundleVerifier {
    /// `None` where no authority is trusted at all.
    usual: Option<Arc<WebPkiServerVerifier>>,
    bundle: Arc<[CertificateDer<'static>]>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl BundleVerifier {
    /// Trusts `roots`, and the certificates of `bundle` as servers' own.
    pub(super) fn new(
        roots: RootCertStore,
        bundle: Arc<[CertificateDer<'static>]>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let algorithms = provider.signature_verification_algorithms;
        let usual = if roots.is_empty() {
            None
        } else {
            Some(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
        };
        Ok(Self { usual, bundle, algorithms })
    }

    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = match &self.usual {
            None => Err(CertificateError::UnknownIssuer.into()),
            Some(usual) => {
                usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
        };
        if verified.is_ok() || !self.bundle.iter().any(|certificate| certificate == end_entity) {
            return verified;
        }
        verify_dates(end_entity, now)?;
        verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        Ok(ServerCertVerified::assertion())
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
        self.verify(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| explained(error, end_entity))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The same error with what the certificate says of itself, which nobody sees any more after the handshake.
fn explained(error: Error, end_entity: &CertificateDer<'_>) -> Error {
    match CertificateProblem::of(&error) {
        None => error,
        Some(problem) => {
            let certificate = Certificate::read(end_entity);
            certificate.iter().fold(problem, CertificateProblem::with).into_tls_error()
        }
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
    ) -> Result<(), CertificateProblem> {
        let mut roots = RootCertStore::empty();
        for certificate in bundle {
            roots.add(certificate.clone()).unwrap();
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = BundleVerifier::new(roots, bundle.into(), provider).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let outcome = verifier.verify_server_cert(presented, &[], &name, &[], now);
        outcome.map(|_| ()).map_err(|error| CertificateProblem::of(&error).unwrap())
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
        let problem = |name, year| {
            verify(std::slice::from_ref(&certificate), &certificate, name, day(year)).unwrap_err().to_string()
        };
        assert_eq!(problem("other.example", 2025), "it does not belong to other.example, but to api.example");
        assert_eq!(problem("api.example", 2027), "it expired at 2026-01-01T00:00:00Z");
        assert_eq!(problem("api.example", 2023), "it is valid only from 2024-01-01T00:00:00Z on");
    }

    #[test]
    fn another_certificate_of_the_same_name_is_refused() {
        let refused =
            verify(&[self_signed("api.example")], &self_signed("api.example"), "api.example", day(2025));
        assert_eq!(refused, Err(CertificateProblem::SelfSigned));
        let nothing_trusted = verify(&[], &self_signed("api.example"), "api.example", day(2025));
        assert_eq!(nothing_trusted, Err(CertificateProblem::SelfSigned));
    }
}

//! Why a handshake has failed, for the person who can do something about it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// A sentence without the full stop, and the next step. `None` where the client closed the connection: a probe of a
/// load balancer, perhaps.
pub(super) fn describe(error: &io::Error) -> Option<String> {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>())?;
    Some(explain(tls).map_or_else(|| tls.to_string(), str::to_owned))
}

fn explain(error: &Error) -> Option<&'static str> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enums are non-exhaustive, and the rest speak for themselves"
    )]
    Some(match error {
        Error::AlertReceived(alert) => match alert {
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            // The authority has the name of one that the client trusts, and another key.
            | AlertDescription::DecryptError
            | AlertDescription::UnsupportedCertificate => {
                "the client does not trust the certificate of this listener; give the client the certificate \
                 authority that issued it, and check that tls.cert is for the name that the client uses"
            }
            AlertDescription::CertificateExpired => {
                "the client says that the certificate of this listener has expired; replace tls.cert"
            }
            _ => return None,
        },
        Error::NoCertificatesPresented => {
            "the client shows no certificate, and tls.client_ca wants one; give the client a certificate"
        }
        Error::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the client's certificate has expired; renew it"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the client's certificate is not valid yet; check the clocks of both machines"
            }
            CertificateError::UnknownIssuer => {
                "no certificate authority of tls.client_ca issued the client's certificate; add the one that did, or \
                 give the client another certificate"
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "the client's certificate is not for clients; it needs the extended key usage clientAuth"
            }
            _ => return None,
        },
        Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled) => {
            "the client speaks no TLS 1.2 or 1.3; use a newer client"
        }
        Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => {
            "the client and this listener have no cipher suite in common; use a newer client"
        }
        Error::NoApplicationProtocol => "the client speaks neither HTTP/1.1 nor HTTP/2 (ALPN)",
        _ => return None,
    })
}

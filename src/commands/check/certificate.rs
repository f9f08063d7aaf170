//! What the certificates say that a TLS peer presents, and why one is not trusted.
//!
//! Certificates come in DER, facts go out. Judges nothing: whom to trust was decided before.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use rustls::{CertificateError, pki_types::CertificateDer};
use serde_json::json;
use x509_parser::{certificate::X509Certificate, prelude::FromDer, x509::X509Name};

use super::report::Facts;

const DAY: u64 = 24 * 60 * 60;
/// Certificates that are renewed by programs are renewed long before this.
const SOON: Duration = Duration::from_secs(14 * DAY);

/// The chain: the leaf's subject, issuer and end, and the subjects above it. Nothing of what cannot be read.
pub(super) fn facts(chain: &[CertificateDer<'_>], now: SystemTime) -> Facts {
    let read: Vec<_> = chain.iter().filter_map(parsed).collect();
    let Some(leaf) = read.first() else { return Vec::new() };
    let mut facts = vec![
        ("subject", json!(name(leaf.subject()))),
        ("issuer", json!(name(leaf.issuer()))),
        ("expires", json!(end(leaf).and_then(moment))),
    ];
    if let Some(left) = end(leaf).and_then(|end| end.duration_since(now).ok()) {
        facts.push(("expires_in_days", json!(left.as_secs() / DAY)));
    }
    let above: Vec<_> = read.iter().skip(1).map(|certificate| name(certificate.subject())).collect();
    if !above.is_empty() {
        facts.push(("chain", json!(above.join(" < "))));
    }
    facts
}

/// What to say of a leaf that is still good, but not for long.
pub(super) fn warning(chain: &[CertificateDer<'_>], now: SystemTime) -> Option<String> {
    let left = end(&chain.first().and_then(parsed)?)?.duration_since(now).ok()?;
    (left < SOON).then(|| {
        format!(
            "The certificate expires in {} days: ask its owner whether it is being renewed.",
            left.as_secs() / DAY
        )
    })
}

/// Why a certificate was not trusted, in plain words, and the next step.
pub(super) fn distrust(error: &CertificateError, host: &str) -> (String, &'static str) {
    let expired = matches!(error, CertificateError::Expired | CertificateError::ExpiredContext { .. });
    let too_early =
        matches!(error, CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. });
    let other_name =
        matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. });
    if expired {
        (
            format!("the certificate has expired ({error})"),
            "If this machine's clock is right, the certificate's owner has to renew it.",
        )
    } else if too_early {
        (format!("the certificate is not valid yet ({error})"), "Check this machine's clock.")
    } else if other_name {
        (
            format!("the certificate is not made out to {host} ({error})"),
            "Check the host in CXONE_BASE_URL or CXONE_TOKEN_URL. If it is right, something on the way answers \
             in its place.",
        )
    } else if *error == CertificateError::UnknownIssuer {
        (
            "the certificate's issuer is not among the authorities that this machine trusts".to_owned(),
            "If the issuer is your own organisation's (a company proxy that looks into TLS), name its PEM bundle \
             in CXONE_CA_FILE. Otherwise do not trust this connection.",
        )
    } else {
        (
            format!("the certificate is not trusted ({error})"),
            "Ask the certificate's owner, or whoever runs the network's proxy.",
        )
    }
}

fn parsed<'c>(certificate: &'c CertificateDer<'_>) -> Option<X509Certificate<'c>> {
    X509Certificate::from_der(certificate).ok().map(|(_, certificate)| certificate)
}

/// A name, without what could forge lines of the report.
fn name(name: &X509Name<'_>) -> String {
    crate::oauth::shown(&name.to_string(), &[])
}

fn end(certificate: &X509Certificate<'_>) -> Option<SystemTime> {
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn moment(time: SystemTime) -> Option<String> {
    Timestamp::try_from(time).ok().map(|moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn at(day: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(day * DAY)
    }

    /// A leaf that ends on 1 January 2030 (day 21915), and its authority.
    fn chain() -> Vec<CertificateDer<'static>> {
        let key = KeyPair::generate().unwrap();
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name = rcgen::DistinguishedName::new();
        authority.distinguished_name.push(DnType::CommonName, "Company\nCA");
        let root = authority.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(authority, key);
        let mut leaf = CertificateParams::new(["api.example".to_owned()]).unwrap();
        leaf.not_after = rcgen::date_time_ymd(2030, 1, 1);
        leaf.distinguished_name = rcgen::DistinguishedName::new();
        leaf.distinguished_name.push(DnType::CommonName, "api.example");
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone();
        vec![leaf, root]
    }

    #[test]
    fn who_vouches_for_whom_and_until_when() {
        let facts = facts(&chain(), at(21_915 - 100));
        let due = [
            ("subject", json!("CN=api.example")),
            ("issuer", json!("CN=Company\u{fffd}CA")),
            ("expires", json!("2030-01-01T00:00:00Z")),
            ("expires_in_days", json!(100)),
            ("chain", json!("CN=Company\u{fffd}CA")),
        ];
        assert_eq!(facts, due);
    }

    #[test]
    fn an_end_that_is_near_is_told() {
        let chain = chain();
        assert_eq!(warning(&chain, at(21_915 - 15)), None);
        assert!(warning(&chain, at(21_915 - 13)).unwrap().contains("13 days"));
        assert_eq!(warning(&chain, at(21_916)), None, "an end that has passed is an error already");
        assert!(!facts(&chain, at(21_916)).iter().any(|(name, _)| *name == "expires_in_days"));
    }

    #[test]
    fn each_distrust_has_its_own_next_step() {
        let reasons = [
            CertificateError::Expired,
            CertificateError::NotValidYet,
            CertificateError::NotValidForName,
            CertificateError::UnknownIssuer,
            CertificateError::BadSignature,
        ];
        let hints: std::collections::HashSet<_> =
            reasons.iter().map(|reason| distrust(reason, "api.example").1).collect();
        assert_eq!(hints.len(), reasons.len());
        assert!(distrust(&CertificateError::NotValidForName, "api.example").0.contains("api.example"));
    }

    proptest! {
        #[test]
        fn whatever_is_presented_does_no_harm(bytes: Vec<u8>) {
            let chain = [CertificateDer::from(bytes)];
            prop_assert!(facts(&chain, at(0)).len() <= 5);
            let _ = warning(&chain, at(0));
        }
    }
}

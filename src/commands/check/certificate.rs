//! What the certificates say that a TLS peer presents. Certificates come in DER, facts go out; whether to
//! trust them is decided elsewhere, and [`crate::certificate`] says why one is not trusted.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde_json::json;

use super::stage::Facts;
use crate::certificate::Certificate;

const DAY: u64 = 24 * 60 * 60;
/// Certificates that are renewed by programs are renewed long before this.
const SOON: Duration = Duration::from_secs(14 * DAY);

/// The chain: the leaf's subject, issuer and end, and the subjects above it. Nothing of what cannot be read.
pub(super) fn facts(chain: &[CertificateDer<'_>], now: SystemTime) -> Facts {
    let read: Vec<_> = chain.iter().filter_map(Certificate::read).collect();
    let Some(leaf) = read.first() else { return Vec::new() };
    let mut facts = vec![
        ("subject", json!(leaf.subject)),
        ("issuer", json!(leaf.issuer)),
        ("expires", json!(leaf.not_after.map(|end| end.to_string()))),
    ];
    facts.extend(left(leaf, now).map(|left| ("expires_in_days", json!(left.as_secs() / DAY))));
    let above: Vec<_> = read.iter().skip(1).map(|certificate| certificate.subject.as_str()).collect();
    if !above.is_empty() {
        facts.push(("chain", json!(above.join(" < "))));
    }
    facts
}

/// What to say of a leaf that is still good, but not for long.
pub(super) fn warning(chain: &[CertificateDer<'_>], now: SystemTime) -> Option<String> {
    let left = left(&chain.first().and_then(Certificate::read)?, now)?;
    (left < SOON).then(|| {
        format!(
            "The certificate expires in {} days: ask its owner whether it is being renewed.",
            left.as_secs() / DAY
        )
    })
}

/// How long a certificate is still good; `None` where it has expired.
fn left(certificate: &Certificate, now: SystemTime) -> Option<Duration> {
    let now = Timestamp::try_from(now).ok()?;
    Duration::try_from(certificate.not_after?.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;
    use crate::certificate::tests::chain;

    fn at(day: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(day * DAY)
    }

    #[test]
    fn the_facts_are_subject_issuer_end_and_chain() {
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
    fn an_end_that_is_near_is_a_warning() {
        let chain = chain();
        assert_eq!(warning(&chain, at(21_915 - 15)), None);
        assert!(warning(&chain, at(21_915 - 13)).unwrap().contains("13 days"));
        assert_eq!(warning(&chain, at(21_916)), None, "an end that has passed is an error already");
        assert!(!facts(&chain, at(21_916)).iter().any(|(name, _)| *name == "expires_in_days"));
    }

    proptest! {
        #[test]
        fn of_bytes_that_are_not_a_certificate_nothing_is_said(bytes: Vec<u8>) {
            let chain = [CertificateDer::from(bytes)];
            prop_assert_eq!(facts(&chain, at(0)), []);
            prop_assert_eq!(warning(&chain, at(0)), None);
        }
    }
}

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use proptest::prelude::*;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;

use super::*;

/// A server's certificate for 2020 to 2029 (it ends on day 21915), and its authority.
pub(crate) fn chain() -> Vec<CertificateDer<'static>> {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name = rcgen::DistinguishedName::new();
    authority.distinguished_name.push(DnType::CommonName, "Company\nCA");
    let root = authority.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::new(authority, key);
    let mut leaf = CertificateParams::new(["api.example".to_owned(), "10.0.0.7".to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(2030, 1, 1);
    leaf.distinguished_name = rcgen::DistinguishedName::new();
    leaf.distinguished_name.push(DnType::CommonName, "api.example");
    let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap().der().clone();
    vec![leaf, root]
}

fn of(error: CertificateError) -> CertificateProblem {
    CertificateProblem::of(&rustls::Error::InvalidCertificate(error)).unwrap()
}

fn leaf() -> Certificate {
    Certificate::read(&chain()[0]).unwrap()
}

#[test]
fn a_certificate_is_read_with_names_and_dates() {
    let due = Certificate {
        subject: "CN=api.example".to_owned(),
        issuer: "CN=Company\u{fffd}CA".to_owned(),
        is_self_signed: false,
        names: vec!["api.example".to_owned(), "10.0.0.7".to_owned()],
        not_before: "2020-01-01T00:00:00Z".parse().ok(),
        not_after: "2030-01-01T00:00:00Z".parse().ok(),
    };
    assert_eq!(leaf(), due);
    assert!(Certificate::read(&chain()[1]).unwrap().is_self_signed);
}

#[test]
fn each_problem_has_its_own_sentence_with_names_and_dates() {
    let root = Certificate::read(&chain()[1]).unwrap();
    let expected = ServerName::try_from("api.test").unwrap();
    let presented = ["b", "c", "d", "e", "f", "g"].map(|name| format!("DnsName(\"{name}\")")).to_vec();
    for (problem, sentence) in [
        (
            of(CertificateError::UnknownIssuer),
            "no authority that this machine trusts issued it (or it is self-signed)",
        ),
        (
            of(CertificateError::UnknownIssuer).with(&leaf()),
            "its issuer (CN=Company\u{fffd}CA) is no authority that this machine trusts",
        ),
        (of(CertificateError::UnknownIssuer).with(&root), "it is self-signed"),
        (of(CertificateError::NotValidForName), "it does not belong to the host that was connected to"),
        (
            of(CertificateError::NotValidForNameContext { expected, presented }),
            "it does not belong to api.test, but to b, c, d, e, f, …",
        ),
        (
            of(CertificateError::NotValidForName).with(&leaf()),
            "it does not belong to the host that was connected to, but to api.example, 10.0.0.7",
        ),
        (of(CertificateError::Expired), "it has expired"),
        (of(CertificateError::Expired).with(&leaf()), "it expired at 2030-01-01T00:00:00Z"),
        (of(CertificateError::NotValidYet), "it is not valid yet"),
        (of(CertificateError::NotValidYet).with(&leaf()), "it is valid only from 2020-01-01T00:00:00Z on"),
        (of(CertificateError::Revoked), "it has been revoked"),
        (of(CertificateError::BadSignature).with(&leaf()), "its signature is wrong"),
        (of(CertificateError::InvalidPurpose), "it is not for servers"),
        (of(CertificateError::UnhandledCriticalExtension), "it cannot be verified"),
    ] {
        assert_eq!(problem.to_string(), sentence);
    }
    assert_eq!(CertificateProblem::of(&rustls::Error::DecryptError), None);
}

/// By the real verifier, whose text for it is not promised.
#[test]
fn a_self_signed_certificate_is_called_so_whether_it_is_marked_as_an_authority_or_not() {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(chain()[1].clone()).unwrap();
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut params = CertificateParams::new(["api.example".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let own = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
        let name = ServerName::try_from("api.example").unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_600_000_000));
        let error = verifier.verify_server_cert(&own, &[], &name, &[], now).unwrap_err();
        let problem = CertificateProblem::of(&error).unwrap();
        assert_eq!(problem, CertificateProblem::UnknownIssuer { issuer: None });
        assert_eq!(problem.with(&Certificate::read(&own).unwrap()), CertificateProblem::SelfSigned);
    }
}

#[test]
fn each_kind_of_problem_has_its_own_next_step() {
    let problems = [
        CertificateProblem::UnknownIssuer { issuer: None },
        CertificateProblem::SelfSigned,
        CertificateProblem::WrongName { expected: None, names: Vec::new() },
        CertificateProblem::Expired { at: None },
        CertificateProblem::NotYetValid { from: None },
        CertificateProblem::Other("its signature is wrong".to_owned()),
    ];
    let hints: HashSet<_> =
        problems.iter().map(|problem| problem.hint("CXONE_TOKEN_URL", "CXONE_CA_FILE")).collect();
    assert_eq!(hints.len(), problems.len());
    for hint in hints {
        assert!(hint.contains("CXONE_TOKEN_URL") || hint.contains("this machine's clock"), "{hint}");
    }
}

proptest! {
    #[test]
    fn of_a_damaged_certificate_only_plain_text_is_shown(
        at_byte in 0_usize..4096, flipped in 1_u8.., end in 0_usize..4096,
    ) {
        static CHAIN: LazyLock<Vec<CertificateDer<'static>>> = LazyLock::new(chain);
        let mut bytes = CHAIN[0].to_vec();
        let length = bytes.len();
        bytes[at_byte % length] ^= flipped;
        bytes.truncate(length.saturating_sub(end / 64));
        if let Some(read) = Certificate::read(&CertificateDer::from(bytes)) {
            let Certificate { subject, issuer, .. } = &read;
            let sentence = of(CertificateError::NotValidForName).with(&read).to_string();
            for text in [subject, issuer, &sentence] {
                prop_assert!(!text.contains(char::is_control), "{:?}", text);
            }
        }
    }

    #[test]
    fn bytes_that_are_not_a_certificate_are_none(bytes: Vec<u8>) {
        prop_assert_eq!(Certificate::read(&CertificateDer::from(bytes)), None);
    }
}

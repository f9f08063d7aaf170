//! What a server's certificate says, and what is wrong with it, in words and dates that a person can read.
//!
//! The one table of these sentences and hints: the log, the pages, the problems and `check` all read it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, OtherError};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use crate::text;

/// What is wrong with a server's certificate. `Display` is a sentence about "it", without the full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateProblem {
    /// No trusted authority issued it.
    #[error("{}", unknown_issuer(issuer.as_deref()))]
    UnknownIssuer {
        /// Who did; `None` where it was not looked at, so that it may be self-signed.
        issuer: Option<String>,
    },
    /// It is self-signed, and nobody has named it as trusted.
    #[error("it is self-signed")]
    SelfSigned,
    /// It belongs to other names.
    #[error("{}", wrong_name(expected.as_deref(), names))]
    WrongName {
        /// The name that was connected to.
        expected: Option<String>,
        /// The names of the certificate.
        names: Vec<String>,
    },
    /// It has expired.
    #[error("{}", expired(*at))]
    Expired {
        /// The last moment of its validity.
        at: Option<Timestamp>,
    },
    /// It is not valid yet.
    #[error("{}", not_yet_valid(*from))]
    NotYetValid {
        /// The first moment of its validity.
        from: Option<Timestamp>,
    },
    /// Something else.
    #[error("{0}")]
    Other(String),
}

/// What a certificate says of itself, fit to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The name of its holder.
    pub subject: String,
    /// Who issued it.
    pub issuer: String,
    /// It claims to have been issued by its own subject.
    pub is_self_signed: bool,
    /// The DNS names and addresses that it is for (RFC 9525).
    pub names: Vec<String>,
    /// The first moment of its validity.
    pub not_before: Option<Timestamp>,
    /// The last moment of its validity.
    pub not_after: Option<Timestamp>,
}

/// What the verifier, whose errors are no public type, says of a server's certificate that is an authority's.
const AUTHORITY_AS_SERVER: &str = "CaUsedAsEndEntity";

/// The most names of a certificate that are shown.
const MOST_NAMES: usize = 5;
/// The most characters of a name that are shown.
const LONGEST_NAME: usize = 200;

impl CertificateProblem {
    /// What a TLS error says of the certificate; `None` where it is about something else.
    pub fn of(error: &rustls::Error) -> Option<Self> {
        use rustls::Error::{InvalidCertRevocationList, InvalidCertificate, NoCertificatesPresented};
        // Of all the other errors none is about the certificate.
        if let InvalidCertificate(error) = error {
            Some(Self::of_certificate(error))
        } else if matches!(error, InvalidCertRevocationList(_) | NoCertificatesPresented) {
            Some(Self::Other("it presents none that can be verified".to_owned()))
        } else {
            None
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the enum is non-exhaustive, and the rare ones share a sentence"
        )]
        match error {
            // Our own verifier has looked at the certificate.
            CertificateError::Other(OtherError(error)) if error.is::<Self>() => {
                error.downcast_ref().cloned().unwrap_or(Self::UnknownIssuer { issuer: None })
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer { issuer: None },
            CertificateError::NotValidForName => Self::WrongName { expected: None, names: Vec::new() },
            CertificateError::NotValidForNameContext { expected, presented } => {
                let expected = Some(plain_name(expected));
                Self::WrongName { expected, names: presented.iter().map(|name| bare(name)).collect() }
            }
            CertificateError::Expired => Self::Expired { at: None },
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired { at: timestamp(*not_after) },
            CertificateError::NotValidYet => Self::NotYetValid { from: None },
            CertificateError::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid { from: timestamp(*not_before) }
            }
            CertificateError::Revoked => Self::Other("it has been revoked".to_owned()),
            CertificateError::BadSignature => Self::Other("its signature is wrong".to_owned()),
            CertificateError::BadEncoding => Self::Other("it is malformed".to_owned()),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::Other("it is not for servers".to_owned())
            }
            // Most self-signed certificates are marked as an authority, which the verifier finds out first.
            CertificateError::Other(error) if error.to_string() == AUTHORITY_AS_SERVER => {
                Self::UnknownIssuer { issuer: None }
            }
            other => {
                tracing::debug!(error = %other, "a certificate cannot be verified");
                Self::Other("it cannot be verified".to_owned())
            }
        }
    }

    /// As an error of the TLS library, from which [`CertificateProblem::of`] gets it back.
    pub fn into_tls_error(self) -> rustls::Error {
        CertificateError::Other(OtherError(Arc::new(self))).into()
    }

    /// The same problem with what the server's own certificate adds: its issuer, its names, its dates.
    #[must_use]
    pub fn with(self, certificate: &Certificate) -> Self {
        match self {
            Self::UnknownIssuer { .. } if certificate.is_self_signed => Self::SelfSigned,
            Self::UnknownIssuer { .. } => Self::UnknownIssuer { issuer: Some(certificate.issuer.clone()) },
            Self::WrongName { expected, .. } => {
                Self::WrongName { expected, names: certificate.names.clone() }
            }
            Self::Expired { at } => Self::Expired { at: at.or(certificate.not_after) },
            Self::NotYetValid { from } => Self::NotYetValid { from: from.or(certificate.not_before) },
            other @ (Self::SelfSigned | Self::Other(_)) => other,
        }
    }

    /// The next step for a person. `option` names where the server's address is set, `ca_file` where the bundle
    /// of trusted certificates is.
    pub fn hint(&self, option: &str, ca_file: &str) -> String {
        match self {
            Self::UnknownIssuer { .. } => format!(
                "If your own organisation issued the certificate, name its PEM bundle in {ca_file}. Otherwise check \
                 {option}: another machine responds in its place."
            ),
            Self::SelfSigned => format!(
                "If this is your own server, name its certificate (PEM) in {ca_file}. Otherwise check {option}: \
                 another machine responds in its place."
            ),
            Self::WrongName { .. } => {
                format!("Check the host in {option}: the certificate belongs to another name.")
            }
            Self::Expired { .. } => {
                "Check this machine's clock. If it is right, the operator of the server has to renew the certificate."
                    .to_owned()
            }
            Self::NotYetValid { .. } => "Check this machine's clock. If it is right, the operator of the server uses \
                 the certificate too early."
                .to_owned(),
            Self::Other(_) => {
                format!("Check {option} and {ca_file}, or ask the operator of the server.")
            }
        }
    }
}

impl Certificate {
    /// Reads a certificate; `None` where it is none.
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, read) = X509Certificate::from_der(der).ok()?;
        let validity = read.validity();
        Some(Self {
            subject: printable(&read.subject().to_string()),
            issuer: printable(&read.issuer().to_string()),
            is_self_signed: read.subject() == read.issuer(),
            names: names(&read),
            not_before: Timestamp::from_second(validity.not_before.timestamp()).ok(),
            not_after: Timestamp::from_second(validity.not_after.timestamp()).ok(),
        })
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(printable(name)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        // The other kinds do not name servers.
        GeneralName::OtherName(..)
        | GeneralName::RFC822Name(_)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::URI(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    });
    names.collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// A stranger wrote the certificate: its text must forge no line.
fn printable(text: &str) -> String {
    text::printable(text, LONGEST_NAME)
}

fn plain_name(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

/// The library writes `DnsName("x")` and the like.
fn bare(name: &str) -> String {
    printable(name.split('"').nth(1).unwrap_or(name))
}

fn timestamp(time: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(time.as_secs()).ok()?).ok()
}

fn unknown_issuer(issuer: Option<&str>) -> impl fmt::Display {
    match issuer {
        Some(issuer) => format!("its issuer ({issuer}) is no authority that this machine trusts"),
        None => "no authority that this machine trusts issued it (or it is self-signed)".to_owned(),
    }
}

fn wrong_name(expected: Option<&str>, names: &[String]) -> impl fmt::Display {
    let expected = expected.unwrap_or("the host that was connected to");
    if names.is_empty() {
        return format!("it does not belong to {expected}");
    }
    let shown: Vec<&str> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
    let more = if names.len() > MOST_NAMES { ", …" } else { "" };
    format!("it does not belong to {expected}, but to {}{more}", shown.join(", "))
}

fn expired(at: Option<Timestamp>) -> impl fmt::Display {
    at.map_or_else(|| "it has expired".to_owned(), |at| format!("it expired at {at}"))
}

fn not_yet_valid(from: Option<Timestamp>) -> impl fmt::Display {
    from.map_or_else(|| "it is not valid yet".to_owned(), |from| format!("it is valid only from {from} on"))
}

#[cfg(test)]
pub(crate) mod tests;

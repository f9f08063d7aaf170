//! TLS of the listeners: certificate, key, authorities of clients.

use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;

use super::{
    error::Fault,
    files,
    options::{self as o, Entry},
    validation::{Reported, Validation, unfit_value},
    warning::Warning,
};
use crate::{
    clock::Clock,
    invalid::Invalid,
    server::{EXPIRES_SOON, TlsFault, TlsFile, TlsSettings},
};

/// TLS, where a certificate is set.
pub(super) fn tls(validation: &mut Validation<'_>) -> Result<Option<TlsSettings>, Reported> {
    let layers = validation.layers;
    let set = |entry: &'static Entry| layers.of(entry).next();
    let (certificate, key, authorities) = (set(&o::TLS_CERT), set(&o::TLS_KEY), set(&o::TLS_CLIENT_CA));
    let (Some(certificate), Some(key)) = (certificate, key) else {
        let missing = match (certificate, key, authorities) {
            (None, None, None) | (Some(_), Some(_), _) => return Ok(None),
            (Some(_), None, _) => (&o::TLS_KEY, o::TLS_CERT.name()),
            (None, Some(_), _) => (&o::TLS_CERT, o::TLS_KEY.name()),
            (None, None, Some(_)) => (&o::TLS_CERT, o::TLS_CLIENT_CA.name()),
        };
        return Err(validation.report(Fault::Together { missing: missing.0, set: missing.1 }));
    };
    let path = |found: &super::layers::Found| Path::new(&found.text).to_owned();
    let loaded = TlsSettings::load(&path(certificate), &path(key), authorities.map(path).as_deref());
    let settings = loaded.map_err(|TlsFault { file, unreadable, reason }| {
        let found = match (file, authorities) {
            (TlsFile::Key, _) => key,
            (TlsFile::ClientAuthorities, Some(authorities)) => authorities,
            (TlsFile::Certificate | TlsFile::ClientAuthorities, _) => certificate,
        };
        let reason = unreadable.map_or(reason, |error| files::unreadable(Path::new(&found.text), &error));
        validation.report(unfit_value(found, Invalid(reason)))
    })?;
    if let Some(end) = settings.certificate.not_after
        && is_soon(end, Clock::System.now().wall)
    {
        validation.warnings.push(Warning::CertificateEnds { path: path(certificate), end });
    }
    Ok(Some(settings))
}

fn is_soon(end: Timestamp, now: SystemTime) -> bool {
    Timestamp::try_from(now + EXPIRES_SOON).is_ok_and(|soon| end < soon)
}

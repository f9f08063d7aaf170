//! Where requests go: the base URL or how to discover it, certificates, time-outs.

use std::{path::PathBuf, sync::Arc};

use super::{
    files, options as o,
    settings::Upstream,
    urls,
    validation::{Reported, Validation},
    values,
};
use crate::{
    discovery,
    invalid::Invalid,
    upstream::{
        BaseUrl,
        tls::{TlsError, Trust},
    },
};

/// The regions of CXone, with their addresses.
const REGIONS: &[(&str, &str)] = &[
    ("global", "https://api.cxone.com"),
    ("eu", "https://api.eu.cxone.com"),
    ("usgov", "https://api.usgov.cxone.com"),
];

/// Everything about the upstream.
pub(super) fn upstream(validation: &mut Validation<'_>) -> Result<Upstream, Reported> {
    // All values are parsed before the first `?`, so that the operator learns of every fault at once.
    let base_url = base_url(validation);
    let discovery = discovery(validation);
    let trust = trust(validation);
    let connect_timeout = validation.duration(&o::CONNECT_TIMEOUT);
    let response_timeout = validation.duration_or_off(&o::RESPONSE_TIMEOUT);
    Ok(Upstream {
        base_url: Arc::new(base_url?),
        discovery: discovery?,
        trust: trust?,
        connect_timeout: connect_timeout?,
        response_timeout: response_timeout?,
    })
}

fn base_url(validation: &mut Validation<'_>) -> Result<BaseUrl, Reported> {
    let of_region = validation.value(&o::REGION, |text| values::one_of(text, REGIONS)?.parse());
    let given = validation.optional(&o::BASE_URL, str::parse);
    let (strongest, faults) = validation.layers.strongest_of(&[&o::BASE_URL, &o::REGION]);
    validation.faults.extend(faults);
    let is_given = strongest.is_some_and(|found| *found.entry == o::BASE_URL);
    if is_given && let Some(given) = given? { Ok(given) } else { of_region }
}

/// Whether and how the API is discovered; an explicit base URL excludes it, and the stronger source wins.
fn discovery(validation: &mut Validation<'_>) -> Result<Option<discovery::Settings>, Reported> {
    let discover = validation.value(&o::DISCOVER, |text| values::one_of(text, &values::SWITCH));
    let url = validation.value(&o::DISCOVERY_URL, urls::token_url);
    let interval = validation.duration(&o::DISCOVER_INTERVAL);
    if !discover? {
        return Ok(None);
    }
    let (strongest, faults) = validation.layers.strongest_of(&[&o::DISCOVER, &o::BASE_URL]);
    validation.faults.extend(faults);
    let is_stronger = strongest.is_some_and(|found| *found.entry == o::DISCOVER);
    Ok(if is_stronger { Some(discovery::Settings { url: url?, interval: interval? }) } else { None })
}

/// Every profile that inherits the bundle asks for it; it is read and parsed once.
fn trust(validation: &mut Validation<'_>) -> Result<Trust, Reported> {
    let mut read = std::mem::take(&mut validation.trusts);
    let mut load = |path: Option<PathBuf>| {
        let load =
            |path: &Option<PathBuf>| Trust::load(path.as_deref()).map_err(|error| unfit_bundle(&error));
        read.entry(path).or_insert_with_key(load).clone()
    };
    let bundle = validation.optional(&o::CA_FILE, |text| load(Some(PathBuf::from(text))));
    let trust = match bundle {
        Ok(Some(trust)) => Ok(trust),
        Ok(None) => load(None).map_err(|_| Reported),
        Err(reported) => Err(reported),
    };
    validation.trusts = read;
    trust
}

fn unfit_bundle(error: &TlsError) -> Invalid {
    match error {
        TlsError::Unreadable { path, error } => Invalid(files::unreadable(path, error)),
        TlsError::NotPem { .. } => Invalid::because("is not a PEM file"),
        TlsError::NoCertificate { .. } => Invalid::because("holds no certificate in PEM form"),
        TlsError::Unusable { .. } => Invalid::because("holds a certificate that cannot be used"),
        TlsError::Name(_) | TlsError::Setup(_) => Invalid(error.to_string()),
    }
}

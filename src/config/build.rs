//! From judged values to a [`Config`], or to everything that is wrong.
//!
//! Here stands what no single value can know: which of two options counts, what follows from another, and
//! what contradicts it.

use crate::invalid::Invalid;
use std::{collections::BTreeSet, fs, path::PathBuf};

use super::{
    Config, ConfigError, Discovery, ForwardProxy, Guard, Limits, Listen, Loaded, OAuth, Retry, Upstream, Via,
    address::listen_or_off,
    faults::Fault,
    file::ProfileTable,
    grant,
    judge::{Faulty, Judge},
    options as o, profiles,
    sources::{Layers, Source},
    urls::{self, BaseUrl},
    values::{self, AllowedHosts},
};
use crate::log;
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// Builds the whole configuration; `faults` are those of reading the sources.
pub(super) fn config(
    layers: &Layers,
    tables: &[ProfileTable],
    faults: Vec<Fault>,
    forward_proxy: ForwardProxy,
    no_color: bool,
) -> Result<Loaded, ConfigError> {
    let mut judge = Judge { layers, faults, warnings: Vec::new() };
    let built = parts(&mut judge, tables, forward_proxy, no_color);
    // What all profiles inherit is judged with each of them.
    let mut told = BTreeSet::new();
    judge.faults.retain(|fault| told.insert(fault.to_string()));
    match built {
        Ok(config) if judge.faults.is_empty() => {
            let mut warnings = Vec::new();
            for warning in judge.warnings {
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
            Ok(Loaded { config, warnings })
        }
        Ok(_) | Err(Faulty) => Err(ConfigError { faults: judge.faults }),
    }
}

/// Builds what concerns the log, and nothing else.
pub(super) fn log_alone(
    layers: &Layers,
    faults: Vec<Fault>,
    no_color: bool,
) -> Result<log::Settings, ConfigError> {
    let mut judge = Judge { layers, faults, warnings: Vec::new() };
    match log_settings(&mut judge, no_color) {
        Ok(log) if judge.faults.is_empty() => Ok(log),
        Ok(_) | Err(Faulty) => Err(ConfigError { faults: judge.faults }),
    }
}

/// Finds the admin listener, and nothing else.
pub(super) fn admin_alone(layers: &Layers, faults: Vec<Fault>) -> Result<Option<Listen>, ConfigError> {
    let mut judge = Judge { layers, faults, warnings: Vec::new() };
    match judge.value(&o::ADMIN_LISTEN, listen_or_off) {
        Ok(admin) if judge.faults.is_empty() => Ok(admin),
        Ok(_) | Err(Faulty) => Err(ConfigError { faults: judge.faults }),
    }
}

// In this and every part below, all values are judged before the first `?`: the operator learns of every
// fault at once.
fn parts(
    judge: &mut Judge<'_>,
    tables: &[ProfileTable],
    forward_proxy: ForwardProxy,
    no_color: bool,
) -> Result<Config, Faulty> {
    let profiles = profiles::profiles(judge, tables);
    let guard = guard(judge);
    let listeners = listeners(judge, guard.as_ref().ok());
    if let Ok(profiles) = &profiles {
        profiles::selectors(judge, tables, profiles);
    }
    if let (Ok(profiles), Ok((listen, admin))) = (&profiles, &listeners) {
        profiles::listeners(judge, tables, profiles, guard.as_ref().ok(), [Some(listen), admin.as_ref()]);
    }
    let vias = [("response", Via::Response), ("both", Via::Both), ("off", Via::Off)];
    let via = judge.value(&o::VIA, |text| values::one_of(text, &vias));
    let retry = retry(judge);
    let limits = limits(judge);
    let drain_timeout = judge.duration(&o::DRAIN_TIMEOUT);
    let log = log_settings(judge, no_color);
    let (listen, admin) = listeners?;
    let profiles = profiles?;
    let first = profiles.first().ok_or(Faulty)?;
    let (upstream, oauth) = (first.upstream.clone(), first.oauth.clone());
    Ok(Config {
        listen,
        admin,
        profiles,
        upstream,
        oauth,
        guard: guard?,
        via: via?,
        retry: retry?,
        limits: limits?,
        drain_timeout: drain_timeout?,
        log: log?,
        forward_proxy,
    })
}

/// Where requests go, and as whom.
pub(super) fn way(judge: &mut Judge<'_>) -> Result<(Upstream, OAuth), Faulty> {
    let upstream = upstream(judge);
    let oauth = grant::oauth(judge, upstream.as_ref().ok().map(|upstream| &upstream.base_url));
    Ok((upstream?, oauth?))
}

/// Where requests go.
pub(super) fn upstream(judge: &mut Judge<'_>) -> Result<Upstream, Faulty> {
    let base_url = base_url(judge);
    let discovery = discovery(judge);
    let ca_file = judge.optional(&o::CA_FILE, ca_file);
    let connect_timeout = judge.duration(&o::CONNECT_TIMEOUT);
    let response_timeout = judge.duration_or_off(&o::RESPONSE_TIMEOUT);
    Ok(Upstream {
        base_url: base_url?,
        discovery: discovery?,
        ca_file: ca_file?,
        connect_timeout: connect_timeout?,
        response_timeout: response_timeout?,
    })
}

fn base_url(judge: &mut Judge<'_>) -> Result<BaseUrl, Faulty> {
    const REGIONS: &[(&str, &str)] = &[
        ("global", "https://api.cxone.com"),
        ("eu", "https://api.eu.cxone.com"),
        ("usgov", "https://api.usgov.cxone.com"),
    ];
    let of_region = judge.value(&o::REGION, |text| values::one_of(text, REGIONS)?.parse());
    let given = judge.optional(&o::BASE_URL, str::parse);
    let (strongest, faults) = judge.layers.stronger_of(&o::BASE_URL, &o::REGION);
    judge.faults.extend(faults);
    let is_given = strongest.is_some_and(|found| *found.entry == o::BASE_URL);
    if is_given && let Some(given) = given? { Ok(given) } else { of_region }
}

/// Whether and how the API is found; an explicit base URL excludes it, and the stronger source wins.
fn discovery(judge: &mut Judge<'_>) -> Result<Option<Discovery>, Faulty> {
    let discover =
        judge.value(&o::DISCOVER, |text| values::one_of(text, &[("true", true), ("false", false)]));
    let url = judge.value(&o::DISCOVERY_URL, urls::token_url);
    let interval = judge.duration(&o::DISCOVER_INTERVAL);
    let discover = discover?;
    if !discover {
        return Ok(None);
    }
    let (strongest, faults) = judge.layers.stronger_of(&o::DISCOVER, &o::BASE_URL);
    judge.faults.extend(faults);
    let by_discovery = strongest.is_some_and(|found| *found.entry == o::DISCOVER);
    Ok(if by_discovery { Some(Discovery { url: url?, interval: interval? }) } else { None })
}

/// Checks that the bundle can be used; whoever uses it reads it again.
fn ca_file(path: &str) -> Result<PathBuf, Invalid> {
    let pem = fs::read(path).map_err(|error| Invalid(format!("cannot be read ({error})")))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(PathBuf::from(path)),
        Ok(_) => Err(Invalid::because("holds no certificate in PEM form")),
        Err(error) => Err(Invalid(format!("is not a PEM file ({error})"))),
    }
}

fn guard(judge: &mut Judge<'_>) -> Result<Guard, Faulty> {
    let allowed_hosts = judge.optional(&o::ALLOWED_HOSTS, values::allowed_hosts);
    let allowed_origins = judge.optional(&o::ALLOWED_ORIGINS, values::allowed_origins);
    Ok(Guard {
        allowed_hosts: allowed_hosts?.unwrap_or(AllowedHosts::Listed(Vec::new())),
        allowed_origins: allowed_origins?.unwrap_or_default(),
    })
}

fn listeners(judge: &mut Judge<'_>, guard: Option<&Guard>) -> Result<(Listen, Option<Listen>), Faulty> {
    let listen = judge.value(&o::LISTEN, str::parse::<Listen>);
    let admin = judge.value(&o::ADMIN_LISTEN, listen_or_off);
    let (listen, admin) = (listen?, admin?);
    let layers = judge.layers;
    let origin = |entry| layers.of(entry).next().map_or(Source::Default, |found| found.source.clone());
    // Without a guard its own fault has been kept, and says nothing of who was to be let in.
    let is_closed = guard.is_some_and(|guard| !guard.allowed_hosts.is_set());
    for (entry, address) in [(&o::LISTEN, Some(&listen)), (&o::ADMIN_LISTEN, admin.as_ref())] {
        if let Some(address) = address.filter(|address| is_closed && address.is_public()) {
            let (origin, address) = (origin(entry), address.to_string());
            judge.keep(Fault::Public { name: entry.name(), origin, address });
        }
    }
    if admin.as_ref().is_some_and(|admin| admin.collides_with(&listen)) {
        let sources = [origin(&o::LISTEN), origin(&o::ADMIN_LISTEN)];
        judge.keep(Fault::SameAddress { address: listen.to_string(), sources });
    }
    Ok((listen, admin))
}

fn retry(judge: &mut Judge<'_>) -> Result<Retry, Faulty> {
    let replay_buffer = judge.size(&o::REPLAY_BUFFER);
    let rate_limit_retries = judge.count(&o::RATE_LIMIT_RETRIES);
    let max_wait = judge.duration(&o::MAX_WAIT);
    Ok(Retry { replay_buffer: replay_buffer?, rate_limit_retries: rate_limit_retries?, max_wait: max_wait? })
}

fn limits(judge: &mut Judge<'_>) -> Result<Limits, Faulty> {
    let header_size = judge.size(&o::HEADER_SIZE);
    let header_timeout = judge.duration(&o::HEADER_TIMEOUT);
    let idle_timeout = judge.duration(&o::IDLE_TIMEOUT);
    let in_flight = judge.count(&o::IN_FLIGHT);
    Ok(Limits {
        header_size: header_size?,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        in_flight: usize::try_from(in_flight?).unwrap_or(usize::MAX),
    })
}

fn log_settings(judge: &mut Judge<'_>, no_color: bool) -> Result<log::Settings, Faulty> {
    let formats = [("text", log::Format::Text), ("json", log::Format::Json)];
    let filter = judge.value(&o::LOG, values::log_filter);
    let format = judge.optional(&o::LOG_FORMAT, |text| values::one_of(text, &formats));
    Ok(log::Settings { filter: filter?, format: format?, no_color })
}

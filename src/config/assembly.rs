//! From values to the whole [`Config`], or to everything that is wrong.

use std::num::NonZeroUsize;

use super::{
    clients, configured,
    error::ConfigError,
    file::{ProfileTable, RateLimitTable},
    layers::Layers,
    listeners::{self, listen_or_off},
    options as o, pace, profiles, redis,
    settings::{Config, Retry},
    tls,
    validation::{Reported, Validation},
    values,
    warning::Warning,
};
use crate::{
    access,
    access::{Rule, WebOrigin},
    header_case::HeaderCase,
    log,
    proxy::{AccessLog, Via, Which, retry},
    server::{self, Listen},
    traces,
    upstream::ForwardProxy,
};

const LOG_FORMATS: [(&str, log::Format); 2] = [("text", log::Format::Text), ("json", log::Format::Json)];

/// What variables say that other programs read as well.
pub(super) struct Elsewhere {
    pub(super) forward_proxy: ForwardProxy,
    pub(super) traces: Option<traces::Settings>,
    pub(super) no_color: bool,
}

/// The whole configuration, with warnings.
pub(super) fn config(
    mut validation: Validation<'_>,
    tables: (&[ProfileTable], &[RateLimitTable]),
    elsewhere: Elsewhere,
) -> Result<(Config, Vec<Warning>), ConfigError> {
    let built = parts(&mut validation, tables, elsewhere);
    let log_format = log_format(validation.layers);
    validation.finish(built, log_format)
}

/// What concerns the log, and nothing else.
pub(super) fn log_alone(
    mut validation: Validation<'_>,
    no_color: bool,
) -> Result<log::Settings, ConfigError> {
    let built = log_settings(&mut validation, no_color);
    let log_format = log_format(validation.layers);
    validation.finish(built, log_format).map(|(log, _)| log)
}

/// The admin listener, and nothing else.
pub(super) fn admin_alone(mut validation: Validation<'_>) -> Result<Option<Listen>, ConfigError> {
    let built = validation.value(&o::ADMIN_LISTEN, listen_or_off);
    let log_format = log_format(validation.layers);
    validation.finish(built, log_format).map(|(admin, _)| admin)
}

/// The form of the log as far as it is known without errors.
fn log_format(layers: &Layers) -> Option<log::Format> {
    let mut formats = layers.of(&o::LOG_FORMAT).map(|found| values::one_of(&found.text, &LOG_FORMATS));
    formats.next().and_then(Result::ok)
}

// In this function and in every part below, all values are parsed before the first `?`: the operator
// learns of every fault at once.
fn parts(
    validation: &mut Validation<'_>,
    (tables, rate_limits): (&[ProfileTable], &[RateLimitTable]),
    elsewhere: Elsewhere,
) -> Result<Config, Reported> {
    let mut profiles = profiles::profiles(validation, tables);
    let guard = guard(validation);
    let rules = rules(validation);
    let tls = tls::tls(validation);
    let clients = clients::clients(validation, profiles.as_deref().ok());
    if let Ok(Some(clients)) = &clients {
        clients::collisions(validation, clients);
        if let Ok(tls) = &tls {
            clients::certificates(validation, clients, tls.as_ref());
        }
    }
    let listeners = listeners::shared(validation, guard.as_ref().ok());
    if let Ok(profiles) = &profiles {
        profiles::selectors(validation, tables, profiles);
    }
    let limited =
        profiles.as_mut().map_or(Ok(()), |profiles| pace::rate_limits(validation, rate_limits, profiles));
    let auth = listeners::auth(validation, guard.as_ref().ok(), &clients, listeners.as_ref().ok());
    if let (Ok(profiles), Ok((listen, admin)), Ok(auth)) = (&profiles, &listeners, &auth) {
        let shared = [Some(listen), admin.as_ref(), auth.as_ref()];
        listeners::own(validation, tables, profiles, guard.as_ref().ok(), shared);
    }
    if let (Ok(Some(clients)), Ok(None), Ok((listen, _))) = (&clients, &tls, &listeners)
        && listen.is_public()
        && clients.iter().any(|own| !own.client.keys.is_empty())
    {
        validation.warnings.push(Warning::KeysInTheClear);
    }
    let via = validation.value(&o::VIA, str::parse::<Via>);
    let header_case = validation.value(&o::HEADER_CASE, str::parse::<HeaderCase>);
    let server_timing = validation.value(&o::SERVER_TIMING, |text| values::one_of(text, &values::SWITCH));
    let retry = retry(validation);
    let header_case = header_case?;
    let limits = limits(validation, header_case);
    let in_flight = validation.count(&o::IN_FLIGHT);
    let drain_delay = validation.duration(&o::DRAIN_DELAY);
    let drain_timeout = validation.duration(&o::DRAIN_TIMEOUT);
    let watch = validation.value(&o::WATCH, |text| values::one_of(text, &values::SWITCH));
    let threads = validation.optional_count(&o::THREADS);
    let log = log_settings(validation, elsewhere.no_color);
    let access_log = access_log(validation);
    let redis = redis::redis(validation);
    let (listen, admin) = listeners?;
    let (mut profiles, retry) = (profiles?, retry?);
    limited?;
    for profile in &mut profiles {
        // Who wants to see every 429 does not want to be paced.
        profile.pace.adaptive &= retry.limits.rate_limit_retries > 0;
    }
    Ok(Config {
        listen,
        admin,
        auth: auth?,
        profiles,
        guard: guard?,
        tls: tls?,
        clients: clients?,
        rules: rules?,
        via: via?,
        server_timing: server_timing?,
        header_case,
        retry,
        limits: limits?,
        in_flight: whole(in_flight?),
        drain_delay: drain_delay?,
        drain_timeout: drain_timeout?,
        watch: watch?,
        threads: threads?.and_then(NonZeroUsize::new),
        log: log?,
        values: configured::values(validation.layers, tables, rate_limits),
        access_log: access_log?,
        redis: redis?,
        traces: elsewhere.traces,
        forward_proxy: elsewhere.forward_proxy,
    })
}

fn guard(validation: &mut Validation<'_>) -> Result<access::Settings, Reported> {
    let hosts = validation.optional(&o::ALLOWED_HOSTS, str::parse);
    let origins = validation.optional(&o::ALLOWED_ORIGINS, |text| {
        values::list(text).map(str::parse::<WebOrigin>).collect::<Result<Vec<_>, _>>()
    });
    Ok(access::Settings { hosts: hosts?.unwrap_or_default(), origins: origins?.unwrap_or_default() })
}

fn rules(validation: &mut Validation<'_>) -> Result<access::Rules, Reported> {
    let read = |text: &str| values::list(text).map(str::parse::<Rule>).collect::<Result<Vec<_>, _>>();
    let allow = validation.optional(&o::ALLOW, read);
    let deny = validation.optional(&o::DENY, read);
    let read_only = validation.value(&o::READ_ONLY, |text| values::one_of(text, &values::SWITCH));
    Ok(access::Rules {
        allow: allow?.unwrap_or_default(),
        deny: deny?.unwrap_or_default(),
        read_only: read_only?,
    })
}

fn retry(validation: &mut Validation<'_>) -> Result<Retry, Reported> {
    let replay_buffer = validation.size(&o::REPLAY_BUFFER);
    let replay_memory = validation.size(&o::REPLAY_MEMORY);
    let rate_limit_retries = validation.count(&o::RATE_LIMIT_RETRIES);
    let max_wait = validation.duration(&o::MAX_WAIT);
    let (replay_buffer, replay_memory) = (replay_buffer?, replay_memory?);
    if replay_buffer > replay_memory {
        validation.warnings.push(Warning::ReplayBufferTooLarge);
    }
    let limits = retry::Limits { rate_limit_retries: rate_limit_retries?, max_wait: max_wait? };
    Ok(Retry { limits, replay_buffer, replay_memory })
}

fn limits(validation: &mut Validation<'_>, header_case: HeaderCase) -> Result<server::Limits, Reported> {
    let header_size = validation.size(&o::HEADER_SIZE);
    let header_timeout = validation.duration(&o::HEADER_TIMEOUT);
    let idle_timeout = validation.duration(&o::IDLE_TIMEOUT);
    let stall_timeout = validation.duration_or_off(&o::STALL_TIMEOUT);
    let connections = validation.count(&o::CONNECTIONS);
    Ok(server::Limits {
        header_size: header_size?,
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        stall_timeout: stall_timeout?,
        connections: whole(connections?),
        header_case,
    })
}

fn whole(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn access_log(validation: &mut Validation<'_>) -> Result<AccessLog, Reported> {
    let which = validation.value(&o::ACCESS_LOG, |text| {
        if let Some(least) = text.strip_prefix("slow:") {
            return values::positive_duration(least).map(Which::Slow);
        }
        values::one_of(text, &[("errors", Which::Errors), ("all", Which::All), ("off", Which::Off)])
    });
    let sample = validation.count(&o::ACCESS_SAMPLE);
    let query = validation.value(&o::ACCESS_QUERY, |text| values::one_of(text, &values::SWITCH));
    Ok(AccessLog::new(which?, sample?, query?))
}

fn log_settings(validation: &mut Validation<'_>, no_color: bool) -> Result<log::Settings, Reported> {
    let filter = validation.value(&o::LOG, values::log_filter);
    let format = validation.optional(&o::LOG_FORMAT, |text| values::one_of(text, &LOG_FORMATS));
    Ok(log::Settings { filter: filter?, format: format?, no_color })
}

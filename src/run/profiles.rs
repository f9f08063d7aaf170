//! Profiles before there is one of each for every core: tokens kept fresh, APIs discovered.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::VERSION;
use super::before::{Before, reaches_alike};
use super::error::StartError;
use super::observing;
use super::prepared::{Place, Prepared};
use super::tasks::{TaskEnd, TaskGuard};
use crate::access::Failures;
use crate::admin::{Pages, ProfilePages};
use crate::clock::Clock;
use crate::config::{Config, Profile as Configured};
use crate::discovery::{self, Discoverer};
use crate::drain::{Drain, Phase};
use crate::metrics::{LimitReading, Metrics, ProfileMetrics};
use crate::pause::Pause;
use crate::proxy::pace::{self, LimitState, Pace, PaceState};
use crate::proxy::{self, ApiUpstream, Budget, Callers, Connect, Refusals};
use crate::reloads::Reloads;
use crate::server::{Bound, Listen};
use crate::tokens::{self, Network, Replicas, TokenSource};
use crate::traces::Traces;
use crate::upstream;

/// What all profiles have in common.
pub(super) struct Common<'a> {
    pub(super) clock: &'a Clock,
    pub(super) metrics: &'a Metrics,
    /// Ends the tasks of tokens.
    pub(super) stop: &'a Drain,
    pub(super) traces: Option<&'a Traces>,
}

/// Every profile, with the tasks that keep its token fresh and discover its API. `listeners` are those of the
/// configuration that the process started with. What is as it was `before` is taken from there.
pub(super) fn prepare(
    config: &Config,
    listeners: (&Config, &[Bound]),
    common: &Common<'_>,
    tasks: &mut JoinSet<TaskEnd>,
    before: Option<Before<'_>>,
) -> Result<Vec<Prepared>, StartError> {
    let mut prepared: Vec<Prepared> = Vec::new();
    for (index, profile) in config.profiles.iter().enumerate() {
        let known = before.and_then(|before| before.profile(&profile.name));
        let metrics = before
            .and_then(|before| before.metrics(&profile.name))
            .unwrap_or_else(|| common.metrics.profile(&profile.name));
        let shared = prepared.get(profile.credentials).filter(|_| profile.credentials != index);
        let shared = shared.or_else(|| before?.with_tokens_of(config, profile));
        let (tokens, keeper) = match shared {
            Some(own) => (own.tokens.clone(), own.tasks.first().cloned()),
            None => {
                keep_fresh(config, profile, &metrics, common, tasks).map(|(own, task)| (own, Some(task)))?
            }
        };
        let same_way = known.filter(|(old, own)| {
            // What is discovered is found with a token.
            let discovers = profile.upstream.discovery.is_some();
            before.is_some_and(|before| reaches_alike((before.config, old), (config, profile)))
                && (!discovers || own.tokens.is_same(&tokens))
        });
        let mut own_tasks: Vec<TaskGuard> = keeper.into_iter().collect();
        let place = match same_way {
            Some((_, own)) => {
                own_tasks.extend(own.tasks.get(1).cloned());
                own.place.clone()
            }
            None => place(config, profile, &tokens, common.clock, tasks, &mut own_tasks)?,
        };
        let learned = known.filter(|(old, _)| old.pace == profile.pace).map(|(_, own)| Arc::clone(&own.pace));
        let limits = learned.unwrap_or_else(|| Arc::new(Pace::new(&profile.name, &profile.pace)));
        let shares_on = known.filter(|(old, own)| {
            let same_store = before.is_some_and(|before| before.config.redis == config.redis);
            same_store && old.oauth == profile.oauth && Arc::ptr_eq(&own.pace, &limits)
        });
        let sharing = match shares_on {
            Some((_, own)) => own.sharing.clone(),
            None => share(config, profile, &limits, common.clock, tasks),
        };
        let earlier = config.profiles.iter().take(index);
        let listener = profile.listen.as_ref().map(|listen| {
            let same = earlier.filter(|other| other.listen.as_ref() == Some(listen)).count();
            own_listener(listeners.0, listen, same)
        });
        let address = listener.and_then(|index| listeners.1.get(index)).map(ToString::to_string);
        prepared.push(Prepared {
            name: profile.name.as_str().into(),
            selector: profile.selector.clone(),
            listener,
            address,
            place,
            tokens,
            tasks: own_tasks,
            is_reached_as_before: same_way.is_some(),
            connect: connect(config, profile),
            rewrites_json_links: profile.rewrite_json_links,
            metrics,
            origins: profile.oauth.origins.clone(),
            health: known.map(|(_, own)| Arc::clone(&own.health)).unwrap_or_default(),
            pace: limits,
            sharing,
        });
    }
    Ok(prepared)
}

/// What `make` makes of the profiles of each core.
pub(super) fn on_each_core<T>(
    prepared: &[Prepared],
    cores: usize,
    make: impl Fn(Vec<proxy::Profile>) -> T,
) -> Result<Vec<T>, StartError> {
    let profiles = || prepared.iter().map(|own| own.on_this_core(None)).collect::<Result<_, _>>();
    (0..cores).map(|_| profiles().map(&make)).collect()
}

/// The index of the listener that is bound to this address. The first one is shared; those of profiles follow in
/// their order. Of equal ones (port 0) each profile has its own: `same` come before this one. One that is not bound
/// is nobody's until the next start.
fn own_listener(started: &Config, listen: &Listen, same: usize) -> usize {
    let own = started.profiles.iter().filter_map(|profile| profile.listen.as_ref());
    let mut equal = own.enumerate().filter(|(_, own)| *own == listen);
    equal.nth(same).map_or(usize::MAX, |(index, _)| index + 1)
}

fn keep_fresh(
    config: &Config,
    profile: &Configured,
    metrics: &ProfileMetrics,
    common: &Common<'_>,
    tasks: &mut JoinSet<TaskEnd>,
) -> Result<(TokenSource, TaskGuard), StartError> {
    let forward_proxy = config.forward_proxy.toward(&profile.oauth.token_url).cloned();
    let network = Network { tls: profile.upstream.trust.client_config(&[]), forward_proxy };
    let observer = observing::token_observer(&profile.name, metrics, common.traces);
    let (source, task) =
        tokens::new(profile.oauth.clone(), network, common.clock.clone(), observer, config.redis.as_ref())?;
    let (guard, gone) = TaskGuard::new();
    let stop = common.stop.clone();
    let span = span(config, "tokens", &profile.name);
    let stopped = async move {
        tokio::select! {
            () = stop.reached(Phase::Draining) => {}
            () = gone => {}
        }
    };
    tasks.spawn(
        async move {
            task.run(stopped).await;
            TaskEnd::Expected
        }
        .instrument(span),
    );
    Ok((source, guard))
}

/// Shares the pace of a profile with the other replicas, where there is a store for that.
fn share(
    config: &Config,
    profile: &Configured,
    pace: &Arc<Pace>,
    clock: &Clock,
    tasks: &mut JoinSet<TaskEnd>,
) -> Option<TaskGuard> {
    let topic = format!("pace of {}", profile.name);
    let replicas = Replicas::new(&profile.oauth, clock, config.redis.as_ref()?, &topic);
    let task = pace::share(Arc::clone(pace), replicas);
    let (guard, gone) = TaskGuard::new();
    let until_gone = async move {
        tokio::select! {
            () = task => TaskEnd::Unexpected,
            () = gone => TaskEnd::Expected,
        }
    };
    tasks.spawn(until_gone.instrument(span(config, "pace", &profile.name)));
    Some(guard)
}

/// Where a profile's requests go; where that is to be discovered, the task that does so starts here.
fn place(
    config: &Config,
    profile: &Configured,
    tokens: &TokenSource,
    clock: &Clock,
    tasks: &mut JoinSet<TaskEnd>,
    own_tasks: &mut Vec<TaskGuard>,
) -> Result<Place, StartError> {
    let Some(settings) = &profile.upstream.discovery else {
        return Ok(Place::Fixed(profile.upstream.base_url.clone()));
    };
    let forward_proxy = config.forward_proxy.toward(&settings.url).cloned();
    let network = Network { tls: profile.upstream.trust.client_config(&[]), forward_proxy };
    let discoverer = Discoverer::new(settings.clone(), network)?;
    let (publish, found) = watch::channel(None);
    let task = discovery::run(discoverer, tokens.clone(), clock.clone(), str::parse, publish);
    let (guard, gone) = TaskGuard::new();
    own_tasks.push(guard);
    let until_gone = async move {
        tokio::select! {
            () = task => TaskEnd::Unexpected,
            () = gone => TaskEnd::Expected,
        }
    };
    tasks.spawn(until_gone.instrument(span(config, "discovery", &profile.name)));
    Ok(Place::Discovered(found))
}

/// Log lines of a task say which profile they are about, where there is more than one.
fn span(config: &Config, what: &'static str, name: &str) -> tracing::Span {
    if is_named(config) {
        tracing::info_span!("profile", what, profile = name)
    } else {
        tracing::Span::none()
    }
}

/// How requests reach a profile's API, wherever that is.
fn connect(config: &Config, profile: &Configured) -> Connect {
    let configured = profile.upstream.clone();
    let (forward_proxy, header_case) = (config.forward_proxy.clone(), config.header_case);
    Arc::new(move |base_url| {
        ApiUpstream::new(upstream::Settings {
            base_url,
            connect_timeout: configured.connect_timeout,
            response_timeout: configured.response_timeout,
            tls: configured.trust.clone(),
            forward_proxy: forward_proxy.clone(),
            header_case,
        })
    })
}

/// True where profiles were configured, so that their names mean something.
fn is_named(config: &Config) -> bool {
    config.profiles.len() > 1 || config.profiles.iter().any(|profile| profile.name != "default")
}

/// The limits that the metrics show.
pub(super) type ShownLimits = Arc<Mutex<Limits>>;
/// Each with its profile's name.
pub(super) type Limits = Vec<(String, Arc<Pace>)>;

/// The limits of all profiles.
pub(super) fn limits(prepared: &[Prepared]) -> Limits {
    prepared.iter().map(|own| (own.name.to_string(), Arc::clone(&own.pace))).collect()
}

/// Has the metrics show the limits of all profiles, and those that replace them.
pub(super) fn show_limits(prepared: &[Prepared], metrics: &Metrics) -> ShownLimits {
    let shown = Arc::new(Mutex::new(limits(prepared)));
    let read = Arc::clone(&shown);
    metrics.limits(move || {
        let paces = read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        paces.iter().flat_map(|(name, pace)| readings(name, &pace.state())).collect()
    });
    shown
}

fn readings(profile: &str, state: &PaceState) -> Vec<LimitReading> {
    let reading = |limit: &str, own: &LimitState| LimitReading {
        profile: profile.to_owned(),
        limit: limit.to_owned(),
        limited: own.limited,
        learned_rate: own.rate,
        paused: own.paused.unwrap_or_default(),
        waiting: own.waiting,
        ..LimitReading::default()
    };
    let own = LimitReading {
        budget_left: state.budget_left,
        replicas: state.replicas.map(|(number, heard)| (number.get(), heard)),
        ..reading("default", &state.profile)
    };
    let limits = state.limits.iter().map(|(limit, own)| reading(limit, own));
    [own].into_iter().chain(limits).collect()
}

/// How the proxy is set up, with a member of `CDN-Loop` of this process's own.
pub(super) fn proxy_settings(config: &Config, listeners: &[Bound], metrics: &Metrics) -> proxy::Settings {
    proxy::Settings {
        via: config.via,
        callers: callers(config, metrics, None),
        rules: config.rules.clone(),
        refusals: Refusals::default(),
        server_timing: config.server_timing,
        limits: config.retry.limits,
        replay_buffer: config.retry.replay_buffer,
        replay_memory: Budget::new(config.retry.replay_memory),
        in_flight: config.in_flight,
        access_log: config.access_log.clone(),
        stall_timeout: config.limits.stall_timeout,
        loop_member: proxy::Settings::loop_member(fastrand::u64(..)),
        listeners: listeners.iter().map(|bound| Bound::addresses(bound).first().copied()).collect(),
        pause: Pause::default(),
        failures: Failures::default(),
        tls: config.tls.is_some(),
        auth_listener: None,
        traces: None,
    }
}

/// The same for another configuration: what is known of the process goes on.
pub(super) fn next_settings(config: &Config, before: &proxy::Settings, metrics: &Metrics) -> proxy::Settings {
    proxy::Settings {
        via: config.via,
        callers: callers(config, metrics, before.callers.as_deref()),
        rules: config.rules.clone(),
        server_timing: config.server_timing,
        limits: config.retry.limits,
        replay_buffer: config.retry.replay_buffer,
        replay_memory: before.replay_memory.with_size(config.retry.replay_memory),
        in_flight: config.in_flight,
        access_log: config.access_log.clone(),
        stall_timeout: config.limits.stall_timeout,
        ..before.clone()
    }
}

fn callers(config: &Config, metrics: &Metrics, before: Option<&Callers>) -> Option<Arc<Callers>> {
    let clients = config.clients.as_ref()?.iter().map(|own| (own.client.clone(), own.rate)).collect();
    // What waits for an API may wait for its client's turn as well.
    let queue = config.profiles.iter().map(|profile| profile.pace.queue).max().unwrap_or_default();
    Some(Arc::new(Callers::new(clients, queue, metrics, before)))
}

/// What the admin pages show.
pub(super) fn pages(
    config: &Config,
    prepared: &[Prepared],
    listen: &[Bound],
    settings: &proxy::Settings,
    (metrics, clock, drain): (Metrics, Clock, Drain),
    reloads: Reloads,
) -> Pages {
    let profiles = config.profiles.iter().zip(prepared).map(|(profile, prepared)| {
        let place = prepared.place.clone();
        let mut token_url = profile.oauth.token_url.clone();
        token_url.set_query(None);
        ProfilePages {
            metrics: prepared.metrics.clone(),
            tokens: prepared.tokens.clone(),
            base_url: Arc::new(move || match &place {
                Place::Fixed(base) => Some(base.to_string()),
                Place::Discovered(found) => found.borrow().as_ref().map(ToString::to_string),
            }),
            token_url: token_url.into(),
            pace: Arc::clone(&prepared.pace),
        }
    });
    Pages {
        profiles: profiles.collect(),
        named: is_named(config),
        started: clock.now(),
        metrics,
        clock,
        drain,
        version: VERSION,
        listen: listen.iter().map(ToString::to_string).collect(),
        configuration: config.values.clone(),
        failures: settings.failures.clone(),
        pause: settings.pause.clone(),
        reloads,
    }
}

//! Profiles before there is one of each for every core: tokens kept fresh, APIs discovered.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::VERSION;
use super::error::StartError;
use super::listeners::Listeners;
use crate::access::Failures;
use crate::admin::{Pages, ProfilePages};
use crate::cause::Origins;
use crate::clock::Clock;
use crate::config::{Config, Profile as Configured};
use crate::discovery::{self, Discoverer};
use crate::drain::{Drain, Phase};
use crate::metrics::{LimitReading, Metrics, ProfileMetrics};
use crate::pause::Pause;
use crate::proxy::pace::{LimitState, Pace, PaceState};
use crate::proxy::{
    self, ApiUpstream, Budget, Callers, Connect, Destination, Health, Profile, Refusals, Selector,
};
use crate::server::Bound;
use crate::tokens::{self, Network, TokenSource};
use crate::upstream::{self, BaseUrl};

/// A profile before there is one of it for each core.
pub(super) struct Prepared {
    name: Arc<str>,
    selector: Selector,
    listener: Option<usize>,
    address: Option<String>,
    tokens: TokenSource,
    place: Place,
    connect: Connect,
    rewrites_json_links: bool,
    metrics: ProfileMetrics,
    origins: Origins,
    health: Arc<Health>,
    pace: Arc<Pace>,
}

/// Where a profile's requests go.
#[derive(Clone)]
enum Place {
    Fixed(Arc<BaseUrl>),
    Discovered(watch::Receiver<Option<Arc<BaseUrl>>>),
}

/// Every profile, with the tasks that keep its token fresh and discover its API. `stop` ends the former.
pub(super) fn prepare(
    config: &Config,
    listeners: &Listeners,
    clock: &Clock,
    metrics: &Metrics,
    stop: &Drain,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<Prepared>, StartError> {
    let mut prepared: Vec<Prepared> = Vec::new();
    let mut own_listeners = 0;
    for (index, profile) in config.profiles.iter().enumerate() {
        let metrics = metrics.profile(&profile.name);
        let tokens = match prepared.get(profile.credentials).filter(|_| profile.credentials != index) {
            Some(shared) => shared.tokens.clone(),
            None => keep_fresh(config, profile, clock, &metrics, stop, tasks)?,
        };
        // The first listener is shared; those of profiles follow in their order.
        let listener = profile.listen.as_ref().map(|_| {
            own_listeners += 1;
            own_listeners
        });
        let address = listener.and_then(|index| listeners.bound.get(index)).map(ToString::to_string);
        prepared.push(Prepared {
            name: profile.name.as_str().into(),
            selector: profile.selector.clone(),
            listener,
            address,
            place: place(config, profile, &tokens, clock, tasks)?,
            tokens,
            connect: connect(config, profile),
            rewrites_json_links: profile.rewrite_json_links,
            metrics,
            origins: profile.oauth.origins.clone(),
            health: Arc::default(),
            pace: Arc::new(Pace::new(&profile.name, &profile.pace)),
        });
    }
    Ok(prepared)
}

fn keep_fresh(
    config: &Config,
    profile: &Configured,
    clock: &Clock,
    metrics: &ProfileMetrics,
    stop: &Drain,
    tasks: &mut JoinSet<()>,
) -> Result<TokenSource, StartError> {
    let forward_proxy = config.forward_proxy.toward(&profile.oauth.token_url).cloned();
    let network = Network { tls: profile.upstream.trust.client_config(&[]), forward_proxy };
    let (source, task) =
        tokens::new(profile.oauth.clone(), network, clock.clone(), metrics.token_observer())?;
    let stop = stop.clone();
    let span = span(config, "tokens", &profile.name);
    tasks.spawn(async move { task.run(stop.reached(Phase::Draining)).await }.instrument(span));
    Ok(source)
}

/// Where a profile's requests go; where that is to be discovered, the task that does so starts here.
fn place(
    config: &Config,
    profile: &Configured,
    tokens: &TokenSource,
    clock: &Clock,
    tasks: &mut JoinSet<()>,
) -> Result<Place, StartError> {
    let Some(settings) = &profile.upstream.discovery else {
        return Ok(Place::Fixed(profile.upstream.base_url.clone()));
    };
    let forward_proxy = config.forward_proxy.toward(&settings.url).cloned();
    let network = Network { tls: profile.upstream.trust.client_config(&[]), forward_proxy };
    let discoverer = Discoverer::new(settings.clone(), network)?;
    let (publish, found) = watch::channel(None);
    let task = discovery::run(discoverer, tokens.clone(), clock.clone(), str::parse, publish);
    tasks.spawn(task.instrument(span(config, "discovery", &profile.name)));
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

impl Prepared {
    /// The profile for one core.
    pub(super) fn on_this_core(&self) -> Result<Profile, StartError> {
        Ok(Profile {
            name: self.name.clone(),
            selector: self.selector.clone(),
            listener: self.listener,
            address: self.address.clone(),
            tokens: self.tokens.clone(),
            destination: match &self.place {
                Place::Fixed(base) => Destination::Fixed(base.clone(), (self.connect)(base.clone())?),
                Place::Discovered(found) => Destination::discovered(found.clone(), self.connect.clone()),
            },
            rewrites_json_links: self.rewrites_json_links,
            metrics: self.metrics.for_core(),
            origins: self.origins.clone(),
            health: Arc::clone(&self.health),
            pace: Arc::clone(&self.pace),
        })
    }
}

/// True where profiles were configured, so that their names mean something.
fn is_named(config: &Config) -> bool {
    config.profiles.len() > 1 || config.profiles.iter().any(|profile| profile.name != "default")
}

/// What the metrics say of the limits of all profiles.
pub(super) fn show_limits(prepared: &[Prepared], metrics: &Metrics) {
    let paces: Vec<_> = prepared.iter().map(|own| (own.name.to_string(), Arc::clone(&own.pace))).collect();
    metrics.limits(move || paces.iter().flat_map(|(name, pace)| readings(name, &pace.state())).collect());
}

fn readings(profile: &str, state: &PaceState) -> Vec<LimitReading> {
    let reading = |limit: &str, own: &LimitState, budget_left| LimitReading {
        profile: profile.to_owned(),
        limit: limit.to_owned(),
        limited: own.limited,
        learned_rate: own.rate,
        paused: own.paused.unwrap_or_default(),
        waiting: own.waiting,
        budget_left,
    };
    let limits = state.limits.iter().map(|(limit, own)| reading(limit, own, None));
    [reading("default", &state.profile, state.budget_left)].into_iter().chain(limits).collect()
}

/// How the proxy is set up, with a member of `CDN-Loop` of this process's own.
pub(super) fn proxy_settings(config: &Config, listeners: &Listeners, metrics: &Metrics) -> proxy::Settings {
    proxy::Settings {
        via: config.via,
        callers: callers(config, metrics),
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
        listeners: listeners.bound.iter().map(|bound| Bound::addresses(bound).first().copied()).collect(),
        pause: Pause::default(),
        failures: Failures::default(),
    }
}

fn callers(config: &Config, metrics: &Metrics) -> Option<Arc<Callers>> {
    let clients = config.clients.as_ref()?.iter().map(|own| (own.client.clone(), own.rate)).collect();
    // What waits for an API may wait for its client's turn as well.
    let queue = config.profiles.iter().map(|profile| profile.pace.queue).max().unwrap_or_default();
    Some(Arc::new(Callers::new(clients, queue, metrics)))
}

/// What the admin pages show.
pub(super) fn pages(
    config: &Config,
    prepared: &[Prepared],
    listen: &[Bound],
    settings: &proxy::Settings,
    (metrics, clock, drain): (Metrics, Clock, Drain),
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
    }
}

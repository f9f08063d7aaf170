//! Profiles before there is one of each for every core: credentials kept, upstreams found.

use std::sync::{Arc, Mutex};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::{StartError, settings};
use crate::admin::{Pages, ProfilePages, Whereabouts};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::discovery::{self, Discoverer};
use crate::metrics::{Shards, TokenCounters};
use crate::oauth::{self, Tokens};
use crate::proxy::{Connect, Profile, Select, Upstream};
use crate::server::{Drain, Listener, Phase};
use crate::transport::Base;

/// A profile before there is one of it for each core.
pub(super) struct Blueprint {
    name: Arc<str>,
    select: Select,
    address: Option<String>,
    tokens: Tokens,
    place: Place,
    connect: Connect,
    rewrites_links: bool,
    pub(super) shards: Shards,
}

/// Where a profile's requests go.
#[derive(Clone)]
enum Place {
    Fixed(Arc<Base>),
    Discovered(watch::Receiver<Option<Arc<Base>>>),
}

/// What can be had of one set of credentials.
pub(super) struct Kept {
    tokens: Tokens,
    counters: Arc<TokenCounters>,
}

/// One keeper for each set of credentials; the places are those of the profiles.
pub(super) fn keep_all(
    config: &Config,
    clock: &Clock,
    drain: &Drain,
    keepers: &mut JoinSet<()>,
) -> Result<Vec<Arc<Kept>>, StartError> {
    let mut kept: Vec<Arc<Kept>> = Vec::new();
    for profile in &config.profiles {
        if let Some(shared) = kept.get(profile.credentials) {
            kept.push(shared.clone());
            continue;
        }
        let counters = Arc::new(TokenCounters::default());
        let (tokens, keeper) = oauth::keeper(
            settings::token(&profile.oauth, &profile.upstream, &config.forward_proxy)?,
            settings::grant(&profile.oauth),
            clock.clone(),
            counters.clone(),
        )?;
        let stop = drain.clone();
        let span = if is_named(config) {
            tracing::info_span!("keeper", profile = profile.name)
        } else {
            tracing::Span::none()
        };
        keepers.spawn(async move { keeper.run(stop.reached(Phase::Draining)).await }.instrument(span));
        kept.push(Arc::new(Kept { tokens, counters }));
    }
    Ok(kept)
}

/// Every profile, with what it is made of on each of `cores`.
pub(super) fn blueprints(
    config: &Config,
    listeners: &[(Option<usize>, Listener)],
    kept: &[Arc<Kept>],
    tasks: &mut JoinSet<()>,
    cores: usize,
) -> Result<Vec<Blueprint>, StartError> {
    let made = config.profiles.iter().zip(kept).enumerate().map(|(index, (profile, kept))| {
        let own = listeners.iter().position(|(owner, _)| *owner == Some(index));
        let bound = own.and_then(|own| listeners.get(own)).map(|(_, listener)| &listener.bound);
        Ok(Blueprint {
            name: profile.name.as_str().into(),
            select: settings::select(&profile.select, own),
            address: bound.map(ToString::to_string),
            tokens: kept.tokens.clone(),
            place: place(profile, kept, config, tasks)?,
            connect: settings::connect(&profile.upstream, &config.forward_proxy)?,
            rewrites_links: profile.rewrite_json_links,
            shards: Shards::new(cores),
        })
    });
    made.collect()
}

/// Where a profile's requests go; where that is to be found out, the task that does so starts here.
fn place(
    profile: &config::Profile,
    kept: &Kept,
    config: &Config,
    tasks: &mut JoinSet<()>,
) -> Result<Place, StartError> {
    let Some(discovery) = settings::discovery(&profile.upstream, &config.forward_proxy)? else {
        return Ok(Place::Fixed(settings::base(&profile.upstream.base_url)));
    };
    let discoverer = Discoverer::new(discovery)?;
    let (publish, found) = watch::channel(None);
    let tokens = kept.tokens.clone();
    let span = tracing::info_span!("discovery", profile = profile.name);
    let keep = discovery::keep(discoverer, tokens, Clock::System, settings::base_of, publish);
    tasks.spawn(keep.instrument(span));
    Ok(Place::Discovered(found))
}

impl Blueprint {
    /// What is shown of where its requests go, at the moment of asking.
    fn whereabouts(&self) -> Whereabouts {
        let place = self.place.clone();
        Arc::new(move || match &place {
            Place::Fixed(base) => Some(base.to_string()),
            Place::Discovered(found) => found.borrow().as_ref().map(ToString::to_string),
        })
    }

    /// The profile for one core.
    pub(super) fn on(&self, core: usize) -> Result<Profile, StartError> {
        Ok(Profile {
            name: self.name.clone(),
            select: self.select.clone(),
            address: self.address.clone(),
            tokens: self.tokens.clone(),
            upstream: match &self.place {
                Place::Fixed(base) => Upstream::Fixed(base.clone(), (self.connect)(base.clone())?),
                Place::Discovered(found) => Upstream::Discovered {
                    found: found.clone(),
                    connect: self.connect.clone(),
                    made: Mutex::default(),
                },
            },
            rewrites_links: self.rewrites_links,
            shard: self.shards.iter().nth(core).cloned().unwrap_or_default(),
        })
    }
}

/// True where profiles were configured, so that telling them apart means something.
pub(super) fn is_named(config: &Config) -> bool {
    config.profiles.len() > 1 || config.profiles.iter().any(|profile| profile.name != "default")
}

/// What the admin pages tell of.
pub(super) fn pages(
    config: &Config,
    blueprints: &[Blueprint],
    kept: &[Arc<Kept>],
    clock: Clock,
    drain: Drain,
) -> Pages {
    let profiles = config.profiles.iter().zip(blueprints).zip(kept).enumerate();
    let profiles = profiles.map(|(place, ((profile, blueprint), kept))| ProfilePages {
        name: profile.name.clone(),
        shards: blueprint.shards.clone(),
        token_counters: (profile.credentials == place).then(|| kept.counters.clone()),
        tokens: kept.tokens.clone(),
        base_url: blueprint.whereabouts(),
        token_url: profile.oauth.token_endpoint(),
    });
    Pages {
        profiles: profiles.collect(),
        named: is_named(config),
        started: clock.now(),
        clock,
        drain,
        version: env!("CARGO_PKG_VERSION"),
    }
}

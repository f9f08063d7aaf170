//! Another configuration for a running proxy.
//!
//! Everything is made before anything is replaced, so that a configuration that cannot be used changes nothing. What
//! is the same in both is kept: tokens of the same credentials, connections to the same upstream, learned limits,
//! counters. A request goes on under the configuration with which it began.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

use tokio::task::JoinSet;

use super::before::Before;
use super::error::StartError;
use super::listeners;
use super::open_files;
use super::prepared::Prepared;
use super::profiles::{self, ShownLimits};
use super::tasks::TaskEnd;
use crate::access::Guard;
use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::Config;
use crate::drain::Drain;
use crate::log::Log;
use crate::metrics::{Counters, Label, Metrics, ProfileMetrics};
use crate::proxy::{self, Proxy};
use crate::reloads::Reloads;
use crate::server::{Bound, Tls, TlsSettings, Tuning};

/// The name of the counters of [`Outcome`].
pub(super) const COUNTER: &str = "cxone_proxy_reloads_total";

/// What came of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    Failure,
}

impl Label for Outcome {
    const NAME: &'static str = "outcome";
    const ALL: &'static [Self] = &[Self::Success, Self::Failure];

    fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

/// The parts of a running proxy that a reload looks at.
pub(super) struct Live {
    /// The configuration that the process started with.
    pub(super) initial: Config,
    /// The one in force.
    pub(super) config: Config,
    pub(super) prepared: Vec<Prepared>,
    /// Metrics of profiles that are gone: they may come back.
    pub(super) retired: HashMap<String, ProfileMetrics>,
    pub(super) settings: proxy::Settings,
    /// One for each core.
    pub(super) proxies: Vec<Proxy>,
    pub(super) guard: Guard,
    pub(super) admin: Admin,
    pub(super) bound: Vec<Bound>,
    pub(super) tunings: Vec<Tuning>,
    /// What the listeners speak, where it is not plain HTTP.
    pub(super) tls: Option<Tls>,
    /// When the listener's certificate expires, in seconds of Unix time.
    pub(super) expiry: Arc<AtomicU64>,
    pub(super) shown: ShownLimits,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) drain: Drain,
    /// Ends the tasks that keep tokens fresh.
    pub(super) admin_drain: Drain,
    pub(super) reloads: Reloads,
    pub(super) outcomes: Counters<Outcome>,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Live {
    /// Takes a configuration over. `log` is the running log, where its filter can be changed.
    pub(super) fn take_over(
        &mut self,
        config: &Config,
        log: Option<&Log>,
        tasks: &mut JoinSet<TaskEnd>,
    ) -> Result<(), StartError> {
        let before = Before { config: &self.config, prepared: &self.prepared, retired: &self.retired };
        let common = profiles::Common {
            clock: &self.clock,
            metrics: &self.metrics,
            stop: &self.admin_drain,
            traces: self.settings.traces.as_ref(),
        };
        let prepared = profiles::prepare(config, (&self.initial, &self.bound), &common, tasks, Some(before))?;
        let settings = profiles::next_settings(config, &self.settings, &self.metrics);
        let cores = self.proxies.iter().map(|proxy| -> Result<Vec<_>, StartError> {
            let own = proxy.profiles();
            let before = |name: &str| own.iter().find(|profile| &*profile.name == name);
            prepared.iter().map(|profile| profile.on_this_core(before(&profile.name))).collect()
        });
        let cores = cores.collect::<Result<Vec<_>, StartError>>()?;
        if let Some(log) = log {
            log.set_filter(&config.log.filter)?;
        }
        // From here on nothing fails.
        self.guard.replace(listeners::guard(config));
        for (proxy, profiles) in self.proxies.iter().zip(cores) {
            proxy.replace(settings.clone(), profiles);
        }
        for tuning in &self.tunings {
            tuning.set(open_files::within_limit(config.limits));
        }
        if let (Some(tls), Some(settings)) = (&self.tls, &config.tls) {
            tls.replace(settings);
            self.expiry.store(expiry(settings), Ordering::Relaxed);
        }
        self.retire(&prepared);
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = profiles::limits(&prepared);
        let shared = (self.metrics.clone(), self.clock.clone(), self.drain.clone());
        let pages = profiles::pages(config, &prepared, &self.bound, &settings, shared, self.reloads.clone());
        self.admin.replace(pages);
        (self.prepared, self.settings) = (prepared, settings);
        self.say_success(config);
        self.config = config.clone();
        Ok(())
    }

    /// Profiles that are gone are not ready any more.
    fn retire(&mut self, prepared: &[Prepared]) {
        let stays = |name: &str| prepared.iter().any(|own| &*own.name == name);
        for gone in self.prepared.iter().filter(|own| !stays(&own.name)) {
            gone.metrics.set_ready(false);
            self.retired.insert(gone.name.to_string(), gone.metrics.clone());
        }
        self.retired.retain(|name, _| !stays(name));
    }

    fn say_success(&self, config: &Config) {
        let needs_restart = needs_restart(&self.initial, config);
        let values = |config: &Config| -> HashMap<String, Option<String>> {
            config.values.iter().map(|own| (own.name.clone(), own.value.clone())).collect()
        };
        let (old, new) = (values(&self.config), values(config));
        let mut changed: Vec<&str> = new
            .iter()
            .filter(|(name, value)| old.get(*name) != Some(*value))
            .map(|(name, _)| name.as_str())
            .collect();
        changed.sort_unstable();
        let names = |names: &[&str]| (!names.is_empty()).then(|| names.join(", "));
        tracing::info!(changed = names(&changed), profiles = config.profiles.len(), "reloaded");
        if let Some(names) = names(&needs_restart) {
            tracing::warn!(
                options = names,
                "the new values of {names} need a restart; until then the old ones hold"
            );
        }
        self.outcomes.add(Outcome::Success);
        self.reloads.succeeded(needs_restart, self.clock.now().wall);
    }

    /// Says that a configuration could not be used.
    pub(super) fn say_failure(&self, error: &str) {
        self.outcomes.add(Outcome::Failure);
        let now = self.clock.now().wall;
        self.reloads.failed(error.to_owned(), now);
        tracing::error!(
            error,
            "not reloaded, the configuration in force stays: {error}. Correct it; a change of the file or SIGHUP reloads again."
        );
    }
}

/// Has the metrics show TLS, where it is spoken. Returns where the expiry of the certificate is read from.
pub(super) fn show_tls(metrics: &Metrics, tls: Option<&Tls>, config: &Config) -> Arc<AtomicU64> {
    let end = Arc::new(AtomicU64::new(config.tls.as_ref().map_or(0, expiry)));
    if let Some(tls) = tls.cloned() {
        let read = Arc::clone(&end);
        metrics.tls(move || tls.failures(), move || read.load(Ordering::Relaxed));
    }
    end
}

fn expiry(settings: &TlsSettings) -> u64 {
    let end = settings.certificate.not_after.map(jiff::Timestamp::as_second);
    end.and_then(|end| u64::try_from(end).ok()).unwrap_or_default()
}

/// The options that only a start can change and that have changed since.
fn needs_restart(initial: &Config, config: &Config) -> Vec<&'static str> {
    let own =
        |config: &Config| config.profiles.iter().filter_map(|own| own.listen.clone()).collect::<Vec<_>>();
    let new = own(config);
    let old = own(initial);
    let changes = [
        ("listen", initial.listen != config.listen),
        ("auth.listen", initial.auth != config.auth),
        ("admin.listen", initial.admin != config.admin),
        (
            "profile.listen",
            new.iter().any(|listen| !old.contains(listen)) || old.iter().any(|listen| !new.contains(listen)),
        ),
        ("tls.cert", initial.tls.is_some() != config.tls.is_some()),
        ("threads", initial.threads != config.threads),
        ("log.format", initial.log.format != config.log.format),
    ];
    changes.into_iter().filter_map(|(name, has_changed)| has_changed.then_some(name)).collect()
}

//! The composition root: from a [`Config`] to a running proxy. The only place that wires.
//!
//! One thread for each core serves clients; the thread that calls [`start`] keeps the token and
//! serves the admin pages, so that neither waits behind the other.

mod admin;
mod blueprint;
mod service;
pub mod settings;

use std::io;
use std::thread;
use std::time::Duration;

use futures_util::future::{join_all, select_all};
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use self::blueprint::{blueprints, keep_all, pages};
use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::Config;
use crate::discovery::DiscoveryError;
use crate::metrics::Shards;
use crate::oauth::EndpointError;
use crate::proxy::Proxy;
use crate::server::{self, Bound, Drain, Drainer, ListenError, Listener, Phase, Worker};
use crate::transport::tls::TlsError;

/// What is cut off may take so long to let go.
const AFTER_CUT: Duration = Duration::from_secs(1);
/// An admin request that runs when everything else has ended may take so long.
const LAST_ADMIN_ANSWER: Duration = Duration::from_secs(1);

/// Why the proxy cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address is taken, or not ours to take.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The CA bundle is wrong.
    #[error("upstream.ca_file: {0}; accepted: a PEM file of CA certificates")]
    Tls(#[from] TlsError),
    /// The token endpoint cannot be asked as configured.
    #[error("the token endpoint cannot be asked as configured")]
    Endpoint(#[from] EndpointError),
    /// The discovery cannot be asked as configured.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The machine refuses what every program needs.
    #[error("the program cannot be set up")]
    Machine(#[from] io::Error),
}

impl StartError {
    /// True where the configuration is at fault rather than the machine.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Endpoint(_) | Self::Discovery(_))
    }
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every exchange was finished.
    Clean,
    /// So many connections were cut off.
    CutOff(usize),
}

/// A running proxy.
pub struct Running {
    /// Where clients connect.
    pub proxy: Bound,
    /// Where the admin pages are.
    pub admin: Option<Bound>,
    drainer: Drainer,
    admin_drainer: Drainer,
    workers: Vec<oneshot::Receiver<()>>,
    admin_task: Option<JoinHandle<()>>,
    keepers: JoinSet<()>,
    shards: Shards,
}

/// Starts everything: listeners first, so that a taken address is told before anything else
/// happens, then the keepers, which ask for the first tokens at once, then the workers, which do
/// not wait for them. To be called on a runtime that goes on to be driven.
pub fn start(config: &Config) -> Result<Running, StartError> {
    raise_file_limit();
    let listeners = bind_all(config)?;
    let admin_listener =
        config.admin.as_ref().map(|admin| server::bind(&settings::listen(admin))).transpose()?;
    let bound: Vec<Bound> = listeners.iter().map(|(_, listener)| listener.bound.clone()).collect();
    let admin_bound = admin_listener.as_ref().map(|listener| listener.bound.clone());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (drainer, drain) = server::drain();
    let (admin_drainer, admin_drain) = server::drain();
    let clock = Clock::System;
    let mut keepers = JoinSet::new();
    let kept = keep_all(config, &clock, &admin_drain, &mut keepers)?;
    let blueprints = blueprints(config, &listeners, &kept, &mut keepers, cores)?;
    let shards: Shards = blueprints.iter().flat_map(|blueprint| blueprint.shards.iter().cloned()).collect();
    let connections = blueprints.first().map(|first| first.shards.clone()).unwrap_or_default();
    let settings = settings::proxy(config, &bound);
    let mut desks: Vec<Vec<(usize, Worker)>> = (0..cores).map(|_| Vec::new()).collect();
    for (place, (_, listener)) in listeners.into_iter().enumerate() {
        let workers = server::workers(listener, &connections, settings::limits(config), &drain);
        for (desk, worker) in desks.iter_mut().zip(workers) {
            desk.push((place, worker));
        }
    }
    let mut workers = Vec::new();
    for (core, desk) in desks.into_iter().enumerate() {
        let profiles = blueprints.iter().map(|blueprint| blueprint.on(core)).collect::<Result<_, _>>()?;
        if let Some(proxy) = Proxy::new(settings.clone(), profiles, clock.clone(), shards.clone()) {
            workers.push(spawn_core(desk, proxy)?);
        }
    }
    let admin_task = admin_listener
        .map(|listener| {
            let pages = pages(config, &blueprints, &kept, clock.clone(), drain);
            let guard = settings::guard(config, std::slice::from_ref(&listener.bound));
            spawn_admin(listener, admin::gated(pages, guard), settings::limits(config), &admin_drain)
        })
        .transpose()?;
    let first =
        bound.first().cloned().ok_or_else(|| StartError::Machine(io::ErrorKind::Unsupported.into()))?;
    tell(config, &bound, admin_bound.as_ref());
    Ok(Running {
        proxy: first,
        admin: admin_bound,
        drainer,
        admin_drainer,
        workers,
        admin_task,
        keepers,
        shards: connections,
    })
}

fn tell(config: &Config, bound: &[Bound], admin: Option<&Bound>) {
    let own = bound.iter().skip(1).map(ToString::to_string).collect::<Vec<_>>().join(",");
    tracing::info!(
        proxy = bound.first().map(tracing::field::display),
        admin = admin.map(tracing::field::display),
        upstream = config.upstream.discovery.is_none().then(|| config.upstream.base_url.to_string()),
        profile_listeners = (!own.is_empty()).then_some(own),
        "listening"
    );
}

/// The listener that all profiles share, then those that profiles have for themselves, each with
/// its profile's place.
fn bind_all(config: &Config) -> Result<Vec<(Option<usize>, Listener)>, StartError> {
    let shared = std::iter::once((None, &config.listen));
    let own = config
        .profiles
        .iter()
        .enumerate()
        .filter_map(|(place, profile)| Some((Some(place), profile.select.listen.as_ref()?)));
    shared.chain(own).map(|(place, listen)| Ok((place, server::bind(&settings::listen(listen))?))).collect()
}

/// The admin pages are served on the calling thread: they are few, and no client waits behind them.
#[allow(clippy::disallowed_methods, reason = "its end is awaited by `Running::drain`")]
fn spawn_admin(
    listener: Listener,
    admin: Admin,
    limits: server::Limits,
    drain: &Drain,
) -> Result<JoinHandle<()>, StartError> {
    let worker = server::workers(listener, &Shards::new(1), limits, drain).pop();
    let worker = worker.ok_or_else(|| StartError::Machine(io::ErrorKind::Unsupported.into()))?;
    Ok(tokio::spawn(async move {
        if let Err(error) = worker.run(admin, || ()).await {
            tracing::error!(%error, "the admin pages cannot be served");
        }
    }))
}

/// Gives a core's workers, one for each listener, their thread and their runtime. The receiver
/// resolves when the thread is done.
fn spawn_core(workers: Vec<(usize, Worker)>, proxy: Proxy) -> Result<oneshot::Receiver<()>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, ended) = oneshot::channel();
    thread::Builder::new().name("worker".to_owned()).spawn(move || {
        let serving = workers.into_iter().map(|(listener, worker)| {
            let sweeping = proxy.clone();
            // The pools are the core's, whichever listener a request came in by.
            let sweep = move || {
                if listener == 0 {
                    sweeping.sweep();
                }
            };
            worker.run(proxy.behind(listener), sweep)
        });
        for outcome in runtime.block_on(join_all(serving)) {
            if let Err(error) = outcome {
                tracing::error!(%error, "a worker cannot serve");
            }
        }
        // Drops what was cut off.
        drop(runtime);
        let _ = done.send(());
    })?;
    Ok(ended)
}

impl Running {
    /// Resolves when the proxy can no longer do its work, with what has ended that should not have.
    /// Cancel safe.
    pub async fn failed(&mut self) -> &'static str {
        tokio::select! {
            _ = self.keepers.join_next() => "a task that keeps a token or finds an upstream",
            _ = select_all(&mut self.workers) => "a thread that serves clients",
        }
    }

    /// Stops accepting, lets open exchanges finish within `limit`, then cuts off what is left. The
    /// admin pages stay up until the end.
    pub async fn drain(self, limit: Duration) -> Ended {
        self.drainer.advance(Phase::Draining);
        let mut all = join_all(self.workers);
        let ended = if timeout(limit, &mut all).await.is_ok() {
            Ended::Clean
        } else {
            let left = self.shards.connections();
            self.drainer.advance(Phase::Cut);
            let _ = timeout(AFTER_CUT, all).await;
            Ended::CutOff(left)
        };
        self.admin_drainer.advance(Phase::Draining);
        if let Some(admin) = self.admin_task {
            let _ = timeout(LAST_ADMIN_ANSWER, admin).await;
        }
        ended
    }
}

/// A proxy needs two descriptors for each exchange; the soft limit of many systems is 1,024.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is not allowed, the old limit does for fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

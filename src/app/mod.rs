//! The composition root: from a [`Config`] to a running proxy. The only place that wires.
//!
//! One thread for each core serves clients; the thread that calls [`start`] keeps the token and
//! serves the admin pages, so that neither waits behind the other.

mod admin;
mod service;
pub mod settings;

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::admin::{Admin, Pages};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::{Shards, TokenCounters};
use crate::oauth::{self, EndpointError, Tokens};
use crate::proxy::{self, Proxy};
use crate::server::{self, Bound, Drain, Drainer, ListenError, Listener, Phase, Worker};
use crate::transport::tls::TlsError;
use crate::transport::{self, Transport};

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
    /// The machine refuses what every program needs.
    #[error("the program cannot be set up")]
    Machine(#[from] io::Error),
}

impl StartError {
    /// True where the configuration is at fault rather than the machine.
    pub fn is_configuration(&self) -> bool {
        matches!(self, Self::Tls(_) | Self::Endpoint(_))
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
    keeper: JoinHandle<()>,
    shards: Shards,
}

/// What all parts share.
struct Parts {
    clock: Clock,
    tokens: Tokens,
    shards: Shards,
    settings: proxy::Settings,
    transport: transport::Settings,
}

/// Starts everything: listeners first, so that a taken address is told before anything else
/// happens, then the keeper, which asks for the first token at once, then the workers, which do
/// not wait for it. To be called on a runtime that goes on to be driven.
pub fn start(config: &Config) -> Result<Running, StartError> {
    raise_file_limit();
    let listener = server::bind(&settings::listen(&config.listen))?;
    let admin_listener =
        config.admin.as_ref().map(|admin| server::bind(&settings::listen(admin))).transpose()?;
    let proxy_bound = listener.bound.clone();
    let admin_bound = admin_listener.as_ref().map(|listener| listener.bound.clone());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (drainer, drain) = server::drain();
    let (admin_drainer, admin_drain) = server::drain();
    let clock = Clock::System;
    let shards = Shards::new(cores);
    let token_counters = Arc::new(TokenCounters::default());
    let (tokens, keeper) = oauth::keeper(
        settings::token(config)?,
        settings::grant(config),
        clock.clone(),
        token_counters.clone(),
    )?;
    let parts = Parts {
        clock,
        tokens,
        shards: shards.clone(),
        settings: settings::proxy(config, &proxy_bound),
        transport: settings::transport(config)?,
    };
    // The first worker's transport is made here, so that what is wrong with it is told at start.
    Transport::new(parts.transport.clone())?;
    let keeper = spawn_keeper(keeper, &admin_drain);
    let workers = server::workers(listener, &shards, settings::limits(config), &drain);
    let workers = workers
        .into_iter()
        .zip(shards.iter())
        .map(|(worker, shard)| spawn_worker(worker, parts.proxy(shard)?))
        .collect::<Result<Vec<_>, StartError>>()?;
    let admin_task = admin_listener
        .map(|listener| {
            let pages = Pages {
                shards: shards.clone(),
                token_counters,
                tokens: parts.tokens.clone(),
                clock: parts.clock.clone(),
                drain,
                base_url: config.upstream.base_url.to_string(),
                token_url: config.oauth.token_endpoint(),
                version: env!("CARGO_PKG_VERSION"),
                started: parts.clock.now(),
            };
            let admin = admin::gated(pages, settings::guard(config, &listener.bound, None));
            spawn_admin(listener, admin, settings::limits(config), &admin_drain)
        })
        .transpose()?;
    tracing::info!(
        proxy = %proxy_bound,
        admin = admin_bound.as_ref().map(tracing::field::display),
        upstream = %config.upstream.base_url,
        "listening"
    );
    Ok(Running {
        proxy: proxy_bound,
        admin: admin_bound,
        drainer,
        admin_drainer,
        workers,
        admin_task,
        keeper,
        shards,
    })
}

#[allow(clippy::disallowed_methods, reason = "its end is watched by `Running::failed`")]
fn spawn_keeper(keeper: oauth::Keeper, drain: &Drain) -> JoinHandle<()> {
    let stop = drain.clone();
    tokio::spawn(async move { keeper.run(stop.reached(Phase::Draining)).await })
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

/// Gives a worker its thread and its runtime. The receiver resolves when the thread is done.
fn spawn_worker(worker: Worker, proxy: Proxy) -> Result<oneshot::Receiver<()>, StartError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, ended) = oneshot::channel();
    thread::Builder::new().name("worker".to_owned()).spawn(move || {
        let sweeping = proxy.clone();
        if let Err(error) = runtime.block_on(worker.run(proxy, move || sweeping.sweep())) {
            tracing::error!(%error, "a worker cannot serve");
        }
        // Drops what was cut off.
        drop(runtime);
        let _ = done.send(());
    })?;
    Ok(ended)
}

impl Running {
    /// Resolves when the proxy can no longer do its work. Cancel safe.
    pub async fn failed(&mut self) {
        let _ = (&mut self.keeper).await;
    }

    /// Stops accepting, lets open exchanges finish within `limit`, then cuts off what is left. The
    /// admin pages stay up until the end.
    pub async fn drain(self, limit: Duration) -> Ended {
        self.drainer.advance(Phase::Draining);
        let mut workers = self.workers;
        let all = async {
            for worker in &mut workers {
                let _ = worker.await;
            }
        };
        let ended = if timeout(limit, all).await.is_ok() {
            Ended::Clean
        } else {
            let left = self.shards.connections();
            self.drainer.advance(Phase::Cut);
            let cut = async {
                for worker in &mut workers {
                    let _ = worker.await;
                }
            };
            let _ = timeout(AFTER_CUT, cut).await;
            Ended::CutOff(left)
        };
        self.admin_drainer.advance(Phase::Draining);
        if let Some(admin) = self.admin_task {
            let _ = timeout(LAST_ADMIN_ANSWER, admin).await;
        }
        ended
    }
}

impl Parts {
    fn proxy(&self, shard: &Arc<crate::metrics::Shard>) -> Result<Proxy, StartError> {
        Ok(Proxy::new(
            self.settings.clone(),
            self.tokens.clone(),
            Transport::new(self.transport.clone())?,
            self.clock.clone(),
            shard.clone(),
            self.shards.clone(),
        ))
    }
}

/// A proxy needs two descriptors for each exchange; the soft limit of many systems is 1,024.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is not allowed, the old limit does for fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

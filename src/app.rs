//! The composition root: from a [`Config`] to a running proxy. The only place that wires.
//!
//! One thread for each core serves clients; the thread that calls [`start`] keeps the token and
//! serves the admin pages, so that neither waits behind the other.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::{AllowedHosts, ClientSecret, Config, Listen, Scheme, Via};
use crate::http1::{HeadError, Tunnel};
use crate::message::{Content, FieldSink, RequestHead};
use crate::metrics::{Shards, TokenObserver};
use crate::oauth::{self, Credentials, EndpointError, Tokens};
use crate::proxy::problem::ProblemKind;
use crate::proxy::retry::Rules;
use crate::proxy::{self, Base, Proxy, fields, guard};
use crate::server::{self, Bound, Drain, Drainer, ListenError, Phase, Unreadable, Worker};
use crate::transport::tls::{self, TlsError};
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

struct Unobserved;
impl TokenObserver for Unobserved {
    fn token_request(&self, _: &'static str, _: &'static str) {}
    fn token_obtained(&self, _: std::time::SystemTime, _: std::time::SystemTime) {}
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
    let listener = server::bind(&listen(&config.listen))?;
    let admin_listener = config.admin.as_ref().map(|admin| server::bind(&listen(admin))).transpose()?;
    let proxy_bound = listener.bound.clone();
    let admin_bound = admin_listener.as_ref().map(|listener| listener.bound.clone());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (drainer, drain) = server::drain();
    let (admin_drainer, admin_drain) = server::drain();
    let clock = Clock::System;
    let shards = Shards::new(cores);
    let (tokens, keeper) =
        oauth::keeper(token_settings(config)?, credentials(config), clock.clone(), Arc::new(Unobserved))?;
    let parts = Parts {
        clock,
        tokens,
        shards: shards.clone(),
        settings: proxy_settings(config, &proxy_bound),
        transport: transport_settings(config)?,
    };
    // The first worker's transport is made here, so that what is wrong with it is told at start.
    Transport::new(parts.transport.clone())?;
    let keeper = spawn_keeper(keeper, &admin_drain);
    let workers = server::workers(listener, &shards, limits(config), &drain);
    let workers = workers
        .into_iter()
        .zip(shards.iter())
        .map(|(worker, shard)| spawn_worker(worker, parts.proxy(shard)?))
        .collect::<Result<Vec<_>, StartError>>()?;
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
        admin_task: None,
        keeper,
        shards,
    })
}

#[allow(clippy::disallowed_methods, reason = "its end is watched by `Running::failed`")]
fn spawn_keeper(keeper: oauth::Keeper, drain: &Drain) -> JoinHandle<()> {
    let stop = drain.clone();
    tokio::spawn(async move { keeper.run(stop.reached(Phase::Draining)).await })
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

impl server::Service for Proxy {
    type Reply<C: Content + Send + Unpin> = proxy::Reply<C>;

    async fn exchange<C: Content + Send + Unpin>(&self, head: &RequestHead, content: C) -> proxy::Reply<C> {
        Self::exchange(self, head, content).await
    }

    fn refuse<C: Content + Send + Unpin>(&self, why: Unreadable) -> proxy::Reply<C> {
        let (kind, detail) = unreadable(why);
        Self::refuse(self, kind, &detail)
    }
}

impl<C: Content + Send + Unpin> server::Reply for proxy::Reply<C> {
    fn is_gone(&self) -> bool {
        Self::is_gone(self)
    }
    fn status(&self) -> u16 {
        Self::status(self)
    }
    fn reason(&self) -> &[u8] {
        Self::reason(self)
    }
    fn fields(&self, request: &RequestHead, sink: &mut impl FieldSink) {
        Self::fields(self, request, sink);
    }
    fn into_tunnel(self) -> Option<Tunnel> {
        Self::into_tunnel(self)
    }
}

/// What the server could not read, as a problem.
fn unreadable(why: Unreadable) -> (ProblemKind, String) {
    match why {
        Unreadable::Head(HeadError::TooLarge) => (ProblemKind::HeaderSize, String::new()),
        Unreadable::Head(error) => (ProblemKind::Malformed, format!("The request cannot be read: {error}.")),
        Unreadable::Framing(error) => {
            (ProblemKind::Malformed, format!("The request cannot be read: {error}."))
        }
        Unreadable::TimedOut => (ProblemKind::HeaderTimeout, String::new()),
    }
}

/// A proxy needs two descriptors for each exchange; the soft limit of many systems is 1,024.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Where it is not allowed, the old limit does for fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The token endpoint's settings.
pub fn token_settings(config: &Config) -> Result<oauth::Settings, TlsError> {
    Ok(oauth::Settings {
        token_url: config.oauth.token_url.clone(),
        scopes: config.oauth.scopes.clone(),
        refresh_margin: config.oauth.refresh_margin,
        tls: tls::client_config(config.upstream.ca_file.as_deref())?,
        forward_proxy: config.forward_proxy.toward(&config.oauth.token_url).cloned(),
    })
}

/// What proves to the token endpoint who we are.
pub fn credentials(config: &Config) -> Credentials {
    let client_id = config.oauth.client_id.clone();
    match &config.oauth.secret {
        ClientSecret::Value(secret) => Credentials::with_secret(client_id, secret.clone()),
        ClientSecret::File { path, at_start } => {
            Credentials::with_secret_file(client_id, path.clone(), at_start.clone())
        }
    }
}

fn transport_settings(config: &Config) -> Result<transport::Settings, TlsError> {
    let upstream = &config.upstream;
    Ok(transport::Settings {
        secure: upstream.base_url.scheme == Scheme::Https,
        host: upstream.base_url.bare_host(),
        port: upstream.base_url.port,
        authority: upstream.base_url.authority(),
        connect_timeout: upstream.connect_timeout,
        response_timeout: upstream.response_timeout,
        tls: tls::client_config(upstream.ca_file.as_deref())?,
        forward_proxy: config.forward_proxy.toward_upstream(&upstream.base_url).cloned(),
    })
}

fn proxy_settings(config: &Config, bound: &Bound) -> proxy::Settings {
    let base_url = &config.upstream.base_url;
    let base = Base {
        secure: base_url.scheme == Scheme::Https,
        host: base_url.bare_host(),
        port: base_url.port,
        prefix: base_url.prefix.clone().into_bytes(),
    };
    proxy::Settings {
        guard: guard_settings(config, bound, Some(&base)),
        base,
        via: match config.via {
            Via::Response => fields::Via::Response,
            Via::Both => fields::Via::Both,
            Via::Off => fields::Via::Off,
        },
        rules: Rules { rate_limit_retries: config.retry.rate_limit_retries, max_wait: config.retry.max_wait },
        replay_buffer: config.retry.replay_buffer,
        in_flight: config.limits.in_flight,
        loop_member: format!("{}-{:016x}", fields::PSEUDONYM, fastrand::u64(..)),
        listen_authority: match bound {
            Bound::Tcp(address) => address.to_string(),
            Bound::Unix(_) => "localhost".to_owned(),
        },
    }
}

fn guard_settings(config: &Config, bound: &Bound, upstream: Option<&Base>) -> guard::Settings {
    guard::Settings {
        hosts: match &config.guard.allowed_hosts {
            AllowedHosts::Listed(names) => guard::AllowedHosts::Names(names.clone()),
            AllowedHosts::Any => guard::AllowedHosts::Any,
        },
        origins: config.guard.allowed_origins.clone(),
        listen: listen_ip(bound),
        upstream: upstream.map(|base| (base.secure, base.host.clone(), base.port)),
    }
}

fn listen_ip(bound: &Bound) -> Option<IpAddr> {
    match bound {
        Bound::Tcp(address) => Some(address.ip()),
        Bound::Unix(_) => None,
    }
}

fn limits(config: &Config) -> server::Limits {
    server::Limits {
        header_size: config.limits.header_size,
        header_timeout: config.limits.header_timeout,
        idle_timeout: config.limits.idle_timeout,
    }
}

fn listen(listen: &Listen) -> server::Listen {
    match listen {
        Listen::Tcp(address) => server::Listen::Tcp(*address),
        Listen::Unix(path) => server::Listen::Unix(path.clone()),
    }
}

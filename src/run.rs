//! From a [`Config`] to a running proxy, and to its end. The only place that wires.
//!
//! One thread for each core serves clients. The thread that calls [`start`] runs the refresh tasks and
//! serves the admin pages, so that neither waits behind the other.

mod before;
mod dry_run;
mod embedded;
mod error;
mod expiry;
mod heartbeats;
mod listeners;
mod observing;
mod open_files;
mod prepared;
mod profiles;
mod reload;
mod runtime;
mod tasks;
mod workers;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::future::{FutureExt as _, join_all, select_all};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

pub use error::StartError;
pub(crate) use runtime::on_this_thread;

use crate::access::Guard;
use crate::admin::Admin;
use crate::clock::Clock;
use crate::config::Config;
use crate::drain::{self, Drainer, Phase};
use crate::log::{self, Log};
use crate::metrics::Metrics;
use crate::proxy::{self, Proxy};
use crate::reloads::Reloads;
use crate::server::{self, Bound, Connections, Inherited, Tuning};
use dry_run::Stub;
use heartbeats::Heartbeats;
use listeners::Listeners;
use reload::Live;
use tasks::TaskEnd;

/// The program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What is cut off may take this long to let go.
const AFTER_CUT: Duration = Duration::from_secs(1);
/// The last spans may take this long to be sent.
const LAST_SPANS: Duration = Duration::from_secs(3);
/// An admin request that runs when everything else has ended may take this long.
const LAST_ADMIN_RESPONSE: Duration = Duration::from_secs(1);

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every request was finished.
    Clean,
    /// This many connections were cut off.
    CutOff(usize),
}

/// A running proxy.
#[derive(Debug)]
pub struct Running {
    /// Where clients connect.
    pub proxy: Bound,
    /// Where the admin pages are.
    pub admin: Option<Bound>,
    drainer: Drainer,
    admin_drainer: Drainer,
    workers: Vec<oneshot::Receiver<()>>,
    admin_task: Option<JoinHandle<()>>,
    tasks: JoinSet<TaskEnd>,
    connections: Connections,
    heartbeats: Heartbeats,
    live: Live,
    /// What answers in place of the upstream.
    stub: Option<Stub>,
}

/// How a run differs from the usual one.
#[derive(Debug, Default)]
pub struct Options {
    /// A stub answers in place of upstream and token endpoint.
    pub dry_run: bool,
    /// [`Metrics::summary`] has latencies.
    pub records_latencies: bool,
    /// Sockets that somebody has opened for this process.
    pub sockets: Inherited,
}

/// Starts everything: the listeners first, so that a taken address is reported before anything else
/// happens, then the tasks that keep tokens fresh, then the workers, which do not wait for tokens. To be
/// called on a runtime that goes on to be driven. `log` is the running log, where there is one.
pub fn start(config: &Config, log: Option<&Log>, options: Options) -> Result<Running, StartError> {
    if options.dry_run {
        let (diverted, stub) = dry_run::divert(config)?;
        let running = start(&diverted, log, Options { dry_run: false, ..options })?;
        return Ok(Running { stub: Some(stub), ..running });
    }
    open_files::raise_limit();
    let listeners = Listeners::bind(config, options.sockets)?;
    let threads =
        config.threads.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let (drainer, drain) = drain::drain();
    let (admin_drainer, admin_drain) = drain::drain();
    let clock = Clock::System;
    let metrics = metrics(log, options.records_latencies, &clock);
    let mut tasks = JoinSet::new();
    let traces = observing::traces(config)?;
    let common =
        profiles::Common { clock: &clock, metrics: &metrics, stop: &admin_drain, traces: traces.as_ref() };
    let prepared = profiles::prepare(config, (config, &listeners.bound), &common, &mut tasks, None)?;
    let shown = profiles::show_limits(&prepared, &metrics);
    let guard = Guard::new(listeners::guard(config), &metrics, clock.clone());
    let auth_listener = listeners.auth.as_ref().map(|(place, _)| *place);
    let settings = proxy::Settings {
        auth_listener,
        traces,
        ..profiles::proxy_settings(config, &listeners.bound, &metrics)
    };
    let proxies = profiles::on_each_core(&prepared, threads, |profiles| {
        let (settings, guard) = (settings.clone(), guard.clone());
        Proxy::new(settings, guard, profiles, clock.clone(), &metrics, drain.clone())
    })?;
    let problems = workers::parse_problems(&metrics, &clock, &settings.failures);
    let Listeners { proxy: sockets, bound, admin, auth, tls } = listeners;
    let expiry = reload::show_tls(&metrics, tls.as_ref(), config);
    if tls.is_some() {
        tasks.spawn(expiry::watch(Arc::clone(&expiry), clock.clone()).map(|()| TaskEnd::Unexpected));
    }
    let limits = open_files::within_limit(config.limits);
    let (workers, connections) = server::workers(sockets, threads, limits, problems.clone(), &drain);
    let counted = connections.clone();
    metrics.connections_open(move || counted.open() as u64);
    let mut tunings: Vec<Tuning> = workers.first().map(server::Worker::tuning).into_iter().collect();
    let heartbeats = Heartbeats::new(threads);
    let workers = workers.into_iter().zip(proxies.iter().cloned()).enumerate();
    let workers = workers
        .map(|(index, (worker, proxy))| workers::spawn(worker, proxy, heartbeats.of(index)))
        .collect::<Result<_, _>>()?;
    let admin_bound = admin.as_ref().map(|listener| listener.bound.clone());
    let reloads = Reloads::default();
    let pages = profiles::pages(
        config,
        &prepared,
        &bound,
        &settings,
        (metrics.clone(), clock.clone(), drain.clone()),
        reloads.clone(),
    );
    let pages = Admin::new(pages, guard.clone());
    let admin_task = admin.map(|listener| {
        let (task, tuning) =
            workers::spawn_admin(listener, pages.clone(), config.limits, problems, &admin_drain);
        tunings.extend(tuning);
        task
    });
    listeners::log_listening(config, &bound, admin_bound.as_ref(), auth.as_ref().map(|(_, bound)| bound));
    let proxy = bound.first().cloned().ok_or(StartError::NoListener)?;
    let live = Live {
        initial: config.clone(),
        config: config.clone(),
        prepared,
        retired: HashMap::new(),
        settings,
        proxies,
        guard,
        admin: pages,
        bound,
        tunings,
        tls,
        expiry,
        shown,
        clock,
        outcomes: metrics.counters(reload::COUNTER, "Attempts to read the configuration again, by outcome."),
        metrics,
        drain,
        admin_drain,
        reloads,
    };
    Ok(Running {
        proxy,
        admin: admin_bound,
        drainer,
        admin_drainer,
        workers,
        admin_task,
        tasks,
        connections,
        heartbeats,
        live,
        stub: None,
    })
}

fn metrics(log: Option<&Log>, records_latencies: bool, clock: &Clock) -> Metrics {
    let metrics = Metrics::new(VERSION, clock.now().wall);
    if let Some(log) = log {
        metrics.log_lines_dropped(log.dropped_lines());
    }
    if records_latencies {
        metrics.record_latencies();
    }
    metrics
}

impl Running {
    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.live.metrics
    }

    /// Goes on with another configuration. Where it cannot be used nothing changes; log, metrics and `/status` say
    /// so, and the result is false. `log` is the running log, where there is one.
    pub fn reload(&mut self, config: &Config, log: Option<&Log>) -> bool {
        let taken_over = match &self.stub {
            Some(stub) => {
                stub.divert(config).and_then(|diverted| self.live.take_over(&diverted, log, &mut self.tasks))
            }
            None => self.live.take_over(config, log, &mut self.tasks),
        };
        if let Err(error) = taken_over {
            self.live.say_failure(&log::causes(&error));
            return false;
        }
        true
    }

    /// Says that there is no configuration to go on with.
    pub fn reload_failed(&self, error: &str) {
        self.live.say_failure(error);
    }

    /// True while every thread that serves clients does its regular work.
    pub fn is_alive(&self) -> bool {
        self.heartbeats.are_regular()
    }

    /// Resolves when the proxy can no longer do its work, with what has ended that should not have.
    /// Cancel safe.
    pub async fn failed(&mut self) -> &'static str {
        let unexpected = async {
            loop {
                match self.tasks.join_next().await {
                    Some(Ok(TaskEnd::Expected)) => {}
                    Some(Ok(TaskEnd::Unexpected) | Err(_)) => return,
                    None => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = unexpected => "a task that keeps a token fresh or discovers an API",
            _ = select_all(&mut self.workers) => "a thread that serves clients",
        }
    }

    /// Says that the proxy is about to end, and waits: load balancers get the time to notice. Cancel safe.
    pub async fn announce_end(&self, delay: Duration) {
        self.live.metrics.set_draining(true);
        self.drainer.advance(Phase::Announced);
        sleep(delay).await;
    }

    /// Stops accepting, lets open requests finish within `limit`, then cuts off what is left. The admin
    /// pages stay up until the end.
    pub async fn drain(self, limit: Duration) -> Ended {
        self.live.metrics.set_draining(true);
        self.drainer.advance(Phase::Draining);
        let mut all = join_all(self.workers);
        let ended = if timeout(limit, &mut all).await.is_ok() {
            Ended::Clean
        } else {
            let left = self.connections.open();
            self.drainer.advance(Phase::Cut);
            let _ = timeout(AFTER_CUT, all).await;
            Ended::CutOff(left)
        };
        self.admin_drainer.advance(Phase::Draining);
        if let Some(admin) = self.admin_task {
            let _ = timeout(LAST_ADMIN_RESPONSE, admin).await;
        }
        if let Some(traces) = &self.live.settings.traces {
            traces.end(LAST_SPANS).await;
        }
        drop(self.stub);
        ended
    }
}

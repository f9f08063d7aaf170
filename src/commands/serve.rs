//! `cxone-proxy serve`: the proxy, until a signal ends it.

use std::io;

use super::{
    complaint::{complain, complain_in, misconfigured},
    ending::Ending,
    reload::{Read, Reload},
    service_manager,
    signals::{Event, Signals},
    summary,
};
use tokio::{task::JoinError, time::Interval};

use crate::{
    config::{self, Config, Environment, Flags, Loaded},
    log,
    run::{self, Ended, Running, StartError, on_this_thread},
    server::Inherited,
};

/// What the command line says beside the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::Args)]
pub struct Options {
    /// Ask neither the CXone API nor the token endpoint: a stub answers 200 to everything, with `X-Dry-Run`. For
    /// trying a configuration or the script of a load test
    #[arg(long)]
    pub dry_run: bool,

    /// Print a summary at the end: requests, statuses, latencies, waits, retries. On a terminal this is the default
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub summary: Option<summary::Form>,
}

/// Loads the configuration, serves, and drains.
pub(super) fn run(flags: &Flags, environment: &Environment, options: Options) -> Ending {
    use_small_pages();
    let names = environment
        .value("LISTEN_FDNAMES")
        .map(|names| names.to_string_lossy().into_owned())
        .unwrap_or_default();
    // Before there is another thread: it changes the environment.
    let sockets = match Inherited::of_process(&names) {
        Ok(sockets) => sockets,
        Err(error) => {
            complain(&log::causes(&error));
            return Ending::Misconfigured;
        }
    };
    let Loaded { config, warnings, files } = match config::load(flags, environment) {
        Ok(loaded) => loaded,
        Err(error) => return misconfigured(&error),
    };
    // A log that has been started before, by a program that embeds this one, is as good.
    let log = log::start(&config.log).ok();
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    ending(on_this_thread(async {
        let mut signals = Signals::new()?;
        let form = summary::Form::or_by_place(options.summary);
        let records_latencies = form != summary::Form::Off;
        let how = run::Options { dry_run: options.dry_run, records_latencies, sockets };
        match run::start(&config, log.as_ref(), how) {
            Ok(running) => {
                let metrics = running.metrics().clone();
                let reload = Reload::new(flags, environment, log.as_ref(), files);
                let ended = Box::pin(until_ended(running, &mut signals, config, Some(reload))).await;
                form.print(&metrics.summary());
                Ok(ended)
            }
            Err(error) => Ok(not_started(&error, &config)),
        }
    }))
}

/// Huge pages of 2 MiB make the process a third larger and save no measurable time. The allocator is built not to ask for
/// them; many systems give them unasked.
fn use_small_pages() {
    // A filter of system calls may refuse it. That costs memory only, and there is no log yet.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

pub(super) fn ending(outcome: io::Result<Ending>) -> Ending {
    outcome.unwrap_or_else(|error| {
        complain(&format!("the program cannot be set up: {error}"));
        Ending::Failed
    })
}

/// Says why the proxy does not run.
pub(super) fn not_started(error: &StartError, config: &Config) -> Ending {
    let causes = log::causes(error);
    let (what, ending) = if error.is_configuration() {
        (format!("configuration error: {causes}"), Ending::Misconfigured)
    } else {
        (causes, Ending::Failed)
    };
    complain_in(config.log.format, &what);
    ending
}

/// Serves until the first signal, then drains; a second signal ends that at once. SIGHUP, and a change of one of the
/// files that the configuration came from, reads it again where there is a `reload`.
pub(super) async fn until_ended(
    mut running: Running,
    signals: &mut Signals,
    mut config: Config,
    mut reload: Option<Reload<'_>>,
) -> Ending {
    let mut watchdog = service_manager::watchdog();
    if reload.is_some() {
        service_manager::ready(&format!("listening on {}", running.proxy));
    }
    let signal = loop {
        tokio::select! {
            event = signals.any() => match (event, &mut reload) {
                (Event::End(signal), _) => break signal,
                (Event::HangUp, Some(reload)) => reload.begin("SIGHUP"),
                (Event::HangUp, None) => {
                    tracing::warn!("SIGHUP is ignored: this command has no configuration to read again");
                }
            },
            read = read(&mut reload, config.watch) => {
                if let Some(reload) = &mut reload {
                    reload.take_over(read, &mut running, &mut config);
                }
            }
            () = tick(&mut watchdog) => {
                // One that stands still is silent, so that systemd starts it anew.
                if running.is_alive() {
                    service_manager::alive();
                }
            }
            what = running.failed() => {
                complain(&format!("{what} has ended; this is a fault of the program; the log says more"));
                return Ending::Failed;
            }
        }
    };
    tracing::info!(signal, "draining");
    service_manager::stopping();
    let ending = async {
        running.announce_end(config.drain_delay).await;
        running.drain(config.drain_timeout).await
    };
    tokio::select! {
        ended = ending => match ended {
            Ended::Clean => {
                tracing::info!("drained");
                Ending::Well
            }
            Ended::CutOff(left) => {
                tracing::warn!(connections = left, "drain cut off by its time-out");
                Ending::Failed
            }
        },
        () = still_alive(&mut watchdog) => Ending::Failed,
        signal = signals.next() => {
            tracing::warn!(signal, "ended at once by a second signal");
            Ending::Signalled(signal)
        }
    }
}

/// [`Reload::read`]; for ever where there is none. Cancel safe.
async fn read(reload: &mut Option<Reload<'_>>, watch: bool) -> Result<Read, JoinError> {
    match reload {
        Some(reload) => reload.read(watch).await,
        None => std::future::pending().await,
    }
}

/// Waits for the next moment of a watchdog; for ever where there is none. Cancel safe.
async fn tick(watchdog: &mut Option<Interval>) {
    match watchdog {
        Some(due) => {
            due.tick().await;
        }
        None => std::future::pending().await,
    }
}

/// Keeps the watchdog quiet, for ever. Cancel safe.
async fn still_alive(watchdog: &mut Option<Interval>) {
    loop {
        tick(watchdog).await;
        service_manager::alive();
    }
}

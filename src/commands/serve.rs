//! `cxone-proxy serve`: the proxy, until a signal ends it.

use std::{io, path::PathBuf};

use super::{
    complaint::{complain, complain_in, misconfigured},
    ending::Ending,
    service_manager,
    signals::{Event, Signals, on_this_thread},
    summary,
    watched_files::WatchedFiles,
};
use tokio::time::Interval;

use crate::{
    config::{self, Config, Environment, Flags, Loaded},
    log::{self, Log},
    run::{self, Ended, Running, StartError},
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
                let source = Source { flags, environment, log: log.as_ref() };
                let ended = Box::pin(until_ended(running, &mut signals, config, Some((source, files)))).await;
                form.print(&metrics.summary());
                Ok(ended)
            }
            Err(error) => Ok(not_started(&error, &config)),
        }
    }))
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

/// Where another configuration comes from.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    flags: &'s Flags,
    environment: &'s Environment,
    /// The running log, where its filter can be changed.
    log: Option<&'s Log>,
}

/// Serves until the first signal, then drains; a second signal ends that at once. SIGHUP, and a change of one of the
/// files that the configuration came from, reads it again where there is a source.
pub(super) async fn until_ended(
    mut running: Running,
    signals: &mut Signals,
    mut config: Config,
    source: Option<(Source<'_>, Vec<PathBuf>)>,
) -> Ending {
    let (source, files) = source.unzip();
    let mut files = WatchedFiles::new(files.unwrap_or_default());
    let mut watchdog = service_manager::watchdog();
    if source.is_some() {
        service_manager::ready(&format!("listening on {}", running.proxy));
    }
    let signal = loop {
        let why = tokio::select! {
            event = signals.any() => match (event, source) {
                (Event::End(signal), _) => break signal,
                (Event::HangUp, Some(_)) => "SIGHUP",
                (Event::HangUp, None) => {
                    tracing::warn!("SIGHUP is ignored: this command has no configuration to read again");
                    continue;
                }
            },
            () = files.changed(), if config.watch => "a file has changed",
            () = tick(&mut watchdog) => {
                // One that stands still is silent, so that systemd starts it anew.
                if running.is_alive() {
                    service_manager::alive();
                }
                continue;
            }
            what = running.failed() => {
                complain(&format!("{what} has ended; this is a fault of the program; the log says more"));
                return Ending::Failed;
            }
        };
        if let Some(source) = source {
            tracing::debug!(why, "the configuration is read again");
            service_manager::reloading();
            let taken_over = reload(&mut running, &mut config, &mut files, source);
            service_manager::ready(if taken_over { "reloaded" } else { "not reloaded: the log says why" });
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

/// Reads the configuration again. Where it cannot be used, the old one stays, and the result is false.
fn reload(running: &mut Running, config: &mut Config, files: &mut WatchedFiles, source: Source<'_>) -> bool {
    let looks = files.looks();
    match config::load(source.flags, source.environment) {
        Ok(loaded) => {
            for warning in loaded.warnings {
                tracing::warn!("{warning}");
            }
            files.watch(loaded.files, &looks);
            let taken_over = running.reload(&loaded.config, source.log);
            if taken_over {
                *config = loaded.config;
            }
            taken_over
        }
        Err(error) => {
            files.watch(error.files.clone(), &looks);
            running.reload_failed(&error.to_string().replace('\n', "; "));
            false
        }
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

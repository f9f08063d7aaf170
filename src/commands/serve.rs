//! `cxone-proxy serve`: the proxy, until a signal ends it.

use std::io;

use super::signals::{Signals, on_this_thread};
use super::{Ending, complain, misconfigured};
use crate::app::{self, Ended, Running, StartError};
use crate::config::{self, Config, Environment, Flags, Loaded};
use crate::log;

/// Loads the configuration, serves, and drains.
pub(super) fn run(flags: &Flags, environment: &Environment) -> Ending {
    let Loaded { config, warnings } = match config::load(flags, environment) {
        Ok(loaded) => loaded,
        Err(error) => return misconfigured(&error),
    };
    // A log that has been started before, by whoever embeds this, does as well.
    let _log = log::start(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    ending(on_this_thread(async {
        let mut signals = Signals::new()?;
        match app::start(&config) {
            Ok(running) => Ok(until_ended(running, &mut signals, &config).await),
            Err(error) => Ok(not_started(&error)),
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
pub(super) fn not_started(error: &StartError) -> Ending {
    if error.is_configuration() {
        complain(&format!("configuration error: {}", log::causes(error)));
        Ending::Misconfigured
    } else {
        complain(&log::causes(error));
        Ending::Failed
    }
}

/// Serves until the first signal, then drains; a second signal ends that at once.
pub(super) async fn until_ended(mut running: Running, signals: &mut Signals, config: &Config) -> Ending {
    tokio::select! {
        signal = signals.next() => tracing::info!(signal, "draining"),
        what = running.failed() => {
            complain(&format!("{what} has ended; this is a fault of the program, see the log"));
            return Ending::Failed;
        }
    }
    tokio::select! {
        ended = running.drain(config.drain_timeout) => match ended {
            Ended::Clean => {
                tracing::info!("drained");
                Ending::Well
            }
            Ended::CutOff(left) => {
                tracing::warn!(connections = left, "drain cut off by its time-out");
                Ending::Failed
            }
        },
        signal = signals.next() => {
            tracing::warn!(signal, "ended at once by a second signal");
            Ending::Signalled(signal)
        }
    }
}

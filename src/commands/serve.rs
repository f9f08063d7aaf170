//! `cxone-proxy serve`: the proxy, until a signal ends it.

use std::io;

use super::{
    complaint::{complain, complain_in, misconfigured},
    ending::Ending,
    signals::{Signals, on_this_thread},
};
use crate::{
    config::{self, Config, Environment, Flags, Loaded},
    log,
    run::{self, Ended, Running, StartError},
};

/// Loads the configuration, serves, and drains.
pub(super) fn run(flags: &Flags, environment: &Environment) -> Ending {
    let Loaded { config, warnings } = match config::load(flags, environment) {
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
        match run::start(&config, log.as_ref()) {
            Ok(running) => Ok(until_ended(running, &mut signals, &config).await),
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

/// Serves until the first signal, then drains; a second signal ends that at once.
pub(super) async fn until_ended(mut running: Running, signals: &mut Signals, config: &Config) -> Ending {
    tokio::select! {
        signal = signals.next() => tracing::info!(signal, "draining"),
        what = running.failed() => {
            complain(&format!("{what} has ended; this is a fault of the program; the log says more"));
            return Ending::Failed;
        }
    }
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
        signal = signals.next() => {
            tracing::warn!(signal, "ended at once by a second signal");
            Ending::Signalled(signal)
        }
    }
}

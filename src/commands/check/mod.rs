//! `check`: could the proxy serve as configured, and if not, where does it fail? The answer, good or bad,
//! is this command's result and goes to standard output.
//!
//! ```text
//! mod -> examine          the stages of one profile, in their order
//!          |-> probe      name, connection, TLS -> certificate
//!          |-> skew       our clock and theirs
//!          |-> log_in     what a refusal means
//!          `-> trial      what the API's answer to one request means
//! report                  the stages as text and as JSON
//! ```
//!
//! Nothing secret gets into it: what peers say passes through [`crate::oauth::shown`] first.

mod ask;
mod certificate;
mod examine;
mod log_in;
mod probe;
mod report;
mod skew;
mod trial;

use std::io::{self, Write};

use super::{Ending, complain, signals::on_this_thread};
use crate::{
    clock::Clock,
    config::{self, Config, Environment, Flags, Loaded},
    log,
    oauth::AccessToken,
};
use examine::Subject;
use report::{Report, Section, Stage, Step};

/// The options of `check` beside the configuration's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The path, perhaps with a query, of one GET with the token; starts with `/`.
    pub path: Option<String>,
    /// Whether to write JSON for programs.
    pub json: bool,
}

/// Runs the command. Each of its stages has a time-out of its own, so that it ends within three minutes for
/// each profile, and within a second where all is well.
pub fn run(flags: &Flags, environment: &Environment, options: &Options) -> Ending {
    let report = match report(flags, environment, options) {
        Ok(report) => report,
        Err(error) => {
            complain(&format!("the program cannot be set up: {error}"));
            return Ending::Failed;
        }
    };
    let ending = report.ending();
    let text = if options.json { report.json() } else { report.text() };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ending,
        Err(error) => {
            complain(&format!("the result cannot be written to standard output: {error}"));
            if ending == Ending::Well { Ending::Failed } else { ending }
        }
    }
}

fn report(flags: &Flags, environment: &Environment, options: &Options) -> io::Result<Report> {
    let clock = Clock::System;
    let started = clock.now();
    let loaded = config::load(flags, environment);
    let took = started.steady.elapsed();
    let Loaded { config, warnings } = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return Ok(misconfigured(&error.faults)),
    };
    // A log that has been started before, by whoever embeds this, does as well.
    let _log = log::start(&config.log);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let configured = Stage { took, ..Stage::ok(Step::Configuration, Vec::new()) };
    on_this_thread(async { Ok(examine(&config, &configured, &clock, options).await) })
}

/// Every profile in turn.
async fn examine(config: &Config, configured: &Stage, clock: &Clock, options: &Options) -> Report {
    let profiles = config.profiles.iter().enumerate();
    let subjects: Result<Vec<_>, _> =
        profiles.map(|(place, profile)| Subject::new(config, place, profile, clock.clone())).collect();
    let subjects = match subjects {
        Ok(subjects) => subjects,
        Err(unfit) => return misconfigured(&[unfit]),
    };
    let mut tokens: Vec<Option<AccessToken>> = Vec::new();
    let mut sections = Vec::new();
    for (profile, subject) in config.profiles.iter().zip(&subjects) {
        let shared = tokens.get(profile.credentials).and_then(Option::as_ref);
        let examined = subject.examine(configured.clone(), shared, options.path.as_deref());
        let (section, token) = Box::pin(examined).await;
        sections.push(section);
        tokens.push(token);
    }
    Report { sections }
}

fn misconfigured(faults: &[impl std::fmt::Display]) -> Report {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let hint = "Mend what is named above; `cxone-proxy check --help` tells where each value can be set.";
    let failed = Stage::failed(Step::Configuration, lines.join("\n"), hint);
    let rest = [
        Step::NameResolution,
        Step::Connection,
        Step::Tls,
        Step::Clock,
        Step::LogIn,
        Step::Token,
        Step::Discovery,
    ];
    let skipped = rest.map(|step| Stage::skipped(step, "configuration failed"));
    let stages = std::iter::once(failed).chain(skipped).collect();
    Report { sections: vec![Section { profile: "default".to_owned(), stages }] }
}

#[cfg(test)]
mod tests;

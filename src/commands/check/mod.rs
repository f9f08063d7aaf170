//! `check`: could the proxy serve as configured, and if not, where does it fail? The report, good or bad,
//! is this command's result and goes to standard output.
//!
//! ```text
//! mod -> examine          the stages of one profile, in their order
//!          |-> probe        name, connection, TLS -> certificate
//!          |-> skew         our clock and that of the token endpoint
//!          |-> suspicions   what looks wrong in refused credentials
//!          |-> ask, trial   one request to the API, and what its response means
//!          `-> peer         what a failed connection means
//! stage -> report           what the stages come to -> text, json
//! ```
//!
//! Nothing secret gets into it: what peers say passes through `tokens::redact` first.

mod ask;
mod certificate;
mod examine;
mod json;
mod peer;
mod probe;
mod report;
mod serving;
mod skew;
mod stage;
mod suspicions;
mod text;
mod trial;

use std::io::{self, IsTerminal, Write};

use super::{complaint::complain, ending::Ending};
use crate::{
    clock::Clock,
    config::{self, Config, Environment, Flags, Loaded, Warning},
    log,
    run::on_this_thread,
    tokens::AccessToken,
};
use examine::Subject;
use report::Report;
use stage::{Section, Stage, Step};

/// A terminal narrower than this is not written for.
const NARROWEST: usize = 40;

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
    let text = if options.json { json::json(&report) } else { text::text(&report, width()) };
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ending,
        Err(error) => {
            complain(&format!("the result cannot be written to standard output: {error}"));
            if ending == Ending::Well { Ending::Failed } else { ending }
        }
    }
}

/// How long a line on standard output may be: a terminal would break longer ones inside words.
fn width() -> Option<usize> {
    let out = io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten()?;
    let columns = usize::from(size.ws_col);
    (columns > 0).then(|| columns.max(NARROWEST))
}

fn report(flags: &Flags, environment: &Environment, options: &Options) -> io::Result<Report> {
    let clock = Clock::System;
    let started = clock.now();
    let loaded = config::load(flags, environment);
    let took = started.steady.elapsed();
    let Loaded { config, warnings, .. } = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return Ok(misconfigured(&error.faults)),
    };
    // A log that has been started before, by a program that embeds this one, is as good.
    let _log = log::start(&config.log);
    let mut warnings: Vec<String> = warnings.iter().map(Warning::to_string).collect();
    let configured = Stage { took, ..Stage::ok(Step::Configuration, Vec::new()) };
    on_this_thread(async {
        let report = examine(&config, &configured, &clock, options).await;
        warnings.extend(serving::store_warning(config.redis.as_ref()).await);
        Ok(Report { warnings, ..report })
    })
}

/// Every profile in turn.
async fn examine(config: &Config, configured: &Stage, clock: &Clock, options: &Options) -> Report {
    let profiles = config.profiles.iter().enumerate();
    let subjects: Result<Vec<_>, _> =
        profiles.map(|(index, profile)| Subject::new(config, index, profile, clock.clone())).collect();
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
    Report { sections, warnings: Vec::new() }
}

fn misconfigured(faults: &[impl std::fmt::Display]) -> Report {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let hint =
        "Correct the above; `cxone-proxy serve --help` lists every option with its variable and file key.";
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
    Report { sections: vec![Section { profile: "default".to_owned(), stages }], warnings: Vec::new() }
}

#[cfg(test)]
mod tests;

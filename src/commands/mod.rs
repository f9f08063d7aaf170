//! What the program can be told to do, and how it ends.
//!
//! One file for each command. Exit statuses and the form of errors on standard error are decided here
//! alone; standard output belongs to the commands' results.

pub mod check;
pub mod demo;
mod obtain;
pub mod ready;
pub mod serve;
mod signals;
pub mod simulate;
pub mod token;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::config::{ConfigError, Environment, Flags};

/// A command with its options, not yet judged.
pub enum Command {
    /// Runs the proxy.
    Serve(Flags),
    /// Says whether it could run, and where it fails if not.
    Check(Flags, check::Options),
    /// Prints an access token.
    Token(Flags),
    /// Asks a running proxy whether it is ready.
    Ready(Flags),
    /// Runs a simulated region with a proxy in front of it.
    Demo(Flags),
    /// Runs the simulated region alone.
    Simulate(SimulateOptions),
}

impl Command {
    /// Runs it to its end, on this thread.
    pub fn run(self, environment: &Environment) -> Ending {
        match self {
            Self::Serve(flags) => serve::run(&flags, environment),
            Self::Check(flags, options) => check::run(&flags, environment, &options),
            Self::Token(flags) => token::run(&flags, environment),
            Self::Ready(flags) => ready::run(&flags, environment),
            Self::Demo(flags) => demo::run(&flags, environment),
            Self::Simulate(options) => simulate::command(options, environment),
        }
    }
}

/// The options of `simulate`.
pub struct SimulateOptions {
    /// What the region is like.
    pub region: Box<simulate::Options>,
    /// The options that concern its log.
    pub log: Flags,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did what it was told to.
    Well,
    /// It could not.
    Failed,
    /// It did not try: its configuration is wrong.
    Misconfigured,
    /// This signal, the second one, ended it at once.
    Signalled(u8),
}

impl Ending {
    /// The exit status: 0, 1, 2, or 128 plus the signal's number.
    pub fn status(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Failed => 1,
            Self::Misconfigured => 2,
            Self::Signalled(signal) => 128_u8.saturating_add(signal),
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.status())
    }
}

/// Says on standard error everything that is wrong with the configuration.
pub fn misconfigured(error: &ConfigError) -> Ending {
    for fault in &error.faults {
        complain(&format!("configuration error: {fault}"));
    }
    Ending::Misconfigured
}

/// Says one thing on standard error, for a person.
pub fn complain(what: &str) {
    // There is nobody left to tell when standard error is gone.
    let _ = writeln!(io::stderr().lock(), "cxone-proxy: {what}");
}

//! The commands, one file each.
//!
//! Exit statuses are decided in `ending`, and the form of errors on standard error in `complaint`; standard
//! output belongs to the commands' results.

pub mod check;
mod complaint;
#[cfg(feature = "simulator")]
pub mod demo;
mod ending;
mod key;
mod obtain;
pub mod print;
pub mod ready;
#[cfg(feature = "simulator")]
pub mod region_limits;
mod reload;
mod result;
pub mod serve;
mod service_manager;
mod signals;
#[cfg(feature = "simulator")]
pub mod simulate;
pub mod summary;
pub mod token;
mod watched_files;

pub use self::ending::Ending;
use crate::config::{Environment, Flags};

/// A command with its options; the options' values are not parsed yet.
pub enum Command {
    /// Runs the proxy.
    Serve(Flags, serve::Options),
    /// Says whether it could run, and where it fails if not.
    Check(Flags, check::Options),
    /// Prints an access token.
    Token(Flags),
    /// Asks a running proxy whether it is ready.
    Ready(Flags, ready::Options),
    /// Shows the configuration.
    Config(Flags, print::Options),
    /// Writes a text that is known before anything runs, such as completions for a shell.
    Text {
        /// What it is, for the complaint where it cannot be written.
        what: &'static str,
        /// The text.
        text: Vec<u8>,
    },
    /// Makes a key for a client of this name.
    Key(String),
    /// Runs a simulated region with a proxy in front of it.
    #[cfg(feature = "simulator")]
    Demo(region_limits::Limits, Flags),
    /// Runs the simulated region alone.
    #[cfg(feature = "simulator")]
    Simulate(Box<simulate::Options>, Flags),
}

impl Command {
    /// Runs it to its end, on this thread.
    pub fn run(self, environment: &Environment) -> Ending {
        match self {
            Self::Serve(flags, options) => serve::run(&flags, environment, options),
            Self::Check(flags, options) => check::run(&flags, environment, &options),
            Self::Token(flags) => token::run(&flags, environment),
            Self::Ready(flags, options) => ready::run(&flags, environment, options),
            Self::Config(flags, options) => print::run(&flags, environment, options),
            Self::Text { what, text } => result::write(what, &text, &mut std::io::stdout().lock()),
            Self::Key(name) => key::run(&name),
            #[cfg(feature = "simulator")]
            Self::Demo(limits, flags) => demo::run(&limits, &flags, environment),
            #[cfg(feature = "simulator")]
            Self::Simulate(options, flags) => simulate::command(*options, &flags, environment),
        }
    }
}

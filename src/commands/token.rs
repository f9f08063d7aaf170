//! `token`: one valid access token on standard output, nothing else there.

use std::io::{self, Write};

use super::{
    Ending, complain, misconfigured,
    obtain::{NoToken, obtain},
};
use crate::config::{Environment, Flags};

/// Runs the command. Blocks for ten seconds at most.
pub fn run(flags: &Flags, environment: &Environment) -> Ending {
    match obtain(flags, environment) {
        Ok((_, token)) => print(token.text().reveal()),
        Err(NoToken::Config(error)) => misconfigured(&error),
        Err(NoToken::Unavailable { reason, .. }) => {
            complain(&format!("no token: {reason}. {}", reason.why.hint()));
            Ending::Failed
        }
        Err(error @ (NoToken::Tls(_) | NoToken::Endpoint(_))) => {
            complain(&format!("configuration error: {error}"));
            Ending::Misconfigured
        }
        Err(error @ NoToken::Machine(_)) => {
            complain(&error.to_string());
            Ending::Failed
        }
    }
}

fn print(token: &str) -> Ending {
    let mut out = io::stdout().lock();
    match writeln!(out, "{token}").and_then(|()| out.flush()) {
        Ok(()) => Ending::Well,
        Err(error) => {
            complain(&format!("the token cannot be written to standard output: {error}"));
            Ending::Failed
        }
    }
}

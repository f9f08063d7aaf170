//! Parse, run, exit status: nothing else.

use std::process::ExitCode;

use cxone_proxy::{cli, config::Environment};

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(command) => command.run(&Environment::of_process()).into(),
        Err(error) => cli::refuse(&error),
    }
}

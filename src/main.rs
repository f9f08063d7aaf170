//! Parse, run, exit status: nothing else.

use std::process::ExitCode;

use mimalloc::MiMalloc;

use cxone_proxy::{cli, config::Environment};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os()) {
        Ok(command) => command.run(&Environment::of_process()).into(),
        Err(error) => cli::refuse(&error),
    }
}

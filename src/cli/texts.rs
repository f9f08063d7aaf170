//! Texts made of the command line itself: completions for shells, and manual pages.

use clap::{Arg, value_parser};
use clap_complete::Shell;

/// The command `completions`.
pub(super) fn completions_command() -> clap::Command {
    clap::Command::new("completions")
        .about("Print completions of commands and options for a shell")
        .arg(
            Arg::new("shell")
                .value_name("SHELL")
                .required(true)
                .value_parser(value_parser!(Shell))
                .help("The shell"),
        )
        .after_help(
            "Example:\n  cxone-proxy completions bash > ~/.local/share/bash-completion/completions/cxone-proxy",
        )
}

/// The command `man`.
pub(super) fn manual_command() -> clap::Command {
    clap::Command::new("man")
        .about("Print a manual page")
        .arg(
            Arg::new("command")
                .value_name("COMMAND")
                .help("The command that it is about [default: the program itself]"),
        )
        .after_help("Example:\n  cxone-proxy man serve > cxone-proxy-serve.1 && man ./cxone-proxy-serve.1")
}

/// The script that completes commands and options in this shell.
pub(super) fn completions(shell: Shell, program: &mut clap::Command) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, program, "cxone-proxy", &mut text);
    text
}

/// The manual page of the program, or of one of its commands, in roff. The error says why there is none.
pub(super) fn manual(name: Option<&str>, mut program: clap::Command) -> Result<Vec<u8>, String> {
    // Without this a command does not know what its program is called.
    program.build();
    let about = match name {
        None => program,
        Some(name) => program.find_subcommand(name).cloned().ok_or_else(|| {
            let known: Vec<_> = program.get_subcommands().map(clap::Command::get_name).collect();
            format!("there is no command `{name}`; accepted: {}", known.join(", "))
        })?,
    };
    let mut text = Vec::new();
    // Writing into memory cannot fail.
    let _ = clap_mangen::Man::new(about).render(&mut text);
    Ok(text)
}

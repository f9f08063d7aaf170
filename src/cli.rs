//! The command line: words in, a [`Command`] out.
//!
//! First in the walk. The options come from the configuration's one table; their values are parsed there,
//! with those from the environment and the file. Nothing is run here.

use std::{
    ffi::{OsStr, OsString},
    process::ExitCode,
    time::Duration,
};

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, error::ErrorKind, value_parser};
use clap_complete::Shell;

#[cfg(feature = "simulator")]
use crate::commands::{region_limits::Limits, simulate};
use crate::{
    access,
    commands::{Command, check, print, ready, serve},
    config::{
        self, Flags,
        options::{self, Entry, Fallback},
    },
};

/// The options of `demo`: its upstream and credentials are its own.
#[cfg(feature = "simulator")]
static DEMO_OPTIONS: &[&Entry] =
    &[&options::LISTEN, &options::ADMIN_LISTEN, &options::GRANT, &options::LOG, &options::LOG_FORMAT];

/// The option of `ready`: where to ask.
static READY_OPTIONS: &[&Entry] = &[&options::ADMIN_LISTEN];

/// The options of `simulate` that it shares with the proxy.
#[cfg(feature = "simulator")]
static SIMULATE_OPTIONS: &[&Entry] = &[&options::LOG, &options::LOG_FORMAT];

/// Parses the program's arguments, its own name first.
///
/// The error is also how `--help` and `--version` arrive: [`refuse`] prints each where it belongs.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Box<clap::Error>> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut command = command();
    // The simulated region's secret is invented for tests, so `simulate` has a flag for it.
    let simulates = arguments.get(1).is_some_and(|command| command == "simulate");
    if !simulates && let Some((secret, file)) = arguments.iter().find_map(|argument| secret_flag(argument)) {
        let message = format!(
            "there is no flag for a secret, since every user of the machine can see the arguments of its \
             processes: set the environment variable {}, or name a file that holds it by --{} or {}",
            secret.variable,
            file.flag.unwrap_or_default(),
            file.variable
        );
        return Err(Box::new(command.error(ErrorKind::UnknownArgument, message)));
    }
    if !cfg!(feature = "simulator")
        && let Some(name) = arguments.get(1).and_then(|name| name.to_str())
        && matches!(name, "demo" | "simulate")
    {
        let message = format!(
            "`{name}` needs the simulated region, and this build has none: use a build with the feature \
             `simulator` (`cargo build --release` has it by default)"
        );
        return Err(Box::new(command.error(ErrorKind::InvalidSubcommand, message)));
    }
    let matches = command.try_get_matches_from_mut(arguments)?;
    match matches.subcommand() {
        Some(("serve", given)) => serve::Options::from_arg_matches(given)
            .map(|asked| Command::Serve(flags(given, &options::TABLE), asked))
            .map_err(Box::new),
        Some(("check", given)) => {
            let path = given.get_one::<String>("path").cloned();
            Ok(Command::Check(
                flags(given, &options::TABLE),
                check::Options { path, json: given.get_flag("json") },
            ))
        }
        Some(("token", given)) => Ok(Command::Token(flags(given, &options::TABLE))),
        Some(("ready", given)) => {
            let wait = given.get_one::<Duration>("wait").copied();
            Ok(Command::Ready(
                flags(given, READY_OPTIONS),
                ready::Options { live: given.get_flag("live"), wait },
            ))
        }
        Some(("config", given)) => match given.subcommand() {
            Some(("print", given)) => {
                let options =
                    print::Options { origin: given.get_flag("origin"), json: given.get_flag("json") };
                Ok(Command::Config(flags(given, &options::TABLE), options))
            }
            Some((_, _)) | None => {
                Ok(Command::Text { what: "the schema", text: config::schema().into_bytes() })
            }
        },
        Some(("completions", given)) => {
            let shell = given.get_one::<Shell>("shell").copied().unwrap_or(Shell::Bash);
            Ok(Command::Text { what: "the script", text: texts::completions(shell, &mut command) })
        }
        Some(("man", given)) => {
            texts::manual(given.get_one::<String>("command").map(String::as_str), command.clone())
                .map(|text| Command::Text { what: "the manual page", text })
                .map_err(|why| Box::new(command.error(ErrorKind::InvalidValue, why)))
        }
        Some(("key", given)) => {
            Ok(Command::Key(given.get_one::<String>("name").cloned().unwrap_or_default()))
        }
        #[cfg(feature = "simulator")]
        Some(("demo", given)) => Limits::from_arg_matches(given)
            .map(|limits| Command::Demo(limits, flags(given, DEMO_OPTIONS)))
            .map_err(Box::new),
        #[cfg(feature = "simulator")]
        Some(("simulate", given)) => simulate::Options::from_arg_matches(given)
            .map(|region| Command::Simulate(Box::new(region), flags(given, SIMULATE_OPTIONS)))
            .map_err(Box::new),
        Some((_, _)) | None => {
            Err(Box::new(command.error(ErrorKind::MissingSubcommand, "a command is needed")))
        }
    }
}

/// Prints what [`parse`] could not turn into a command: help and version on standard output with status 0,
/// complaints on standard error with status 2.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // A reader that has closed the other end does not want the text.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// The secrets, each with the option for its file.
static SECRETS: &[(&Entry, &Entry)] = &[
    (&options::CLIENT_SECRET, &options::CLIENT_SECRET_FILE),
    (&options::ACCESS_KEY_SECRET, &options::ACCESS_KEY_SECRET_FILE),
];

/// The secret for which this would be the flag.
fn secret_flag(argument: &OsStr) -> Option<(&'static Entry, &'static Entry)> {
    let argument = argument.as_encoded_bytes();
    SECRETS.iter().copied().find(|(_, file)| {
        let name = file.flag.and_then(|flag| flag.strip_suffix("-file")).unwrap_or_default();
        let rest = argument.strip_prefix(b"--").and_then(|flag| flag.strip_prefix(name.as_bytes()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
    })
}

fn command() -> clap::Command {
    let of_proxy =
        |name, about, options| clap::Command::new(name).about(about).arg(config()).args(args(options));
    let proxy = |name, about| of_proxy(name, about, &options::TABLE);
    let command = clap::Command::new("cxone-proxy")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .about("Forwards local HTTP requests to NICE CXone with an OAuth 2.0 bearer token attached")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .after_help(EXAMPLES)
        .subcommand(
            // The doc comment of its options would be its description.
            serve::Options::augment_args(proxy("serve", ""))
                .about("Run the proxy until SIGTERM or SIGINT")
                .after_help(SERVE_EXAMPLES),
        )
        .subcommand(
            only_for_tokens(proxy("check", "Examine configuration, connection, TLS, clock and log-in one after the other, and say what to do where one fails"))
                .after_help(ACCEPTS_ALL)
                .arg(path())
                .arg(json()),
        )
        .subcommand(only_for_tokens(proxy("token", "Print one valid access token")).after_help(ACCEPTS_ALL))
        .subcommand(
            of_proxy("ready", "Ask a running proxy on this machine whether it is ready", READY_OPTIONS)
                // Its meaning in the table refers to the row before.
                .mut_arg(options::ADMIN_LISTEN.variable, |admin| {
                    admin.help("Where the proxy serves its admin pages [default: 127.0.0.1:8081] [env: CXONE_PROXY_ADMIN_LISTEN] [file: admin.listen]")
                })
                .arg(live())
                .arg(wait()),
        )
        .subcommand(
            clap::Command::new("key")
                .about("Make a key for a client, and print it with the table for the clients file")
                .arg(Arg::new("name").value_name("NAME").required(true).value_parser(client_name).help("The client's name")),
        );
    let command = command
        .subcommand(config_command())
        .subcommand(texts::completions_command())
        .subcommand(texts::manual_command());
    #[cfg(feature = "simulator")]
    let command = command
        .subcommand(
            Limits::augment_args(clap::Command::new("demo"))
                .about("Run a simulated region with a proxy in front of it, and print commands to try")
                .args(args(DEMO_OPTIONS)),
        )
        .subcommand(
            simulate::Options::augment_args(clap::Command::new("simulate"))
                .about("Run the simulated region alone")
                .args(args(SIMULATE_OPTIONS)),
        );
    command
}

fn config_command() -> clap::Command {
    let print = clap::Command::new("print")
        .about("Print every option with its value, as `serve` would use it; secrets are withheld")
        .arg(config().help(format!("The configuration file, in TOML [env: {}]", options::CONFIG_VARIABLE)))
        .args(args(&options::TABLE).map(|argument| argument.hide(true)))
        .arg(
            Arg::new("origin")
                .long("origin")
                .action(ArgAction::SetTrue)
                .help("Say as well where each value was set: flag, variable, line of the file, or default"),
        )
        .arg(json().help("Write a JSON array with names, values, origins and meanings"))
        .after_help("All options of `serve` that the file has as well are accepted. Nobody is asked and nothing is started.");
    clap::Command::new("config")
        .about("Show the configuration")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(print)
        .subcommand(
            clap::Command::new("schema")
                .about("Print the JSON Schema of the file, for editors that complete and check it"),
        )
}

const EXAMPLES: &str = "\
First steps:
  cxone-proxy demo                   try it without an account
  cxone-proxy check                  what is missing or wrong, with the next step
  cxone-proxy serve                  then ask http://localhost:8080/api/v2/...

The four variables that most need: CXONE_REGION, CXONE_CLIENT_ID, CXONE_CLIENT_SECRET,
and CXONE_SCOPES where the client has more than it needs.";

const SERVE_EXAMPLES: &str = "\
Examples:
  CXONE_REGION=eu CXONE_CLIENT_ID=... CXONE_CLIENT_SECRET=... cxone-proxy serve
  cxone-proxy serve --config cxone-proxy.toml --access-log all
  cxone-proxy serve --dry-run        a stub answers, nothing is sent to the API";

/// Under which heading the help shows an option: that of its table in the file.
fn heading(entry: &Entry) -> &'static str {
    let table = entry.file_key.and_then(|key| key.split_once('.')).map_or("", |(table, _)| table);
    match table {
        "upstream" => "The CXone API",
        "oauth" => "Log-in and token",
        "access" | "guard" | "tls" => "Who may use it",
        "forwarding" | "retry" => "Forwarding and retries",
        "rate" => "Pace",
        "limits" => "Limits",
        "log" => "Log",
        "redis" => "Many machines",
        _ => "Listening and running",
    }
}

/// Commands that need a token only take every option of `serve`, so that its command line can be tried with
/// them, but their help shows the options that they use.
const ACCEPTS_ALL: &str = "All other options of `serve` are accepted and checked as well.";

fn only_for_tokens(command: clap::Command) -> clap::Command {
    options::TABLE
        .iter()
        .filter(|entry| entry.flag.is_some() && !is_for_tokens(entry))
        .fold(command, |command, entry| command.mut_arg(entry.variable, |argument| argument.hide(true)))
}

/// True for options about the upstream, the log-in and the log.
fn is_for_tokens(entry: &Entry) -> bool {
    let sections = ["upstream.", "oauth.", "log."];
    entry.file_key.is_some_and(|key| sections.iter().any(|section| key.starts_with(section)))
}

fn config() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .value_parser(value_parser!(OsString))
        .help(format!("TOML file with the keys named below [env: {}]", options::CONFIG_VARIABLE))
}

fn path() -> Arg {
    Arg::new("path")
        .long("path")
        .value_name("/PATH")
        .value_parser(api_path)
        .help("Send one GET for this path with the token as well, such as /api/v2/users/me")
}

fn json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Write one JSON object for programs")
}

fn live() -> Arg {
    Arg::new("live")
        .long("live")
        .action(ArgAction::SetTrue)
        .help("Ask only whether the process runs (/livez instead of /readyz)")
}

fn wait() -> Arg {
    Arg::new("wait")
        .long("wait")
        .value_name("DURATION")
        .value_parser(|text: &str| {
            config::positive_duration(text)
                .map_err(|why| format!("it {why}; accepted: an integer with ms, s, m or h, such as 30s"))
        })
        .help("Ask again until the answer is yes or this time is over, such as 30s")
}

fn client_name(text: &str) -> Result<String, String> {
    let fits = access::is_client_name(text);
    fits.then(|| text.to_owned())
        .ok_or_else(|| format!("it is no name for a client; accepted: {}", access::NAMES))
}

/// A path, perhaps with a query, as it can be in a request line (RFC 9112 section 3.2.1).
fn api_path(text: &str) -> Result<String, &'static str> {
    let is_legal = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if is_legal {
        Ok(text.to_owned())
    } else {
        Err(
            "it must start with `/` and hold only visible ASCII characters without `#`: percent-encode the others",
        )
    }
}

fn args(entries: &[&'static Entry]) -> impl Iterator<Item = Arg> {
    entries.iter().filter_map(move |entry| {
        let flag = entry.flag?;
        // Secrets have no flags, but the help must say where they go.
        let secret = SECRETS.iter().find(|(_, file)| file == entry).map(|(secret, _)| secret.variable);
        let before = secret.map(|secret| format!("The secret has no flag: set {secret} or use this. "));
        let before = before.unwrap_or_default();
        Some(
            Arg::new(entry.variable)
                .long(flag)
                .value_name(entry.value_name())
                .help_heading(heading(entry))
                .value_parser(value_parser!(OsString))
                .help(format!("{before}{}", help(entry))),
        )
    })
}

fn help(entry: &Entry) -> String {
    let default = match entry.default {
        Fallback::Required => "[required] ".to_owned(),
        Fallback::RequiredFor(cases) => format!("[required for {cases}] "),
        Fallback::Described("") => String::new(),
        Fallback::Described(words) => format!("[default: {words}] "),
        Fallback::Value(value) => format!("[default: {value}] "),
    };
    let key = entry.file_key.map(|key| format!(" [file: {key}]")).unwrap_or_default();
    let mut meaning = entry.meaning.chars();
    let first = meaning.next().map(|first| first.to_ascii_uppercase()).unwrap_or_default();
    format!("{first}{} {default}[env: {}]{key}", meaning.as_str(), entry.variable)
}

fn flags(given: &ArgMatches, entries: &[&'static Entry]) -> Flags {
    let value = |id: &str| given.try_get_one::<OsString>(id).ok().flatten().cloned();
    let values = entries.iter().filter_map(|entry| Some((*entry, value(entry.variable)?))).collect();
    Flags { config: value("config"), values }
}

mod texts;

#[cfg(test)]
mod tests;

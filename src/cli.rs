//! The command line: words in, a [`Command`] out.
//!
//! First in the walk. The options come from the configuration's one table; what their values mean is
//! judged there, with those from the environment and the file. Nothing is run here.

use std::{
    ffi::{OsStr, OsString},
    process::ExitCode,
};

use clap::{Arg, ArgAction, ArgMatches, Args, FromArgMatches, error::ErrorKind, value_parser};

use crate::{
    commands::{Command, SimulateOptions, check, simulate},
    config::{
        Flags,
        options::{self, Entry, Fallback},
    },
};

/// The options of `demo`: its upstream and credentials are its own.
static DEMO_OPTIONS: &[&Entry] =
    &[&options::LISTEN, &options::ADMIN_LISTEN, &options::GRANT, &options::LOG, &options::LOG_FORMAT];

/// The option of `ready`: whom to ask.
static READY_OPTIONS: &[&Entry] = &[&options::ADMIN_LISTEN];

/// The options of `simulate` that it shares with the proxy.
static SIMULATE_OPTIONS: &[&Entry] = &[&options::LOG, &options::LOG_FORMAT];

/// Understands the program's arguments, its own name first.
///
/// The error is also how `--help` and `--version` arrive: [`refuse`] prints each where it belongs.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Box<clap::Error>> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut command = command();
    // The simulated region's secret is made up for tests, so `simulate` has a flag for it.
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
    let matches = command.try_get_matches_from_mut(arguments)?;
    match matches.subcommand() {
        Some(("serve", given)) => Ok(Command::Serve(flags(given, options::TABLE))),
        Some(("check", given)) => {
            let path = given.get_one::<String>("path").cloned();
            Ok(Command::Check(
                flags(given, options::TABLE),
                check::Options { path, json: given.get_flag("json") },
            ))
        }
        Some(("token", given)) => Ok(Command::Token(flags(given, options::TABLE))),
        Some(("ready", given)) => Ok(Command::Ready(flags(given, READY_OPTIONS))),
        Some(("demo", given)) => Ok(Command::Demo(flags(given, DEMO_OPTIONS))),
        Some(("simulate", given)) => simulate::Options::from_arg_matches(given)
            .map(|region| {
                Command::Simulate(SimulateOptions {
                    region: Box::new(region),
                    log: flags(given, SIMULATE_OPTIONS),
                })
            })
            .map_err(Box::new),
        Some((_, _)) | None => {
            Err(Box::new(command.error(ErrorKind::MissingSubcommand, "a command is needed")))
        }
    }
}

/// Prints what [`parse`] could not turn into a command: help and version on standard output with status 0,
/// complaints on standard error with status 2.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // Whoever closed the other end does not want to read it.
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
    let proxy = |name, about| of_proxy(name, about, options::TABLE);
    clap::Command::new("cxone-proxy")
        .version(env!("CARGO_PKG_VERSION"))
        .propagate_version(true)
        .about("Forwards local HTTP requests to NICE CXone with an OAuth 2.0 bearer token attached")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(proxy("serve", "Run the proxy until SIGTERM or SIGINT"))
        .subcommand(
            proxy("check", "Go the way to an API answer stage by stage, and say where it fails and what to do")
                .arg(path())
                .arg(json()),
        )
        .subcommand(proxy("token", "Print one valid access token"))
        .subcommand(
            of_proxy("ready", "Ask a running proxy on this machine whether it is ready", READY_OPTIONS)
                // Its meaning in the table refers to the row before.
                .mut_arg(options::ADMIN_LISTEN.variable, |admin| {
                    admin.help("Where the proxy was told to serve its admin pages [default: 127.0.0.1:8081] [env: CXONE_PROXY_ADMIN_LISTEN] [file: admin.listen]")
                }),
        )
        .subcommand(
            clap::Command::new("demo")
                .about("Run a simulated region with a proxy in front of it, and print commands to try")
                .args(args(DEMO_OPTIONS)),
        )
        .subcommand(
            simulate::Options::augment_args(clap::Command::new("simulate"))
                .about("Run the simulated region alone")
                .args(args(SIMULATE_OPTIONS)),
        )
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

/// A path, perhaps with a query, as it can stand in a request line (RFC 9112 section 3.2.1).
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

fn args(entries: &'static [&'static Entry]) -> impl Iterator<Item = Arg> {
    entries.iter().filter_map(move |entry| {
        let flag = entry.flag?;
        // Secrets have no flags, yet whoever reads the help must learn where they go.
        let secret = SECRETS.iter().find(|(_, file)| file == entry).map(|(secret, _)| secret.variable);
        let before = secret.map(|secret| format!("The secret has no flag: set {secret} or use this. "));
        let before = before.unwrap_or_default();
        Some(
            Arg::new(entry.variable)
                .long(flag)
                .value_name(entry.value_name())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, Box<clap::Error>> {
        parse(line.split(' ').map(OsString::from))
    }

    fn refused(line: &str) -> clap::Error {
        match parsed(line) {
            Ok(_) => panic!("`{line}` was accepted"),
            Err(error) => *error,
        }
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_option_is_a_flag_of_the_commands_that_load_it() {
        for name in ["serve", "check", "token"] {
            for entry in options::TABLE {
                let Some(flag) = entry.flag else { continue };
                let flags = match parsed(&format!("cxone-proxy {name} --{flag} value")) {
                    Ok(Command::Serve(flags) | Command::Check(flags, _) | Command::Token(flags)) => flags,
                    Ok(Command::Ready(_) | Command::Demo(_) | Command::Simulate(_)) => {
                        panic!("another command")
                    }
                    Err(error) => panic!("{error}"),
                };
                assert_eq!(flags.values, [(*entry, OsString::from("value"))]);
                assert_eq!(flags.config, None);
            }
        }
    }

    #[test]
    fn each_command_takes_its_own_options() {
        let Ok(Command::Serve(flags)) = parsed("cxone-proxy serve --config a.toml --via=off") else {
            panic!()
        };
        assert_eq!(flags.config, Some("a.toml".into()));
        assert_eq!(flags.values, [(&options::VIA, "off".into())]);
        let Ok(Command::Ready(flags)) = parsed("cxone-proxy ready --config a.toml --admin-listen [::1]:1")
        else {
            panic!()
        };
        assert_eq!(flags.config, Some("a.toml".into()));
        assert_eq!(flags.values, [(&options::ADMIN_LISTEN, "[::1]:1".into())]);
        assert_eq!(refused("cxone-proxy ready --listen 127.0.0.1:0").exit_code(), 2);
        let demo = parsed(
            "cxone-proxy demo --listen 127.0.0.1:0 --admin-listen off --grant password --log debug --log-format json",
        );
        assert!(matches!(demo, Ok(Command::Demo(flags)) if flags.values.len() == 5));
        assert_eq!(refused("cxone-proxy demo --client-id x").exit_code(), 2);
        let Ok(Command::Simulate(given)) = parsed("cxone-proxy simulate --log-format json") else { panic!() };
        assert_eq!(given.region.listen.to_string(), "127.0.0.1:8090");
        assert_eq!(given.log.values, [(&options::LOG_FORMAT, "json".into())]);
        let Ok(Command::Simulate(given)) = parsed("cxone-proxy simulate --client-secret mine") else {
            panic!()
        };
        assert_eq!(given.region.client_secret, "mine");
        let Ok(Command::Simulate(given)) = parsed("cxone-proxy simulate --listen [::1]:0") else { panic!() };
        assert_eq!(given.region.listen.to_string(), "[::1]:0");
    }

    #[test]
    fn help_and_version_are_results_and_all_else_is_a_mistake() {
        for name in ["", " serve", " check", " token", " ready", " demo", " simulate"] {
            for flag in ["--help", "--version", "-h", "-V"] {
                let error = refused(&format!("cxone-proxy{name} {flag}"));
                assert_eq!((error.exit_code(), error.use_stderr()), (0, false), "{name} {flag}");
            }
            let error = refused(&format!("cxone-proxy{name} --no-such-flag"));
            assert_eq!((error.exit_code(), error.use_stderr()), (2, true), "{name}");
        }
        for line in
            ["cxone-proxy", "cxone-proxy sevre", "cxone-proxy serve now", "cxone-proxy simulate --listen x"]
        {
            let error = refused(line);
            assert_eq!((error.exit_code(), error.use_stderr()), (2, true), "{line}");
        }
    }

    #[test]
    fn check_takes_a_path_and_a_form() {
        let options = |line: &str| {
            let Ok(Command::Check(_, options)) = parsed(line) else { panic!("{line}") };
            (options.path, options.json)
        };
        assert_eq!(options("cxone-proxy check"), (None, false));
        let line = "cxone-proxy check --json --path //api/v2/a%2Fb?x=1";
        assert_eq!(options(line), (Some("//api/v2/a%2Fb?x=1".to_owned()), true));
        for path in ["api", "https://x.example/", "/a#b", "/\u{e9}", "/a\tb", ""] {
            let error = refused(&format!("cxone-proxy check --path={path}"));
            assert_eq!((error.exit_code(), error.use_stderr()), (2, true), "{path:?}");
        }
        assert_eq!(refused("cxone-proxy token --json").exit_code(), 2);
    }

    #[test]
    fn the_secret_has_no_flag_and_is_not_shown() {
        for line in [
            "cxone-proxy serve --client-secret s3cr3t",
            "cxone-proxy serve --client-secret=s3cr3t",
            "cxone-proxy token --region eu --client-secret s3cr3t",
            "cxone-proxy --client-secret s3cr3t",
            "cxone-proxy check --access-key-secret s3cr3t",
            "cxone-proxy check --access-key-secret=s3cr3t",
        ] {
            let error = refused(line);
            let text = error.to_string();
            assert_eq!(error.exit_code(), 2);
            let secret = if line.contains("access-key") { "ACCESS_KEY_SECRET" } else { "CLIENT_SECRET" };
            let flag = format!("--{}-file or ", secret.to_lowercase().replace('_', "-"));
            assert!(text.contains(&format!("CXONE_{secret},")) && text.contains(&flag), "{text}");
            assert!(!text.contains("s3cr3t"));
        }
        assert!(!refused("cxone-proxy serve --client-secert=s3cr3t").to_string().contains("s3cr3t"));
    }

    #[test]
    fn the_help_tells_where_each_value_can_be_set() {
        let help =
            refused("cxone-proxy serve --help").to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        for entry in options::TABLE {
            assert!(help.contains(entry.variable), "{}", entry.variable);
            assert!(
                entry.file_key.is_none_or(|key| help.contains(&format!("[file: {key}]"))),
                "{}",
                entry.variable
            );
        }
        assert!(help.contains("[default: 10s] [env: CXONE_PROXY_CONNECT_TIMEOUT]"), "{help}");
        let key = "[required for `password` and `access_key`] [env: CXONE_ACCESS_KEY_ID]";
        assert!(help.contains(key), "{help}");
    }
}

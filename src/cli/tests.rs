//! Command lines as people type them.

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
        for entry in options::TABLE.iter() {
            let Some(flag) = entry.flag else { continue };
            let flags = match parsed(&format!("cxone-proxy {name} --{flag} value")) {
                Ok(Command::Serve(flags, _) | Command::Check(flags, _) | Command::Token(flags)) => flags,
                Ok(_) => panic!("another command"),
                Err(error) => panic!("{error}"),
            };
            assert_eq!(flags.values, [(*entry, OsString::from("value"))]);
            assert_eq!(flags.config, None);
        }
    }
}

#[test]
fn each_command_takes_its_own_options() {
    let Ok(Command::Serve(flags, asked)) = parsed("cxone-proxy serve --config a.toml --via=off") else {
        panic!()
    };
    assert_eq!(asked, serve::Options::default());
    assert_eq!(flags.config, Some("a.toml".into()));
    assert_eq!(flags.values, [(&options::VIA, "off".into())]);
    let Ok(Command::Ready(flags, options)) =
        parsed("cxone-proxy ready --config a.toml --admin-listen [::1]:1")
    else {
        panic!()
    };
    assert_eq!((flags.config, options), (Some("a.toml".into()), ready::Options::default()));
    assert_eq!(flags.values, [(&options::ADMIN_LISTEN, "[::1]:1".into())]);
    assert_eq!(refused("cxone-proxy ready --listen 127.0.0.1:0").exit_code(), 2);
}

#[cfg(feature = "simulator")]
#[test]
fn the_simulated_region_takes_its_own_options() {
    let demo = parsed(
        "cxone-proxy demo --listen 127.0.0.1:0 --admin-listen off --grant password --log debug --log-format json",
    );
    assert!(matches!(demo, Ok(Command::Demo(_, flags)) if flags.values.len() == 5));
    assert_eq!(refused("cxone-proxy demo --client-id x").exit_code(), 2);
    let simulate = |line: &str| {
        let Ok(Command::Simulate(region, flags)) = parsed(line) else { panic!("{line}") };
        (region, flags)
    };
    let (region, flags) = simulate("cxone-proxy simulate --log-format json");
    assert_eq!(region.listen.to_string(), "127.0.0.1:8090");
    assert_eq!(flags.values, [(&options::LOG_FORMAT, "json".into())]);
    assert_eq!(simulate("cxone-proxy simulate --client-secret mine").0.client_secret, "mine");
    assert_eq!(simulate("cxone-proxy simulate --listen [::1]:0").0.listen.to_string(), "[::1]:0");
}

#[cfg(not(feature = "simulator"))]
#[test]
fn a_build_without_the_simulator_says_what_its_commands_need() {
    for line in ["cxone-proxy demo", "cxone-proxy demo --help", "cxone-proxy simulate --tls"] {
        let error = refused(line);
        assert_eq!((error.exit_code(), error.use_stderr()), (2, true), "{line}");
        assert!(error.to_string().contains("the feature `simulator`"), "{error}");
    }
    assert!(!refused("cxone-proxy --help").to_string().contains("simulate"));
}

#[test]
fn help_and_version_are_results_and_everything_else_is_a_mistake() {
    let simulator = [" demo", " simulate"].into_iter().filter(|_| cfg!(feature = "simulator"));
    for name in ["", " serve", " check", " token", " ready"].into_iter().chain(simulator) {
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
fn ready_can_ask_for_life_and_wait() {
    let options = |line: &str| {
        let Ok(Command::Ready(_, options)) = parsed(line) else { panic!("{line}") };
        (options.live, options.wait)
    };
    assert_eq!(options("cxone-proxy ready --live"), (true, None));
    assert_eq!(options("cxone-proxy ready --wait 30s"), (false, Some(Duration::from_secs(30))));
    for wait in ["30", "0s", "soon"] {
        let error = refused(&format!("cxone-proxy ready --wait {wait}"));
        assert!(error.exit_code() == 2 && error.to_string().contains("such as 30s"), "{error}");
    }
}

#[test]
fn the_help_of_check_and_token_shows_the_options_that_they_use() {
    for name in ["check", "token"] {
        let help = refused(&format!("cxone-proxy {name} --help")).to_string();
        for entry in options::TABLE.iter() {
            let Some(flag) = entry.flag else { continue };
            let is_shown = help.contains(&format!("--{flag} "));
            assert_eq!(is_shown, is_for_tokens(entry), "{name} --{flag}");
        }
    }
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
fn the_help_says_what_each_command_does_in_words_for_its_user() {
    let help = refused("cxone-proxy --help").to_string();
    for (name, begins) in [
        ("serve", "Run the proxy"),
        ("check", "Examine"),
        ("token", "Print one valid"),
        ("ready", "Ask a running"),
        ("key", "Make a key"),
    ] {
        let line = help.lines().find_map(|line| line.trim_start().strip_prefix(name)).unwrap();
        assert!(line.trim_start().starts_with(begins), "{name}: {line}");
    }
    assert!(help.contains("First steps:"), "{help}");
    let help = refused("cxone-proxy serve --help").to_string();
    for heading in ["The CXone API:", "Log-in and token:", "Who may use it:", "Pace:", "Examples:"] {
        assert!(help.contains(heading), "{heading}");
    }
    assert!(
        help.lines().filter(|line| line.contains("  cxone-proxy")).all(|line| line.len() <= 80),
        "{help}"
    );
}

#[test]
fn the_help_says_where_each_value_can_be_set() {
    let help =
        refused("cxone-proxy serve --help").to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    for entry in options::TABLE.iter() {
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

#[test]
fn config_print_takes_what_serve_takes() {
    let Ok(Command::Config(flags, options)) = parsed("cxone-proxy config print --origin --via off") else {
        panic!()
    };
    assert_eq!(flags.values, [(&options::VIA, OsString::from("off"))]);
    assert_eq!(options, print::Options { origin: true, json: false });
    refused("cxone-proxy config show");
}

#[test]
fn completions_and_manual_pages_know_commands_and_options() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let Ok(Command::Text { text, .. }) = parsed(&format!("cxone-proxy completions {shell}")) else {
            panic!("{shell}")
        };
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("admin-listen") && text.contains("serve"), "{shell}");
    }
    let page = |line: &str| match parsed(line) {
        Ok(Command::Text { text, .. }) => String::from_utf8(text).unwrap().replace('\\', ""),
        _ => panic!("{line}"),
    };
    assert!(page("cxone-proxy man").contains("cxone-proxy-serve"));
    let serve = page("cxone-proxy man serve");
    assert!(serve.contains(".TH cxone-proxy-serve 1") && serve.contains("--admin-listen"), "{serve}");
    let error = refused("cxone-proxy man sevre").to_string();
    assert!(error.contains("there is no command `sevre`; accepted: serve, check"), "{error}");
}

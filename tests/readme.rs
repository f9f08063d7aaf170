//! README, the documents beside it and the files for deployment name nothing that the program does not have.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, ffi::OsString, fs, path::Path};

use cxone_proxy::{
    cli,
    config::{self, options},
};

/// What is run or copied as it stands.
const DEPLOYED: [&str; 8] = [
    "docker-compose.yml",
    "Dockerfile",
    "deploy/cxone-proxy.service",
    "deploy/kubernetes/sidecar/deployment.yaml",
    "deploy/kubernetes/gateway/deployment.yaml",
    "deploy/nginx.conf",
    "deploy/nginx-auth.conf",
    "deploy/envoy-ext-authz.yaml",
];
const COMMANDS: [&str; 10] =
    ["serve", "check", "token", "ready", "key", "config", "completions", "man", "demo", "simulate"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents for people: README and all that lies in docs, with their names.
fn documents() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| format!("docs/{}", entry.unwrap().file_name().display()))
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "md"))
        .collect();
    names.push("README.md".to_owned());
    names.sort();
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

/// Every document and every file for deployment, with its name.
fn texts() -> Vec<(String, String)> {
    let others = DEPLOYED.into_iter().chain([".env.example"]).map(|path| (path.to_owned(), read(path)));
    documents().into_iter().chain(others).collect()
}

/// The rows of the only table with this header.
fn table(header: &str) -> String {
    let texts = documents();
    let mut found = texts.iter().filter_map(|(_, text)| text.split_once(&format!("{header}\n| --- |")));
    let (_, rest) = found.next().unwrap_or_else(|| panic!("no table {header}"));
    assert!(found.next().is_none(), "two tables {header}");
    let (_, rows) = rest.split_once('\n').unwrap();
    rows.split_once("\n\n").map_or(rows, |(rows, _)| rows).to_owned()
}

/// The program's output for these arguments where they ask for help or are wrong.
fn output(arguments: &[&str]) -> Option<String> {
    let line = ["cxone-proxy"].iter().chain(arguments).map(OsString::from);
    cli::parse(line).err().map(|error| error.to_string())
}

fn is_flag_of(command: &str, flag: &str) -> bool {
    // The one command that has commands of its own.
    let command: &[&str] = if command == "config" { &["config", "print"] } else { &[command] };
    let help = output(&[command, &["--help"]].concat()).unwrap();
    words(&help, &['-']).any(|known| known == flag)
}

/// The words of a text that are made of these characters and those of names.
fn words<'t>(text: &'t str, extra: &'t [char]) -> impl Iterator<Item = &'t str> {
    text.split(move |char: char| !(char.is_ascii_alphanumeric() || extra.contains(&char)))
}

/// What is code in a document: between marks in prose, everything elsewhere.
fn code<'t>(path: &str, text: &'t str) -> Vec<&'t str> {
    // A fence is three marks, so what it holds is at an odd place as well.
    let is_prose = Path::new(path).extension().is_some_and(|extension| extension == "md");
    if is_prose { text.split('`').skip(1).step_by(2).collect() } else { vec![text] }
}

/// The arguments, where a line of code calls the program.
fn call(line: &str) -> Option<&str> {
    let starts = ["cxone-proxy ", "ExecStart=/usr/local/bin/cxone-proxy ", "cargo run --release -- "];
    starts.iter().find_map(|start| line.strip_prefix(start))
}

#[test]
fn the_table_of_options_is_the_programs() {
    let table = table("| environment | file key | default | meaning |");
    let rows = config::markdown_rows();
    assert!(format!("{table}\n") == rows, "paste this over the table:\n{rows}");
}

#[test]
fn every_variable_exists() {
    let known: BTreeSet<&str> =
        options::TABLE.iter().map(|entry| entry.variable).chain([options::CONFIG_VARIABLE]).collect();
    // The rule for flags names these, and the page of messages shows what is said of a misspelled one.
    let beginnings = ["CXONE_", "CXONE_PROXY_", "CXONE_REGOIN"];
    for (path, text) in texts() {
        for word in words(&text, &['_']).filter(|word| word.starts_with("CXONE_")) {
            assert!(known.contains(word) || beginnings.contains(&word), "{path}: {word}");
        }
    }
}

#[test]
fn every_file_key_exists() {
    let known: BTreeSet<&str> = options::TABLE.iter().filter_map(|entry| entry.file_key).collect();
    let sections: BTreeSet<&str> = known.iter().filter_map(|key| Some(key.split_once('.')?.0)).collect();
    for (path, text) in texts() {
        for key in code(&path, &text).into_iter().filter(|code| words(code, &['_', '.']).eq([*code])) {
            let is_key = key.split_once('.').is_some_and(|(section, _)| sections.contains(section));
            assert!(!is_key || known.contains(key), "{path}: {key}");
        }
    }
}

#[test]
fn the_examples_of_files_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["cxone", "unit2"] {
        fs::write(directory.path().join(name), "s3cr3t\n").unwrap();
    }
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for name in ["proxy.pem", "ca.pem"] {
        fs::write(directory.path().join(name), certificate.cert.pem()).unwrap();
    }
    fs::write(directory.path().join("proxy.key"), certificate.signing_key.serialize_pem()).unwrap();
    let documents = documents();
    let examples = documents.iter().flat_map(|(name, text)| {
        let examples = text.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
        examples.map(move |example| (name, example))
    });
    let configs: Vec<_> = examples
        .map(|(name, example)| {
            let file = directory.path().join("proxy.toml");
            let place = directory.path().to_str().unwrap();
            let example = example.replace("/run/secrets", place).replace("/etc/cxone-proxy", place);
            fs::write(&file, file_for(&example, directory.path())).unwrap();
            let flags = config::Flags { config: Some(file.into()), values: Vec::new() };
            let loaded = config::load(&flags, &config::Environment::default());
            loaded.unwrap_or_else(|errors| panic!("{name}: {errors}\n{example}")).config
        })
        .collect();
    let several: Vec<_> = configs.iter().filter(|config| config.profiles.len() > 1).collect();
    assert!(!several.is_empty() && several.len() < configs.len(), "{} examples", configs.len());
    let shared: Vec<_> = several[0].profiles.iter().map(|p| (p.name.as_str(), p.credentials)).collect();
    assert_eq!(shared, [("api", 0), ("digital", 0), ("unit2", 2)]);
}

/// The configuration file that an example is, or one that needs it.
fn file_for(example: &str, directory: &Path) -> String {
    let place = directory.display();
    let oauth = format!("[oauth]\nclient_id = 'a'\nclient_secret_file = '{place}/cxone'\n");
    let tls = format!(
        "[tls]\ncert = '{place}/proxy.pem'\nkey = '{place}/proxy.key'\nclient_ca = '{place}/ca.pem'\n"
    );
    if example.starts_with("[[client]]") {
        fs::write(directory.join("clients.toml"), example).unwrap();
        return format!("clients_file = '{place}/clients.toml'\n{oauth}{tls}");
    }
    if example.starts_with("[tls]") { format!("{oauth}{example}") } else { example.to_owned() }
}

#[test]
fn the_table_of_profile_keys_is_whole() {
    let flags = |file: &Path| config::Flags { config: Some(file.into()), values: Vec::new() };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");
    fs::write(&file, "[[profile]]\nno_such_key = 1\n").unwrap();
    let error = config::load(&flags(&file), &config::Environment::default()).unwrap_err().to_string();
    let (_, known) = error.split_once("none of a profile's keys; accepted: ").unwrap();
    let known = known.split_once(", and the sections").unwrap().0;
    let table = table("| key | meaning |");
    let documented = table.lines().map_while(|row| row.split('`').nth(1)).collect::<Vec<_>>().join(", ");
    assert_eq!(documented, known);
}

#[test]
fn every_command_and_flag_exists() {
    let mut seen = BTreeSet::new();
    for (path, text) in texts() {
        let code = code(&path, &text);
        for call in code.iter().flat_map(|code| code.lines()).filter_map(call) {
            let command = call.split(' ').next().unwrap();
            assert!(COMMANDS.contains(&command), "{path}: cxone-proxy {call}");
            seen.insert(command.to_owned());
            for flag in words(call, &['-']).filter(|word| word.starts_with("--")) {
                assert!(is_flag_of(command, flag), "{path}: {command} {flag}");
            }
        }
        // Measurements name the flags of other programs.
        let is_ours = |code: &&&str| path != "docs/performance.md" && code.starts_with("--");
        for flag in code.iter().filter(is_ours) {
            let flag = words(flag, &['-']).next().unwrap();
            assert!(COMMANDS.iter().any(|command| is_flag_of(command, flag)), "{path}: {flag}");
        }
    }
    assert_eq!(seen, COMMANDS.map(str::to_owned).into(), "every command is documented");
}

/// What it means, and a moment at which it fires.
#[test]
fn every_alert_has_its_page_and_its_test() {
    let (rules, tests) = (read("deploy/prometheus-rules.yml"), read("deploy/prometheus-rules.test.yml"));
    let (page, table) = (read("docs/alerts.md"), table("| alert | meaning | first step |"));
    let names: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in &names {
        assert!(page.contains(&format!("\n## {name}\n")), "docs/alerts.md: {name}");
        assert!(table.contains(&format!("| `{name}` |")), "docs/operations.md: {name}");
        assert!(
            tests.contains(&format!("alertname: {name}, exp_alerts: [{{")),
            "it fires in no test: {name}"
        );
        let runbook = format!("runbook: \"docs/alerts.md#{}\"", name.to_lowercase());
        assert!(rules.contains(&runbook), "{runbook}");
    }
    assert_eq!(page.matches("\n## ").count(), names.len());
}

#[test]
fn the_commands_are_all_there_are() {
    let help = output(&["--help"]).unwrap();
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let listed: Vec<&str> = listed
        .lines()
        .take_while(|line| !line.is_empty())
        // Deeper lines go on with a description.
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty() && *word != "help")
        .collect();
    assert_eq!(listed, COMMANDS);
}

#[test]
fn every_event_of_the_log_is_one_of_the_programs() {
    let source = source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let calls = log_calls(&source);
    for row in table("| `message` | level | further fields |").lines() {
        let [messages, level, fields] =
            row.trim_matches('|').split('|').collect::<Vec<_>>().try_into().unwrap();
        let messages: Vec<_> = messages.split('`').skip(1).step_by(2).collect();
        assert!(!messages.is_empty(), "{row}");
        for message in &messages {
            let known = calls.iter().any(|call| call.level == level.trim() && call.says(message));
            assert!(known, "no event {message:?} of level {level}");
        }
        for field in fields.split('`').skip(1).step_by(2) {
            let known =
                calls.iter().any(|call| call.has(field) && messages.iter().any(|message| call.says(message)));
            assert!(known, "no event of {messages:?} has the field {field:?}");
        }
    }
}

/// The test above can fail: a field counts only in the call that logs the message.
#[test]
fn a_field_of_another_event_is_not_taken_for_this_one_s() {
    let source = r#"tracing::warn!(status = 502, error = %error, "request (failed)"); let signal = 1;
                    tracing::info!(signal, "draining"); let shape = "request (failed)";"#;
    let calls = log_calls(source);
    assert_eq!(calls.len(), 2);
    assert_eq!((calls[0].level, calls[1].level), ("warn", "info"));
    assert!(calls[0].says("request (failed)") && !calls[1].says("request (failed)"));
    assert!(calls[0].has("status") && calls[0].has("error") && !calls[0].has("signal"));
    assert!(calls[1].has("signal") && !calls[1].has("shape"));
}

/// A call that logs an event.
struct LogCall<'s> {
    level: &'static str,
    /// What stands between its parentheses.
    arguments: &'s str,
}

impl LogCall<'_> {
    fn says(&self, message: &str) -> bool {
        // A message may go on after a colon with what is special about one occurrence.
        ["\"", ": "].iter().any(|end| self.arguments.contains(&format!("\"{message}{end}")))
    }

    /// True where a field of this name stands before the message.
    fn has(&self, field: &str) -> bool {
        let fields = self.arguments.split('"').next().unwrap_or_default();
        words(fields, &['_']).any(|word| word == field)
    }
}

fn log_calls(source: &str) -> Vec<LogCall<'_>> {
    let calls = |level: &'static str| {
        source.match_indices(level).filter_map(move |(at, _)| {
            let rest = source.get(at + level.len()..)?.strip_prefix("!(")?;
            Some(LogCall { level, arguments: rest.get(..end_of_call(rest)?)? })
        })
    };
    ["error", "warn", "info", "debug", "trace"].into_iter().flat_map(calls).collect()
}

/// Where the parenthesis closes that was open before this text. Text in quotation marks does not count.
fn end_of_call(text: &str) -> Option<usize> {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, char) in text.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted && depth == 0 => return Some(at),
            ')' if !quoted => depth -= 1,
            _ => {}
        }
    }
    None
}

/// All source below this folder.
fn source(folder: &Path) -> String {
    let mut found = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.push_str(&source(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    found
}

#[test]
fn every_file_that_is_linked_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (document, text) in documents() {
        let folder = root.join(&document).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            let is_elsewhere = link.is_empty() || link.starts_with("https://");
            assert!(is_elsewhere || folder.join(link).exists(), "{document}: {link}");
        }
    }
}

#[test]
fn the_test_command_is_what_the_checks_run() {
    let is_command = |line: &str| line.contains("cargo test");
    let readme = read("README.md");
    let documented = readme.lines().find(|line| is_command(line)).unwrap();
    let script = read(".ci/run");
    let run = script.lines().find(|line| is_command(line)).unwrap();
    assert!(run.starts_with(&format!("step {documented} ")), "{run}");
}

//! The README and its kin say nothing that the program does not know.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, ffi::OsString, fs, path::Path, time::UNIX_EPOCH};

use cxone_proxy::{
    cli,
    config::{self, options},
    metrics::{ProfileReadings, Readings, Shards, TokenCounters, exposition},
};

/// Documents for people, beside the README.
const DOCUMENTS: [&str; 3] = ["README.md", "docs/operations.md", ".env.example"];
/// What is run or copied as it stands.
const DEPLOYED: [&str; 5] = [
    "docker-compose.yml",
    "Dockerfile",
    "deploy/cxone-proxy.service",
    "deploy/kubernetes.yaml",
    "deploy/nginx.conf",
];
const COMMANDS: [&str; 6] = ["serve", "check", "token", "ready", "demo", "simulate"];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every document, with its name.
fn texts() -> impl Iterator<Item = (&'static str, String)> {
    DOCUMENTS.into_iter().chain(DEPLOYED).map(|path| (path, read(path)))
}

/// What the program says to these arguments where they ask for help or are wrong.
fn said(arguments: &[&str]) -> Option<String> {
    let line = ["cxone-proxy"].iter().chain(arguments).map(OsString::from);
    cli::parse(line).err().map(|error| error.to_string())
}

fn is_flag_of(command: &str, flag: &str) -> bool {
    let help = said(&[command, "--help"]).unwrap();
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
    let readme = read("README.md");
    let (_, rest) = readme
        .split_once("| environment | file key | default | meaning |\n| --- | --- | --- | --- |\n")
        .unwrap();
    let (table, _) = rest.split_once("\n\n").unwrap();
    let rows = config::markdown_rows();
    assert!(format!("{table}\n") == rows, "paste this over the table:\n{rows}");
}

#[test]
fn every_variable_exists() {
    let known: BTreeSet<&str> =
        options::TABLE.iter().map(|entry| entry.variable).chain([options::CONFIG_VARIABLE]).collect();
    // How a flag follows from a variable is told by these.
    let beginnings = ["CXONE_", "CXONE_PROXY_"];
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
        for key in code(path, &text).into_iter().filter(|code| words(code, &['_', '.']).eq([*code])) {
            let is_key = key.split_once('.').is_some_and(|(section, _)| sections.contains(section));
            assert!(!is_key || known.contains(key), "{path}: {key}");
        }
    }
}

#[test]
fn the_examples_of_files_are_accepted() {
    let readme = read("README.md");
    let directory = tempfile::tempdir().unwrap();
    for name in ["cxone", "unit2"] {
        fs::write(directory.path().join(name), "s3cr3t\n").unwrap();
    }
    let examples = readme.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let configs: Vec<_> = examples
        .map(|example| {
            let file = directory.path().join("proxy.toml");
            fs::write(&file, example.replace("/run/secrets", directory.path().to_str().unwrap())).unwrap();
            let flags = config::Flags { config: Some(file.into()), values: Vec::new() };
            config::load(&flags, &config::Environment::default()).unwrap().config
        })
        .collect();
    let [profiles, plain] = &configs[..] else { panic!("{} examples", configs.len()) };
    assert_eq!(plain.upstream.base_url.to_string(), "https://api.eu.cxone.com");
    let shared: Vec<_> = profiles.profiles.iter().map(|p| (p.name.as_str(), p.credentials)).collect();
    assert_eq!(shared, [("api", 0), ("digital", 0), ("unit2", 2)]);
}

#[test]
fn the_table_of_profile_keys_is_whole() {
    let flags = |file: &Path| config::Flags { config: Some(file.into()), values: Vec::new() };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("proxy.toml");
    fs::write(&file, "[[profile]]\nno_such_key = 1\n").unwrap();
    let said = config::load(&flags(&file), &config::Environment::default()).unwrap_err().to_string();
    let (_, known) = said.split_once("none of a profile's keys; accepted: ").unwrap();
    let known = known.split_once(", and the sections").unwrap().0;
    let readme = read("README.md");
    let (_, table) = readme.split_once("| key | meaning |\n| --- | --- |\n").unwrap();
    let told = table.lines().map_while(|row| row.split('`').nth(1)).collect::<Vec<_>>().join(", ");
    assert_eq!(told, known);
}

#[test]
fn every_command_and_flag_exists() {
    let mut seen = BTreeSet::new();
    for (path, text) in texts() {
        let code = code(path, &text);
        for call in code.iter().flat_map(|code| code.lines()).filter_map(call) {
            let command = call.split(' ').next().unwrap();
            assert!(COMMANDS.contains(&command), "{path}: cxone-proxy {call}");
            seen.insert(command.to_owned());
            for flag in words(call, &['-']).filter(|word| word.starts_with("--")) {
                assert!(is_flag_of(command, flag), "{path}: {command} {flag}");
            }
        }
        for flag in code.iter().filter(|code| code.starts_with("--")) {
            let flag = words(flag, &['-']).next().unwrap();
            assert!(COMMANDS.iter().any(|command| is_flag_of(command, flag)), "{path}: {flag}");
        }
    }
    assert_eq!(seen, COMMANDS.map(str::to_owned).into(), "every command is told of");
}

#[test]
fn the_commands_are_all_there_are() {
    let help = said(&["--help"]).unwrap();
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let listed: Vec<&str> = listed
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| *word != "help")
        .collect();
    assert_eq!(listed, COMMANDS);
}

#[test]
fn the_table_of_metrics_is_whole() {
    let exposed = exposition(&Readings {
        profiles: vec![ProfileReadings {
            name: None,
            shards: &Shards::new(1),
            tokens: Some(&TokenCounters::default()),
        }],
        draining: false,
        version: "0",
        started: UNIX_EPOCH,
    });
    let known: BTreeSet<&str> =
        exposed.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let text = read("docs/operations.md");
    let (_, table) = text.split_once("| metric | labels | meaning |\n| --- | --- | --- |\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let told: BTreeSet<&str> = table.lines().filter_map(|row| row.split('`').nth(1)).collect();
    assert_eq!(told, known);
    for (path, text) in texts() {
        for word in words(&text, &['_']).filter(|word| word.starts_with("cxone_proxy_")) {
            assert!(known.contains(word), "{path}: {word}");
        }
    }
}

#[test]
fn every_event_of_the_log_is_one_of_the_programs() {
    fn sources(folder: &Path, found: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut source = String::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut source);
    let text = read("docs/operations.md");
    let (_, table) =
        text.split_once("| `message` | level | further fields |\n| --- | --- | --- |\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    for row in table.lines() {
        let [messages, _, fields] = row.trim_matches('|').split('|').collect::<Vec<_>>().try_into().unwrap();
        for message in messages.split('`').skip(1).step_by(2) {
            assert!(source.contains(&format!("\"{message}\"")), "{message}");
        }
        for field in fields.split('`').skip(1).step_by(2) {
            let is_known = [format!("{field} ="), format!("%{field},"), format!("{field},")];
            assert!(is_known.iter().any(|form| source.contains(form)), "{field}");
        }
    }
}

#[test]
fn every_file_that_is_linked_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in ["README.md", "docs/operations.md"] {
        let text = read(document);
        let folder = root.join(document).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()) {
            let is_far = link.is_empty() || link.starts_with("https://");
            assert!(is_far || folder.join(link).exists(), "{document}: {link}");
        }
    }
}

#[test]
fn the_test_command_is_what_the_checks_run() {
    let is_command = |line: &str| line.contains("cargo test");
    let readme = read("README.md");
    let told = readme.lines().find(|line| is_command(line)).unwrap();
    let script = read(".ci/run");
    let run = script.lines().find(|line| is_command(line)).unwrap();
    assert!(run.starts_with(&format!("step {told} ")), "{run}");
}

//! What a person reads when something fails: the first line of the log, and the client's answer. Each failure is played
//! for real. docs/messages.md has all of them in one place; with MESSAGES=write this test writes it anew.

mod api;
mod clients;
mod start;
mod tokens;

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Message, Process, eventually};

/// What was read.
struct Scene {
    title: &'static str,
    /// What is missing in it, or should not be there.
    faults: Vec<String>,
    /// The first line of the log that is a warning or an error.
    line: Option<String>,
    answer: Option<String>,
}

/// What the first line and the answer must say.
#[derive(Clone, Copy)]
struct Due<'a> {
    title: &'static str,
    /// Each of these is in the line: cause, address, request, next step.
    line: &'a [&'a str],
    /// Each of these is in the answer.
    answer: &'a [&'a str],
}

impl Scene {
    /// Waits for the line where one is due, and checks both.
    async fn of(due: Due<'_>, process: &Process, answer: Option<&Message>) -> Self {
        let Due { title, .. } = due;
        let line = if due.line.is_empty() {
            None
        } else {
            let is_one = |event: &Value| event["level"] == "WARN" || event["level"] == "ERROR";
            let found = eventually(title, async || process.events().into_iter().find(is_one)).await;
            Some(found["message"].as_str().unwrap().to_owned())
        };
        let answer = answer.map(answered);
        Self::checked(due, line, answer)
    }

    fn checked(due: Due<'_>, line: Option<String>, answer: Option<String>) -> Self {
        let Due { title, .. } = due;
        let mut faults = Vec::new();
        for (text, parts) in [(&line, due.line), (&answer, due.answer)] {
            let text = text.as_deref().unwrap_or_default();
            let missing = parts.iter().filter(|part| !text.contains(**part));
            faults.extend(missing.map(|part| format!("{title}: {part:?} is not in: {text}")));
            let strange = STRANGE.iter().filter(|word| text.contains(**word));
            faults.extend(strange.map(|word| format!("{title}: {word:?} is in: {text}")));
        }
        Self { title, faults, line, answer }
    }
}

/// Words of a library, and sentences that end twice.
const STRANGE: [&str; 10] =
    ["Os {", "os error", "hyper", "rustls", "Kind(", "DnsName", "UnknownIssuer", "..", "None", "Some("];

/// Status, title, detail and hint of a problem.
fn answered(message: &Message) -> String {
    let problem = message.json();
    let part = |name: &str| problem[name].as_str().map(|text| format!(" {text}")).unwrap_or_default();
    let title = part("title");
    format!("{}{}.{}{}", message.status(), title.trim_end_matches('.'), part("detail"), part("hint"))
}

/// What differs from run to run: ports, times, durations, paths.
fn settled(text: &str) -> String {
    let mut settled = String::new();
    for word in text.split_inclusive(' ') {
        let (word, space) = word.strip_suffix(' ').map_or((word, ""), |word| (word, " "));
        let core = word.trim_start_matches(['(', '`']).trim_end_matches([',', '.', ')', ':', ';', '`']);
        let replaced = if core.contains("/tmp/") {
            let name = core.rsplit('/').next().unwrap_or_default();
            word.replace(core, &format!("/DIRECTORY/{name}"))
        } else if is_time(core) {
            word.replace(core, "TIME")
        } else {
            ports(word)
        };
        settled.push_str(&replaced);
        settled.push_str(space);
    }
    durations(&settled)
}

fn is_time(word: &str) -> bool {
    word.len() >= 8
        && word.starts_with(|c: char| c.is_ascii_digit())
        && word.ends_with('Z')
        && word.contains(':')
}

/// A port behind an address of this machine.
fn ports(word: &str) -> String {
    let mut text = word.to_owned();
    for host in ["127.0.0.1:", "localhost:"] {
        let mut from = 0;
        while let Some(at) =
            text.get(from..).and_then(|rest| rest.find(host)).map(|at| at + from + host.len())
        {
            let digits = text[at..].chars().take_while(char::is_ascii_digit).count();
            text.replace_range(at..at + digits, "PORT");
            from = at;
        }
    }
    text
}

/// `12 ms` and `1.2 s` become `N ms` and `N s`.
fn durations(text: &str) -> String {
    let words: Vec<&str> = text.split(' ').collect();
    let unit = |word: &str| {
        let word = word.trim_end_matches([',', '.', ')', ':', ';']);
        matches!(word, "ms" | "s" | "bytes")
    };
    let number = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    let mut out = String::new();
    for (index, word) in words.iter().enumerate() {
        let next = words.get(index + 1).copied().unwrap_or_default();
        let bare = word.trim_start_matches('(');
        let is_measured = number(bare) && unit(next);
        if index > 0 {
            out.push(' ');
        }
        out.push_str(&if is_measured { word.replace(bare, "N") } else { (*word).to_owned() });
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failure_says_what_where_why_and_what_to_do() {
    let (tokens, api, clients, start) =
        tokio::join!(tokens::scenes(), api::scenes(), clients::scenes(), start::scenes());
    let mut text = "# Messages\n\nWhat the log and the client read when something fails: the first line of the log that is a \
                    warning or an error, and the problem that the client gets. A test plays each failure and writes this \
                    page; `PORT`, `N`, `TIME` and `DIRECTORY` stand for what differs from run to run.\n"
        .to_owned();
    let all = tokens.iter().chain(&api).chain(&clients).chain(&start);
    let faults: Vec<_> = all.flat_map(|scene| scene.faults.clone()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for (heading, scenes) in [
        ("No token", tokens),
        ("The CXone API", api),
        ("Clients", clients),
        ("Start and configuration", start),
    ] {
        write!(text, "\n## {heading}\n").unwrap();
        for Scene { title, line, answer, .. } in scenes {
            write!(text, "\n### {title}\n").unwrap();
            for (who, said) in [("Log", line), ("Client", answer)] {
                if let Some(said) = said {
                    write!(text, "\n{who}:\n\n> {}\n", settled(&said).replace('\n', "\n> ")).unwrap();
                }
            }
        }
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/messages.md");
    if std::env::var_os("MESSAGES").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    for (known, now) in known.lines().zip(text.lines()) {
        assert_eq!(known, now, "MESSAGES=write cargo test messages writes docs/messages.md anew");
    }
    assert_eq!(known.lines().count(), text.lines().count(), "docs/messages.md is not whole");
}

//! Where values come from: flags, environment, file, defaults, strongest first.
//!
//! Nothing is understood here yet; every value keeps its source, so that whoever finds fault with it can
//! say where it stands.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fmt,
    path::PathBuf,
};

use super::{
    faults::Fault,
    options::{self, CONFIG_VARIABLE, Entry, Fallback},
    spelling,
};

/// Where a value stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// On the command line, by this flag (without hyphens).
    Flag(&'static str),
    /// In this environment variable.
    Variable(&'static str),
    /// In this file, on this line (counted from 1).
    File {
        /// The file as it was named.
        path: PathBuf,
        /// The line of the key.
        line: usize,
    },
    /// Nowhere: it is what holds otherwise.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag --{flag}"),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One value as it was found. No `Debug`: it may be the secret.
#[derive(Clone)]
pub(super) struct Found {
    /// The option that it sets.
    pub(super) entry: &'static Entry,
    /// Where it stands.
    pub(super) source: Source,
    /// Its text; lists are separated by commas.
    pub(super) text: String,
}

/// All values, grouped by kind of source, strongest first.
#[derive(Clone)]
pub(super) struct Layers(pub(super) Vec<Vec<Found>>);

impl Layers {
    /// Every value of an option, strongest first.
    pub(super) fn of(&self, entry: &Entry) -> impl Iterator<Item = &Found> {
        self.0.iter().flatten().filter(move |found| found.entry == entry)
    }

    /// The values of an option whose source is at least as strong as the strongest that says anything of
    /// `measure`; all of them where none does.
    pub(super) fn not_weaker_than(&self, measure: &Entry, entry: &Entry) -> impl Iterator<Item = &Found> {
        let says = |level: &Vec<Found>| level.iter().any(|found| found.entry == measure);
        let last = self.0.iter().position(says).unwrap_or(self.0.len());
        self.0.iter().take(last + 1).flatten().filter(move |found| found.entry == entry)
    }

    /// The values of one option, or of the other that it excludes, whichever has the stronger source.
    /// Both in one source are a fault, whatever stands in the others.
    pub(super) fn stronger_of(&self, one: &Entry, other: &Entry) -> (Option<&Found>, Vec<Fault>) {
        let mut strongest = None;
        let mut faults = Vec::new();
        for level in &self.0 {
            let first = level.iter().find(|found| found.entry == one);
            let second = level.iter().find(|found| found.entry == other);
            if let (Some(first), Some(second)) = (first, second) {
                faults.push(Fault::Exclusive {
                    names: [first.entry.name(), second.entry.name()],
                    sources: [first.source.clone(), second.source.clone()],
                });
            }
            strongest = strongest.or(first).or(second);
        }
        (strongest, faults)
    }
}

/// What the command line said.
#[derive(Default)]
pub struct Flags {
    /// The value of `--config`.
    pub config: Option<OsString>,
    /// The options given as flags, with their values.
    pub values: Vec<(&'static Entry, OsString)>,
}

impl Flags {
    pub(super) fn read(&self, faults: &mut Vec<Fault>) -> Vec<Found> {
        let mut level = Vec::new();
        for (entry, value) in &self.values {
            let source = Source::Flag(entry.flag.unwrap_or_default());
            match value.to_str() {
                Some(text) => level.push(Found { entry, source, text: text.to_owned() }),
                None => faults.push(Fault::NotUnicode { name: entry.name(), origin: source }),
            }
        }
        level
    }
}

/// The environment, read once where the program starts and handed down. No `Debug`: it holds secrets.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The environment of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// Only these variables of it.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        let wanted = |name: &OsStr| names.iter().any(|wanted| name == *wanted);
        self.0.iter().filter(|(name, _)| wanted(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
    }

    /// The same with one variable set otherwise.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// A variable's value; an empty one counts as not set.
    pub fn value(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    pub(super) fn read(&self, faults: &mut Vec<Fault>) -> Vec<Found> {
        let mut level = Vec::new();
        for entry in options::TABLE.iter().copied() {
            let Some(value) = self.value(entry.variable) else { continue };
            let source = Source::Variable(entry.variable);
            match value.to_str() {
                Some(text) => level.push(Found { entry, source, text: text.to_owned() }),
                None => faults.push(Fault::NotUnicode { name: entry.name(), origin: source }),
            }
        }
        self.find_unknown(faults);
        level
    }

    fn find_unknown(&self, faults: &mut Vec<Fault>) {
        for (name, value) in &self.0 {
            let name = name.to_string_lossy();
            let known = options::TABLE.iter().any(|entry| entry.variable == name) || name == CONFIG_VARIABLE;
            if name.starts_with("CXONE_") && !known && !value.is_empty() && !is_service_link(&name, value) {
                let suggestion = spelling::variable_like(&name);
                faults.push(Fault::UnknownVariable { name: name.into_owned(), suggestion });
            }
        }
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Kubernetes announces each service to every container of its name space: one called `cxone-proxy` sets
/// `CXONE_PROXY_SERVICE_HOST`, `CXONE_PROXY_PORT=tcp://…`, `CXONE_PROXY_PORT_8080_TCP_ADDR` and so on.
/// Nobody wrote those as configuration.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_url =
        || value.to_str().is_some_and(|v| ["tcp://", "udp://", "sctp://"].iter().any(|s| v.starts_with(s)));
    let after_port = name.split_once("_PORT_").map(|(_, tail)| tail);
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_url())
        || after_port.is_some_and(|tail| tail.starts_with(|first: char| first.is_ascii_digit()))
}

/// What holds where nobody says otherwise.
pub(super) fn defaults() -> Vec<Found> {
    let written = |entry: &&'static Entry| match entry.default {
        Fallback::Value(text) => Some(Found { entry, source: Source::Default, text: text.to_owned() }),
        Fallback::Required | Fallback::RequiredFor(_) | Fallback::Described(_) => None,
    };
    options::TABLE.iter().filter_map(written).collect()
}

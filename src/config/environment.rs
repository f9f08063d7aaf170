//! The values in the environment.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use super::{
    error::Fault,
    layers::Found,
    options::{self, CONFIG_VARIABLE},
    source::Source,
    spelling,
};

/// The environment, read once where the program starts and then passed on. No `Debug`: it holds secrets.
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

    /// The same with one variable set to another value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// True where nobody wants colours (<https://no-color.org>).
    pub fn no_color(&self) -> bool {
        self.value("NO_COLOR").is_some()
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

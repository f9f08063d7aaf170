//! The clients file: TOML with one `[[client]]` for each client.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use toml_edit::{Document, Item, Key, Table, Value};

use super::{
    error::Fault,
    files,
    options::{self as o, RATE, RULES},
    settings::{Client, Profile},
    source::{Lines, Source},
    validation::{Reported, Validation, unfit_value},
};
use crate::{
    access::{self, Rule, Rules},
    file,
    invalid::Invalid,
    server::TlsSettings,
};

const SAN: &str = "a DNS name or a SPIFFE ID, exact or with one star at its end, such as `crm.example.com` or `spiffe://example.com/ns/prod/*`";
const KEYS: &str = "name, key_sha256, san, uid, rate, allow, deny and profiles";

/// The clients, where there is a file; `profiles` are those that they may be limited to.
pub(super) fn clients(
    validation: &mut Validation<'_>,
    profiles: Option<&[Profile]>,
) -> Result<Option<Vec<Client>>, Reported> {
    let layers = validation.layers;
    let Some(found) = layers.of(&o::CLIENTS).next() else { return Ok(None) };
    let path = Path::new(&found.text);
    let text = match file::text(path) {
        Ok(text) => text,
        Err(error) => {
            let unfit = Invalid(files::unreadable(path, &error));
            return Err(validation.report(unfit_value(found, unfit)));
        }
    };
    let lines = Lines::of(path, &text);
    let mut reading = Reading { text: &text, lines, profiles, faults: Vec::new() };
    let clients = reading.all();
    let faulty = !reading.faults.is_empty();
    validation.faults.append(&mut reading.faults);
    if faulty { Err(Reported) } else { Ok(Some(clients)) }
}

struct Reading<'a> {
    text: &'a str,
    lines: Lines<'a>,
    /// `None` where they have faults of their own.
    profiles: Option<&'a [Profile]>,
    faults: Vec<Fault>,
}

impl Reading<'_> {
    fn all(&mut self) -> Vec<Client> {
        let document = match Document::parse(self.text) {
            Ok(document) => document,
            Err(error) => {
                let origin = self.lines.at(error.span().map_or(0, |span| span.start));
                self.faults.push(Fault::Syntax { origin, reason: error.message().replace('\n', " ") });
                return Vec::new();
            }
        };
        for (name, item) in document.as_table() {
            let offset =
                document.key(name).and_then(Key::span).or_else(|| item.span()).map_or(0, |span| span.start);
            if name != "client" || !item.is_array_of_tables() {
                let reason =
                    "is not what a clients file has; accepted: `[[client]]` tables, in double brackets";
                self.fault(name, self.lines.at(offset), reason);
            }
        }
        let tables = document.get("client").and_then(Item::as_array_of_tables);
        let clients: Vec<Client> = tables.into_iter().flatten().map(|table| self.client(table)).collect();
        if clients.is_empty() && self.faults.is_empty() {
            let reason = "has no client, so that nobody could use the proxy; accepted: `[[client]]` tables as \
                          `cxone-proxy key NAME` prints them, or no clients file";
            self.fault("client", self.lines.at(0), reason);
        }
        clients
    }

    fn client(&mut self, table: &Table) -> Client {
        let start = self.lines.at(table.span().map_or(0, |span| span.start));
        let before = self.faults.len();
        let mut client = Client { client: access::Client::default(), rate: None, origin: start.clone() };
        for (name, item) in table {
            let offset =
                table.key(name).and_then(Key::span).or_else(|| item.span()).map_or(0, |span| span.start);
            let origin = self.lines.at(offset);
            if let Err(reason) = self.key(&mut client, name, item) {
                self.fault(&format!("client.{name}"), origin, &reason);
            }
        }
        let own = &client.client;
        if self.faults.len() == before {
            if own.name.is_empty() {
                self.fault("client.name", start, "is missing; accepted: a name of its own for each client");
            } else if own.keys.is_empty() && own.uids.is_empty() && own.names.is_empty() {
                let reason = format!(
                    "`{}` is known by nothing; accepted: key_sha256 (run `cxone-proxy key {0}`), san for a \
                     client with a certificate, or uid for one on a Unix socket",
                    own.name
                );
                self.fault("client", start, &reason);
            }
        }
        client
    }

    /// Takes one key of a client.
    fn key(&self, client: &mut Client, name: &str, item: &Item) -> Result<(), String> {
        let own = &mut client.client;
        match name {
            "name" => own.name = client_name(item)?.into(),
            "key_sha256" => {
                own.keys = each(item, "a SHA-256 as `cxone-proxy key NAME` prints it", str::parse)?;
            }
            "san" => own.names = each(item, SAN, str::parse)?,
            "uid" => own.uids = uids(item)?,
            "rate" => {
                let text = item.as_str().ok_or_else(|| format!("is not a string; accepted: {RATE}"))?;
                let rate = text.parse();
                client.rate = Some(
                    rate.map_err(|unfit| format!("`{}` {unfit}; accepted: {RATE}", text.escape_debug()))?,
                );
            }
            "allow" => own.rules = Rules { allow: rules(item)?, ..std::mem::take(&mut own.rules) },
            "deny" => own.rules = Rules { deny: rules(item)?, ..std::mem::take(&mut own.rules) },
            "profiles" => own.profiles = each(item, "names of profiles", |name| self.profile(name))?,
            "key" | "secret" | "password" => {
                return Err("has no place here, since this file must not give anybody a key; accepted: key_sha256, the \
                            SHA-256 of the key, as `cxone-proxy key NAME` prints it"
                    .to_owned());
            }
            _ => return Err(format!("is none of a client's keys; accepted: {KEYS}")),
        }
        Ok(())
    }

    fn profile(&self, name: &str) -> Result<String, Invalid> {
        let is_known = |known: &[Profile]| known.iter().any(|profile| profile.name == name);
        if self.profiles.is_none_or(is_known) {
            Ok(name.to_owned())
        } else {
            Err(Invalid::because("names no profile"))
        }
    }

    fn fault(&mut self, key: &str, origin: Source, reason: &str) {
        self.faults.push(Fault::Table { key: key.to_owned(), origin, reason: reason.to_owned() });
    }
}

/// Finds what two clients have in common although it is to say which of them a request comes from.
pub(super) fn collisions(validation: &mut Validation<'_>, clients: &[Client]) {
    let mut names = HashSet::new();
    let mut known = HashMap::new();
    for client in clients {
        let own = &client.client;
        if !names.insert(own.name.to_lowercase()) {
            let reason = format!("`{}` names another client already; accepted: a name of its own", own.name);
            validation.report(fault("client.name", client, reason));
        }
        let keys = own.keys.iter().map(|key| ("client.key_sha256", key.to_string()));
        let uids = own.uids.iter().map(|uid| ("client.uid", uid.to_string()));
        let names = own.names.iter().map(|name| ("client.san", name.to_string()));
        for (key, value) in keys.chain(uids).chain(names) {
            if let Some(other) = known.insert((key, value.clone()), own.name.clone()) {
                let reason = format!(
                    "`{value}` is that of the client `{other}` already; accepted: another one for `{}`",
                    own.name
                );
                validation.report(fault(key, client, reason));
            }
        }
    }
}

/// Names of certificates say nothing where nobody shows one.
pub(super) fn certificates(validation: &mut Validation<'_>, clients: &[Client], tls: Option<&TlsSettings>) {
    if tls.is_some_and(|tls| tls.wants_client_certificate) {
        return;
    }
    for client in clients.iter().filter(|own| !own.client.names.is_empty()) {
        let reason = format!(
            "`{}` is to be known by its certificate, and no client shows one; accepted: set tls.client_ca \
             (CXONE_PROXY_TLS_CLIENT_CA)",
            client.client.name
        );
        validation.report(fault("client.san", client, reason));
    }
}

fn fault(key: &str, client: &Client, reason: String) -> Fault {
    Fault::Table { key: key.to_owned(), origin: client.origin.clone(), reason }
}

fn client_name(item: &Item) -> Result<String, String> {
    let name = item.as_str().ok_or("is not a string; accepted: a name")?;
    if access::is_client_name(name) {
        Ok(name.to_owned())
    } else {
        Err(format!("`{}` is no name for a client; accepted: {}", name.escape_debug(), access::NAMES))
    }
}

fn uids(item: &Item) -> Result<Vec<u32>, String> {
    let accepted = "a user's number such as `1000`, or an array of them";
    let uid = |value: &Value| value.as_integer().and_then(|number| u32::try_from(number).ok());
    let values: Option<Vec<u32>> = match item.as_value() {
        Some(Value::Array(array)) => array.iter().map(uid).collect(),
        Some(value) => uid(value).map(|uid| vec![uid]),
        None => None,
    };
    values
        .filter(|values| !values.is_empty())
        .ok_or_else(|| format!("is no user's number; accepted: {accepted}"))
}

fn rules(item: &Item) -> Result<Vec<Rule>, String> {
    each(item, RULES, str::parse)
}

/// Each string of an array, or the one string.
fn each<T>(
    item: &Item,
    accepted: &str,
    parse: impl Fn(&str) -> Result<T, Invalid>,
) -> Result<Vec<T>, String> {
    let texts: Option<Vec<&str>> = match item.as_value() {
        Some(Value::Array(array)) => array.iter().map(Value::as_str).collect(),
        Some(value) => value.as_str().map(|text| vec![text]),
        None => None,
    };
    let Some(texts) = texts.filter(|texts| !texts.is_empty()) else {
        return Err(format!("is neither a string nor an array of strings; accepted: {accepted}"));
    };
    let parsed = texts.into_iter().map(|text| {
        parse(text).map_err(|unfit| format!("`{}` {unfit}; accepted: {accepted}", text.escape_debug()))
    });
    parsed.collect()
}

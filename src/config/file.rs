//! The configuration file: TOML in, values with their lines out.
//!
//! Pure. Types are checked here, since only a file has them; what a value means is checked later, together
//! with the values of the other sources.

use std::{path::Path, time::Duration};

use toml_edit::{Document, Item, Key, TableLike, Value};

use super::{
    arguments,
    error::{self, Fault},
    layers::Found,
    options::{self, Entry, Form},
    source::{Lines, Source},
    spelling,
};
use crate::invalid::Invalid;

/// What a file sets.
#[derive(Default)]
pub(super) struct Contents {
    /// The values of the options.
    pub(super) found: Vec<Found>,
    /// The `[[profile]]` tables in their order.
    pub(super) profiles: Vec<ProfileTable>,
    /// The `[[rate_limit]]` tables in their order.
    pub(super) rate_limits: Vec<RateLimitTable>,
}

/// One `[[profile]]`: the keys that only profiles have, and options for this profile alone.
pub(super) struct ProfileTable {
    /// The line with which it begins.
    pub(super) origin: Source,
    /// Its own keys: their text, `true` and `false` for switches.
    pub(super) keys: Vec<(&'static str, Source, String)>,
    /// The values of the options.
    pub(super) found: Vec<Found>,
}

/// One `[[rate_limit]]`.
pub(super) struct RateLimitTable {
    /// The line with which it begins.
    pub(super) origin: Source,
    /// Its keys: their text, lists separated by commas.
    pub(super) keys: Vec<(&'static str, Source, String)>,
}

/// The keys of a rate limit.
pub(super) const RATE_LIMIT_KEYS: [(&str, Form); 6] = [
    ("path_prefix", Form::Text),
    ("methods", Form::List),
    ("rate", Form::Rate),
    ("concurrent", Form::Count { least: 1, most: 1_000_000 }),
    ("spacing", Form::Duration { least: Duration::from_millis(1) }),
    ("profile", Form::Text),
];

/// The keys that a profile has for itself; true for switches.
pub(super) const PROFILE_KEYS: [(&str, bool); 7] = [
    ("name", false),
    ("host", false),
    ("path_prefix", false),
    ("strip_prefix", true),
    ("listen", false),
    ("credentials", false),
    ("rewrite_json_links", true),
];

/// The sections of options that a profile may have for itself.
pub(super) const PROFILE_SECTIONS: [&str; 3] = ["upstream", "oauth", "rate"];

/// Reads the text of a file named `path`.
pub(super) fn read(path: &Path, text: &str, faults: &mut Vec<Fault>) -> Contents {
    let mut reading = Reading { lines: Lines::of(path, text), found: Vec::new(), faults };
    let (mut profiles, mut rate_limits) = (Vec::new(), Vec::new());
    match Document::parse(text) {
        Ok(document) => {
            reading.table("", document.as_table());
            for table in document.get("profile").and_then(Item::as_array_of_tables).into_iter().flatten() {
                profiles.push(reading.profile(table));
            }
            for table in document.get("rate_limit").and_then(Item::as_array_of_tables).into_iter().flatten() {
                rate_limits.push(reading.rate_limit(table));
            }
        }
        Err(error) => {
            let origin = reading.lines.at(error.span().map_or(0, |span| span.start));
            reading.faults.push(Fault::Syntax { origin, reason: error.message().replace('\n', " ") });
        }
    }
    Contents { found: reading.found, profiles, rate_limits }
}

struct Reading<'a> {
    lines: Lines<'a>,
    found: Vec<Found>,
    faults: &'a mut Vec<Fault>,
}

impl Reading<'_> {
    fn table(&mut self, section: &str, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            // An implicit table (`[a.b]` alone names `a`) has no span of its own, but its key has one.
            let offset =
                table.key(name).and_then(Key::span).or_else(|| item.span()).map_or(0, |span| span.start);
            let origin = self.lines.at(offset);
            self.item(key, origin, item);
        }
    }

    fn profile(&mut self, table: &toml_edit::Table) -> ProfileTable {
        let origin = self.lines.at(table.span().map_or(0, |span| span.start));
        let flat = std::mem::take(&mut self.found);
        let mut keys = Vec::new();
        for (name, item) in table {
            let offset =
                table.key(name).and_then(Key::span).or_else(|| item.span()).map_or(0, |span| span.start);
            let origin = self.lines.at(offset);
            let own = PROFILE_KEYS.iter().find(|(known, _)| *known == name);
            match (own, item.as_value()) {
                (Some((known, true)), Some(Value::Boolean(switch))) => {
                    keys.push((*known, origin, switch.value().to_string()));
                }
                (Some((known, false)), Some(Value::String(text))) => {
                    keys.push((*known, origin, text.value().clone()));
                }
                (Some((_, is_switch)), _) => {
                    let wanted = if *is_switch { "`true` or `false`" } else { "a string in quotation marks" };
                    let key = format!("profile.{name}");
                    self.faults.push(Fault::Table { key, origin, reason: format!("accepted: {wanted}") });
                }
                (None, _) if PROFILE_SECTIONS.contains(&name) => {
                    self.item(name.to_owned(), origin, item);
                }
                (None, _) => {
                    let known: Vec<&str> = PROFILE_KEYS.iter().map(|(known, _)| *known).collect();
                    let reason = format!(
                        "is none of a profile's keys; accepted: {}, and the sections upstream, oauth and rate",
                        known.join(", ")
                    );
                    self.faults.push(Fault::Table { key: format!("profile.{name}"), origin, reason });
                }
            }
        }
        ProfileTable { origin, keys, found: std::mem::replace(&mut self.found, flat) }
    }

    fn rate_limit(&mut self, table: &toml_edit::Table) -> RateLimitTable {
        let origin = self.lines.at(table.span().map_or(0, |span| span.start));
        let mut keys = Vec::new();
        for (name, item) in table {
            let offset =
                table.key(name).and_then(Key::span).or_else(|| item.span()).map_or(0, |span| span.start);
            let origin = self.lines.at(offset);
            let key = format!("rate_limit.{name}");
            let reason = if let Some((known, form)) = RATE_LIMIT_KEYS.iter().find(|(known, _)| *known == name)
            {
                match text_of(*form, item) {
                    Ok(text) => {
                        keys.push((*known, origin, text));
                        continue;
                    }
                    Err((_, Invalid(reason))) => reason,
                }
            } else {
                let known: Vec<&str> = RATE_LIMIT_KEYS.iter().map(|(known, _)| *known).collect();
                format!("is none of a rate limit's keys; accepted: {}", known.join(", "))
            };
            self.faults.push(Fault::Table { key, origin, reason });
        }
        RateLimitTable { origin, keys }
    }

    fn item(&mut self, key: String, origin: Source, item: &Item) {
        if let "profile" | "rate_limit" = key.as_str() {
            if !item.is_array_of_tables() {
                let reason = format!(
                    "is not a list of tables; accepted: `[[{key}]]`, in double brackets, above the keys of each"
                );
                self.faults.push(Fault::Table { key, origin, reason });
            }
            return;
        }
        let is_section = options::TABLE
            .iter()
            .filter_map(|entry| entry.file_key)
            .any(|known| known.strip_prefix(&key).is_some_and(|rest| rest.starts_with('.')));
        let entry = options::TABLE.iter().copied().find(|entry| entry.file_key == Some(key.as_str()));
        if let (true, Some(table)) = (is_section, item.as_table_like()) {
            self.table(&key, table);
        } else if is_section {
            self.faults.push(Fault::NoSection { name: key, origin });
        } else if let Some(entry) = entry {
            match text_of(entry.form, item) {
                Ok(text) => self.found.push(Found { entry, source: origin, text }),
                Err((found, unfit)) => {
                    let found = found.and_then(|found| error::quoted(entry, &found));
                    self.faults.push(Fault::Value { entry, origin, found, unfit });
                }
            }
        } else if let Some((secret, file)) = secret_of(&key) {
            self.faults.push(Fault::SecretInFile { name: key, origin, secret, file });
        } else {
            let suggestion = spelling::file_key_like(&key).filter(|known| *known != key);
            self.faults.push(Fault::UnknownKey { name: key, origin, suggestion });
        }
    }
}

/// The secret that this key is meant for, and the option for its file.
fn secret_of(key: &str) -> Option<(&'static Entry, &'static Entry)> {
    let known = [
        ("client_secret", &options::CLIENT_SECRET, &options::CLIENT_SECRET_FILE),
        ("access_key_secret", &options::ACCESS_KEY_SECRET, &options::ACCESS_KEY_SECRET_FILE),
    ];
    known.into_iter().find(|(name, ..)| key.ends_with(name)).map(|(_, secret, file)| (secret, file))
}

/// The text that a variable would hold for the same value, or what was found and why it does not fit.
fn text_of(form: Form, item: &Item) -> Result<String, (Option<String>, Invalid)> {
    let unfit = |found: Option<String>, reason: String| Err((found, Invalid(reason)));
    let Some(value) = item.as_value() else {
        return unfit(None, "is a table".to_owned());
    };
    match (form, value) {
        (Form::Count { .. }, Value::Integer(number)) => Ok(number.value().to_string()),
        (Form::Duration { .. } | Form::Rate | Form::Size { .. }, Value::Integer(number)) => {
            unfit(Some(number.value().to_string()), "is a bare number without a unit".to_owned())
        }
        (Form::Switch, Value::Boolean(switch)) => Ok(switch.value().to_string()),
        (Form::List, Value::Array(array)) => joined(array, ","),
        (Form::Words, Value::Array(array)) => joined(array, " "),
        (Form::Arguments, Value::Array(array)) => {
            let items = strings(array)?;
            if items.iter().any(|item| arguments::is_unfit(item)) {
                return unfit(None, "has an item with a control character".to_owned());
            }
            Ok(arguments::text_of(&items))
        }
        (Form::Count { .. } | Form::List | Form::Arguments, Value::String(text)) => {
            let is_number = matches!(form, Form::Count { .. });
            let wanted = if is_number { "integer" } else { "array of strings" };
            unfit(Some(text.value().clone()), format!("is a string, where an {wanted} belongs"))
        }
        (_, Value::String(text)) => Ok(text.value().clone()),
        (form, other) => {
            let wanted = match form {
                Form::Count { .. } => "an integer",
                Form::Switch => "`true` or `false`",
                Form::List | Form::Arguments => "an array of strings",
                Form::Text
                | Form::Url
                | Form::File
                | Form::Address
                | Form::Words
                | Form::OneOf(_)
                | Form::Duration { .. }
                | Form::Rate
                | Form::Size { .. } => "a string in quotation marks",
            };
            unfit(None, format!("is of type {}, where {wanted} belongs", other.type_name()))
        }
    }
}

fn joined(array: &toml_edit::Array, separator: &str) -> Result<String, (Option<String>, Invalid)> {
    let items = strings(array)?;
    if items.iter().any(|text| text.contains(separator)) {
        let reason =
            format!("is an array with an item that contains `{separator}`: give each its own string");
        return Err((None, Invalid(reason)));
    }
    Ok(items.join(separator))
}

fn strings(array: &toml_edit::Array) -> Result<Vec<&str>, (Option<String>, Invalid)> {
    let other =
        |value: &Value| (None, Invalid(format!("is an array with an item of type {}", value.type_name())));
    array.iter().map(|value| value.as_str().ok_or_else(|| other(value))).collect()
}

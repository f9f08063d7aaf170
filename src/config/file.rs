//! The configuration file: TOML in, values with their lines out.
//!
//! PURE. Types are judged here, since only a file has them; what a value means is judged later, together
//! with those from elsewhere.

use std::path::Path;

use toml_edit::{Document, Item, Key, TableLike, Value};

use super::{
    faults::{self, Fault},
    options::{self, Entry, Form},
    sources::{Found, Source},
    spelling,
    values::Unfit,
};

/// Reads the text of a file named `path`.
pub(super) fn read(path: &Path, text: &str, faults: &mut Vec<Fault>) -> Vec<Found> {
    let mut reading = Reading { path, text, found: Vec::new(), faults };
    match Document::parse(text) {
        Ok(document) => reading.table("", document.as_table()),
        Err(error) => {
            let origin = reading.at(error.span().map_or(0, |span| span.start));
            reading.faults.push(Fault::Syntax { origin, reason: error.message().replace('\n', " ") });
        }
    }
    reading.found
}

struct Reading<'a> {
    path: &'a Path,
    text: &'a str,
    found: Vec<Found>,
    faults: &'a mut Vec<Fault>,
}

impl Reading<'_> {
    fn at(&self, offset: usize) -> Source {
        let line = 1 + self.text.get(..offset).unwrap_or_default().matches('\n').count();
        Source::File { path: self.path.to_owned(), line }
    }

    fn table(&mut self, section: &str, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            // An implicit table (`[a.b]` alone names `a`) has no place of its own but its key has one.
            let offset =
                table.key(name).and_then(Key::span).or_else(|| item.span()).map_or(0, |span| span.start);
            let origin = self.at(offset);
            self.item(key, origin, item);
        }
    }

    fn item(&mut self, key: String, origin: Source, item: &Item) {
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
            match text_of(entry, item) {
                Ok(text) => self.found.push(Found { entry, source: origin, text }),
                Err((found, unfit)) => self.faults.push(Fault::Value { entry, origin, found, unfit }),
            }
        } else if let Some((secret, file)) = secret_of(&key) {
            self.faults.push(Fault::SecretInFile { name: key, origin, secret, file });
        } else {
            let suggestion = spelling::file_key_like(&key).filter(|known| *known != key);
            self.faults.push(Fault::UnknownKey { name: key, origin, suggestion });
        }
    }
}

/// The secret that somebody wanted to put under this key, and the option for its file.
fn secret_of(key: &str) -> Option<(&'static Entry, &'static Entry)> {
    let known = [
        ("client_secret", &options::CLIENT_SECRET, &options::CLIENT_SECRET_FILE),
        ("access_key_secret", &options::ACCESS_KEY_SECRET, &options::ACCESS_KEY_SECRET_FILE),
    ];
    known.into_iter().find(|(name, ..)| key.ends_with(name)).map(|(_, secret, file)| (secret, file))
}

/// The text that a variable would hold for the same value, or what was found and why it does not fit.
fn text_of(entry: &Entry, item: &Item) -> Result<String, (Option<String>, Unfit)> {
    let unfit = |found: Option<String>, reason: String| Err((found, Unfit(reason)));
    let Some(value) = item.as_value() else {
        return unfit(None, "is a table".to_owned());
    };
    match (entry.form, value) {
        (Form::Count { .. }, Value::Integer(number)) => Ok(number.value().to_string()),
        (Form::Duration { .. } | Form::Size { .. }, Value::Integer(number)) => {
            unfit(Some(format!("`{}`", number.value())), "is a bare number without a unit".to_owned())
        }
        (Form::List, Value::Array(array)) => joined(array, ","),
        (Form::Words, Value::Array(array)) => joined(array, " "),
        (Form::Count { .. } | Form::List, Value::String(text)) => {
            let wanted = if entry.form == Form::List { "array of strings" } else { "integer" };
            unfit(faults::quoted(entry, text.value()), format!("is a string, where an {wanted} belongs"))
        }
        (_, Value::String(text)) => Ok(text.value().clone()),
        (form, other) => {
            let wanted = match form {
                Form::Count { .. } => "an integer",
                Form::List => "an array of strings",
                Form::Text
                | Form::Url
                | Form::File
                | Form::Address
                | Form::Words
                | Form::OneOf(_)
                | Form::Duration { .. }
                | Form::Size { .. } => "a string in quotation marks",
            };
            unfit(None, format!("is of type {}, where {wanted} belongs", other.type_name()))
        }
    }
}

fn joined(array: &toml_edit::Array, separator: &str) -> Result<String, (Option<String>, Unfit)> {
    let mut items = Vec::with_capacity(array.len());
    for value in array {
        let Some(text) = value.as_str() else {
            return Err((None, Unfit(format!("is an array with an item of type {}", value.type_name()))));
        };
        if text.contains(separator) {
            let reason =
                format!("is an array with an item that contains `{separator}`: give each its own string");
            return Err((None, Unfit(reason)));
        }
        items.push(text);
    }
    Ok(items.join(separator))
}

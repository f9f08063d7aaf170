//! The JSON Schema of the configuration file, for editors that complete and check it (Taplo, Even Better TOML).
//!
//! It says which keys there are and of which type. The values themselves are judged by the program alone. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    file::{PROFILE_KEYS, PROFILE_SECTIONS, RATE_LIMIT_KEYS},
    options::{Entry, Fallback, Form, TABLE},
};

/// The schema (draft 2020-12), with a newline at its end.
pub fn schema() -> String {
    let mut root = Map::new();
    let mut sections: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for entry in TABLE.iter() {
        match entry.file_key.map(|key| key.split_once('.').ok_or(key)) {
            // A secret never stands in the file.
            None => {}
            Some(Err(key)) => _ = root.insert(key.to_owned(), option(entry).into()),
            Some(Ok((section, key))) => {
                _ = sections.entry(section).or_default().insert(key.to_owned(), option(entry).into());
            }
        }
    }
    let mut definitions = Map::new();
    for (name, keys) in sections {
        root.insert(name.to_owned(), defined(name));
        definitions.insert(name.to_owned(), object(&keys, &[]).into());
    }
    root.insert("profile".to_owned(), json!({ "type": "array", "items": profile() }));
    root.insert("rate_limit".to_owned(), json!({ "type": "array", "items": rate_limit() }));
    let mut whole = object(&root, &[]);
    whole.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    whole.insert("title".to_owned(), "The configuration file of cxone-proxy".into());
    whole.insert("$defs".to_owned(), definitions.into());
    format!("{:#}\n", Value::from(whole))
}

/// The table of this name.
fn defined(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn profile() -> Map<String, Value> {
    let own = PROFILE_KEYS.iter().map(|(name, is_switch)| {
        let form = if *is_switch { Form::Switch } else { Form::Text };
        ((*name).to_owned(), kind(form).into())
    });
    let sections = PROFILE_SECTIONS.iter().map(|name| ((*name).to_owned(), defined(name)));
    object(&own.chain(sections).collect(), &["name"])
}

fn rate_limit() -> Map<String, Value> {
    let keys = RATE_LIMIT_KEYS.iter().map(|(name, form)| ((*name).to_owned(), kind(*form).into()));
    object(&keys.collect(), &[])
}

/// A table with these keys and no others.
fn object(keys: &Map<String, Value>, required: &[&str]) -> Map<String, Value> {
    members(
        json!({ "type": "object", "properties": keys, "required": required, "additionalProperties": false }),
    )
}

fn option(entry: &Entry) -> Map<String, Value> {
    let mut schema = kind(entry.form);
    let description = format!("{}\n\nAccepted: {}", entry.meaning, entry.accepts);
    schema.insert("description".to_owned(), description.into());
    if let Fallback::Value(text) = entry.default {
        schema.insert("default".to_owned(), default(entry.form, text));
    }
    schema
}

/// The members of an object; of anything else none.
fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// The type of the values that the file takes for this form.
fn kind(form: Form) -> Map<String, Value> {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    members(match form {
        Form::Switch => json!({ "type": "boolean" }),
        Form::Count { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Form::List | Form::Arguments => texts,
        Form::Words => json!({ "anyOf": [{ "type": "string" }, texts] }),
        Form::OneOf(words) => json!({ "enum": words }),
        Form::Text
        | Form::Url
        | Form::File
        | Form::Address
        | Form::Duration { .. }
        | Form::Rate
        | Form::Size { .. } => json!({ "type": "string" }),
    })
}

/// What an editor offers, in the type of the file.
fn default(form: Form, text: &str) -> Value {
    match form {
        Form::Switch => json!(text == "true"),
        Form::Count { .. } => text.parse::<u32>().map_or(Value::Null, Value::from),
        Form::List | Form::Arguments => text.split(',').filter(|item| !item.is_empty()).collect(),
        Form::Words
        | Form::OneOf(_)
        | Form::Text
        | Form::Url
        | Form::File
        | Form::Address
        | Form::Duration { .. }
        | Form::Rate
        | Form::Size { .. } => json!(text),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_key_of_the_file_is_in_it_and_no_secret() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        for entry in TABLE.iter() {
            let Some(key) = entry.file_key else {
                let name = entry.variable.to_lowercase();
                let name = name.strip_prefix("cxone_").unwrap_or(&name);
                assert!(schema["$defs"]["oauth"]["properties"][name].is_null(), "{name}");
                continue;
            };
            let own = match key.split_once('.') {
                Some((section, key)) => &schema["$defs"][section]["properties"][key],
                None => &schema["properties"][key],
            };
            let description = own["description"].as_str().unwrap_or_else(|| panic!("{key} is missing"));
            assert!(description.contains(entry.accepts), "{key}");
            if let Fallback::Value(_) = entry.default {
                assert!(!own["default"].is_null(), "{key}");
            }
        }
        assert_eq!(schema["$defs"]["retry"]["properties"]["max_wait"]["type"], "string");
        assert_eq!(
            schema["properties"]["rate_limit"]["items"]["properties"]["concurrent"]["type"],
            "integer"
        );
        assert_eq!(schema["additionalProperties"], false);
    }

    /// The reader and the schema must not disagree about the type of any key.
    #[test]
    fn a_file_with_the_defaults_of_the_schema_is_read_without_a_fault() {
        let schema: Value = serde_json::from_str(&schema()).unwrap();
        let properties = |value: &Value| value["properties"].as_object().cloned().unwrap_or_default();
        let mut text = String::new();
        let mut add = |prefix: &str, keys: &Map<String, Value>| {
            for (key, own) in keys {
                if let Some(default) = own.get("default") {
                    // What JSON writes for these types is TOML as well.
                    let _ = writeln!(text, "{prefix}{key} = {default}");
                }
            }
        };
        add("", &properties(&schema));
        for (section, own) in schema["$defs"].as_object().unwrap() {
            add(&format!("{section}."), &properties(own));
        }
        assert!(text.lines().count() > 20, "{text}");
        let mut faults = Vec::new();
        super::super::file::read("proxy.toml".as_ref(), &text, &mut faults);
        assert!(faults.is_empty(), "{faults:?}: {text}");
    }
}

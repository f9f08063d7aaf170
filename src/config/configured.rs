//! Every option with its value and where that was set, for a person. Secrets are withheld here, so that nothing
//! behind this file can show one.

use url::Url;

use super::{
    arguments,
    file::{ProfileTable, RateLimitTable},
    layers::{Found, Layers},
    options::{self as o, Entry, Fallback, Form},
    source::Source,
};
use crate::admin::ConfiguredValue;

/// The options in the order of the table, then what each profile sets for itself, then the rate limits by their
/// number.
pub(super) fn values(
    layers: &Layers,
    tables: &[ProfileTable],
    rate_limits: &[RateLimitTable],
) -> Vec<ConfiguredValue> {
    let is_set = |entry: &Entry| layers.source_of(entry) != Source::Default;
    // The region is only a name for an address.
    let is_needless = |entry: &Entry| *entry == o::REGION && !is_set(entry) && is_set(&o::BASE_URL);
    let flat = o::TABLE.iter().filter(|entry| !is_needless(entry)).map(|entry| flat(layers, entry));
    let own = tables.iter().flat_map(|table| {
        let name = table.keys.iter().find(|(key, ..)| *key == "name").map_or("?", |(.., name)| name);
        let keys = table.keys.iter().map(move |(key, source, text)| ConfiguredValue {
            name: format!("profile.{name}.{key}"),
            value: Some(text.clone()),
            source: source.to_string(),
            meaning: "",
        });
        keys.chain(table.found.iter().map(move |found| ConfiguredValue {
            name: format!("profile.{name}.{}", found.entry.name()),
            ..one(found)
        }))
    });
    let limits = rate_limits.iter().zip(1..).flat_map(|(table, number)| {
        table.keys.iter().map(move |(key, source, text)| ConfiguredValue {
            name: format!("rate_limit.{number}.{key}"),
            value: Some(text.clone()),
            source: source.to_string(),
            meaning: "",
        })
    });
    flat.chain(own).chain(limits).collect()
}

fn flat(layers: &Layers, entry: &'static Entry) -> ConfiguredValue {
    layers.of(entry).next().map_or_else(
        || ConfiguredValue {
            name: entry.name().to_owned(),
            value: match entry.default {
                Fallback::Described(words) if !words.is_empty() => Some(words.replace('`', "")),
                Fallback::Described(_)
                | Fallback::Required
                | Fallback::RequiredFor(_)
                | Fallback::Value(_) => None,
            },
            source: Source::Default.to_string(),
            meaning: entry.meaning,
        },
        one,
    )
}

fn one(found: &Found) -> ConfiguredValue {
    let entry = found.entry;
    let value = match entry.form {
        _ if entry.is_secret() => None,
        Form::Url => shown_url(&found.text),
        Form::Arguments => Some(arguments::shown(&found.text)),
        Form::Text
        | Form::File
        | Form::Address
        | Form::List
        | Form::Words
        | Form::OneOf(_)
        | Form::Switch
        | Form::Duration { .. }
        | Form::Size { .. }
        | Form::Count { .. }
        | Form::Rate => Some(found.text.clone()),
    };
    ConfiguredValue {
        name: entry.name().to_owned(),
        value,
        source: found.source.to_string(),
        meaning: entry.meaning,
    }
}

/// Without user information and without query: both may hold a key.
fn shown_url(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok()?;
    if url.username().is_empty() && url.password().is_none() && url.query().is_none() {
        return Some(text.to_owned());
    }
    // Neither fails for an address that has a host, and only such an address is valid.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, Flags, load};

    #[test]
    fn the_tables_of_profiles_and_rate_limits_are_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("proxy.toml");
        let text =
            "[[profile]]\nname = \"a\"\n\n[[rate_limit]]\npath_prefix = \"/media\"\nrate = \"150/5m\"\n";
        std::fs::write(&file, text).unwrap();
        let environment: Environment =
            [("CXONE_CLIENT_ID", "a"), ("CXONE_CLIENT_SECRET", "b")].into_iter().collect();
        let flags = Flags { config: Some(file.clone().into()), values: Vec::new() };
        let values = load(&flags, &environment).unwrap().config.values;
        for (name, value, line) in [
            ("profile.a.name", "a", 2),
            ("rate_limit.1.path_prefix", "/media", 5),
            ("rate_limit.1.rate", "150/5m", 6),
        ] {
            let found = values.iter().find(|own| own.name == name).unwrap();
            let source = format!("{}:{line}", file.display());
            assert_eq!((found.value.as_deref(), &found.source), (Some(value), &source), "{name}");
        }
    }

    #[test]
    fn every_option_has_its_value_and_its_source_and_no_secret_is_among_them() {
        let environment: Environment = [
            ("CXONE_BASE_URL", "http://127.0.0.1:1"),
            ("CXONE_CLIENT_ID", "the-client"),
            ("CXONE_CLIENT_SECRET", "s3cr3t-t3xt"),
            ("CXONE_TOKEN_URL", "http://127.0.0.1:1/token?key=k3y-of-query"),
        ]
        .into_iter()
        .collect();
        let flags = Flags { config: None, values: vec![(&o::MAX_WAIT, "5s".into())] };
        let values = load(&flags, &environment).unwrap().config.values;
        let of = |name: &str| {
            let found = values.iter().find(|own| own.name == name).unwrap();
            (found.value.as_deref(), found.source.as_str())
        };
        assert_eq!(of("retry.max_wait"), (Some("5s"), "flag --max-wait"));
        assert_eq!(of("oauth.client_id"), (Some("the-client"), "environment variable CXONE_CLIENT_ID"));
        assert_eq!(of("CXONE_CLIENT_SECRET"), (None, "environment variable CXONE_CLIENT_SECRET"));
        assert_eq!(of("oauth.token_url").0, Some("http://127.0.0.1:1/token"));
        assert_eq!(of("retry.replay_buffer"), (Some("1MiB"), "default"));
        assert_eq!(of("threads"), (Some("number of cores"), "default"));
        assert!(values.iter().all(|own| own.name != "upstream.region"), "the address was set");
        let text = format!("{values:?}");
        assert!(!text.contains("s3cr3t-t3xt") && !text.contains("k3y-of-query"), "{text}");
    }
}

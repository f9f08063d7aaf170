//! `config print`: the configuration as `serve` would use it. Secrets are withheld.

use std::io;

use super::{complaint, ending::Ending, result};
use crate::config::{self, ConfiguredValue, Environment, Flags, Loaded, configuration_json};

/// What `config print` is asked to show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where each value was set as well.
    pub origin: bool,
    /// JSON, with everything.
    pub json: bool,
}

/// Runs the command. It reads the configuration and asks nobody.
pub(super) fn run(flags: &Flags, environment: &Environment, options: Options) -> Ending {
    match config::load(flags, environment) {
        Err(error) => complaint::misconfigured(&error),
        Ok(Loaded { config, warnings, .. }) => {
            for warning in warnings {
                complaint::complain(&format!("warning: {warning}"));
            }
            let values = &config.values;
            let text = if options.json { configuration_json(values) } else { lines(values, options.origin) };
            result::write("the configuration", text.as_bytes(), &mut io::stdout().lock())
        }
    }
}

/// One line for each option, in columns.
fn lines(values: &[ConfiguredValue], origin: bool) -> String {
    let names = values.iter().map(|own| own.name.chars().count()).max().unwrap_or_default();
    // One long list must not push all origins out of sight.
    let widest = values.iter().map(|own| shown(own).chars().count()).filter(|width| *width <= 40).max();
    let widest = widest.unwrap_or_default();
    let line = |own: &ConfiguredValue| {
        let (name, value, source) = (&own.name, shown(own), &own.source);
        if origin {
            format!("{name:names$}  {value:widest$}  {source}\n")
        } else {
            format!("{name:names$}  {value}\n")
        }
    };
    values.iter().map(line).collect()
}

/// The value, or in brackets why there is none.
fn shown(own: &ConfiguredValue) -> &str {
    match &own.value {
        Some(value) if value.is_empty() => "(empty)",
        Some(value) => value,
        None if own.is_set() => "(withheld)",
        None => "(not set)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, value: Option<&str>, source: &str) -> ConfiguredValue {
        let (name, value, source) = (name.to_owned(), value.map(str::to_owned), source.to_owned());
        ConfiguredValue { name, value, source, meaning: "" }
    }

    #[test]
    fn the_columns_are_aligned_and_a_long_value_moves_no_other() {
        let long = "x".repeat(60);
        let values = [
            value("listen", Some("127.0.0.1:8080"), "default"),
            value("CXONE_CLIENT_SECRET", None, "environment variable CXONE_CLIENT_SECRET"),
            value("rate.max", None, "default"),
            value("access.allow", Some(&long), "flag --allow"),
        ];
        let expected = format!(
            "listen               127.0.0.1:8080  default\n\
             CXONE_CLIENT_SECRET  (withheld)      environment variable CXONE_CLIENT_SECRET\n\
             rate.max             (not set)       default\n\
             access.allow         {long}  flag --allow\n"
        );
        assert_eq!(lines(&values, true), expected);
        assert_eq!(lines(&values[..1], false), "listen  127.0.0.1:8080\n");
    }
}

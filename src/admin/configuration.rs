//! `/configuration`: every option with its value and where that was set; secrets are withheld.

use serde::Serialize;

/// One option. The value of a secret never comes here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfiguredValue {
    /// Its key in the file, or its variable where it has none.
    pub name: String,
    /// Its value; `None` where it is a secret, or where nobody set it and there is no default.
    pub value: Option<String>,
    /// Where it was set: a flag, a variable, a line of a file; `default` where nobody did.
    pub source: String,
    /// What it does, in Markdown.
    pub meaning: &'static str,
}

impl ConfiguredValue {
    /// The `source` of what nobody has set.
    pub const DEFAULT: &'static str = "default";

    /// True where somebody has set it.
    pub fn is_set(&self) -> bool {
        self.source != Self::DEFAULT
    }
}

/// The JSON text of all of them.
pub fn configuration_json(values: &[ConfiguredValue]) -> String {
    // Serialising texts cannot fail.
    let mut text = serde_json::to_string_pretty(values).unwrap_or_default();
    text.push('\n');
    text
}

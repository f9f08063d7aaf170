//! The table of options as the documentation shows it.

use std::fmt::Write;

use super::options::{self, Fallback};

/// One Markdown row for each option: variable, file key, default, meaning.
pub fn markdown_rows() -> String {
    let mut rows = String::new();
    for entry in options::TABLE.iter() {
        let key = entry.file_key.map_or_else(|| "(never in the file)".to_owned(), |key| format!("`{key}`"));
        let default = match entry.default {
            Fallback::Required => "required ".to_owned(),
            Fallback::RequiredFor(cases) => format!("required for {cases} "),
            Fallback::Described("") => String::new(),
            Fallback::Described(words) => format!("{words} "),
            Fallback::Value(value) => format!("`{value}` "),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(rows, "| `{}` | {key} | {default}| {} |", entry.variable, entry.meaning);
    }
    rows
}

//! The values on the command line.

use std::ffi::OsString;

use super::{error::Fault, layers::Found, options::Entry, source::Source};

/// The flags that were given.
#[derive(Clone, Default)]
pub struct Flags {
    /// The value of `--config`.
    pub config: Option<OsString>,
    /// The options that were given as flags, with their values.
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

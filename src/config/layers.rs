//! All values of all sources, the strongest source first: flags, environment, file, defaults.
//!
//! No value is parsed here. Every value keeps its source, so that an error can name it.

use super::{
    error::Fault,
    options::{self, Entry, Fallback},
    source::Source,
};

/// One value as it was found. No `Debug`: it may be the secret.
#[derive(Clone)]
pub(super) struct Found {
    /// The option that it sets.
    pub(super) entry: &'static Entry,
    /// Where it comes from.
    pub(super) source: Source,
    /// Its text; lists are separated by commas.
    pub(super) text: String,
}

/// All values, one level for each kind of source, the strongest first.
#[derive(Clone)]
pub(super) struct Layers(pub(super) Vec<Vec<Found>>);

impl Layers {
    /// Every value of an option, strongest first.
    pub(super) fn of(&self, entry: &Entry) -> impl Iterator<Item = &Found> {
        self.0.iter().flatten().filter(move |found| found.entry == entry)
    }

    /// The source of an option's strongest value.
    pub(super) fn source_of(&self, entry: &Entry) -> Source {
        self.of(entry).next().map_or(Source::Default, |found| found.source.clone())
    }

    /// The values of `entry` whose source is at least as strong as the strongest source that sets
    /// `measure`; all of them where no source sets it.
    pub(super) fn not_weaker_than(&self, measure: &Entry, entry: &Entry) -> impl Iterator<Item = &Found> {
        let sets = |level: &Vec<Found>| level.iter().any(|found| found.entry == measure);
        let last = self.0.iter().position(sets).unwrap_or(self.0.len());
        self.0.iter().take(last + 1).flatten().filter(move |found| found.entry == entry)
    }

    /// The value of one of some options that exclude each other: the one with the strongest source. Two in
    /// one source are an error, whatever the other sources set.
    pub(super) fn strongest_of(&self, options: &[&Entry]) -> (Option<&Found>, Vec<Fault>) {
        let mut strongest = None;
        let mut faults = Vec::new();
        for level in &self.0 {
            let set = |entry: &&Entry| level.iter().find(|found| found.entry == *entry);
            let mut found = options.iter().filter_map(set);
            let first = found.next();
            if let (Some(first), Some(second)) = (first, found.next()) {
                faults.push(Fault::Exclusive {
                    names: [first.entry.name(), second.entry.name()],
                    sources: [first.source.clone(), second.source.clone()],
                });
            }
            strongest = strongest.or(first);
        }
        (strongest, faults)
    }
}

/// The values that hold where nobody sets another.
pub(super) fn defaults() -> Vec<Found> {
    let written = |entry: &&'static Entry| match entry.default {
        Fallback::Value(text) => Some(Found { entry, source: Source::Default, text: text.to_owned() }),
        Fallback::Required | Fallback::RequiredFor(_) | Fallback::Described(_) => None,
    };
    options::TABLE.iter().filter_map(written).collect()
}

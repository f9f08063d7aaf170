//! Judges values one option at a time, and keeps what is wrong with them.
//!
//! Every value is judged, also one that a stronger source overrides: it would fail on the day when the
//! stronger one goes.

use crate::invalid::Invalid;
use std::time::Duration;

use super::{
    Warning,
    faults::{self, Fault, Missing},
    options::{Entry, Form},
    sources::{Found, Layers},
    values,
};

/// All values, and everything found so far.
pub(super) struct Judge<'a> {
    pub(super) layers: &'a Layers,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
}

/// There is no value because of a fault that has been kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faulty;

impl Judge<'_> {
    /// The strongest value of an option that must have one.
    pub(super) fn value<T>(
        &mut self,
        entry: &'static Entry,
        parse: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Result<T, Faulty> {
        let missing = Missing { entry, instead: None, needed_by: None };
        self.optional(entry, parse)?.ok_or_else(|| self.keep(Fault::Missing(missing)))
    }

    /// The strongest value of an option that may have none.
    pub(super) fn optional<T>(
        &mut self,
        entry: &'static Entry,
        parse: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Faulty> {
        let layers = self.layers;
        let mut strongest = None;
        for found in layers.of(entry) {
            let judged = parse(&found.text).map_err(|unfit| self.keep(unfit_value(found, unfit)));
            strongest.get_or_insert(judged);
        }
        strongest.transpose()
    }

    /// A duration within the option's bounds.
    pub(super) fn duration(&mut self, entry: &'static Entry) -> Result<Duration, Faulty> {
        self.value(entry, |text| values::duration(text, shortest(entry)))
    }

    /// A duration within the option's bounds, or `off` as `None`.
    pub(super) fn duration_or_off(&mut self, entry: &'static Entry) -> Result<Option<Duration>, Faulty> {
        self.value(entry, |text| values::duration_or_off(text, shortest(entry)))
    }

    /// A number of bytes within the option's bounds.
    pub(super) fn size(&mut self, entry: &'static Entry) -> Result<usize, Faulty> {
        let bounds = if let Form::Size { least, most } = entry.form { least..=most } else { 0..=usize::MAX };
        self.value(entry, |text| values::size(text, &bounds))
    }

    /// A whole number within the option's bounds.
    pub(super) fn count(&mut self, entry: &'static Entry) -> Result<u32, Faulty> {
        let bounds = if let Form::Count { least, most } = entry.form { least..=most } else { 0..=u32::MAX };
        self.value(entry, |text| values::count(text, &bounds))
    }

    /// Keeps a fault; what it stands in the way of has none of its own.
    pub(super) fn keep(&mut self, fault: Fault) -> Faulty {
        self.faults.push(fault);
        Faulty
    }
}

fn shortest(entry: &Entry) -> Duration {
    if let Form::Duration { least } = entry.form { least } else { Duration::ZERO }
}

/// The fault of a value that does not fit.
pub(super) fn unfit_value(found: &Found, unfit: Invalid) -> Fault {
    Fault::Value {
        entry: found.entry,
        origin: found.source.clone(),
        found: faults::quoted(found.entry, &found.text),
        unfit,
    }
}

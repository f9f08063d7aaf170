//! Parses values one option at a time, and collects what is wrong with them.
//!
//! Every value is parsed, also one that a stronger source overrides: it would fail on the day when the
//! stronger one is removed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use super::{
    error::{self, ConfigError, Fault, Missing},
    layers::{Found, Layers},
    options::{Entry, Form},
    values,
    warning::Warning,
};
use crate::{invalid::Invalid, log, upstream::tls::Trust};

/// All values, and everything that was found to be wrong so far.
pub(super) struct Validation<'a> {
    pub(super) layers: &'a Layers,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
    /// The variables that name the forward proxy and its exceptions, as they are spelled here.
    pub(super) forward_proxy_names: Vec<(&'static str, String)>,
    /// The bundles that have been read, so that each is read and parsed once; `None` is the platform alone.
    pub(super) trusts: BTreeMap<Option<PathBuf>, Result<Trust, Invalid>>,
}

/// There is no value; the reason is among the faults already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported;

impl<'a> Validation<'a> {
    /// Nothing is parsed yet; `faults` are those of reading the sources.
    pub(super) fn new(layers: &'a Layers, faults: Vec<Fault>) -> Self {
        Self {
            layers,
            faults,
            warnings: Vec::new(),
            forward_proxy_names: Vec::new(),
            trusts: BTreeMap::new(),
        }
    }

    /// The strongest value of an option that must have one.
    pub(super) fn value<T>(
        &mut self,
        entry: &'static Entry,
        parse: impl FnMut(&str) -> Result<T, Invalid>,
    ) -> Result<T, Reported> {
        let missing = Missing { entry, instead: None, needed_by: None };
        self.optional(entry, parse)?.ok_or_else(|| self.report(Fault::Missing(missing)))
    }

    /// The strongest value of an option that may have none.
    pub(super) fn optional<T>(
        &mut self,
        entry: &'static Entry,
        mut parse: impl FnMut(&str) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Reported> {
        let layers = self.layers;
        let mut strongest = None;
        for found in layers.of(entry) {
            let parsed = parse(&found.text).map_err(|unfit| self.report(unfit_value(found, unfit)));
            strongest.get_or_insert(parsed);
        }
        strongest.transpose()
    }

    /// A duration within the option's bounds.
    pub(super) fn duration(&mut self, entry: &'static Entry) -> Result<Duration, Reported> {
        self.value(entry, |text| values::duration(text, shortest(entry)))
    }

    /// A duration within the option's bounds, or `off` as `None`.
    pub(super) fn duration_or_off(&mut self, entry: &'static Entry) -> Result<Option<Duration>, Reported> {
        self.value(entry, |text| values::duration_or_off(text, shortest(entry)))
    }

    /// A number of bytes within the option's bounds.
    pub(super) fn size(&mut self, entry: &'static Entry) -> Result<usize, Reported> {
        let bounds = if let Form::Size { least, most } = entry.form { least..=most } else { 0..=usize::MAX };
        self.value(entry, |text| values::size(text, &bounds))
    }

    /// A whole number within the option's bounds.
    pub(super) fn count(&mut self, entry: &'static Entry) -> Result<u32, Reported> {
        let bounds = count_bounds(entry);
        self.value(entry, |text| values::count(text, &bounds))
    }

    /// A whole number within the option's bounds, where one is set.
    pub(super) fn optional_count(&mut self, entry: &'static Entry) -> Result<Option<usize>, Reported> {
        let bounds = count_bounds(entry);
        let count = self.optional(entry, |text| values::count(text, &bounds))?;
        Ok(count.map(|count| usize::try_from(count).unwrap_or(usize::MAX)))
    }

    /// Validates with other values on top of all these; what is found to be wrong is added here.
    pub(super) fn beneath<T>(&mut self, top: &[Found], validate: impl FnOnce(&mut Validation<'_>) -> T) -> T {
        let mut levels = vec![top.to_vec()];
        levels.extend(self.layers.0.iter().cloned());
        let layers = Layers(levels);
        let mut inner = Validation {
            layers: &layers,
            faults: std::mem::take(&mut self.faults),
            warnings: std::mem::take(&mut self.warnings),
            forward_proxy_names: self.forward_proxy_names.clone(),
            trusts: std::mem::take(&mut self.trusts),
        };
        let validated = validate(&mut inner);
        let Validation { faults, warnings, trusts, .. } = inner;
        (self.faults, self.warnings, self.trusts) = (faults, warnings, trusts);
        validated
    }

    /// The result, unless there are faults. What several profiles inherit is validated with each of them,
    /// so equal faults and equal warnings count once.
    pub(super) fn finish<T>(
        mut self,
        built: Result<T, Reported>,
        log_format: Option<log::Format>,
    ) -> Result<(T, Vec<Warning>), ConfigError> {
        let mut seen = BTreeSet::new();
        self.faults.retain(|fault| seen.insert(fault.to_string()));
        seen.clear();
        self.warnings.retain(|warning| seen.insert(warning.to_string()));
        match built {
            Ok(built) if self.faults.is_empty() => Ok((built, self.warnings)),
            Ok(_) | Err(Reported) => Err(ConfigError { faults: self.faults, log_format, files: Vec::new() }),
        }
    }

    /// Adds a fault.
    pub(super) fn report(&mut self, fault: Fault) -> Reported {
        self.faults.push(fault);
        Reported
    }
}

fn count_bounds(entry: &Entry) -> RangeInclusive<u32> {
    if let Form::Count { least, most } = entry.form { least..=most } else { 0..=u32::MAX }
}

fn shortest(entry: &Entry) -> Duration {
    if let Form::Duration { least } = entry.form { least } else { Duration::ZERO }
}

/// The fault of a value that does not fit.
pub(super) fn unfit_value(found: &Found, unfit: Invalid) -> Fault {
    Fault::Value {
        entry: found.entry,
        origin: found.source.clone(),
        found: error::quoted(found.entry, &found.text),
        unfit,
    }
}

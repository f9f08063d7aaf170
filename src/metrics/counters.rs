//! One counter for each value of a label.

use std::sync::Arc;

use prometheus::core::{Atomic, GenericCounter, GenericCounterVec};

use super::Label;

/// One counter for each value of the label `L`, resolved once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Counters<L>(Arc<[(L, prometheus::IntCounter)]>);

impl<L: Label> Counters<L> {
    /// The counters of a family whose last label is `L`; `before` has the values of those before it.
    pub(super) fn resolve(family: &prometheus::IntCounterVec, before: &[&str]) -> Self {
        Self(resolve(family, before).collect())
    }

    /// Counts one more.
    pub fn add(&self, label: L) {
        if let Some((_, counter)) = self.0.iter().find(|(own, _)| *own == label) {
            counter.inc();
        }
    }

    /// The count so far.
    pub fn count(&self, label: L) -> u64 {
        self.0.iter().find(|(own, _)| *own == label).map_or(0, |(_, counter)| counter.get())
    }
}

/// Makes each of them exist from the start, since a rate needs one.
pub(super) fn resolve<L: Label, P: Atomic>(
    family: &GenericCounterVec<P>,
    before: &[&str],
) -> impl Iterator<Item = (L, GenericCounter<P>)> {
    L::ALL.iter().map(|label| {
        let values: Vec<&str> = before.iter().copied().chain([label.as_str()]).collect();
        (*label, family.with_label_values(&values))
    })
}

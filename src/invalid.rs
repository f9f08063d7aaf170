//! Why a text is not a value of some type: the error of every `FromStr` that the configuration uses.

/// Why a value is not accepted, as the predicate of a sentence whose subject is the value ("has no
/// unit"). It never repeats the value: some values must not be shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// An error with this reason.
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

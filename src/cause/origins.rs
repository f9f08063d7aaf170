//! Under which names the values of options were set. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The name under which each option was set, by its environment variable: the variable itself, `--client-id`,
/// or `oauth.client_id in proxy.toml:7`. So a hint names the place where the wrong value stands. Cheap to
/// clone.
#[derive(Clone, Default)]
pub struct Origins(Arc<BTreeMap<&'static str, String>>);

impl Origins {
    /// Names by variable. An option that is missing goes by its variable.
    pub fn new(names: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(Arc::new(names.into_iter().collect()))
    }

    /// Where the value of this option was set.
    pub fn name(&self, variable: &'static str) -> &str {
        self.0.get(variable).map_or(variable, String::as_str)
    }

    /// The same with another name for one option.
    #[must_use]
    pub fn with(&self, variable: &'static str, name: String) -> Self {
        let mut names = BTreeMap::clone(&self.0);
        names.insert(variable, name);
        Self(Arc::new(names))
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

//! One upstream as seen from here. Pure.

use std::borrow::Cow;

use crate::upstream::BaseUrl;

/// One upstream, and where a client reaches it through this proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// The upstream's origin and path prefix.
    pub base: &'a BaseUrl,
    /// Host and port under which a client reaches it here.
    pub authority: Cow<'a, str>,
    /// A client speaks https there: it names upstreams in its request targets.
    pub local_https: bool,
    /// What stands before a path here and not at the upstream.
    pub local_prefix: &'a str,
    /// What a path begins with here and at the upstream: another path would lead elsewhere here.
    pub kept_prefix: &'a str,
}

impl Mapping<'_> {
    /// Scheme and authority here.
    pub(super) fn origin(&self) -> String {
        let scheme = if self.local_https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority)
    }
}

/// What follows `prefix` in `path`, where the prefix ends with a path segment.
pub fn strip_path_prefix<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with(['/', '?', '#'])).then_some(rest)
}

//! "Did you mean": the known name that an unknown one was probably meant to be. Pure.

use super::options::{self, CONFIG_VARIABLE};

/// The file key, or the section, that `unknown` resembles.
pub(super) fn file_key_like(unknown: &str) -> Option<&'static str> {
    let keys = || options::TABLE.iter().filter_map(|entry| entry.file_key);
    let sections = keys().filter_map(|key| key.split_once('.').map(|(section, _)| section));
    // The right name in the wrong section is the most frequent slip, and its letters differ much.
    let last = last_part(unknown);
    keys()
        .find(|key| last_part(key) == last)
        .or_else(|| nearest(unknown, keys().chain(sections).map(|key| (key, key))))
        .or_else(|| nearest(last, keys().map(|key| (last_part(key), key))))
}

/// The environment variable that `unknown` resembles.
pub(super) fn variable_like(unknown: &str) -> Option<&'static str> {
    let names = options::TABLE.iter().map(|entry| entry.variable).chain([CONFIG_VARIABLE]);
    // Without the prefix, which all names share: it makes all of them similar.
    nearest(bare(unknown), names.map(|name| (bare(name), name)))
}

fn last_part(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, last)| last)
}

fn bare(variable: &str) -> &str {
    let name = variable.strip_prefix("CXONE_").unwrap_or(variable);
    name.strip_prefix("PROXY_").unwrap_or(name)
}

/// The candidate nearest to `unknown`, if it is near enough: a third of its letters may differ.
fn nearest(
    unknown: &str,
    candidates: impl Iterator<Item = (&'static str, &'static str)>,
) -> Option<&'static str> {
    candidates
        .map(|(compared, name)| (strsim::damerau_levenshtein(unknown, compared), compared.len(), name))
        .filter(|(distance, length, _)| distance * 3 <= *length)
        .min_by_key(|(distance, _, _)| *distance)
        .map(|(_, _, name)| name)
}

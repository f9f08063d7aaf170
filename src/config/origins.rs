//! Under which name each option was set, so that a later failure can say where the wrong value stands.

use super::{
    layers::{Found, Layers},
    options::{self as o, Entry},
    source::Source,
    validation::Validation,
};
use crate::cause::Origins;

/// The names of all options that somebody has set. The API's address goes by the option that decides it.
pub(super) fn origins(validation: &Validation<'_>) -> Origins {
    let layers = validation.layers;
    let set = o::TABLE.iter().filter_map(|entry| Some((entry.variable, set_name(layers, entry)?)));
    let names = set.chain(validation.forward_proxy_names.iter().cloned());
    Origins::new(names).with(o::BASE_URL.variable, base_url(layers))
}

/// The same with the option that decides the token endpoint's address; `area` where the grant needs one.
pub(super) fn with_token_url(
    layers: &Layers,
    origins: &Origins,
    is_from_area: bool,
    is_usual: bool,
) -> Origins {
    let own = set_name(layers, &o::TOKEN_URL);
    let name = own.unwrap_or_else(|| {
        let decides = if is_from_area {
            set_name(layers, &o::AREA).unwrap_or_else(|| o::AREA.variable.to_owned())
        } else if is_usual {
            return o::TOKEN_URL.variable.to_owned();
        } else {
            origins.name(o::BASE_URL.variable).to_owned()
        };
        format!("{decides} (or {})", o::TOKEN_URL.variable)
    });
    origins.with(o::TOKEN_URL.variable, name)
}

fn base_url(layers: &Layers) -> String {
    match layers.strongest_of(&[&o::BASE_URL, &o::REGION]).0 {
        Some(found) if found.source != Source::Default => name_of(found),
        Some(_) | None => format!("{} (or {})", o::BASE_URL.variable, o::REGION.variable),
    }
}

fn set_name(layers: &Layers, entry: &Entry) -> Option<String> {
    layers.of(entry).next().filter(|found| found.source != Source::Default).map(name_of)
}

fn name_of(found: &Found) -> String {
    match &found.source {
        Source::Flag(flag) => format!("--{flag}"),
        Source::Variable(name) => (*name).to_owned(),
        Source::File { .. } => format!("{} in {}", found.entry.name(), found.source),
        Source::Default => found.entry.variable.to_owned(),
    }
}

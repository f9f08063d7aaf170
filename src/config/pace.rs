//! How fast requests go to the API: the options, and the `[[rate_limit]]` tables.

use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;

use super::{
    error::Fault,
    file::RateLimitTable,
    options::{self as o, RATE},
    settings::Profile,
    source::Source,
    validation::{Reported, Validation},
    values,
};
use crate::proxy::pace::{FixedLimit, PaceSettings, PathLimit};

const METHODS: &str = "an array of methods such as `[\"GET\", \"POST\"]`";
const CONCURRENT: &str = "an integer from 1 to 1000000";
const SPACING: &str =
    "an integer with `ms`, `s`, `m` or `h`, such as `30s`, more than zero and at most `8760h`";

/// What the options say; limits of their own come later.
pub(super) fn pace(validation: &mut Validation<'_>) -> Result<PaceSettings, Reported> {
    let adaptive =
        validation.value(&o::PACE, |text| values::one_of(text, &[("adaptive", true), ("off", false)]));
    let max = validation.optional(&o::MAX_RATE, str::parse);
    let concurrent = validation.optional_count(&o::MAX_CONCURRENT);
    let queue = validation.count(&o::QUEUE);
    let budget = validation.optional(&o::BUDGET, str::parse);
    Ok(PaceSettings {
        adaptive: adaptive?,
        max: max?,
        concurrent: concurrent?.and_then(|most| NonZeroU32::new(u32::try_from(most).unwrap_or(u32::MAX))),
        queue: usize::try_from(queue?).unwrap_or(usize::MAX),
        budget: budget?,
        limits: Vec::new(),
    })
}

/// Gives each profile its limits.
pub(super) fn rate_limits(
    validation: &mut Validation<'_>,
    tables: &[RateLimitTable],
    profiles: &mut [Profile],
) -> Result<(), Reported> {
    let mut faulty = false;
    for (index, table) in tables.iter().enumerate() {
        match rate_limit(validation, table, profiles) {
            Ok((limit, owner)) => {
                let twice = profiles
                    .iter()
                    .filter(|profile| owner.as_ref().is_none_or(|owner| *owner == profile.name))
                    .any(|profile| profile.pace.limits.iter().any(|other| other.selects_as(&limit)));
                if twice {
                    let reason = format!(
                        "number {} has the same path_prefix and methods as one above it; accepted: one table for each",
                        index + 1
                    );
                    validation.report(fault(table, None, reason));
                    faulty = true;
                }
                for profile in &mut *profiles {
                    if owner.as_ref().is_none_or(|owner| *owner == profile.name) {
                        profile.pace.limits.push(limit.clone());
                    }
                }
            }
            Err(Reported) => faulty = true,
        }
    }
    if faulty { Err(Reported) } else { Ok(()) }
}

/// One limit, and the profile that it is for; all of them where it names none.
fn rate_limit(
    validation: &mut Validation<'_>,
    table: &RateLimitTable,
    profiles: &[Profile],
) -> Result<(PathLimit, Option<String>), Reported> {
    let before = validation.faults.len();
    let mut unfit = |key: &'static str, text: &str, reason: &str, accepted: &str| {
        let reason = format!("`{}` {reason}; accepted: {accepted}", text.escape_debug());
        validation.report(fault(table, Some(key), reason));
    };
    let mut limit = PathLimit { path_prefix: None, methods: Vec::new(), limit: FixedLimit::default() };
    let mut owner = None;
    for (key, _, text) in &table.keys {
        match *key {
            "path_prefix" => match values::path_prefix(text) {
                Ok(prefix) => limit.path_prefix = Some(prefix),
                Err(accepted) => unfit(key, text, "is not a path prefix", accepted),
            },
            "methods" => match text.split(',').map(method).collect::<Option<Vec<_>>>() {
                Some(methods) => limit.methods = methods,
                None => unfit(key, text, "is not a list of methods", METHODS),
            },
            "rate" => match text.parse() {
                Ok(rate) => limit.limit.rate = Some(rate),
                Err(error) => unfit(key, text, &error.to_string(), RATE),
            },
            "concurrent" => match values::count(text, &(1..=1_000_000)) {
                Ok(most) => limit.limit.concurrent = NonZeroU32::new(most),
                Err(error) => unfit(key, text, &error.to_string(), CONCURRENT),
            },
            "spacing" => match values::duration(text, Duration::from_millis(1)) {
                Ok(spacing) => limit.limit.spacing = Some(spacing),
                Err(error) => unfit(key, text, &error.to_string(), SPACING),
            },
            _ => match profiles.iter().find(|profile| profile.name == *text) {
                Some(profile) => owner = Some(profile.name.clone()),
                None => unfit(key, text, "names no profile", "the name of a [[profile]], or no such key"),
            },
        }
    }
    let is_empty =
        limit.path_prefix.is_none() && limit.methods.is_empty() && limit.limit == FixedLimit::default();
    if is_empty && validation.faults.len() == before {
        let reason = "says nothing; accepted: path_prefix or methods, and what they may use: rate, concurrent or spacing \
                      (with none of these three the limit is learned)";
        return Err(validation.report(fault(table, None, reason.to_owned())));
    }
    if validation.faults.len() > before { Err(Reported) } else { Ok((limit, owner)) }
}

/// A method as it is written in requests: in capitals, but for those that are not.
fn method(text: &str) -> Option<Method> {
    let text = text.trim();
    let method: Method = text.parse().ok()?;
    // A method in small letters is another method, and nearly always a mistake here.
    (!text.bytes().any(|byte| byte.is_ascii_lowercase())).then_some(method)
}

fn fault(table: &RateLimitTable, key: Option<&str>, reason: String) -> Fault {
    let source = |key: &str| table.keys.iter().find(|(own, ..)| *own == key).map(|(_, source, _)| source);
    let origin: &Source = key.and_then(source).unwrap_or(&table.origin);
    let key = key.map_or_else(|| "rate_limit".to_owned(), |key| format!("rate_limit.{key}"));
    Fault::Table { key, origin: origin.clone(), reason }
}

//! Several upstreams in one file: `[[profile]]` tables.
//!
//! A profile inherits every flat setting of upstream and oauth that it does not set itself. Without
//! any table the flat settings are the one profile, called `default`.

use super::{
    error::Fault,
    file::ProfileTable,
    oauth, pace,
    settings::{Profile, Upstream},
    source::Source,
    upstream,
    validation::{Reported, Validation},
    values,
};
use crate::{access::HostName, invalid::Invalid, proxy::Selector, server::Listen, tokens};

/// All profiles.
pub(super) fn profiles(
    validation: &mut Validation<'_>,
    tables: &[ProfileTable],
) -> Result<Vec<Profile>, Reported> {
    if tables.is_empty() {
        let pace = pace::pace(validation);
        let (upstream, oauth) = upstream_and_oauth(validation)?;
        let (name, selector, listen) = ("default".to_owned(), Selector::default(), None);
        return Ok(vec![Profile {
            name,
            selector,
            listen,
            upstream,
            oauth,
            credentials: 0,
            rewrite_json_links: false,
            pace: pace?,
        }]);
    }
    let mut profiles: Vec<Profile> = Vec::new();
    let mut faulty = false;
    for table in tables {
        match profile(validation, table, tables, &profiles) {
            Ok(profile) => profiles.push(profile),
            Err(Reported) => faulty = true,
        }
    }
    forgive_used(validation, tables, &profiles);
    if faulty { Err(Reported) } else { Ok(profiles) }
}

/// A flat setting that one profile uses is no mistake, although another profile does not use it.
fn forgive_used(validation: &mut Validation<'_>, tables: &[ProfileTable], profiles: &[Profile]) {
    let is_flat =
        |origin: &Source| !tables.iter().flat_map(|table| &table.found).any(|f| f.source == *origin);
    let is_used = |users: &[&str]| {
        profiles.iter().any(|profile| users.contains(&profile.oauth.grant.grant_type().as_str()))
    };
    validation.faults.retain(
        |fault| !matches!(fault, Fault::Unused { origin, users, .. } if is_flat(origin) && is_used(users)),
    );
}

fn profile(
    validation: &mut Validation<'_>,
    table: &ProfileTable,
    tables: &[ProfileTable],
    before: &[Profile],
) -> Result<Profile, Reported> {
    let name = name(validation, table, tables);
    let select = selector(validation, table);
    let owner = owner(validation, table, tables, before);
    // What is set for one profile is meant for it more than what is set for all, whatever its source.
    let (settings, pace) = validation.beneath(&table.found, |validation| {
        let settings = match &owner {
            Ok(None) => upstream_and_oauth(validation).map(|(upstream, oauth)| (upstream, Some(oauth))),
            // It is one token, and its settings have been validated with their owner.
            Ok(Some(_)) | Err(Reported) => upstream::upstream(validation).map(|upstream| (upstream, None)),
        };
        (settings, pace::pace(validation))
    });
    let (name, (selector, listen), (upstream, own), pace) = (name?, select?, settings?, pace?);
    let (oauth, credentials) = match (owner?, own) {
        (Some(owner), _) => (owner.oauth.clone(), Some(owner.credentials)),
        (None, Some(oauth)) => {
            let same = before.iter().position(|profile| profile.oauth == oauth);
            (oauth, same)
        }
        (None, None) => return Err(Reported),
    };
    Ok(Profile {
        name,
        selector,
        listen,
        upstream,
        oauth,
        credentials: credentials.unwrap_or(before.len()),
        rewrite_json_links: value(table, "rewrite_json_links") == Some("true"),
        pace,
    })
}

/// The upstream, and how to get tokens for it.
fn upstream_and_oauth(validation: &mut Validation<'_>) -> Result<(Upstream, tokens::Settings), Reported> {
    let upstream = upstream::upstream(validation);
    let oauth = oauth::oauth(validation, upstream.as_ref().ok().map(|upstream| &*upstream.base_url));
    Ok((upstream?, oauth?))
}

fn name(
    validation: &mut Validation<'_>,
    table: &ProfileTable,
    tables: &[ProfileTable],
) -> Result<String, Reported> {
    let Some(name) = value(table, "name") else {
        return Err(fault(
            validation,
            table,
            "name",
            "is missing; accepted: a name such as `digital`".to_owned(),
        ));
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let reason = format!(
            "`{}` is not a name; accepted: up to 64 lower-case letters, digits, `-` and `_`",
            name.escape_debug()
        );
        return Err(fault(validation, table, "name", reason));
    }
    let mut before = tables.iter().take_while(|other| !std::ptr::eq(*other, table));
    if before.any(|other| value(other, "name") == Some(name)) {
        let reason = format!("`{name}` names another profile already; accepted: a name of its own");
        return Err(fault(validation, table, "name", reason));
    }
    Ok(name.to_owned())
}

/// What selects a profile, and its own listener.
fn selector(
    validation: &mut Validation<'_>,
    table: &ProfileTable,
) -> Result<(Selector, Option<Listen>), Reported> {
    let host = value(table, "host").map(|host| {
        host_name(host).map_err(|unfit| {
            let reason = format!("{unfit}; accepted: one host name, such as `digital.localhost`");
            fault(validation, table, "host", reason)
        })
    });
    let path_prefix = value(table, "path_prefix").map(|prefix| {
        values::path_prefix(prefix).map_err(|accepted| {
            let reason = format!("`{}` is not a path prefix; accepted: {accepted}", prefix.escape_debug());
            fault(validation, table, "path_prefix", reason)
        })
    });
    let listen = value(table, "listen").map(|listen| {
        listen.parse::<Listen>().map_err(|unfit| {
            let reason =
                format!(
                "`{}` {unfit}; accepted: an address and port such as `127.0.0.1:8082`, `localhost:8082`, or `unix:PATH`",
                listen.escape_debug()
            );
            fault(validation, table, "listen", reason)
        })
    });
    let strip_prefix = value(table, "strip_prefix") == Some("true");
    if strip_prefix && path_prefix.is_none() {
        let reason = "has nothing to strip; accepted: together with path_prefix".to_owned();
        return Err(fault(validation, table, "strip_prefix", reason));
    }
    let selector = Selector { host: host.transpose()?, path_prefix: path_prefix.transpose()?, strip_prefix };
    Ok((selector, listen.transpose()?))
}

/// One name: neither a list nor the pattern for all, which the guard accepts.
fn host_name(text: &str) -> Result<String, Invalid> {
    if text.is_empty() || text.contains([',', '*']) {
        return Err(Invalid(format!("`{}` is not one host name", text.escape_debug())));
    }
    text.parse::<HostName>().map(|name| name.as_str().to_owned())
}

/// The profile whose credentials this one uses, where it names one.
fn owner<'p>(
    validation: &mut Validation<'_>,
    table: &ProfileTable,
    tables: &[ProfileTable],
    before: &'p [Profile],
) -> Result<Option<&'p Profile>, Reported> {
    let Some(wanted) = value(table, "credentials") else { return Ok(None) };
    let is_credential = |key: &str| key.starts_with("oauth.");
    if let Some(own) = table.found.iter().find(|found| found.entry.file_key.is_some_and(is_credential)) {
        let reason = format!(
            "names another profile's credentials, and {} sets some of its own; accepted: one of the two",
            own.entry.name()
        );
        return Err(fault(validation, table, "credentials", reason));
    }
    if let Some(known) = before.iter().find(|profile| profile.name == wanted) {
        return Ok(Some(known));
    }
    let index_of = |predicate: &dyn Fn(&ProfileTable) -> bool| tables.iter().position(predicate);
    let named = |other: &ProfileTable| !std::ptr::eq(other, table) && value(other, "name") == Some(wanted);
    let reason = match (index_of(&named), index_of(&|other| std::ptr::eq(other, table))) {
        // The other profile has faults of its own, which have been reported.
        (Some(other), Some(own)) if other < own => return Err(Reported),
        (Some(_), _) => format!("`{wanted}` comes later; accepted: a profile that comes before this one"),
        (None, _) => {
            format!("`{}` names no other profile; accepted: another profile's name", wanted.escape_debug())
        }
    };
    Err(fault(validation, table, "credentials", reason))
}

/// Finds profiles that no request would ever select, because another with the same selectors comes first.
pub(super) fn selectors(validation: &mut Validation<'_>, tables: &[ProfileTable], profiles: &[Profile]) {
    for (index, (table, profile)) in tables.iter().zip(profiles).enumerate() {
        let by = |profile: &Profile| {
            (profile.selector.host.clone(), profile.selector.path_prefix.clone(), profile.listen.clone())
        };
        let first = profiles.iter().take(index).find(|other| by(other) == by(profile));
        // Equal listeners are an error of their own, unless the system chooses both ports.
        if let Some(first) = first.filter(|_| profile.listen.is_none()) {
            let reason = format!(
                "`{}` would never be selected, since `{}` has the same selectors; accepted: a host, path_prefix or listen of its own",
                profile.name, first.name
            );
            fault(validation, table, "name", reason);
        }
    }
}

fn value<'t>(table: &'t ProfileTable, key: &str) -> Option<&'t str> {
    table.keys.iter().find(|(own, ..)| *own == key).map(|(.., text)| text.as_str())
}

pub(super) fn source(table: &ProfileTable, key: &str) -> Source {
    table.keys.iter().find(|(own, ..)| *own == key).map_or(&table.origin, |(_, origin, _)| origin).clone()
}

pub(super) fn fault(
    validation: &mut Validation<'_>,
    table: &ProfileTable,
    key: &str,
    reason: String,
) -> Reported {
    validation.report(Fault::Table { key: format!("profile.{key}"), origin: source(table, key), reason })
}

//! Several upstreams in one file: `[[profile]]` tables.
//!
//! A profile inherits every flat setting of upstream and oauth that it does not set itself. Without
//! any table the flat settings are the one profile, called `default`.

use super::{
    Guard, Listen, Profile, Selector, build,
    faults::Fault,
    file::ProfileTable,
    judge::{Faulty, Judge},
    sources::{Layers, Source},
    values::{self, AllowedHosts},
};

/// All profiles.
pub(super) fn profiles(judge: &mut Judge<'_>, tables: &[ProfileTable]) -> Result<Vec<Profile>, Faulty> {
    if tables.is_empty() {
        let (upstream, oauth) = build::way(judge)?;
        let (name, select) = ("default".to_owned(), Selector::default());
        return Ok(vec![Profile {
            name,
            select,
            upstream,
            oauth,
            credentials: 0,
            rewrite_json_links: false,
        }]);
    }
    let mut profiles: Vec<Profile> = Vec::new();
    let mut faulty = false;
    for table in tables {
        match profile(judge, table, tables, &profiles) {
            Ok(profile) => profiles.push(profile),
            Err(Faulty) => faulty = true,
        }
    }
    forgive_used(judge, tables, &profiles);
    if faulty { Err(Faulty) } else { Ok(profiles) }
}

/// What stands among the flat settings need not be of use to every profile, as long as it is to one.
fn forgive_used(judge: &mut Judge<'_>, tables: &[ProfileTable], profiles: &[Profile]) {
    let is_flat =
        |origin: &Source| !tables.iter().flat_map(|table| &table.found).any(|f| f.source == *origin);
    let is_used = |users: &[&str]| profiles.iter().any(|profile| users.contains(&profile.oauth.grant.word()));
    judge.faults.retain(
        |fault| !matches!(fault, Fault::Unused { origin, users, .. } if is_flat(origin) && is_used(users)),
    );
}

fn profile(
    judge: &mut Judge<'_>,
    table: &ProfileTable,
    tables: &[ProfileTable],
    before: &[Profile],
) -> Result<Profile, Faulty> {
    let name = name(judge, table, tables);
    let select = selector(judge, table);
    let lender = lender(judge, table, tables, before);
    let way = inherit(judge, table, |judge| match &lender {
        Ok(None) => build::way(judge).map(|(upstream, oauth)| (upstream, Some(oauth))),
        // Whoever borrows asks where the lender asks: it is one token, and has been judged there.
        Ok(Some(_)) | Err(Faulty) => build::upstream(judge).map(|upstream| (upstream, None)),
    });
    let (name, select, (upstream, own)) = (name?, select?, way?);
    let (oauth, credentials) = match (lender?, own) {
        (Some(lender), _) => (lender.oauth.clone(), Some(lender.credentials)),
        (None, Some(oauth)) => {
            let same = before.iter().position(|profile| profile.oauth == oauth);
            (oauth, same)
        }
        (None, None) => return Err(Faulty),
    };
    Ok(Profile {
        name,
        select,
        upstream,
        oauth,
        credentials: credentials.unwrap_or(before.len()),
        rewrite_json_links: value(table, "rewrite_json_links") == Some("true"),
    })
}

/// Judges with the table's own settings above all flat ones, wherever those stand: what is said of one
/// profile is meant for it more than what is said of all.
fn inherit<T>(judge: &mut Judge<'_>, table: &ProfileTable, judging: impl FnOnce(&mut Judge<'_>) -> T) -> T {
    let mut levels = vec![table.found.clone()];
    levels.extend(judge.layers.0.iter().cloned());
    let layers = Layers(levels);
    let faults = std::mem::take(&mut judge.faults);
    let warnings = std::mem::take(&mut judge.warnings);
    let mut inner = Judge { layers: &layers, faults, warnings };
    let judged = judging(&mut inner);
    let Judge { faults, warnings, .. } = inner;
    (judge.faults, judge.warnings) = (faults, warnings);
    judged
}

fn name(judge: &mut Judge<'_>, table: &ProfileTable, tables: &[ProfileTable]) -> Result<String, Faulty> {
    let Some(name) = value(table, "name") else {
        return Err(fault(judge, table, "name", "is missing; accepted: a name such as `digital`".to_owned()));
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let reason = format!(
            "`{}` is not a name; accepted: up to 64 lower-case letters, digits, `-` and `_`",
            name.escape_debug()
        );
        return Err(fault(judge, table, "name", reason));
    }
    let mut before = tables.iter().take_while(|other| !std::ptr::eq(*other, table));
    if before.any(|other| value(other, "name") == Some(name)) {
        let reason = format!("`{name}` names another profile already; accepted: a name of its own");
        return Err(fault(judge, table, "name", reason));
    }
    Ok(name.to_owned())
}

fn selector(judge: &mut Judge<'_>, table: &ProfileTable) -> Result<Selector, Faulty> {
    let host = value(table, "host").map(|host| match values::allowed_hosts(host) {
        Ok(AllowedHosts::Listed(names)) if names.len() == 1 => {
            Ok(names.into_iter().next().unwrap_or_default())
        }
        Ok(AllowedHosts::Listed(_) | AllowedHosts::Any) => Err(fault(
            judge,
            table,
            "host",
            "accepted: one host name, such as `digital.localhost`".to_owned(),
        )),
        Err(unfit) => {
            let reason = format!("{unfit}; accepted: one host name, such as `digital.localhost`");
            Err(fault(judge, table, "host", reason))
        }
    });
    let path_prefix = value(table, "path_prefix").map(|prefix| {
        let fits = prefix.starts_with('/')
            && prefix.len() > 1
            && !prefix.ends_with('/')
            && prefix.bytes().all(|byte| byte > b' ' && byte != 0x7f && !matches!(byte, b'?' | b'#'));
        if fits {
            return Ok(prefix.to_owned());
        }
        let reason = format!(
            "`{}` is not a path prefix; accepted: a path such as `/digital`, without a slash at its end",
            prefix.escape_debug()
        );
        Err(fault(judge, table, "path_prefix", reason))
    });
    let listen = value(table, "listen").map(|listen| {
        listen.parse::<Listen>().map_err(|unfit| {
            let reason =
                format!("{unfit}; accepted: an address and port such as `127.0.0.1:8082`, or `unix:PATH`");
            fault(judge, table, "listen", reason)
        })
    });
    let strip_prefix = value(table, "strip_prefix") == Some("true");
    if strip_prefix && path_prefix.is_none() {
        let reason = "has nothing to strip; accepted: together with path_prefix".to_owned();
        return Err(fault(judge, table, "strip_prefix", reason));
    }
    Ok(Selector {
        host: host.transpose()?,
        path_prefix: path_prefix.transpose()?,
        strip_prefix,
        listen: listen.transpose()?,
    })
}

/// The profile whose credentials are borrowed.
fn lender<'p>(
    judge: &mut Judge<'_>,
    table: &ProfileTable,
    tables: &[ProfileTable],
    before: &'p [Profile],
) -> Result<Option<&'p Profile>, Faulty> {
    let Some(lender) = value(table, "credentials") else { return Ok(None) };
    let is_credential = |key: &str| key.starts_with("oauth.");
    if let Some(own) = table.found.iter().find(|found| found.entry.file_key.is_some_and(is_credential)) {
        let reason = format!("borrows what {} sets for itself; accepted: one of the two", own.entry.name());
        return Err(fault(judge, table, "credentials", reason));
    }
    if let Some(known) = before.iter().find(|profile| profile.name == lender) {
        return Ok(Some(known));
    }
    let place_of = |wanted: &dyn Fn(&ProfileTable) -> bool| tables.iter().position(wanted);
    let named = |other: &ProfileTable| !std::ptr::eq(other, table) && value(other, "name") == Some(lender);
    let reason = match (place_of(&named), place_of(&|other| std::ptr::eq(other, table))) {
        // The lender has faults of its own, which have been kept.
        (Some(other), Some(own)) if other < own => return Err(Faulty),
        (Some(_), _) => format!("`{lender}` comes later; accepted: a profile that comes before this one"),
        (None, _) => {
            format!("`{}` names no other profile; accepted: another profile's name", lender.escape_debug())
        }
    };
    Err(fault(judge, table, "credentials", reason))
}

/// Finds profiles that nothing would ever select, because another with the same selectors comes first.
pub(super) fn selectors(judge: &mut Judge<'_>, tables: &[ProfileTable], profiles: &[Profile]) {
    for (place, (table, profile)) in tables.iter().zip(profiles).enumerate() {
        let by = |profile: &Profile| {
            (profile.select.host.clone(), profile.select.path_prefix.clone(), profile.select.listen.clone())
        };
        let first = profiles.iter().take(place).find(|other| by(other) == by(profile));
        // Equal listeners are told as such, unless both have a port of the system's choice.
        if let Some(first) = first.filter(|_| profile.select.listen.is_none()) {
            let reason = format!(
                "`{}` would never be selected, since `{}` is selected by the same; accepted: a host, path_prefix or listen of its own",
                profile.name, first.name
            );
            fault(judge, table, "name", reason);
        }
    }
}

/// Judges the listeners that profiles have for themselves: who can reach them, and whether each is
/// the only one at its address.
pub(super) fn listeners(
    judge: &mut Judge<'_>,
    tables: &[ProfileTable],
    profiles: &[Profile],
    guard: Option<&Guard>,
    shared: [Option<&Listen>; 2],
) {
    let is_closed = guard.is_some_and(|guard| !guard.allowed_hosts.is_set());
    let mut taken: Vec<&Listen> = shared.into_iter().flatten().collect();
    for (table, profile) in tables.iter().zip(profiles) {
        let Some(listen) = &profile.select.listen else { continue };
        if is_closed && listen.is_public() {
            let (origin, address) = (source(table, "listen"), listen.to_string());
            judge.keep(Fault::Public { name: "profile.listen", origin, address });
        }
        if taken.iter().any(|other| other.collides_with(listen)) {
            let reason = format!("`{listen}` is taken by another listener; accepted: an address of its own");
            fault(judge, table, "listen", reason);
        }
        taken.push(listen);
    }
}

fn value<'t>(table: &'t ProfileTable, key: &str) -> Option<&'t str> {
    table.keys.iter().find(|(own, ..)| *own == key).map(|(.., text)| text.as_str())
}

fn source(table: &ProfileTable, key: &str) -> Source {
    table.keys.iter().find(|(own, ..)| *own == key).map_or(&table.origin, |(_, origin, _)| origin).clone()
}

fn fault(judge: &mut Judge<'_>, table: &ProfileTable, key: &str, reason: String) -> Faulty {
    judge.keep(Fault::Profile { key: format!("profile.{key}"), origin: source(table, key), reason })
}

//! Where clients connect: the addresses, the guard that public ones need, and that no two are the same.

use super::{
    error::Fault,
    file::ProfileTable,
    options as o, profiles,
    settings::{Client, Profile},
    validation::{Reported, Validation},
};
use crate::{access, invalid::Invalid, server::Listen};

/// The listener that all profiles share, and the admin listener. `guard` is `None` where it has faults.
pub(super) fn shared(
    validation: &mut Validation<'_>,
    guard: Option<&access::Settings>,
) -> Result<(Listen, Option<Listen>), Reported> {
    let listen = validation.value(&o::LISTEN, str::parse::<Listen>);
    let admin = validation.value(&o::ADMIN_LISTEN, listen_or_off);
    let (listen, admin) = (listen?, admin?);
    let layers = validation.layers;
    for (entry, address) in [(&o::LISTEN, Some(&listen)), (&o::ADMIN_LISTEN, admin.as_ref())] {
        if let Some(address) = address.filter(|address| is_open(guard, address)) {
            let (origin, address) = (layers.source_of(entry), address.to_string());
            validation.report(Fault::Public { name: entry.name(), origin, address });
        }
    }
    if let Some(admin) = admin.as_ref().filter(|admin| admin.collides_with(&listen)) {
        let sources = [layers.source_of(&o::LISTEN), layers.source_of(&o::ADMIN_LISTEN)];
        let addresses = [listen.to_string(), admin.to_string()];
        validation.report(Fault::SameAddress { addresses, sources });
    }
    Ok((listen, admin))
}

/// The listener for other proxies. It hands tokens out, so who reaches it from another machine must be a client.
pub(super) fn auth<E>(
    validation: &mut Validation<'_>,
    guard: Option<&access::Settings>,
    clients: &Result<Option<Vec<Client>>, E>,
    others: Option<&(Listen, Option<Listen>)>,
) -> Result<Option<Listen>, Reported> {
    let auth = validation.value(&o::AUTH_LISTEN, listen_or_off)?;
    let Some(listen) = &auth else { return Ok(None) };
    let origin = validation.layers.source_of(&o::AUTH_LISTEN);
    let name = o::AUTH_LISTEN.name();
    if is_open(guard, listen) {
        let (origin, address) = (origin.clone(), listen.to_string());
        validation.report(Fault::Public { name, origin, address });
    }
    if listen.is_public() && matches!(clients, Ok(None)) {
        let reason = format!(
            "`{listen}` can be reached from other machines, and everybody who asks there gets the access token; accepted: a \
             loopback address, `unix:PATH`, or a clients file (clients_file) as well"
        );
        validation.report(Fault::Table { key: name.to_owned(), origin: origin.clone(), reason });
    }
    let taken = others.into_iter().flat_map(|(listen, admin)| std::iter::once(listen).chain(admin));
    if let Some(other) = taken.into_iter().find(|other| other.collides_with(listen)) {
        let reason =
            format!("`{listen}` is taken by the listener `{other}`; accepted: an address of its own");
        validation.report(Fault::Table { key: name.to_owned(), origin, reason });
    }
    Ok(auth)
}

/// Checks the listeners that profiles have for themselves, beside the shared ones.
pub(super) fn own(
    validation: &mut Validation<'_>,
    tables: &[ProfileTable],
    profiles: &[Profile],
    guard: Option<&access::Settings>,
    shared: [Option<&Listen>; 3],
) {
    let mut taken: Vec<&Listen> = shared.into_iter().flatten().collect();
    for (table, profile) in tables.iter().zip(profiles) {
        let Some(listen) = &profile.listen else { continue };
        if is_open(guard, listen) {
            let (origin, address) = (profiles::source(table, "listen"), listen.to_string());
            validation.report(Fault::Public { name: "profile.listen", origin, address });
        }
        if let Some(other) = taken.iter().find(|other| other.collides_with(listen)) {
            let reason =
                format!("`{listen}` is taken by the listener `{other}`; accepted: an address of its own");
            profiles::fault(validation, table, "listen", reason);
        }
        taken.push(listen);
    }
}

/// True where other machines can connect and the operator has not named the hosts that they may use. A
/// guard with faults says nothing about that.
fn is_open(guard: Option<&access::Settings>, listen: &Listen) -> bool {
    listen.is_public() && guard.is_some_and(|guard| !guard.hosts.is_set())
}

/// Reads the address of the admin listener, or `off` as `None`.
pub(super) fn listen_or_off(text: &str) -> Result<Option<Listen>, Invalid> {
    if text == "off" { Ok(None) } else { text.parse().map(Some) }
}

//! How a client that follows an upstream's address finds that upstream here.
//!
//! Where no address here would select the profile, there is no way, and the upstream's address passes as
//! it is: it leads out of the proxy, but never to another profile.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use super::location::Way;
use super::profile::Profile;
use super::target::split_authority;
use crate::transport::Base;

/// How a request came in.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    /// By which listener.
    pub(super) listener: usize,
    /// Where all listeners are; `None` for a Unix socket.
    pub(super) listeners: &'a [Option<SocketAddr>],
    /// Host and port that the client named, where it named any.
    pub(super) named: Option<&'a [u8]>,
    /// Those are the upstream's own: the client believes that it talks to that.
    pub(super) names_upstream: bool,
}

/// The ways to all upstreams that are known, the request's own first.
pub(super) fn ways<'a>(
    profiles: &'a [Profile],
    bases: &'a [(usize, Arc<Base>)],
    arrival: &Arrival<'a>,
) -> Vec<Way<'a>> {
    let way = |(nth, (place, base)): (usize, &'a (usize, Arc<Base>))| {
        let profile = profiles.get(*place)?;
        if arrival.names_upstream {
            return Some(way_by_itself(base));
        }
        let authority = if nth == 0 { arrival.own() } else { arrival.authority_of(profile, profiles)? };
        Some(way_here(profile, base, authority))
    };
    bases.iter().enumerate().filter_map(way).collect()
}

/// What is known of where profiles go, that of `own` first and as it was for its request.
pub(super) fn bases(profiles: &[Profile], own: usize, base: &Arc<Base>) -> Vec<(usize, Arc<Base>)> {
    let others = profiles
        .iter()
        .enumerate()
        .filter(|(place, _)| *place != own)
        .filter_map(|(place, profile)| Some((place, profile.upstream.base()?)));
    std::iter::once((own, base.clone())).chain(others).collect()
}

fn way_here<'a>(profile: &'a Profile, base: &'a Base, authority: Cow<'a, [u8]>) -> Way<'a> {
    let prefix = &profile.select.path_prefix[..];
    let (local_prefix, kept_prefix): (&[u8], &[u8]) =
        if profile.select.strips_prefix { (prefix, b"") } else { (b"", prefix) };
    Way {
        secure: base.secure,
        host: &base.host,
        port: base.port,
        prefix: &base.prefix,
        authority,
        local_secure: false,
        local_prefix,
        kept_prefix,
    }
}

/// A client that names upstreams in its request targets goes on to do so; only the base URL's prefix is
/// put before its paths here.
fn way_by_itself(base: &Base) -> Way<'_> {
    Way {
        secure: base.secure,
        host: &base.host,
        port: base.port,
        prefix: &base.prefix,
        authority: Cow::Borrowed(base.authority.as_bytes()),
        local_secure: base.secure,
        local_prefix: b"",
        kept_prefix: b"",
    }
}

impl<'a> Arrival<'a> {
    /// The authority that the client used, or one by which it would find us.
    fn own(&self) -> Cow<'a, [u8]> {
        match (self.plainly_named(), self.listeners.get(self.listener)) {
            (Some(named), _) => Cow::Borrowed(named),
            (None, Some(Some(address))) => Cow::Owned(address.to_string().into_bytes()),
            // Over a Unix socket the name is a formality.
            (None, Some(None) | None) => Cow::Borrowed(b"localhost"),
        }
    }

    /// An authority by which a request is `profile`'s, as far as host and port decide that.
    fn authority_of(&self, profile: &Profile, profiles: &[Profile]) -> Option<Cow<'a, [u8]>> {
        let due = profile.select.listener.unwrap_or(0);
        // A host that is another profile's would lead there.
        let named = self.plainly_named().filter(|named| {
            let (host, _) = split_authority(named).unwrap_or_default();
            !profiles.iter().any(|other| other.select.is_by_host(due, host))
        });
        let host = profile.select.host.as_deref();
        if due == self.listener {
            return Some(match (host, named, self.listeners.get(due)?) {
                (Some(host), ..) => {
                    let port = self.named.and_then(split_authority).and_then(|(_, port)| port);
                    with_port(host, port)
                }
                (None, Some(named), _) => Cow::Borrowed(named),
                (None, None, Some(address)) if address.ip().is_unspecified() => return None,
                (None, None, Some(address)) => Cow::Owned(address.to_string().into_bytes()),
                (None, None, None) => Cow::Borrowed(b"localhost"),
            });
        }
        // A client of another listener cannot be sent to a Unix socket.
        let address = (*self.listeners.get(due)?)?;
        if let Some(host) = host {
            return Some(with_port(host, Some(address.port())));
        }
        if !address.ip().is_unspecified() {
            return Some(Cow::Owned(address.to_string().into_bytes()));
        }
        let (host, _) = split_authority(named?)?;
        Some(with_port(std::str::from_utf8(host).ok()?, Some(address.port())))
    }

    /// What the client named, unless it holds what would end an address where that is put.
    fn plainly_named(&self) -> Option<&'a [u8]> {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
        self.named.filter(|named| named.iter().all(is_plain))
    }
}

fn with_port<'a>(host: &str, port: Option<u16>) -> Cow<'a, [u8]> {
    Cow::Owned(port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")).into_bytes())
}

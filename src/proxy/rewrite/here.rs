//! How a client that follows an upstream's address finds that upstream here.
//!
//! Where no address here would select the profile, there is no mapping, and the upstream's address
//! passes as it is: it leads out of the proxy, but never to another profile.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use super::mapping::Mapping;
use crate::access::target::split_authority;
use crate::proxy::route::Profile;
use crate::upstream::BaseUrl;

/// How a request came in.
#[derive(Clone, Copy)]
pub(in crate::proxy) struct Arrived<'a> {
    /// By which listener.
    pub(in crate::proxy) listener: usize,
    /// Where all listeners are; `None` for a Unix socket.
    pub(in crate::proxy) listeners: &'a [Option<SocketAddr>],
    /// Host and port that the client named, where it named any.
    pub(in crate::proxy) authority: Option<&'a str>,
    /// They are the upstream's own: the client believes that it talks to that.
    pub(in crate::proxy) names_upstream: bool,
    /// The client speaks https to this listener, and to the others.
    pub(in crate::proxy) https: (bool, bool),
}

/// The mappings of all upstreams that are known, the request's own first.
pub(in crate::proxy) fn mappings<'a>(
    profiles: &'a [Profile],
    bases: &'a [(usize, Arc<BaseUrl>)],
    arrived: &Arrived<'a>,
) -> Vec<Mapping<'a>> {
    let mapping = |(nth, (index, base)): (usize, &'a (usize, Arc<BaseUrl>))| {
        let profile = profiles.get(*index)?;
        if arrived.names_upstream {
            return Some(mapping_to_itself(base));
        }
        let authority = if nth == 0 { arrived.own() } else { arrived.authority_of(profile, profiles)? };
        let here = profile.listener.unwrap_or(0) == arrived.listener;
        let https = if nth == 0 || here { arrived.https.0 } else { arrived.https.1 };
        Some(Mapping { local_https: https, ..mapping_to_here(profile, base, authority) })
    };
    bases.iter().enumerate().filter_map(mapping).collect()
}

/// What is known of where profiles lead, that of `own` first and as it was for its request.
pub(in crate::proxy) fn bases(
    profiles: &[Profile],
    own: usize,
    base: &Arc<BaseUrl>,
) -> Vec<(usize, Arc<BaseUrl>)> {
    let others = profiles
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != own)
        .filter_map(|(index, profile)| Some((index, profile.destination.base()?)));
    std::iter::once((own, base.clone())).chain(others).collect()
}

fn mapping_to_here<'a>(profile: &'a Profile, base: &'a BaseUrl, authority: Cow<'a, str>) -> Mapping<'a> {
    let prefix = profile.selector.prefix();
    let (local_prefix, kept_prefix) = if profile.selector.strip_prefix { (prefix, "") } else { ("", prefix) };
    Mapping { base, authority, local_https: false, local_prefix, kept_prefix }
}

/// A client that names upstreams in its request targets goes on to do so; only the base URL's prefix is
/// put before its paths here.
fn mapping_to_itself(base: &BaseUrl) -> Mapping<'_> {
    Mapping {
        base,
        authority: Cow::Borrowed(base.authority()),
        local_https: base.is_secure(),
        local_prefix: "",
        kept_prefix: "",
    }
}

impl<'a> Arrived<'a> {
    /// The authority that the client used, or another one that leads it to us.
    fn own(&self) -> Cow<'a, str> {
        match (self.plain_authority(), self.listeners.get(self.listener)) {
            (Some(named), _) => Cow::Borrowed(named),
            (None, Some(Some(address))) => Cow::Owned(address.to_string()),
            // Over a Unix socket the name is a formality.
            (None, Some(None) | None) => Cow::Borrowed("localhost"),
        }
    }

    /// An authority that makes a request `profile`'s, as far as host and port decide that.
    fn authority_of(&self, profile: &Profile, profiles: &[Profile]) -> Option<Cow<'a, str>> {
        let listener = profile.listener.unwrap_or(0);
        // A host that is another profile's would lead there.
        let named = self.plain_authority().filter(|named| {
            let host = split_authority(named).map_or("", |(host, _)| host);
            !profiles.iter().any(|other| other.is_selected_by_host(listener, host))
        });
        let host = profile.selector.host.as_deref();
        if listener == self.listener {
            return Some(match (host, named, self.listeners.get(listener)?) {
                (Some(host), ..) => {
                    let parts = self.authority.and_then(split_authority);
                    with_port(host, parts.and_then(|(_, port)| port))
                }
                (None, Some(named), _) => Cow::Borrowed(named),
                (None, None, Some(address)) if address.ip().is_unspecified() => return None,
                (None, None, Some(address)) => Cow::Owned(address.to_string()),
                (None, None, None) => Cow::Borrowed("localhost"),
            });
        }
        // A client of another listener cannot be sent to a Unix socket.
        let address = (*self.listeners.get(listener)?)?;
        if let Some(host) = host {
            return Some(with_port(host, Some(address.port())));
        }
        if !address.ip().is_unspecified() {
            return Some(Cow::Owned(address.to_string()));
        }
        let (host, _) = split_authority(named?)?;
        Some(with_port(host, Some(address.port())))
    }

    /// What the client named, unless it holds what would end an address that it is put into.
    fn plain_authority(&self) -> Option<&'a str> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        self.authority.filter(|named| named.bytes().all(is_plain))
    }
}

fn with_port<'a>(host: &str, port: Option<u16>) -> Cow<'a, str> {
    Cow::Owned(port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

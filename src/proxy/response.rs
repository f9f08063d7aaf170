//! The response as it leaves for the client (RFC 9110 section 7.6).

use std::sync::Arc;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, ETAG, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION,
    SET_COOKIE, UPGRADE, VIA,
};
use http::{Response, StatusCode, Version};

use super::arrival::Arrival;
use super::hop_by_hop::{Found, Special, remove_field};
use super::rewrite::{Arrived, Mapping, bases, cookies, location, mappings};
use super::state::Shared;
use super::via::{Via, via_value};
use crate::access::{NamedHost, PSEUDONYM, cors};
use crate::upstream::BaseUrl;

pub(super) static PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// What a response needs to know of its request.
pub(super) struct ClientSide {
    pub(super) arrival: Arrival,
    /// The host that the client addressed, where it named one.
    pub(super) host: Option<NamedHost>,
    /// That host is an upstream's own.
    pub(super) names_upstream: bool,
    /// The allowed web origin that sent the request.
    pub(super) origin: Option<HeaderValue>,
}

/// Where a request went.
pub(super) struct Sent<'a> {
    pub(super) shared: &'a Shared,
    /// The index of the profile.
    pub(super) profile: usize,
    pub(super) base: &'a Arc<BaseUrl>,
    pub(super) client: &'a ClientSide,
}

impl Sent<'_> {
    /// Changes an upstream's response head in place into the client's.
    pub(super) fn make_local<B>(&self, response: &mut Response<B>) {
        let version = std::mem::replace(response.version_mut(), Version::HTTP_11);
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        let found = Found::among(headers);
        found.remove_hop_by_hop(headers);
        if found.has(Special::Address) {
            self.with_mappings(|mappings| rewrite_addresses(headers, mappings));
        }
        if let Some(origin) = &self.client.origin {
            cors::allow_origin(headers, origin);
        }
        if self.shared.settings.via != Via::Off {
            headers.append(VIA, via_value(version));
        }
        if switches {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
    }

    /// Calls `rewrite` with the addresses of all upstreams, the request's own first.
    pub(super) fn with_mappings<T>(&self, rewrite: impl FnOnce(&[Mapping<'_>]) -> T) -> T {
        let profiles = &self.shared.profiles;
        let bases = bases(profiles, self.profile, self.base);
        let arrived = Arrived {
            listener: self.client.arrival.listener,
            listeners: &self.shared.settings.listeners,
            authority: self.client.host.as_ref().map(NamedHost::as_str),
            names_upstream: self.client.names_upstream,
            https: (self.client.arrival.is_secure, self.shared.settings.tls),
        };
        rewrite(&mappings(profiles, &bases, &arrived))
    }
}

/// Says in `Proxy-Status` that the response is the upstream's own, and why the request was not sent again
/// (RFC 9209 section 2).
pub(super) fn add_received_status(headers: &mut HeaderMap, status: StatusCode, details: Option<&str>) {
    let details = details.map(|details| format!("; details=\"{details}\"")).unwrap_or_default();
    let text = format!("{PSEUDONYM}; received-status={}{details}", status.as_u16());
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.append(PROXY_STATUS.clone(), value);
    }
}

/// Takes the digests away that a changed body no longer has, and makes its entity tag a weak one
/// (RFC 9110 section 8.8.1, RFC 9530).
pub(super) fn note_changed_body(headers: &mut HeaderMap) {
    for name in ["digest", "content-digest", "repr-digest", "content-md5"] {
        remove_field(headers, name);
    }
    let strong = headers.get_all(ETAG).iter().next().filter(|tag| tag.as_bytes().starts_with(b"\""));
    if let Some(weak) = strong.and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok())
    {
        headers.insert(ETAG, weak);
    }
    remove_field(headers, CONTENT_LENGTH);
}

fn rewrite_addresses(headers: &mut HeaderMap, mappings: &[Mapping<'_>]) {
    for name in [LOCATION, CONTENT_LOCATION] {
        rewrite_all(headers, name, |value| location::local(value, mappings));
    }
    rewrite_all(headers, LINK, |value| location::local_links(value, mappings));
    if let Some(own) = mappings.first() {
        rewrite_all(headers, SET_COOKIE, |value| cookies::local(value, own));
    }
}

/// Changes each line of a field. A value that is not UTF-8 holds no address of ours.
fn rewrite_all(headers: &mut HeaderMap, name: HeaderName, local: impl Fn(&str) -> Option<String>) {
    let http::header::Entry::Occupied(mut lines) = headers.entry(name) else { return };
    for value in lines.iter_mut() {
        let changed = std::str::from_utf8(value.as_bytes()).ok().and_then(&local);
        if let Some(changed) = changed.and_then(|text| HeaderValue::try_from(text).ok()) {
            *value = changed;
        }
    }
}

#[cfg(test)]
mod tests;

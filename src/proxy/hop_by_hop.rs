//! Fields that concern one connection only (RFC 9110 section 7.6.1), in both directions. Pure.

use http::header::{
    AUTHORIZATION, AsHeaderName, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// The fields that do not simply pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Special {
    Connection = 1 << 0,
    TransferEncoding = 1 << 1,
    KeepAlive = 1 << 2,
    Upgrade = 1 << 3,
    Te = 1 << 4,
    ProxyConnection = 1 << 5,
    ProxyAuthorization = 1 << 6,
    ProxyAuthenticate = 1 << 7,
    ProxyAuthenticationInfo = 1 << 8,
    Http2Settings = 1 << 9,
    Host = 1 << 10,
    Authorization = 1 << 11,
    ContentLength = 1 << 12,
    Expect = 1 << 13,
    Cookie = 1 << 14,
    /// One of those that may hold an address of the upstream.
    Address = 1 << 15,
    /// The key of a client of this proxy.
    ProxyKey = 1 << 16,
}

/// What passes in no direction.
pub(super) static HOP_BY_HOP: [(Special, &HeaderName); 10] = [
    (Special::Connection, &CONNECTION),
    (Special::TransferEncoding, &TRANSFER_ENCODING),
    (Special::KeepAlive, &KEEP_ALIVE),
    (Special::Upgrade, &UPGRADE),
    (Special::Te, &TE),
    (Special::ProxyConnection, &PROXY_CONNECTION),
    (Special::ProxyAuthorization, &PROXY_AUTHORIZATION),
    (Special::ProxyAuthenticate, &PROXY_AUTHENTICATE),
    (Special::ProxyAuthenticationInfo, &PROXY_AUTHENTICATION_INFO),
    (Special::Http2Settings, &HTTP2_SETTINGS),
];

/// What the proxy writes itself in a request.
pub(super) static OWN: [(Special, &HeaderName); 3] = [
    (Special::Host, &HOST),
    (Special::Authorization, &AUTHORIZATION),
    (Special::ContentLength, &CONTENT_LENGTH),
];

impl Special {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "connection" => Self::Connection,
            "transfer-encoding" => Self::TransferEncoding,
            "keep-alive" => Self::KeepAlive,
            "upgrade" => Self::Upgrade,
            "te" => Self::Te,
            "proxy-connection" => Self::ProxyConnection,
            "proxy-authorization" => Self::ProxyAuthorization,
            "proxy-authenticate" => Self::ProxyAuthenticate,
            "proxy-authentication-info" => Self::ProxyAuthenticationInfo,
            "http2-settings" => Self::Http2Settings,
            "host" => Self::Host,
            "authorization" => Self::Authorization,
            "content-length" => Self::ContentLength,
            "x-proxy-key" => Self::ProxyKey,
            "expect" => Self::Expect,
            "cookie" => Self::Cookie,
            "location" | "content-location" | "link" | "set-cookie" => Self::Address,
            _ => return None,
        })
    }
}

/// Which special fields a header section has, one bit each. They are found in one pass over the names: to ask
/// the map for each of them would cost a hash for each.
#[derive(Clone, Copy)]
pub(super) struct Found(u32);

impl Found {
    pub(super) fn among(headers: &HeaderMap) -> Self {
        let special = headers.keys().filter_map(|name| Special::named(name.as_str()));
        Self(special.fold(0, |found, special| found | special as u32))
    }

    pub(super) fn has(self, special: Special) -> bool {
        self.0 & special as u32 != 0
    }

    /// Removes what concerns one connection only, and what `Connection` names besides.
    pub(super) fn remove_hop_by_hop(self, headers: &mut HeaderMap) {
        if self.has(Special::Connection) {
            remove_named_by_connection(headers);
        }
        self.remove(headers, &HOP_BY_HOP);
    }

    /// Removes those of `fields` that were found.
    pub(super) fn remove(self, headers: &mut HeaderMap, fields: &[(Special, &HeaderName)]) {
        let all = fields.iter().fold(0, |all, (special, _)| all | *special as u32);
        if self.0 & all == 0 {
            return;
        }
        for (_, name) in fields.iter().filter(|(special, _)| self.has(*special)) {
            remove_field(headers, *name);
        }
    }
}

/// Removes all lines of a field.
#[expect(
    clippy::disallowed_methods,
    reason = "`remove` takes every line of the name away, which is meant here"
)]
pub(super) fn remove_field(headers: &mut HeaderMap, name: impl AsHeaderName) {
    headers.remove(name);
}

/// Removes the fields that `Connection` names, each of its lines read once.
fn remove_named_by_connection(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = members(headers, &CONNECTION)
        .filter(|member| !member.eq_ignore_ascii_case("close") && !member.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|member| HeaderName::from_bytes(member.as_bytes()).ok())
        .collect();
    for name in names {
        remove_field(headers, name);
    }
}

/// Trailers carry no framing, routing or credentials (RFC 9110 section 6.5.1).
pub(super) fn remove_forbidden_trailers(trailers: &mut HeaderMap) {
    let found = Found::among(trailers);
    found.remove_hop_by_hop(trailers);
    found.remove(trailers, &OWN);
    for name in [
        "expect",
        "set-cookie",
        "cookie",
        "location",
        "content-location",
        "www-authenticate",
        "cdn-loop",
        "via",
    ] {
        remove_field(trailers, name);
    }
}

/// The members of a field's comma-separated lists, on however many lines.
pub(super) fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|member| member.trim_matches([' ', '\t']))
        .filter(|member| !member.is_empty())
}

/// True where a field lists `member`, in any case.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, member: &str) -> bool {
    members(headers, name).any(|own| own.eq_ignore_ascii_case(member))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_message_loses_what_concerned_its_connection() {
        let mut message = headers(&[
            ("Connection", "X-Gone"),
            ("x-gone", "1"),
            ("Keep-Alive", "5"),
            ("X-Kept", "a"),
            ("x-kept", "b"),
        ]);
        Found::among(&message).remove_hop_by_hop(&mut message);
        assert_eq!(message, headers(&[("X-Kept", "a"), ("x-kept", "b")]));
    }

    /// Each name alone, so that a missing one shows.
    #[test]
    fn each_field_is_found_by_itself() {
        for (special, name) in HOP_BY_HOP.iter().chain(&OWN) {
            let mut message = headers(&[(name.as_str(), "x"), ("x-kept", "1")]);
            let found = Found::among(&message);
            assert!(found.has(*special), "{name}");
            found.remove_hop_by_hop(&mut message);
            found.remove(&mut message, &OWN);
            assert_eq!(message, headers(&[("x-kept", "1")]), "{name}");
        }
    }
}

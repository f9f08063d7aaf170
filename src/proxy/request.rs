//! The request as it leaves for the upstream (RFC 9110 section 7.6). Pure.
//!
//! The client's header map is changed in place. What a second attempt needs is kept as a list of
//! handles, and the second attempt's map is made from that, never patched from the last attempt.

use http::header::{
    AUTHORIZATION, AsHeaderName, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderMap, HeaderName,
    HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Extensions, Method, Request, Uri, Version};

use crate::tokens::AccessToken;

pub(super) static CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static PROXY_AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("proxy-authentication-info");
static HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What all attempts of a request have in common.
pub(super) struct Template {
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// hyper's own notes on the message: how names were spelled, where that is preserved.
    extensions: Extensions,
    /// The client's own head, changed in place, for the first attempt.
    first: Option<Parts>,
}

/// What every attempt gets beyond what the client sent.
pub(super) struct Additions<'a> {
    /// This process's member of `CDN-Loop` (RFC 8586).
    pub(super) loop_member: &'a HeaderValue,
    /// The value of `Via`, where the request gets one.
    pub(super) via: Option<HeaderValue>,
}

impl Template {
    /// Makes a client's request ready to be sent. `path` is what the upstream gets, its base URL's
    /// prefix included.
    pub(super) fn new(mut parts: Parts, path: PathAndQuery, additions: &Additions<'_>) -> Self {
        let headers = &mut parts.headers;
        let found = Found::among(headers);
        let passes_trailers = found.has(Special::Te) && lists(headers, &TE, "trailers");
        found.remove_hop_by_hop(headers);
        if found.has(Special::Cookie) && parts.version == Version::HTTP_2 {
            join_cookies(headers);
        }
        if passes_trailers {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        headers.append(CDN_LOOP.clone(), additions.loop_member.clone());
        if let Some(via) = &additions.via {
            headers.append(VIA, via.clone());
        }
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        parts.uri = Uri::from(path);
        Self {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers,
            extensions: parts.extensions.clone(),
            first: Some(parts),
        }
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// The path without its query.
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// The request for one attempt.
    pub(super) fn attempt<B>(&mut self, token: &AccessToken, body: B) -> Request<B> {
        let mut parts = self.first.take().unwrap_or_else(|| self.again());
        parts.headers.insert(AUTHORIZATION, token.authorization().clone());
        Request::from_parts(parts, body)
    }

    fn again(&self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = self.method.clone();
        parts.uri = self.uri.clone();
        parts.extensions = self.extensions.clone();
        parts.headers.reserve(self.headers.len() + 1);
        parts.headers.extend(self.headers.iter().cloned());
        parts
    }
}

/// Removes what concerns one connection only (RFC 9110 section 7.6.1), and what the proxy writes itself:
/// `Host`, `Authorization` and the framing.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    Found::among(headers).remove_hop_by_hop(headers);
}

/// Removes all lines of a field.
#[expect(
    clippy::disallowed_methods,
    reason = "`remove` takes every line of the name away, which is meant here"
)]
pub(super) fn remove_field(headers: &mut HeaderMap, name: impl AsHeaderName) {
    headers.remove(name);
}

/// The fields that do not simply pass.
#[derive(Clone, Copy)]
#[repr(u16)]
enum Special {
    Host = 1 << 0,
    Connection = 1 << 1,
    Authorization = 1 << 2,
    ContentLength = 1 << 3,
    TransferEncoding = 1 << 4,
    Te = 1 << 5,
    Upgrade = 1 << 6,
    KeepAlive = 1 << 7,
    ProxyConnection = 1 << 8,
    ProxyAuthorization = 1 << 9,
    ProxyAuthenticate = 1 << 10,
    ProxyAuthenticationInfo = 1 << 11,
    Http2Settings = 1 << 12,
    Expect = 1 << 13,
    Cookie = 1 << 14,
}

/// What never passes.
static REMOVED: [(Special, &HeaderName); 13] = [
    (Special::Host, &HOST),
    (Special::Connection, &CONNECTION),
    (Special::Authorization, &AUTHORIZATION),
    (Special::ContentLength, &CONTENT_LENGTH),
    (Special::TransferEncoding, &TRANSFER_ENCODING),
    (Special::Te, &TE),
    (Special::Upgrade, &UPGRADE),
    (Special::KeepAlive, &KEEP_ALIVE),
    (Special::ProxyConnection, &PROXY_CONNECTION),
    (Special::ProxyAuthorization, &PROXY_AUTHORIZATION),
    (Special::ProxyAuthenticate, &PROXY_AUTHENTICATE),
    (Special::ProxyAuthenticationInfo, &PROXY_AUTHENTICATION_INFO),
    (Special::Http2Settings, &HTTP2_SETTINGS),
];

impl Special {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "host" => Self::Host,
            "connection" => Self::Connection,
            "authorization" => Self::Authorization,
            "content-length" => Self::ContentLength,
            "transfer-encoding" => Self::TransferEncoding,
            "te" => Self::Te,
            "upgrade" => Self::Upgrade,
            "keep-alive" => Self::KeepAlive,
            "proxy-connection" => Self::ProxyConnection,
            "proxy-authorization" => Self::ProxyAuthorization,
            "proxy-authenticate" => Self::ProxyAuthenticate,
            "proxy-authentication-info" => Self::ProxyAuthenticationInfo,
            "http2-settings" => Self::Http2Settings,
            "expect" => Self::Expect,
            "cookie" => Self::Cookie,
            _ => return None,
        })
    }
}

/// Which special fields are there, one bit each. They are found in one pass over the names: to ask the map
/// for each of them would cost a hash for each.
struct Found(u16);

impl Found {
    fn among(headers: &HeaderMap) -> Self {
        let special = headers.keys().filter_map(|name| Special::named(name.as_str()));
        Self(special.fold(0, |found, special| found | special as u16))
    }

    fn has(&self, special: Special) -> bool {
        self.0 & special as u16 != 0
    }

    fn remove_hop_by_hop(&self, headers: &mut HeaderMap) {
        if self.has(Special::Connection) {
            remove_named_by_connection(headers);
        }
        for (_, name) in REMOVED.iter().filter(|(special, _)| self.has(*special)) {
            remove_field(headers, *name);
        }
        if self.has(Special::Expect) {
            let values = headers.get_all(EXPECT);
            // An expectation is met by the proxy, when it starts to read the body.
            if values.iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
                remove_field(headers, EXPECT);
            }
        }
    }
}

/// Removes the fields that `Connection` names, each of its lines read once.
pub(super) fn remove_named_by_connection(headers: &mut HeaderMap) {
    let names: Vec<HeaderName> = members(headers, &CONNECTION)
        .filter(|member| !member.eq_ignore_ascii_case("close") && !member.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|member| HeaderName::from_bytes(member.as_bytes()).ok())
        .collect();
    for name in names {
        remove_field(headers, name);
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

/// HTTP/2 may split a cookie field into lines, which HTTP/1.1 may not (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let lines: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..]))
    {
        headers.insert(COOKIE, joined);
    }
}

/// Trailers carry no framing, routing or credentials (RFC 9110 section 6.5.1).
pub(super) fn remove_forbidden_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    for name in
        ["set-cookie", "cookie", "location", "content-location", "www-authenticate", "cdn-loop", "via"]
    {
        remove_field(trailers, name);
    }
}

/// True where a request asks for a WebSocket over HTTP/1.1 (RFC 6455 section 4.1).
pub(super) fn asks_for_websocket(parts: &Parts) -> bool {
    parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && parts.headers.contains_key(&UPGRADE)
        && lists(&parts.headers, &UPGRADE, "websocket")
        && lists(&parts.headers, &CONNECTION, "upgrade")
}

/// True where a request has been through this very process before (RFC 8586 section 2).
pub(super) fn has_looped(headers: &HeaderMap, loop_member: &HeaderValue) -> bool {
    members(headers, &CDN_LOOP)
        .any(|member| member.split(';').next().is_some_and(|id| id.trim_matches([' ', '\t']) == loop_member))
}

#[cfg(test)]
mod tests;

//! The request as it leaves for the upstream (RFC 9110 section 7.6). Pure.
//!
//! The client's header map is changed in place. What a second attempt needs is kept as a list of
//! handles, and the second attempt's map is made from that, never patched from the last attempt.

use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, UPGRADE, VIA,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Extensions, Method, Request, Uri, Version};

use super::hop_by_hop::{Found, Special, lists, members, remove_field};
use crate::access;
use crate::tokens::AccessToken;

pub(super) static CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// What all attempts of a request have in common.
pub(super) struct Template {
    method: Method,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// hyper's own notes on the message: how names were spelled, where that is preserved.
    extensions: Extensions,
    /// The client's own head has gone, with the first attempt.
    is_sent: bool,
}

/// What every attempt gets beyond what the client sent.
pub(super) struct Additions<'a> {
    /// This process's member of `CDN-Loop` (RFC 8586).
    pub(super) loop_member: &'a HeaderValue,
    /// The value of `Via`, where the request gets one.
    pub(super) via: Option<HeaderValue>,
}

impl Template {
    /// Makes a client's request ready to be sent, in place. `path` is what the upstream gets, its base URL's
    /// prefix included.
    ///
    /// What frames the body stays in `head`. The upstream connection writes those fields anew from the body itself,
    /// and leaves what is right already.
    pub(super) fn new(head: &mut Parts, path: PathAndQuery, additions: &Additions<'_>) -> Self {
        let headers = &mut head.headers;
        let found = Found::among(headers);
        let passes_trailers = found.has(Special::Te) && lists(headers, &TE, "trailers");
        found.remove_hop_by_hop(headers);
        if found.has(Special::Authorization) {
            remove_field(headers, AUTHORIZATION);
        }
        if found.has(Special::ProxyKey) {
            // Also where nobody is asked for one: it may be a client's that was configured for another proxy.
            remove_field(headers, access::KEY_FIELD);
        }
        if found.has(Special::Expect) {
            remove_known_expectation(headers);
        }
        if found.has(Special::Cookie) && head.version == Version::HTTP_2 {
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
        head.uri = Uri::from(path);
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            headers,
            extensions: head.extensions.clone(),
            is_sent: false,
        }
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// The path without its query.
    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    /// The request for one attempt. The first one takes the client's own `head`.
    pub(super) fn attempt<B>(&mut self, head: &mut Parts, token: &AccessToken, body: B) -> Request<B> {
        let mut parts = std::mem::replace(head, empty());
        if std::mem::replace(&mut self.is_sent, true) {
            self.fill(&mut parts);
        }
        parts.headers.insert(AUTHORIZATION, token.authorization().clone());
        Request::from_parts(parts, body)
    }

    fn fill(&self, parts: &mut Parts) {
        parts.method = self.method.clone();
        parts.uri = self.uri.clone();
        parts.extensions = self.extensions.clone();
        parts.headers.reserve(self.headers.len() + 1);
        parts.headers.extend(self.headers.iter().cloned());
    }
}

fn empty() -> Parts {
    Request::new(()).into_parts().0
}

/// An expectation that the proxy meets itself, when it starts to read the body.
fn remove_known_expectation(headers: &mut HeaderMap) {
    let values = headers.get_all(EXPECT);
    if values.iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        remove_field(headers, EXPECT);
    }
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
    // A look at each name costs less than the hash of this one.
    headers.keys().any(|name| *name == CDN_LOOP)
        && members(headers, &CDN_LOOP).any(|member| {
            member.split(';').next().is_some_and(|id| id.trim_matches([' ', '\t']) == loop_member)
        })
}

#[cfg(test)]
mod tests;

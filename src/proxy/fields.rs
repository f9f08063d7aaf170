//! Which fields pass, and how they leave (RFC 9110 section 7.6). Pure.
//!
//! Every attempt's section is written anew from the client's, never patched from the last one. A
//! field may be repeated: whatever is decided here is decided for each of its lines.

use crate::message::{FieldSink, Fields, RequestHead, ResponseHead, Version, list_members};

use super::location::{self, Way};

/// Which messages get a `Via` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Responses.
    Response,
    /// Requests and responses.
    Both,
    /// None.
    Off,
}

/// Our name in `Via`, `Proxy-Status` and, with more behind it, `CDN-Loop`.
pub const PSEUDONYM: &str = "cxone-proxy";

/// Fields whose lines do not simply pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Host,
    Authorization,
    Connection,
    /// Concerns one connection only and never passes.
    HopByHop,
    Te,
    Upgrade,
    ContentLength,
    Expect,
    Location,
    Link,
    SetCookie,
    AllowOrigin,
    Other,
}

fn known(name: &[u8]) -> Known {
    // By length first: most names differ there already.
    let candidates: &[(&[u8], Known)] = match name.len() {
        2 => &[(b"te", Known::Te)],
        4 => &[(b"host", Known::Host), (b"link", Known::Link)],
        6 => &[(b"expect", Known::Expect)],
        7 => &[(b"upgrade", Known::Upgrade)],
        8 => &[(b"location", Known::Location)],
        10 => &[
            (b"connection", Known::Connection),
            (b"keep-alive", Known::HopByHop),
            (b"set-cookie", Known::SetCookie),
        ],
        13 => &[(b"authorization", Known::Authorization)],
        14 => &[(b"content-length", Known::ContentLength), (b"http2-settings", Known::HopByHop)],
        16 => &[(b"content-location", Known::Location), (b"proxy-connection", Known::HopByHop)],
        17 => &[(b"transfer-encoding", Known::HopByHop)],
        18 => &[(b"proxy-authenticate", Known::HopByHop)],
        19 => &[(b"proxy-authorization", Known::HopByHop)],
        25 => &[(b"proxy-authentication-info", Known::HopByHop)],
        27 => &[(b"access-control-allow-origin", Known::AllowOrigin)],
        29 => &[(b"access-control-expose-headers", Known::AllowOrigin)],
        32 => &[(b"access-control-allow-credentials", Known::AllowOrigin)],
        _ => &[],
    };
    let found = candidates.iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map_or(Known::Other, |(_, known)| *known)
}

/// The fields that `Connection` names as its own (RFC 9110 section 7.6.1), on however many lines.
struct Nominated<'a> {
    fields: &'a Fields,
    any: bool,
}

impl<'a> Nominated<'a> {
    fn of(fields: &'a Fields) -> Self {
        let any = fields.all(b"Connection").flat_map(list_members).any(|member| {
            !member.eq_ignore_ascii_case(b"keep-alive") && !member.eq_ignore_ascii_case(b"close")
        });
        Self { fields, any }
    }

    fn names(&self, name: &[u8]) -> bool {
        self.any && self.fields.lists(b"Connection", name)
    }
}

/// What a request gets beyond what the client sent.
#[derive(Clone, Copy)]
pub struct Additions<'a> {
    /// The value of `Authorization`.
    pub authorization: &'a [u8],
    /// This process's member of `CDN-Loop` (RFC 8586).
    pub loop_member: &'a [u8],
    /// Where `Via` goes.
    pub via: Via,
    /// A WebSocket is asked for.
    pub upgrades: bool,
}

/// Writes a request's fields for the upstream, without `Host` and `Transfer-Encoding`.
pub fn outgoing(head: &RequestHead, additions: &Additions<'_>, to: Version, sink: &mut impl FieldSink) {
    let nominated = Nominated::of(&head.fields);
    let mut length_written = false;
    for (name, value) in head.fields.iter() {
        match known(name) {
            Known::Host
            | Known::Authorization
            | Known::Connection
            | Known::HopByHop
            | Known::Upgrade
            | Known::Te => {}
            // An expectation is met by the proxy, when it starts to read the content.
            Known::Expect if value.eq_ignore_ascii_case(b"100-continue") => {}
            // Framing is not the client's to nominate away; equal repetitions become one.
            Known::ContentLength if length_written => {}
            Known::ContentLength => {
                length_written = true;
                sink.line(name, one_length(value));
            }
            Known::Expect
            | Known::Location
            | Known::Link
            | Known::SetCookie
            | Known::AllowOrigin
            | Known::Other => {
                if !nominated.names(name) {
                    sink.line(name, value);
                }
            }
        }
    }
    if head.fields.lists(b"TE", b"trailers") {
        sink.line(b"TE", b"trailers");
    }
    if additions.upgrades && to != Version::Http2 {
        sink.line(b"Connection", b"Upgrade");
        sink.line(b"Upgrade", b"websocket");
    }
    sink.line(b"Authorization", additions.authorization);
    sink.line(b"CDN-Loop", additions.loop_member);
    if additions.via == Via::Both {
        sink.line(b"Via", via(head.version));
    }
}

/// A length that a line repeats, once: not everybody further on reads `5, 5` alike, so it must not
/// pass (RFC 9110 section 8.6). Where the members differ there is no content, and the line is told
/// as it is.
fn one_length(value: &[u8]) -> &[u8] {
    let mut members = list_members(value);
    match members.next() {
        Some(first) if members.all(|member| member == first) => first,
        Some(_) | None => value,
    }
}

/// True where a request has been through this very process before (RFC 8586 section 2).
pub fn has_looped(head: &RequestHead, loop_member: &[u8]) -> bool {
    head.fields.all(b"CDN-Loop").flat_map(list_members).any(|member| {
        member.split(|byte| *byte == b';').next().is_some_and(|id| id.trim_ascii() == loop_member)
    })
}

/// True where a request asks for a WebSocket over HTTP/1.1 (RFC 6455 section 4.1).
pub fn asks_for_websocket(head: &RequestHead) -> bool {
    head.version == Version::Http11
        && head.method == http::Method::GET
        && head.fields.lists(b"Upgrade", b"websocket")
        && head.fields.lists(b"Connection", b"upgrade")
}

/// The trailer lines that may pass: trailers carry no framing, routing or credentials
/// (RFC 9110 section 6.5.1). `None` where none is left.
pub fn passing_trailers(trailers: &Fields) -> Option<Fields> {
    let mut passing = Fields::default();
    for (name, value) in trailers.iter() {
        if matches!(known(name), Known::Other | Known::Expect | Known::Link) {
            passing.line(name, value);
        }
    }
    (!passing.is_empty()).then_some(passing)
}

/// What a response needs to know of the request's way.
#[derive(Clone, Copy)]
pub struct Addressed<'a> {
    /// The upstreams and the ways to them; the first is the request's own. Asked for only where a
    /// field needs it.
    pub ways: &'a dyn Fn() -> Vec<Way<'a>>,
    /// The upstream's host, for cookies.
    pub host: &'a str,
    /// The web origin to be allowed.
    pub origin: Option<&'a [u8]>,
    /// Where `Via` goes.
    pub via: Via,
    /// The content's length is not the one that the upstream told.
    pub drop_length: bool,
}

/// Writes a response's fields for the client, without those that concern the connection.
pub fn incoming(head: &ResponseHead, addressed: &Addressed<'_>, sink: &mut impl FieldSink) {
    let nominated = Nominated::of(&head.fields);
    let mut length_written = false;
    for (name, value) in head.fields.iter() {
        match known(name) {
            Known::Connection | Known::HopByHop | Known::Upgrade | Known::Te => {}
            Known::ContentLength if length_written || addressed.drop_length => {}
            Known::ContentLength => {
                length_written = true;
                sink.line(name, one_length(value));
            }
            Known::AllowOrigin if addressed.origin.is_some() => {}
            _ if nominated.names(name) => {}
            Known::Location => {
                let local = location::local(value, &(addressed.ways)());
                sink.line(name, local.as_deref().unwrap_or(value));
            }
            Known::Link => {
                let local = location::local_links(value, &(addressed.ways)());
                sink.line(name, local.as_deref().unwrap_or(value));
            }
            Known::SetCookie => {
                let local = local_cookie(value, addressed.host);
                sink.line(name, local.as_deref().unwrap_or(value));
            }
            Known::Host | Known::Authorization | Known::Expect | Known::AllowOrigin | Known::Other => {
                sink.line(name, value);
            }
        }
    }
    if let Some(origin) = addressed.origin {
        allow_origin(origin, sink);
    }
    if addressed.via != Via::Off {
        sink.line(b"Via", via(head.version));
    }
}

/// Lets pages of `origin` read an answer (the Fetch standard's CORS protocol).
pub fn allow_origin(origin: &[u8], sink: &mut impl FieldSink) {
    sink.line(b"Access-Control-Allow-Origin", origin);
    sink.line(b"Access-Control-Allow-Credentials", b"true");
    sink.line(b"Access-Control-Expose-Headers", b"*");
    sink.line(b"Vary", b"Origin");
}

/// Protocol version and our pseudonym (RFC 9110 section 7.6.3).
fn via(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"1.0 cxone-proxy",
        Version::Http11 => b"1.1 cxone-proxy",
        Version::Http2 => b"2.0 cxone-proxy",
    }
}

/// `Set-Cookie` as a client of a plain local listener keeps it: `None` where it passes as it is.
fn local_cookie(value: &[u8], host: &str) -> Option<Vec<u8>> {
    let mut parts = value.split(|byte| *byte == b';');
    let pair = parts.next()?;
    let name = pair.trim_ascii_start();
    if [&b"__Secure-"[..], b"__Host-"]
        .iter()
        .any(|prefix| name.get(..prefix.len()).is_some_and(|own| own.eq_ignore_ascii_case(prefix)))
    {
        return None;
    }
    let mut local = pair.to_vec();
    for attribute in parts {
        if !is_in_the_way(attribute, host) {
            local.push(b';');
            local.extend_from_slice(attribute);
        }
    }
    (local != value).then_some(local)
}

/// True for a `Domain` that covers the upstream, for `Secure`, and for `SameSite=None`, which
/// needs `Secure`.
fn is_in_the_way(attribute: &[u8], host: &str) -> bool {
    let mut halves = attribute.splitn(2, |byte| *byte == b'=');
    let name = halves.next().unwrap_or_default().trim_ascii();
    let value = halves.next().unwrap_or_default().trim_ascii();
    if name.eq_ignore_ascii_case(b"secure") {
        return true;
    }
    if name.eq_ignore_ascii_case(b"samesite") {
        return value.eq_ignore_ascii_case(b"none");
    }
    if !name.eq_ignore_ascii_case(b"domain") {
        return false;
    }
    let domain = value.strip_prefix(b".").unwrap_or(value);
    let host = host.as_bytes();
    let tail = host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at));
    tail.is_some_and(|(before, tail)| {
        tail.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with(b"."))
    })
}

#[cfg(test)]
mod tests;

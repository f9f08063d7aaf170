//! Who may use the proxy: it lends its caller all that its credentials may do. Pure.
//!
//! A web page must not be able to use it: neither through a name that the page makes resolve to this
//! machine (so the host is checked), nor by a plain cross-site request (so the origin is checked).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{HOST, HeaderName, ORIGIN};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderValue, Method, Version};

use super::cors;
use super::names::{AllowedHosts, WebOrigin, without_dot};
use super::problem::{Problem, ProblemKind};
use super::target::{self, Target, TargetError, split_authority, strip_scheme};
use crate::fields::{Repeated, only};
use crate::text::printable_bytes;

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Our end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Local {
    /// The address at which it arrived; `None` for a Unix socket.
    pub ip: Option<IpAddr>,
    /// It is TLS.
    pub is_secure: bool,
}

impl From<Option<IpAddr>> for Local {
    fn from(ip: Option<IpAddr>) -> Self {
        Self { ip, is_secure: false }
    }
}

/// What the guard goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names beyond the built-in ones.
    pub hosts: AllowedHosts,
    /// Web origins whose pages may call.
    pub origins: Vec<WebOrigin>,
}

/// Why a request is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 405
    Connect,
    /// 405: the API would send the token back to the caller
    Trace,
    /// 400: `OPTIONS *`
    Asterisk,
    /// 400: the target is of no known form
    Target,
    /// 400: HTTP/1.1 without `Host`, or with several
    Host,
    /// 421
    WrongHost,
    /// 403
    Origin,
    /// 403
    CrossSite,
}

/// What an admitted request is. Borrows nothing of it, so that its head may be changed in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Path and query to append to the base URL.
    pub path: PathAndQuery,
    /// The host that the client addressed, where it named one.
    pub host: Option<NamedHost>,
    /// That host is an upstream's own, by https or not: absolute form.
    pub upstream: Option<bool>,
    /// The allowed web origin that asks.
    pub origin: Option<HeaderValue>,
    /// The request is that origin's preflight: see [`cors::preflight_response`].
    pub preflight: bool,
}

/// Host and port as a client wrote them. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedHost(Source);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Field(HeaderValue),
    Target(Authority),
}

impl NamedHost {
    /// As written, the port included.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            // What is not visible ASCII is refused before it comes here.
            Source::Field(field) => field.to_str().unwrap_or_default(),
            Source::Target(authority) => authority.as_str(),
        }
    }
}

impl fmt::Display for NamedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Decides about a request by its head.
///
/// `local` is our end of the connection. In absolute form an
/// upstream's own origin is accepted as well: `is_upstream` knows them, and gets whether the target is
/// https, and host and port as written.
pub fn admit(
    head: &Parts,
    settings: &Settings,
    local: impl Into<Local>,
    is_upstream: impl Fn(bool, &str) -> bool,
) -> Result<Admitted, Refusal> {
    let Local { ip: local, is_secure } = local.into();
    let target = target::read(&head.method, &head.uri, head.version).map_err(|error| match error {
        TargetError::Connect => Refusal::Connect,
        TargetError::Asterisk => Refusal::Asterisk,
        TargetError::Malformed => Refusal::Target,
    })?;
    if head.method == Method::TRACE {
        return Err(Refusal::Trace);
    }
    let host = host_of(head)?;
    let (path, host, upstream) = match target {
        Target::Origin(path) => {
            if host.as_ref().is_some_and(|host| !settings.knows(host.as_str(), local)) {
                return Err(Refusal::WrongHost);
            }
            (path, host, None)
        }
        Target::Absolute { secure, authority, path } => {
            // An upstream on this machine has a name that is ours as well, but a port of its own.
            let names_upstream = is_upstream(secure, authority.as_str());
            if !names_upstream && (secure != is_secure || !settings.knows(authority.as_str(), local)) {
                return Err(Refusal::WrongHost);
            }
            let host = NamedHost(Source::Target(authority.clone()));
            (path, Some(host), names_upstream.then_some(secure))
        }
    };
    let origin = check_origin(&head.headers, host.as_ref(), settings, is_secure)?.cloned();
    let preflight = origin.is_some() && cors::is_preflight(&head.method, &head.headers);
    Ok(Admitted { path, host, upstream, origin, preflight })
}

/// The web origin of any request, where it is an allowed one: its page may read the response, also one
/// that refuses the request.
pub fn allowed_origin<'a>(headers: &'a HeaderMap, settings: &Settings) -> Option<&'a HeaderValue> {
    if settings.origins.is_empty() {
        return None;
    }
    let origin = only(headers, ORIGIN).ok().flatten()?;
    settings.allows(origin).then_some(origin)
}

/// RFC 9112 section 3.2: exactly one `Host`; HTTP/1.0 may do without, as no browser does. Over HTTP/2
/// `:authority` comes first (RFC 9113 section 8.3.1).
fn host_of(head: &Parts) -> Result<Option<NamedHost>, Refusal> {
    let host = only(&head.headers, HOST).map_err(|Repeated| Refusal::Host)?;
    if head.version >= Version::HTTP_2
        && let Some(authority) = head.uri.authority()
    {
        return Ok(Some(NamedHost(Source::Target(authority.clone()))));
    }
    match host {
        Some(host) if host.to_str().is_ok() => Ok(Some(NamedHost(Source::Field(host.clone())))),
        // What is not even ASCII is nobody's name.
        Some(_) => Err(Refusal::WrongHost),
        None if head.version <= Version::HTTP_10 => Ok(None),
        None => Err(Refusal::Host),
    }
}

/// By `Origin` alone where there is one, else by what a browser says of the site.
fn check_origin<'a>(
    headers: &'a HeaderMap,
    host: Option<&NamedHost>,
    settings: &Settings,
    is_secure: bool,
) -> Result<Option<&'a HeaderValue>, Refusal> {
    // Most clients are no browsers, and a look at each name costs less than the hashes of both.
    if !headers.keys().any(|name| *name == ORIGIN || *name == SEC_FETCH_SITE) {
        return Ok(None);
    }
    match only(headers, ORIGIN).map_err(|Repeated| Refusal::Origin)? {
        Some(origin) if settings.allows(origin) => Ok(Some(origin)),
        Some(origin) if host.is_some_and(|host| is_same_origin(origin, host.as_str(), is_secure)) => Ok(None),
        Some(_) => Err(Refusal::Origin),
        None if is_cross_site(headers) => Err(Refusal::CrossSite),
        None => Ok(None),
    }
}

fn is_cross_site(headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all(&SEC_FETCH_SITE).iter();
    sites.any(|line| {
        line.as_bytes()
            .split(|byte| *byte == b',')
            .map(<[u8]>::trim_ascii)
            .any(|site| site.eq_ignore_ascii_case(b"cross-site") || site.eq_ignore_ascii_case(b"same-site"))
    })
}

/// True where `origin` is that of a page which this very listener served.
fn is_same_origin(origin: &HeaderValue, authority: &str, is_secure: bool) -> bool {
    let Some((secure, own)) = origin.to_str().ok().and_then(strip_scheme) else { return false };
    let default = if is_secure { 443 } else { 80 };
    match (split_authority(own), split_authority(authority)) {
        (Some((own, own_port)), Some((host, port))) => {
            secure == is_secure
                && own.eq_ignore_ascii_case(host)
                && own_port.unwrap_or(default) == port.unwrap_or(default)
        }
        _ => false,
    }
}

impl Settings {
    /// True where an authority is one of this proxy's own, whatever its port.
    fn knows(&self, authority: &str, local: Option<IpAddr>) -> bool {
        let Some((host, _)) = split_authority(authority) else { return false };
        match address(host) {
            Some(address) if address.is_loopback() || is_at(address, local) => true,
            Some(_) => self.hosts.include(host),
            None => without_dot(host).eq_ignore_ascii_case("localhost") || self.hosts.include(host),
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| allowed.is(origin.as_bytes()))
    }
}

/// True where the connection arrived at this very address. A connection arrives at the unspecified
/// address only where the platform does not say better, and then nothing is known.
fn is_at(address: IpAddr, local: Option<IpAddr>) -> bool {
    local.is_some_and(|local| {
        let local = local.to_canonical();
        !local.is_unspecified() && local == address
    })
}

/// An address in its usual form: four decimal numbers, or brackets around IPv6.
fn address(host: &str) -> Option<IpAddr> {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    // Hardly any host is an address, and the parser of addresses takes its time to say so.
    if !host.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    host.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

impl Refusal {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Connect,
        Self::Trace,
        Self::Asterisk,
        Self::Target,
        Self::Host,
        Self::WrongHost,
        Self::Origin,
        Self::CrossSite,
    ];

    /// In one word, for metrics and the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Trace => "trace",
            Self::Asterisk => "asterisk",
            Self::Target => "target",
            Self::Host => "host_missing_or_repeated",
            Self::WrongHost => "wrong_host",
            Self::Origin => "origin",
            Self::CrossSite => "cross_site",
        }
    }

    /// The response to the request with this head.
    pub fn problem(self, head: &Parts) -> Problem {
        match self {
            Self::Connect => Problem::new(ProblemKind::Connect)
                .detail("CONNECT asks for a tunnel to any host, and the proxy leads to the CXone API alone."),
            Self::Trace => Problem::new(ProblemKind::Trace)
                .detail("TRACE has a server send the request back as it came."),
            Self::Asterisk => {
                Problem::new(ProblemKind::Asterisk).detail("The target `*` is for a server as a whole.")
            }
            Self::Target => Problem::new(ProblemKind::Malformed)
                .detail("The request target is neither a path nor an http or https address."),
            Self::Host => {
                Problem::new(ProblemKind::Malformed).detail("There must be exactly one Host field.")
            }
            Self::WrongHost => Problem::new(ProblemKind::WrongHost).detail(format!(
                "The request is for `{}`, and the proxy does not answer to that name.",
                addressed(head)
            )),
            Self::Origin => Problem::new(ProblemKind::Origin)
                .detail(format!("The request comes from a web page of `{}`.", origins(head))),
            Self::CrossSite => Problem::new(ProblemKind::Origin)
                .detail("A web page of another site sent the request, without saying which."),
        }
    }
}

/// The host that a request names, for a person to read.
pub(super) fn addressed(head: &Parts) -> String {
    match head.uri.authority() {
        Some(authority) => printable_bytes(authority.as_str().as_bytes()),
        None => lines(head, HOST),
    }
}

/// The origins that a request names, for a person to read.
pub(super) fn origins(head: &Parts) -> String {
    lines(head, ORIGIN)
}

fn lines(head: &Parts, name: HeaderName) -> String {
    let lines = head.headers.get_all(name).iter().take(2).map(|line| printable_bytes(line.as_bytes()));
    lines.collect::<Vec<_>>().join("` and `")
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

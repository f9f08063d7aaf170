//! Who may use the proxy: it lends its caller all that its credentials may do. Pure.
//!
//! A web page must not be able to: neither through a name that it makes resolve to this machine
//! (the host is judged), nor by a plain cross-site request (the origin is judged).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Method;

use super::target::{Form, TargetError, form, split_authority, strip_scheme};
use crate::message::{RequestHead, Version, list_members};

/// Names that are accepted in `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHosts {
    /// These, beyond the built-in ones.
    Names(Vec<String>),
    /// Any.
    Any,
}

/// What the guard goes by.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Names beyond the built-in ones.
    pub hosts: AllowedHosts,
    /// Web origins whose pages may call, as `scheme://host[:port]` in lower case.
    pub origins: Vec<String>,
    /// The addresses that are listened on.
    pub listen: Vec<IpAddr>,
}

/// Why a request is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 405
    Connect,
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

/// What an admitted request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted<'a> {
    /// Path and query to append to the base URL.
    pub path: Cow<'a, [u8]>,
    /// The authority that the client addressed, where it named one.
    pub authority: Option<&'a [u8]>,
    /// That authority is an upstream's own, https or not: absolute form.
    pub upstream: Option<bool>,
    /// The allowed web origin that asks.
    pub origin: Option<&'a [u8]>,
    /// The request is that origin's preflight and is to be answered here.
    pub preflight: bool,
}

/// Judges a request by its head. In absolute form an upstream's own origin is accepted as well:
/// `is_upstream` knows them, told whether it is https, and host and port as written.
pub fn admit<'a>(
    head: &'a RequestHead,
    settings: &Settings,
    is_upstream: impl Fn(bool, &[u8]) -> bool,
) -> Result<Admitted<'a>, Refusal> {
    let form = form(&head.method, &head.target).map_err(|error| match error {
        TargetError::Connect => Refusal::Connect,
        TargetError::Asterisk => Refusal::Asterisk,
        TargetError::Malformed => Refusal::Target,
    })?;
    let host = host_of(head)?;
    let (path, authority, upstream) = match form {
        Form::Origin(path) => {
            if host.is_some_and(|host| !settings.knows(host)) {
                return Err(Refusal::WrongHost);
            }
            (Cow::Borrowed(path), host, None)
        }
        Form::Absolute { secure, authority, path } => {
            // An upstream on this machine has a name that is ours as well, but a port of its own.
            let names_upstream = is_upstream(secure, authority);
            if !names_upstream && (secure || !settings.knows(authority)) {
                return Err(Refusal::WrongHost);
            }
            (path, Some(authority), names_upstream.then_some(secure))
        }
    };
    let origin = judge_origin(head, authority, settings)?;
    let preflight = origin.is_some()
        && head.method == Method::OPTIONS
        && head.fields.contains(b"Access-Control-Request-Method");
    Ok(Admitted { path, authority, upstream, origin, preflight })
}

/// The web origin of a request that was refused, where it is an allowed one: its page may read why.
pub fn allowed_origin<'a>(head: &'a RequestHead, settings: &Settings) -> Option<&'a [u8]> {
    let origin = head.fields.only(b"Origin").ok().flatten()?;
    settings.allows(origin).then_some(origin)
}

/// The authority that an admitted request addressed, where it named one.
pub fn authority_of(head: &RequestHead) -> Option<&[u8]> {
    match form(&head.method, &head.target) {
        Ok(Form::Absolute { authority, .. }) => Some(authority),
        _ => host_of(head).ok().flatten(),
    }
}

/// RFC 9112 section 3.2: exactly one `Host`; HTTP/1.0 may do without, as no browser does.
fn host_of(head: &RequestHead) -> Result<Option<&[u8]>, Refusal> {
    let host = head.fields.only(b"Host").map_err(|_| Refusal::Host)?;
    match (head.version, &head.authority, host) {
        (Version::Http2, Some(authority), _) => Ok(Some(authority)),
        (Version::Http2, None, Some(host)) | (Version::Http10 | Version::Http11, _, Some(host)) => {
            Ok(Some(host))
        }
        (Version::Http10, _, None) => Ok(None),
        (Version::Http11 | Version::Http2, _, None) => Err(Refusal::Host),
    }
}

/// Judged by `Origin` alone where there is one, else by what a browser says of the site.
fn judge_origin<'a>(
    head: &'a RequestHead,
    authority: Option<&[u8]>,
    settings: &Settings,
) -> Result<Option<&'a [u8]>, Refusal> {
    match head.fields.only(b"Origin").map_err(|_| Refusal::Origin)? {
        Some(origin) if settings.allows(origin) => Ok(Some(origin)),
        Some(origin) if authority.is_some_and(|authority| is_same_origin(origin, authority)) => Ok(None),
        Some(_) => Err(Refusal::Origin),
        None => {
            let foreign = head.fields.all(b"Sec-Fetch-Site").flat_map(list_members).any(|site| {
                site.eq_ignore_ascii_case(b"cross-site") || site.eq_ignore_ascii_case(b"same-site")
            });
            if foreign { Err(Refusal::CrossSite) } else { Ok(None) }
        }
    }
}

/// True where `origin` is that of a page which this very listener served.
fn is_same_origin(origin: &[u8], authority: &[u8]) -> bool {
    let Some((false, own)) = strip_scheme(origin) else { return false };
    match (split_authority(own), split_authority(authority)) {
        (Some((own, own_port)), Some((host, port))) => {
            own.eq_ignore_ascii_case(host) && own_port.unwrap_or(80) == port.unwrap_or(80)
        }
        _ => false,
    }
}

impl Settings {
    fn knows(&self, authority: &[u8]) -> bool {
        let Some((host, _)) = split_authority(authority) else { return false };
        if is_local_name(host) {
            return true;
        }
        if address(host).is_some_and(|address| self.listen.contains(&address)) {
            return true;
        }
        match &self.hosts {
            AllowedHosts::Any => true,
            AllowedHosts::Names(names) => names.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(host)),
        }
    }

    fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin))
    }
}

/// `localhost`, `localhost.`, or a loopback address in its usual form.
fn is_local_name(host: &[u8]) -> bool {
    host.eq_ignore_ascii_case(b"localhost")
        || host.eq_ignore_ascii_case(b"localhost.")
        || address(host).is_some_and(|address| address.is_loopback())
}

/// An address in its usual form: four decimal numbers, or brackets around IPv6.
fn address(host: &[u8]) -> Option<IpAddr> {
    let host = std::str::from_utf8(host).ok()?;
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    host.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::super::location::names_origin;
    use super::*;
    use crate::message::FieldSink;

    fn settings() -> Settings {
        Settings {
            hosts: AllowedHosts::Names(vec!["proxy.internal".to_owned()]),
            origins: vec!["https://app.example".to_owned()],
            listen: vec!["192.0.2.7".parse().unwrap()],
        }
    }

    fn request(target: &str, lines: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead { target: target.into(), ..RequestHead::default() };
        for (name, value) in lines {
            head.fields.line(name.as_bytes(), value.as_bytes());
        }
        head
    }

    fn judge(target: &str, lines: &[(&str, &str)]) -> Option<Refusal> {
        admit(&request(target, lines), &settings(), is_upstream).err()
    }

    fn is_upstream(secure: bool, authority: &[u8]) -> bool {
        names_origin(secure, authority, (true, "api.example", 443))
    }

    #[test]
    fn hosts() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "localhost.:80",
            "127.0.0.1",
            "127.9.9.9:8080",
            "[::1]",
            "[::1]:8080",
            "192.0.2.7:1",
            "proxy.internal",
            "Proxy.Internal:8080",
        ] {
            assert_eq!(judge("/", &[("Host", host)]), None, "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "localhost@example.com",
            "127.0.0.1.nip.io",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "::1",
            "[::ffff:127.0.0.1]",
            "0.0.0.0",
            "localhost:x",
            "localhost, example.com",
            "api.example",
            "192.0.2.8",
            "localhost..",
        ] {
            assert_eq!(judge("/", &[("Host", host)]), Some(Refusal::WrongHost), "{host}");
        }
        assert_eq!(judge("/", &[]), Some(Refusal::Host));
        assert_eq!(judge("/", &[("Host", "localhost"), ("host", "localhost")]), Some(Refusal::Host));
        let old = RequestHead { version: Version::Http10, ..request("/", &[]) };
        assert!(admit(&old, &settings(), is_upstream).is_ok());
    }

    #[test]
    fn absolute_form_is_judged_by_its_authority() {
        let evil = [("Host", "localhost")];
        assert_eq!(judge("http://localhost:8080/x", &[("Host", "example.com")]), None);
        assert_eq!(judge("https://api.example/x", &evil), None);
        assert_eq!(judge("https://API.example:443/x", &evil), None);
        for target in
            ["http://api.example/x", "https://api.example:444/", "http://example.com/", "https://localhost/"]
        {
            assert_eq!(judge(target, &evil), Some(Refusal::WrongHost), "{target}");
        }
    }

    #[test]
    fn origins() {
        let host = ("Host", "localhost:8080");
        for (lines, due) in [
            (&[host, ("Origin", "https://app.example")][..], None),
            (&[host, ("Origin", "https://app.example"), ("Sec-Fetch-Site", "cross-site")], None),
            (&[host, ("Origin", "http://localhost:8080")], None),
            (&[host, ("Origin", "http://localhost")], Some(Refusal::Origin)),
            (&[host, ("Origin", "https://localhost:8080")], Some(Refusal::Origin)),
            (&[host, ("Origin", "null")], Some(Refusal::Origin)),
            (&[host, ("Origin", "")], Some(Refusal::Origin)),
            (&[host, ("Origin", "https://app.example.evil")], Some(Refusal::Origin)),
            (
                &[host, ("Origin", "https://app.example"), ("Origin", "https://app.example")],
                Some(Refusal::Origin),
            ),
            (&[host, ("Sec-Fetch-Site", "cross-site")], Some(Refusal::CrossSite)),
            (&[host, ("Sec-Fetch-Site", "same-site")], Some(Refusal::CrossSite)),
            (&[host, ("Sec-Fetch-Site", "none")], None),
            (&[host, ("Sec-Fetch-Site", "same-origin")], None),
            (&[host, ("Sec-Fetch-Mode", "cors")], None),
        ] {
            assert_eq!(judge("/", lines), due, "{lines:?}");
        }
    }
}

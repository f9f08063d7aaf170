//! Where requests go: the base URL of the API and the token endpoint.
//!
//! PURE. The base URL never passes through a parser that normalises: its path prefix is put before
//! request targets byte for byte.

use std::{fmt, str::FromStr};

use url::{Host, Url};

use super::values::Unfit;

/// How an origin is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear; only towards this machine.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The scheme's name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that goes without saying.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// The upstream: an origin and the prefix of every path there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// The host: names in lower case and ASCII form, IPv6 addresses without brackets.
    pub host: Host<String>,
    /// The port, the scheme's own where none was given.
    pub port: u16,
    /// Empty, or a path that starts with `/`; byte for byte as configured, without one trailing `/`.
    pub prefix: String,
}

impl BaseUrl {
    /// What goes into `Host`: the host, IPv6 in brackets, and the port unless it goes without saying.
    pub fn authority(&self) -> String {
        if self.port == self.scheme.default_port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The origin, as browsers write it.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.prefix)
    }
}

impl FromStr for BaseUrl {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Self, Unfit> {
        let (scheme, rest) = scheme_and_rest(text)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Unfit::because("contains user information"));
        }
        if path.contains('#') {
            return Err(Unfit::because("contains a fragment"));
        }
        if path.contains('?') {
            return Err(Unfit::because("contains a query"));
        }
        let (host, port) = host_and_port(authority, scheme)?;
        let prefix = path.strip_suffix('/').unwrap_or(path);
        if !is_path(prefix) {
            return Err(Unfit::because("has a path with characters that must be percent-encoded"));
        }
        let host = Host::parse(host).map_err(|_| Unfit::because("has no valid host"))?;
        refuse_clear_text(scheme, &host)?;
        Ok(Self { scheme, host, port, prefix: prefix.to_owned() })
    }
}

fn scheme_and_rest(text: &str) -> Result<(Scheme, &str), Unfit> {
    if text.contains(char::is_whitespace) || text.contains(char::is_control) {
        return Err(Unfit::because("contains white space"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Unfit::because("has no scheme"));
    };
    if scheme.eq_ignore_ascii_case("https") {
        Ok((Scheme::Https, rest))
    } else if scheme.eq_ignore_ascii_case("http") {
        Ok((Scheme::Http, rest))
    } else {
        Err(Unfit::because("has an unknown scheme"))
    }
}

fn host_and_port(authority: &str, scheme: Scheme) -> Result<(&str, u16), Unfit> {
    // A colon inside brackets belongs to an IPv6 address.
    let end_of_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    let colon = authority.get(end_of_brackets..).and_then(|tail| tail.rfind(':'));
    let (host, port) = match colon {
        Some(at) => {
            let (host, port) = authority.split_at(end_of_brackets + at);
            let digits = port.trim_start_matches(':');
            let legal = digits.bytes().all(|byte| byte.is_ascii_digit());
            let port = digits.parse().ok().filter(|port: &u16| legal && *port != 0);
            (host, port.ok_or_else(|| Unfit::because("has no port between 1 and 65535"))?)
        }
        None => (authority, scheme.default_port()),
    };
    if host.is_empty() {
        return Err(Unfit::because("has no host"));
    }
    if host.contains(['%', '\\']) {
        return Err(Unfit::because("has no valid host"));
    }
    Ok((host, port))
}

/// RFC 3986, 3.3: `pchar` and `/`, percent signs with their two digits.
fn is_path(path: &str) -> bool {
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let legal = match byte {
            b'%' => [bytes.next(), bytes.next()].iter().all(|b| b.is_some_and(|b| b.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte),
        };
        if !legal {
            return false;
        }
    }
    true
}

/// Credentials and tokens in the clear stay on this machine.
fn refuse_clear_text<S: AsRef<str>>(scheme: Scheme, host: &Host<S>) -> Result<(), Unfit> {
    if scheme == Scheme::Https || is_loopback(host) {
        return Ok(());
    }
    Err(Unfit::because("would send credentials in the clear to another machine"))
}

/// True for `localhost` and the loopback addresses.
pub fn is_loopback<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => {
            let name = name.as_ref();
            name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case("localhost")
        }
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => std::net::IpAddr::from(*address).to_canonical().is_loopback(),
    }
}

/// Reads the token endpoint's URL (RFC 6749, 3.2: a query may be there, a fragment must not).
pub(super) fn token_url(text: &str) -> Result<Url, Unfit> {
    let (scheme, rest) = scheme_and_rest(text)?;
    if rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        return Err(Unfit::because("contains user information"));
    }
    if text.contains('#') {
        return Err(Unfit::because("contains a fragment"));
    }
    let url = Url::parse(text).map_err(|error| Unfit(format!("is not a URL ({error})")))?;
    let Some(host) = url.host() else {
        return Err(Unfit::because("has no host"));
    };
    // The standard's parser reads backslashes as slashes, so what it found has the last word.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Unfit::because("contains user information"));
    }
    refuse_clear_text(scheme, &host)?;
    Ok(url)
}

/// The token endpoint of a CXone region.
pub(super) fn token_url_of(base: &BaseUrl) -> Result<Url, Unfit> {
    token_url(&format!("{base}/api/v2/oauth/token"))
}

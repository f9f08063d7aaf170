//! The base URL of an upstream: an origin and the prefix of every path there.
//!
//! Pure. The text never passes through a parser that normalises: the prefix is put before request targets
//! byte for byte.

use std::fmt;
use std::str::FromStr;

use url::Host;

use crate::invalid::Invalid;

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

    /// The port that is meant where none is written.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An origin and the prefix of every path there. Equal where scheme, host, port and prefix are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    scheme: Scheme,
    host: Host<String>,
    port: u16,
    authority: String,
    prefix: String,
}

impl BaseUrl {
    /// `http` or `https`.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// True for `https`.
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// The host: names in lower case and ASCII form.
    pub fn host(&self) -> &Host<String> {
        &self.host
    }

    /// The port, the scheme's own where none was given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Host` and `:authority`: the host, IPv6 in brackets, and the port unless it is the
    /// scheme's own.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Empty, or a path that starts with `/`; byte for byte as configured, without one trailing `/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The name to resolve and to verify certificates for: the host, IPv6 without brackets.
    pub fn bare_host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// The origin as browsers write it (RFC 6454 section 6.2).
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority)
    }

    /// The same origin without a path prefix.
    #[must_use]
    pub fn without_prefix(&self) -> Self {
        Self { prefix: String::new(), ..self.clone() }
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.as_str(), self.authority, self.prefix)
    }
}

impl FromStr for BaseUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (scheme, rest) = scheme_and_rest(text)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Invalid::because("contains user information"));
        }
        if path.contains('#') {
            return Err(Invalid::because("contains a fragment"));
        }
        if path.contains('?') {
            return Err(Invalid::because("contains a query"));
        }
        let (host, port) = host_and_port(authority, scheme)?;
        let prefix = path.strip_suffix('/').unwrap_or(path);
        if !is_path(prefix) {
            return Err(Invalid::because("has a path with characters that must be percent-encoded"));
        }
        let host = Host::parse(host).map_err(|_| Invalid::because("has no valid host"))?;
        refuse_clear_text(scheme, &host)?;
        let authority =
            if port == scheme.default_port() { host.to_string() } else { format!("{host}:{port}") };
        Ok(Self { scheme, host, port, authority, prefix: prefix.to_owned() })
    }
}

/// Splits a URL behind `://`. Refuses white space, control characters and schemes other than `http` and
/// `https`.
pub fn scheme_and_rest(text: &str) -> Result<(Scheme, &str), Invalid> {
    if text.contains(char::is_whitespace) || text.contains(char::is_control) {
        return Err(Invalid::because("contains white space"));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(Invalid::because("has no scheme"));
    };
    if scheme.eq_ignore_ascii_case("https") {
        Ok((Scheme::Https, rest))
    } else if scheme.eq_ignore_ascii_case("http") {
        Ok((Scheme::Http, rest))
    } else {
        Err(Invalid::because("has an unknown scheme"))
    }
}

fn host_and_port(authority: &str, scheme: Scheme) -> Result<(&str, u16), Invalid> {
    // A colon inside brackets belongs to an IPv6 address.
    let end_of_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    let colon = authority.get(end_of_brackets..).and_then(|tail| tail.rfind(':'));
    let (host, port) = match colon {
        Some(at) => {
            let (host, port) = authority.split_at(end_of_brackets + at);
            let digits = port.trim_start_matches(':');
            let legal = digits.bytes().all(|byte| byte.is_ascii_digit());
            let port = digits.parse().ok().filter(|port: &u16| legal && *port != 0);
            (host, port.ok_or_else(|| Invalid::because("has no port between 1 and 65535"))?)
        }
        None => (authority, scheme.default_port()),
    };
    if host.is_empty() {
        return Err(Invalid::because("has no host"));
    }
    if host.contains(['%', '\\']) {
        return Err(Invalid::because("has no valid host"));
    }
    Ok((host, port))
}

/// RFC 3986 section 3.3: `pchar` and `/`, percent signs with their two digits.
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

/// Refuses plain `http` to another machine: credentials and tokens in the clear stay on this one.
pub fn refuse_clear_text<S: AsRef<str>>(scheme: Scheme, host: &Host<S>) -> Result<(), Invalid> {
    if scheme == Scheme::Https || is_loopback(host) {
        return Ok(());
    }
    Err(Invalid::because("would send credentials in the clear to another machine"))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason(text: &str) -> String {
        text.parse::<BaseUrl>().unwrap_err().0
    }

    #[test]
    fn the_prefix_is_kept_byte_for_byte() {
        for (text, origin, prefix) in [
            ("https://a.example", "https://a.example", ""),
            ("https://a.example/", "https://a.example", ""),
            ("HTTPS://A.Example:443/X//y%2Fz/", "https://a.example", "/X//y%2Fz"),
            ("https://a.example//", "https://a.example", "/"),
            ("https://a.example:8443/a/../b", "https://a.example:8443", "/a/../b"),
            ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443", ""),
            ("https://[2001:db8::1]", "https://[2001:db8::1]", ""),
            ("http://localhost:80", "http://localhost", ""),
            ("http://127.1.2.3:9090/x", "http://127.1.2.3:9090", "/x"),
            ("http://[::1]:9090", "http://[::1]:9090", ""),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example", ""),
        ] {
            let url: BaseUrl = text.parse().unwrap();
            assert_eq!((url.origin().as_str(), url.prefix()), (origin, prefix), "{text}");
            assert_eq!(url.to_string(), format!("{origin}{prefix}"));
            assert_eq!(url.without_prefix().to_string(), origin);
        }
        let url: BaseUrl = "https://[::1]".parse().unwrap();
        assert_eq!((url.authority(), url.port()), ("[::1]", 443));
        assert_eq!(url.bare_host(), "::1");
    }

    proptest! {
        #[test]
        fn any_legal_path_comes_through(path in "(/[A-Za-z0-9._~!$&'()*+,;=:@-]{0,9}|/%[0-9A-Fa-f]{2}){0,6}") {
            let url: BaseUrl = format!("https://a.example{path}").parse().unwrap();
            prop_assert_eq!(url.prefix(), path.strip_suffix('/').unwrap_or(&path));
            // What is displayed means the same again, but for a trailing slash that would be dropped anew.
            if !url.prefix().ends_with('/') {
                prop_assert_eq!(url.to_string().parse::<BaseUrl>(), Ok(url));
            }
        }

        #[test]
        fn no_text_upsets_the_parser(text in "\\PC*|https?://[a-z\\[\\]:0-9@%/?#\\\\.]{0,20}") {
            if let Ok(url) = text.parse::<BaseUrl>() {
                prop_assert!(!url.prefix().contains(['?', '#', '\\']) && url.port() != 0);
                prop_assert!(url.prefix().is_empty() || url.prefix().starts_with('/'));
                prop_assert!(url.is_secure() || is_loopback(url.host()));
                prop_assert!(http::uri::Authority::try_from(url.authority()).is_ok(), "{}", url.authority());
            }
        }
    }

    #[test]
    fn the_reason_says_what_is_wrong() {
        for (text, why) in [
            ("a.example", "has no scheme"),
            ("ftp://a.example", "has an unknown scheme"),
            ("https://", "has no host"),
            ("https:///x", "has no host"),
            ("https://:443", "has no host"),
            ("https://me@a.example", "contains user information"),
            ("https://a.example?", "contains a query"),
            ("https://a.example/x#", "contains a fragment"),
            ("https://a.example/x y", "contains white space"),
            (" https://a.example", "contains white space"),
            ("https://a.example/\u{fc}", "has a path with characters"),
            ("https://a.example/%2", "has a path with characters"),
            ("https://a.example/\\x", "has a path with characters"),
            ("https://a.example:0", "has no port between"),
            ("https://a.example:", "has no port between"),
            ("https://a.example:70000", "has no port between"),
            ("https://a.example:+80", "has no port between"),
            ("https://a.example::80", "has no "),
            ("https://a%2eexample", "has no valid host"),
            ("https://a\\b", "has no valid host"),
            ("https://[::1", "has no "),
            ("https://2001:db8::1", "has no "),
        ] {
            let reason = reason(text);
            assert!(reason.starts_with(why), "{text}: {reason}");
        }
    }

    #[test]
    fn clear_text_stays_on_this_machine() {
        let refused = "would send credentials in the clear to another machine";
        for host in ["a.example", "localhost.a.example", "10.0.0.1", "[2001:db8::1]", "0.0.0.0", "128.0.0.1"]
        {
            assert_eq!(reason(&format!("http://{host}/")), refused, "{host}");
        }
        for host in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1",
            "127.255.0.1",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(format!("http://{host}/").parse::<BaseUrl>().is_ok(), "{host}");
        }
    }
}

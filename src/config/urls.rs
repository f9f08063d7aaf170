//! Where requests go: the base URL of the API and the token endpoint.
//!
//! PURE. The base URL never passes through a parser that normalises: its path prefix is put before
//! request targets byte for byte.

use crate::invalid::Invalid;
use std::{fmt, str::FromStr};

use url::{Host, Url};

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

    /// What is resolved and what certificates are made out to: the host, IPv6 without brackets.
    pub fn bare_host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
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
        Ok(Self { scheme, host, port, prefix: prefix.to_owned() })
    }
}

fn scheme_and_rest(text: &str) -> Result<(Scheme, &str), Invalid> {
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
fn refuse_clear_text<S: AsRef<str>>(scheme: Scheme, host: &Host<S>) -> Result<(), Invalid> {
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

/// Reads the token endpoint's URL (RFC 6749, 3.2: a query may be there, a fragment must not).
pub(super) fn token_url(text: &str) -> Result<Url, Invalid> {
    let (scheme, rest) = scheme_and_rest(text)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Invalid::because("contains user information"));
    }
    // The standard's parser looks for a host further on, and reads backslashes as slashes.
    if authority.is_empty() || authority.contains('\\') {
        return Err(Invalid::because("has no valid host"));
    }
    if text.contains('#') {
        return Err(Invalid::because("contains a fragment"));
    }
    let url = Url::parse(text).map_err(|error| Invalid(format!("is not a URL ({error})")))?;
    let host = url.host().ok_or_else(|| Invalid::because("has no valid host"))?;
    refuse_clear_text(scheme, &host)?;
    Ok(url)
}

/// The token endpoint of a CXone region.
pub(super) fn token_url_of(base: &BaseUrl) -> Result<Url, Invalid> {
    token_url(&format!("{base}/api/v2/oauth/token"))
}

/// The token endpoint of the `password` grant: one for all areas.
pub(super) const PASSWORD_TOKEN_URL: &str = "https://cxone.niceincontact.com/auth/token";

/// The endpoint of an area that gives tokens for access keys.
pub(super) fn access_key_url_of(area: &str) -> Result<Url, Invalid> {
    token_url(&format!("https://{area}.nice-incontact.com/authentication/v1/token/access-key"))
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
            assert_eq!((url.origin().as_str(), url.prefix.as_str()), (origin, prefix), "{text}");
            assert_eq!(url.to_string(), format!("{origin}{prefix}"));
        }
        let url: BaseUrl = "https://[::1]".parse().unwrap();
        assert_eq!((url.authority().as_str(), url.port), ("[::1]", 443));
        assert_eq!(url.bare_host(), "::1");
    }

    proptest! {
        #[test]
        fn any_legal_path_comes_through(path in "(/[A-Za-z0-9._~!$&'()*+,;=:@-]{0,9}|/%[0-9A-Fa-f]{2}){0,6}") {
            let url: BaseUrl = format!("https://a.example{path}").parse().unwrap();
            prop_assert_eq!(&url.prefix, path.strip_suffix('/').unwrap_or(&path));
            // What is shown means the same again, but for a trailing slash that would be dropped anew.
            if !url.prefix.ends_with('/') {
                prop_assert_eq!(url.to_string().parse::<BaseUrl>(), Ok(url));
            }
        }

        #[test]
        fn no_text_upsets_the_parsers(text in "\\PC*|https?://[a-z\\[\\]:0-9@%/?#\\\\.]{0,20}") {
            if let Ok(url) = text.parse::<BaseUrl>() {
                prop_assert!(!url.prefix.contains(['?', '#', '\\']) && url.port != 0);
                prop_assert!(url.prefix.is_empty() || url.prefix.starts_with('/'));
                prop_assert!(url.scheme == Scheme::Https || is_loopback(&url.host));
                prop_assert!(token_url_of(&url).is_ok());
            }
            if let Ok(url) = token_url(&text) {
                prop_assert!(url.username().is_empty() && url.password().is_none() && url.fragment().is_none());
            }
        }
    }

    #[test]
    fn what_is_no_base_url_is_said() {
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
    fn clear_text_is_for_this_machine() {
        let refused = "would send credentials in the clear to another machine";
        for host in ["a.example", "localhost.a.example", "10.0.0.1", "[2001:db8::1]", "0.0.0.0", "128.0.0.1"]
        {
            assert_eq!(reason(&format!("http://{host}/")), refused, "{host}");
            assert_eq!(token_url(&format!("http://{host}/")).unwrap_err().0, refused, "{host}");
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
            assert!(token_url(&format!("http://{host}/")).is_ok(), "{host}");
        }
    }

    #[test]
    fn the_token_endpoint_may_have_a_query_only() {
        assert!(token_url("https://a.example/token?tenant=1").is_ok());
        for (text, why) in [
            ("https://a.example/token#x", "contains a fragment"),
            ("https://me:pass@a.example/token", "contains user information"),
            ("https://@a.example/token", "contains user information"),
            ("https:///token", "has no valid host"),
            ("https://a.example\\@b.example/", "contains user information"),
            ("https://a.example\\x/", "has no valid host"),
            ("https://a.example:x/", "is not a URL"),
            ("a.example/token", "has no scheme"),
            ("https://a.example/to ken", "contains white space"),
        ] {
            match token_url(text) {
                Err(Invalid(reason)) => assert!(reason.starts_with(why), "{text}: {reason}"),
                Ok(url) => panic!("{text} became {url}"),
            }
        }
    }
}

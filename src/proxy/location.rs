//! Addresses of upstreams, as the client can reach them. Pure.
//!
//! A client that follows an upstream's own address would leave the proxy and stand there without a
//! token. Only configured upstreams are rewritten; every other address passes as it is.

use std::borrow::Cow;

use super::target::{split_authority, strip_scheme};

/// One upstream and the way to it through this proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way<'a> {
    /// The upstream speaks https.
    pub secure: bool,
    /// Its host, IPv6 without brackets.
    pub host: &'a str,
    /// Its port.
    pub port: u16,
    /// The base URL's path without its trailing slash.
    pub prefix: &'a [u8],
    /// Host and port under which a client reaches it here.
    pub authority: Cow<'a, [u8]>,
    /// That is spoken to in https: the client itself names upstreams in its request targets.
    pub local_secure: bool,
    /// What stands before the path here and not there.
    pub local_prefix: &'a [u8],
    /// What a path here begins with, there as well: one that does not would lead elsewhere.
    pub kept_prefix: &'a [u8],
}

/// The local form of an address in a response to a request that went the first of `ways`: `None`
/// where it passes as it is.
pub fn local(value: &[u8], ways: &[Way<'_>]) -> Option<Vec<u8>> {
    if let Some((secure, rest)) = strip_scheme(value) {
        return ways.iter().find_map(|way| way.absolute(secure, rest));
    }
    let own = ways.first()?;
    if let Some(rest) = value.strip_prefix(b"//") {
        return ways.iter().find_map(|way| way.absolute(own.secure, rest));
    }
    // A path alone is relative to where the request went.
    let moves = !own.prefix.is_empty() || !own.local_prefix.is_empty();
    if !moves || !value.starts_with(b"/") {
        return None;
    }
    let rest = strip_path_prefix(value, own.prefix)?;
    let slash: &[u8] = if rest.starts_with(b"/") { b"" } else { b"/" };
    Some([own.local_prefix, slash, rest].concat())
}

/// The local form of a `Link` field's targets (RFC 8288 section 3): `None` where it passes.
pub fn local_links(value: &[u8], ways: &[Way<'_>]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = value;
    let mut changed = false;
    while let Some(open) = rest.iter().position(|byte| *byte == b'<') {
        let (before, tail) = rest.split_at(open + 1);
        out.extend_from_slice(before);
        let Some(close) = tail.iter().position(|byte| *byte == b'>') else {
            rest = tail;
            break;
        };
        let (target, after) = tail.split_at(close);
        match local(target, ways) {
            Some(local) => {
                changed = true;
                out.extend_from_slice(&local);
            }
            None => out.extend_from_slice(target),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    changed.then_some(out)
}

impl Way<'_> {
    /// The local form of what follows a scheme's `//`, where it names this upstream.
    fn absolute(&self, secure: bool, rest: &[u8]) -> Option<Vec<u8>> {
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        if !names_origin(secure, authority, (self.secure, self.host, self.port)) {
            return None;
        }
        let rest = strip_path_prefix(rest, self.prefix)?;
        strip_path_prefix(rest, self.kept_prefix)?;
        let scheme: &[u8] = if self.local_secure { b"https://" } else { b"http://" };
        let slash: &[u8] = if rest.is_empty() || rest.starts_with(b"/") { b"" } else { b"/" };
        Some([scheme, &*self.authority, self.local_prefix, slash, rest].concat())
    }
}

/// True where `authority`, in https or not, names this origin: is it https, its host (IPv6 without
/// brackets), its port.
pub fn names_origin(secure: bool, authority: &[u8], origin: (bool, &str, u16)) -> bool {
    let Some((host, port)) = split_authority(authority) else { return false };
    let host = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")).unwrap_or(host);
    let port = port.unwrap_or(if secure { 443 } else { 80 });
    (secure, port) == (origin.0, origin.2) && host.eq_ignore_ascii_case(origin.1.as_bytes())
}

/// What follows the prefix, where it ends at a path segment's end.
pub fn strip_path_prefix<'a>(path: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(prefix)?;
    matches!(rest, [] | [b'/' | b'?' | b'#', ..]).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way<'a>(host: &'a str, prefix: &'a str, authority: &'a str, local_prefix: &'a str) -> Way<'a> {
        Way {
            secure: true,
            host,
            port: 443,
            prefix: prefix.as_bytes(),
            authority: Cow::Borrowed(authority.as_bytes()),
            local_secure: false,
            local_prefix: local_prefix.as_bytes(),
            kept_prefix: b"",
        }
    }

    fn shown(value: &str, ways: &[Way<'_>]) -> String {
        String::from_utf8(local(value.as_bytes(), ways).unwrap_or_else(|| value.into())).unwrap()
    }

    #[test]
    fn one_upstream() {
        for (prefix, value, due) in [
            ("", "https://api.example.com/a//b?c#d", "http://localhost:8080/a//b?c#d"),
            ("", "HTTPS://API.example.com:443/a", "http://localhost:8080/a"),
            ("", "https://api.example.com", "http://localhost:8080"),
            ("", "//api.example.com/a", "http://localhost:8080/a"),
            ("", "http://api.example.com/a", "http://api.example.com/a"),
            ("", "https://api.example.com:8443/a", "https://api.example.com:8443/a"),
            ("", "https://api.example.com.evil/a", "https://api.example.com.evil/a"),
            ("", "https://x@api.example.com/a", "https://x@api.example.com/a"),
            ("", "/a", "/a"),
            ("", "a/b", "a/b"),
            ("/base", "https://api.example.com/base/a", "http://localhost:8080/a"),
            ("/base", "https://api.example.com/base", "http://localhost:8080"),
            ("/base", "https://api.example.com/base?x", "http://localhost:8080/?x"),
            ("/base", "https://api.example.com/based", "https://api.example.com/based"),
            ("/base", "https://api.example.com/other", "https://api.example.com/other"),
            ("/base", "/base/a", "/a"),
            ("/base", "/base", "/"),
            ("/base", "/baseless", "/baseless"),
            ("/base", "/other", "/other"),
        ] {
            let ways = [way("api.example.com", prefix, "localhost:8080", "")];
            assert_eq!(shown(value, &ways), due, "{prefix} {value}");
        }
    }

    #[test]
    fn several_upstreams() {
        let ways = [
            way("api.example.com", "", "localhost:8080", "/api"),
            way("digital.example.com", "/v1", "digital.localhost:8080", ""),
        ];
        for (value, due) in [
            ("https://api.example.com/a", "http://localhost:8080/api/a"),
            ("/a", "/api/a"),
            ("https://digital.example.com/v1/a", "http://digital.localhost:8080/a"),
            ("//digital.example.com/v1", "http://digital.localhost:8080"),
            ("https://other.example.com/", "https://other.example.com/"),
        ] {
            assert_eq!(shown(value, &ways), due, "{value}");
        }
    }

    #[test]
    fn an_address_that_would_lead_elsewhere_here_passes() {
        let mut ways = [way("api.example.com", "", "localhost:8080", "")];
        ways[0].kept_prefix = b"/api";
        for (value, due) in [
            ("https://api.example.com/api/x", "http://localhost:8080/api/x"),
            ("https://api.example.com/api", "http://localhost:8080/api"),
            ("https://api.example.com/apis", "https://api.example.com/apis"),
            ("https://api.example.com/", "https://api.example.com/"),
            ("/api/x", "/api/x"),
            ("/other", "/other"),
        ] {
            assert_eq!(shown(value, &ways), due, "{value}");
        }
    }

    #[test]
    fn a_client_that_names_upstreams_goes_on_to_do_so() {
        let mut ways = [way("api.example.com", "/base", "api.example.com", "")];
        ways[0].local_secure = true;
        assert_eq!(shown("https://api.example.com/base/x", &ways), "https://api.example.com/x");
        assert_eq!(shown("/base/x", &ways), "/x");
    }

    #[test]
    fn links() {
        let ways = [way("api.example.com", "", "localhost:8080", "")];
        for (value, due) in [
            (
                "<https://api.example.com/a?p=2>; rel=\"next\", <https://x.com/>; rel=a",
                Some("<http://localhost:8080/a?p=2>; rel=\"next\", <https://x.com/>; rel=a"),
            ),
            ("<https://x.com/>; rel=a", None),
            ("<https://api.example.com/a", None),
            ("", None),
        ] {
            let found = local_links(value.as_bytes(), &ways).map(|found| String::from_utf8(found).unwrap());
            assert_eq!(found.as_deref(), due, "{value}");
        }
    }
}

//! References in `Location`, `Content-Location`, `Link` and JSON links. Pure.

use super::mapping::{Mapping, strip_path_prefix};
use crate::access::target::{split_authority, strip_scheme};
use crate::upstream::BaseUrl;

/// The local form of a reference in a response to a request that went to the first of `mappings`;
/// `None` where it passes as it is.
pub fn local(reference: &str, mappings: &[Mapping<'_>]) -> Option<String> {
    if let Some((https, rest)) = strip_scheme(reference) {
        return mappings.iter().find_map(|mapping| mapping.absolute(https, rest));
    }
    let own = mappings.first()?;
    if let Some(rest) = reference.strip_prefix("//") {
        return mappings.iter().find_map(|mapping| mapping.absolute(own.base.is_secure(), rest));
    }
    own.path(reference)
}

/// The local form of a `Link` field's targets (RFC 8288 section 3); `None` where it passes as it is.
pub fn local_links(value: &str, mappings: &[Mapping<'_>]) -> Option<String> {
    let mut out = String::new();
    let mut rest = value;
    let mut changed = false;
    while let Some((before, tail)) = rest.split_once('<') {
        out.push_str(before);
        out.push('<');
        let Some(close) = tail.find('>') else {
            rest = tail;
            break;
        };
        let (target, after) = tail.split_at(close);
        let local = local(target, mappings);
        changed |= local.is_some();
        out.push_str(local.as_deref().unwrap_or(target));
        rest = after;
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// The local form of a path at the upstream; `None` where it does not lead there.
pub(super) fn local_path(path: &str, mapping: &Mapping<'_>) -> Option<String> {
    let rest = strip_path_prefix(path, mapping.base.prefix())?;
    Some([mapping.local_prefix, rest].concat())
}

/// True where `authority`, spoken to in https or not, is an upstream's own.
pub fn names_origin(https: bool, authority: &str, base: &BaseUrl) -> bool {
    let Some((host, port)) = split_authority(authority) else { return false };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.unwrap_or(if https { 443 } else { 80 });
    (https, port) == (base.is_secure(), base.port()) && host.eq_ignore_ascii_case(&base.bare_host())
}

impl Mapping<'_> {
    /// The local form of what follows a scheme's `//`, where it names this upstream.
    fn absolute(&self, https: bool, rest: &str) -> Option<String> {
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !names_origin(https, authority, self.base) {
            return None;
        }
        let rest = strip_path_prefix(rest, self.base.prefix())?;
        strip_path_prefix(rest, self.kept_prefix)?;
        let slash = if rest.is_empty() || rest.starts_with('/') { "" } else { "/" };
        Some([&self.origin(), self.local_prefix, slash, rest].concat())
    }

    /// The local form of a path alone, which is relative to where the request went.
    fn path(&self, reference: &str) -> Option<String> {
        let moves = !self.base.prefix().is_empty() || !self.local_prefix.is_empty();
        if !moves || !reference.starts_with('/') {
            return None;
        }
        let rest = strip_path_prefix(reference, self.base.prefix())?;
        let slash = if rest.starts_with('/') { "" } else { "/" };
        let path = [self.local_prefix, slash, rest].concat();
        // What is left of `/v1//evil.example` would name another host by itself.
        Some(if names_a_host(&path) { self.origin() + path.as_str() } else { path })
    }
}

/// True where browsers read a reference as one to another host: it begins with two slashes, and they
/// take `\` for `/` and leave tabs and line ends out (WHATWG URL).
fn names_a_host(reference: &str) -> bool {
    let mut read = reference.bytes().filter(|byte| !matches!(byte, b'\t' | b'\r' | b'\n'));
    let mut is_slash = || matches!(read.next(), Some(b'/' | b'\\'));
    is_slash() && is_slash()
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;
    use url::Url;

    use super::*;
    use crate::upstream::BaseUrl;

    fn mapping<'a>(base: &'a BaseUrl, authority: &'a str, local_prefix: &'a str) -> Mapping<'a> {
        let authority = Cow::Borrowed(authority);
        Mapping { base, authority, local_https: false, local_prefix, kept_prefix: "" }
    }

    fn base(url: &str) -> BaseUrl {
        url.parse().unwrap()
    }

    fn passed(value: &str, mappings: &[Mapping<'_>]) -> String {
        local(value, mappings).unwrap_or_else(|| value.to_owned())
    }

    #[test]
    fn one_upstream() {
        for (prefix, value, expected) in [
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
            let base = base(&format!("https://api.example.com{prefix}"));
            assert_eq!(passed(value, &[mapping(&base, "localhost:8080", "")]), expected, "{prefix} {value}");
        }
    }

    #[test]
    fn a_prefix_that_is_taken_off_never_makes_another_host() {
        let base = base("https://api.example.com/v1");
        let mappings = [mapping(&base, "localhost:8080", "")];
        for (value, expected) in [
            ("/v1//evil.example/x", "http://localhost:8080//evil.example/x"),
            ("/v1/\\evil.example/x", "http://localhost:8080/\\evil.example/x"),
            ("/v1/\t/evil.example/x", "http://localhost:8080/\t/evil.example/x"),
            ("/v1/./evil.example/x", "/./evil.example/x"),
        ] {
            assert_eq!(passed(value, &mappings), expected, "{value}");
        }
    }

    #[test]
    fn several_upstreams() {
        let (one, two) = (base("https://api.example.com"), base("https://digital.example.com/v1"));
        let mappings = [mapping(&one, "localhost:8080", "/api"), mapping(&two, "digital.localhost:8080", "")];
        for (value, expected) in [
            ("https://api.example.com/a", "http://localhost:8080/api/a"),
            ("/a", "/api/a"),
            ("https://digital.example.com/v1/a", "http://digital.localhost:8080/a"),
            ("//digital.example.com/v1", "http://digital.localhost:8080"),
            ("https://other.example.com/", "https://other.example.com/"),
        ] {
            assert_eq!(passed(value, &mappings), expected, "{value}");
        }
    }

    #[test]
    fn an_address_that_would_lead_elsewhere_here_passes() {
        let base = base("https://api.example.com");
        let mappings = [Mapping { kept_prefix: "/api", ..mapping(&base, "localhost:8080", "") }];
        for (value, expected) in [
            ("https://api.example.com/api/x", "http://localhost:8080/api/x"),
            ("https://api.example.com/api", "http://localhost:8080/api"),
            ("https://api.example.com/apis", "https://api.example.com/apis"),
            ("https://api.example.com/", "https://api.example.com/"),
            ("/api/x", "/api/x"),
            ("/other", "/other"),
        ] {
            assert_eq!(passed(value, &mappings), expected, "{value}");
        }
    }

    #[test]
    fn a_client_that_names_upstreams_goes_on_to_do_so() {
        let base = base("https://api.example.com/base");
        let mappings = [Mapping { local_https: true, ..mapping(&base, "api.example.com", "") }];
        assert_eq!(passed("https://api.example.com/base/x", &mappings), "https://api.example.com/x");
        assert_eq!(passed("/base/x", &mappings), "/x");
    }

    #[test]
    fn links() {
        let base = base("https://api.example.com");
        let mappings = [mapping(&base, "localhost:8080", "")];
        for (value, expected) in [
            (
                "<https://api.example.com/a?p=2>; rel=\"next\", <https://x.com/>; rel=a",
                Some("<http://localhost:8080/a?p=2>; rel=\"next\", <https://x.com/>; rel=a"),
            ),
            ("<https://x.com/>; rel=a", None),
            ("<https://api.example.com/a", None),
            ("", None),
        ] {
            assert_eq!(local_links(value, &mappings).as_deref(), expected, "{value}");
        }
    }

    proptest! {
        /// A path of the upstream's own leads to this proxy, as browsers read the result.
        #[test]
        fn a_path_stays_on_its_host(
            prefix in "(/v1)?",
            local_prefix in "(/here)?",
            rest in "[/\\\\\t a-c.:@?#%]{0,12}",
        ) {
            let base = base(&format!("https://api.example.com{prefix}"));
            let mappings = [mapping(&base, "localhost:8080", &local_prefix)];
            if let Some(found) = local(&format!("{prefix}/{rest}"), &mappings)
                && !rest.starts_with(['/', '\\', '\t']) | !prefix.is_empty()
            {
                let here = Url::parse("http://localhost:8080/x/y").unwrap();
                let found = here.join(&found).unwrap();
                prop_assert_eq!(found.host_str(), Some("localhost"));
            }
        }
    }
}

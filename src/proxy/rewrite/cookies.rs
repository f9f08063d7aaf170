//! `Set-Cookie` as a client of this proxy can keep it (RFC 6265). Pure.

use super::location;
use super::mapping::Mapping;

/// The local form of a `Set-Cookie` field; `None` where it passes as it is.
///
/// A `Domain` that covers the upstream is dropped, since this proxy has another name. `Path` moves as
/// `Location` does. On a listener without TLS `Secure` is dropped, and with it what needs it:
/// `SameSite=None` and `Partitioned`. Names that begin with `__Secure-` or `__Host-` promise these
/// attributes, so such a cookie passes as it is.
pub fn local(value: &str, mapping: &Mapping<'_>) -> Option<String> {
    let mut parts = value.split(';');
    let pair = parts.next()?;
    if has_promising_name(pair.trim_start()) {
        return None;
    }
    let mut local = pair.to_owned();
    for attribute in parts {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let (name, value) = (name.trim(), value.trim());
        let path = if name.eq_ignore_ascii_case("path") { local_path(value, mapping) } else { None };
        if let Some(path) = path.filter(|path| path != value) {
            local.push_str("; Path=");
            local.push_str(&path);
        } else if !is_dropped(name, value, mapping) {
            local.push(';');
            local.push_str(attribute);
        }
    }
    (local != value).then_some(local)
}

fn has_promising_name(pair: &str) -> bool {
    ["__Secure-", "__Host-"]
        .iter()
        .any(|prefix| pair.get(..prefix.len()).is_some_and(|own| own.eq_ignore_ascii_case(prefix)))
}

/// Where the cookie's path is here. A path above the upstream's prefix covers all of the upstream, and
/// so all of what leads there; another profile beside it must not get the cookie.
fn local_path(path: &str, mapping: &Mapping<'_>) -> Option<String> {
    if !path.starts_with('/') {
        // The default path (RFC 6265 section 5.1.4) is the client's own business.
        return None;
    }
    let upstream = [mapping.base.prefix(), mapping.kept_prefix].concat();
    if path_covers(path, &upstream) {
        let whole = [mapping.local_prefix, mapping.kept_prefix].concat();
        return Some(if whole.is_empty() { "/".to_owned() } else { whole });
    }
    location::local_path(path, mapping)
}

/// True where a cookie of `path` is sent with every request below `prefix` (RFC 6265 section 5.1.4).
fn path_covers(path: &str, prefix: &str) -> bool {
    match prefix.strip_prefix(path) {
        Some(rest) => rest.is_empty() || path.ends_with('/') || rest.starts_with('/'),
        None => path == "/",
    }
}

fn is_dropped(name: &str, value: &str, mapping: &Mapping<'_>) -> bool {
    if name.eq_ignore_ascii_case("domain") {
        return covers(value, &mapping.base.bare_host());
    }
    let needs_tls = name.eq_ignore_ascii_case("secure")
        || name.eq_ignore_ascii_case("partitioned")
        || (name.eq_ignore_ascii_case("samesite") && value.eq_ignore_ascii_case("none"));
    needs_tls && !mapping.local_https
}

/// True where a cookie's domain is the host or a parent of it (RFC 6265 section 5.1.3).
fn covers(domain: &str, host: &str) -> bool {
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let at = host.len().checked_sub(domain.len());
    at.and_then(|at| host.split_at_checked(at)).is_some_and(|(before, tail)| {
        tail.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::upstream::BaseUrl;

    fn moved(base: &str, local_prefix: &str, kept_prefix: &str, value: &str) -> String {
        let base: BaseUrl = base.parse().unwrap();
        let authority = Cow::Borrowed("localhost:8080");
        let mapping = Mapping { base: &base, authority, local_https: false, local_prefix, kept_prefix };
        local(value, &mapping).unwrap_or_else(|| value.to_owned())
    }

    #[test]
    fn attributes() {
        for (value, expected) in [
            ("a=b", "a=b"),
            ("a=b; Path=/; Secure; HttpOnly", "a=b; Path=/; HttpOnly"),
            ("a=b;secure;SameSite=None", "a=b"),
            ("a=b; Secure; SameSite=None; Partitioned; Max-Age=1", "a=b; Max-Age=1"),
            ("a=b; SameSite=Lax; Secure", "a=b; SameSite=Lax"),
            ("a=b; Domain=api.example.com", "a=b"),
            ("a=b; domain = .Example.com ; Max-Age=1", "a=b; Max-Age=1"),
            ("a=b; Domain=ple.com", "a=b; Domain=ple.com"),
            ("a=b; Domain=other.com", "a=b; Domain=other.com"),
            ("__Secure-a=b; Secure", "__Secure-a=b; Secure"),
            ("__Host-a=b; Secure; Path=/", "__Host-a=b; Secure; Path=/"),
            ("a=__Host-b; Secure", "a=__Host-b"),
        ] {
            assert_eq!(moved("https://api.example.com", "", "", value), expected, "{value}");
        }
    }

    #[test]
    fn the_path_moves_with_the_prefix() {
        for (base, local_prefix, kept_prefix, path, expected) in [
            ("https://a.example/v1", "", "", "/v1", "/"),
            ("https://a.example/v1", "", "", "/v1/users", "/users"),
            ("https://a.example/v1", "", "", "/", "/"),
            ("https://a.example/v1", "", "", "/other", "/other"),
            ("https://a.example", "/crm", "", "/", "/crm"),
            ("https://a.example", "/crm", "", "/x/", "/crm/x/"),
            ("https://a.example/v1", "/crm", "", "/v1/x", "/crm/x"),
            ("https://a.example", "", "/crm", "/", "/crm"),
            ("https://a.example", "", "/crm", "/crm/x", "/crm/x"),
        ] {
            let cookie = moved(base, local_prefix, kept_prefix, &format!("s=1; Path={path}"));
            assert_eq!(cookie, format!("s=1; Path={expected}"), "{base} {local_prefix} {kept_prefix} {path}");
        }
    }
}

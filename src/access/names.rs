//! Names that an operator allows: hosts and web origins. Pure.

use std::fmt;
use std::str::FromStr;

use url::Host;

use crate::invalid::Invalid;

/// A host name or an address, as `Host` may have it: in lower case, without port and without a trailing
/// dot, IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// True where `host`, as a client wrote it, is this name. One trailing dot of it does not count.
    pub fn is(&self, host: &str) -> bool {
        without_dot(host).eq_ignore_ascii_case(&self.0)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name without the dot that may end it (RFC 3986 section 3.2.2).
pub(super) fn without_dot(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostName {
    type Err = Invalid;

    fn from_str(name: &str) -> Result<Self, Invalid> {
        let about = |reason: &str| Invalid(format!("names `{}`, which {reason}", name.escape_debug()));
        if name.contains("://") {
            return Err(about("has a scheme: give the name alone"));
        }
        if name.contains('*') {
            return Err(about("is a pattern: only whole names count, or `*` alone"));
        }
        if name.contains(['/', '@', '?', '#', '%', '\\']) || name.contains(char::is_whitespace) {
            return Err(about("is more than a host name"));
        }
        // One trailing dot is the root of all names (RFC 1034 section 3.1), and means the same without it.
        let name = without_dot(name);
        if name.is_empty() || name.ends_with('.') {
            return Err(about("is not a host name"));
        }
        if let Ok(address) = name.parse::<std::net::Ipv6Addr>() {
            return Ok(Self(format!("[{address}]")));
        }
        let port = name.rsplit_once(':').map(|(_, port)| port);
        if port.is_some_and(|port| !port.contains(']')) {
            return Err(about("has a port: every port is accepted, so leave it out"));
        }
        Host::parse(name).map(|host| Self(host.to_string())).map_err(|_| about("is not a host name"))
    }
}

/// Which names `Host` may have beyond the built-in ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHosts {
    /// These names; perhaps none.
    Listed(Vec<HostName>),
    /// Any name at all.
    Any,
}

impl Default for AllowedHosts {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

impl AllowedHosts {
    /// True where the operator has named somebody: what a public listener needs.
    pub fn is_set(&self) -> bool {
        match self {
            Self::Listed(names) => !names.is_empty(),
            Self::Any => true,
        }
    }

    /// True where `host`, without its port, is allowed.
    pub(super) fn include(&self, host: &str) -> bool {
        match self {
            Self::Listed(names) => names.iter().any(|name| name.is(host)),
            Self::Any => true,
        }
    }
}

/// A comma-separated list; empty places count for nothing.
impl FromStr for AllowedHosts {
    type Err = Invalid;

    fn from_str(list: &str) -> Result<Self, Invalid> {
        let names = || list.split(',').map(str::trim).filter(|name| !name.is_empty());
        if names().any(|name| name == "*") {
            return Ok(Self::Any);
        }
        names().map(str::parse).collect::<Result<_, _>>().map(Self::Listed)
    }
}

/// A web origin, in the form in which browsers send it (RFC 6454 section 6.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WebOrigin(String);

impl WebOrigin {
    /// True where an `Origin` field names this origin.
    pub(super) fn is(&self, origin: &[u8]) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(origin)
    }
}

impl fmt::Display for WebOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for WebOrigin {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let about = |reason: &str| Invalid(format!("names `{}`, which {reason}", text.escape_debug()));
        if text == "*" {
            return Err(about(
                "would let every web page in the world use these credentials: name the origins",
            ));
        }
        if text == "null" {
            return Err(about("is what every sandboxed page and local file calls itself: name the origins"));
        }
        let Some((scheme, authority)) = text.split_once("://") else {
            return Err(about("has no scheme"));
        };
        if authority.contains('@') {
            // What stands before the `@` may be a password.
            return Err(Invalid::because("names an origin with user information"));
        }
        if authority.contains(['/', '?', '#', '\\']) {
            return Err(about("goes on after the host: an origin has no path"));
        }
        if authority.contains('*') {
            return Err(about("is a pattern: only whole origins count"));
        }
        if text.contains(char::is_whitespace) {
            return Err(about("contains white space"));
        }
        let url = url::Url::parse(text).map_err(|_| about("is not a web origin"))?;
        if url.host_str().is_none_or(str::is_empty) {
            return Err(about("has no host"));
        }
        Ok(Self(match url.origin() {
            tuple @ url::Origin::Tuple(..) => tuple.ascii_serialization(),
            // Schemes of app shells (`capacitor://localhost`): opaque to the URL standard, yet sent so.
            url::Origin::Opaque(_) => {
                format!("{}://{}", scheme.to_ascii_lowercase(), authority.to_ascii_lowercase())
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reason<T: fmt::Debug>(outcome: Result<T, Invalid>) -> String {
        outcome.unwrap_err().0
    }

    #[test]
    fn hosts_are_names_alone() {
        let read: AllowedHosts =
            "Proxy.Example, 10.0.0.1,[::1],fe80::1,under_score,dot.example.,".parse().unwrap();
        let AllowedHosts::Listed(names) = &read else { panic!("{read:?}") };
        let due = ["proxy.example", "10.0.0.1", "[::1]", "[fe80::1]", "under_score", "dot.example"];
        assert_eq!(names.iter().map(HostName::as_str).collect::<Vec<_>>(), due);
        assert_eq!("a.example,*".parse(), Ok(AllowedHosts::Any));
        assert_eq!("".parse(), Ok(AllowedHosts::default()));
        assert!(!AllowedHosts::default().is_set() && read.is_set() && AllowedHosts::Any.is_set());
        for (text, why) in [
            ("http://a.example", "has a scheme"),
            ("a.example:8080", "has a port"),
            ("[::1]:80", "has a port"),
            ("*.example", "is a pattern"),
            ("a.example/x", "is more than a host name"),
            ("a%2eexample", "is more than a host name"),
            ("me@a.example", "is more than a host name"),
            ("a b", "is more than a host name"),
            ("a^b", "is not a host name"),
            ("[fe80", "is not a host name"),
            (".", "is not a host name"),
            ("a.example..", "is not a host name"),
        ] {
            let reason = reason(text.parse::<AllowedHosts>());
            assert!(reason.starts_with(&format!("names `{text}`, which {why}")), "{reason}");
        }
    }

    #[test]
    fn one_trailing_dot_does_not_count_on_either_side() {
        for configured in ["proxy.example", "proxy.example."] {
            let name: HostName = configured.parse().unwrap();
            assert!(name.is("proxy.example") && name.is("PROXY.example."), "{configured}");
            assert!(!name.is("proxy.example..") && !name.is("sub.proxy.example"), "{configured}");
        }
    }

    #[test]
    fn origins_take_the_form_that_browsers_send() {
        for (text, due) in [
            ("https://App.Example:443", "https://app.example"),
            ("http://LOCALHOST:3000", "http://localhost:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("http://[::1]:80", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<WebOrigin>().unwrap().to_string(), due);
        }
        for (text, why) in [
            ("*", "would let every web page"),
            ("null", "is what every sandboxed page"),
            ("app.example", "has no scheme"),
            ("https://app.example/", "goes on after the host"),
            ("https://app.example?x", "goes on after the host"),
            ("https://*.example", "is a pattern"),
            ("https://a b", "contains white space"),
            ("https://a.example:99999", "is not a web origin"),
            ("https://", "is not a web origin"),
            ("app://", "has no host"),
        ] {
            let reason = reason(text.parse::<WebOrigin>());
            assert!(reason.starts_with(&format!("names `{text}`, which {why}")), "{reason}");
        }
        let secret = reason("https://me:p4ss@a.example".parse::<WebOrigin>());
        assert_eq!(secret, "names an origin with user information");
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_has_a_reason(text in any::<String>()) {
            if let Ok(name) = text.parse::<HostName>() {
                prop_assert!(name.is(name.as_str()));
            }
            let _ = (text.parse::<AllowedHosts>(), text.parse::<WebOrigin>());
        }

        #[test]
        fn what_was_read_reads_the_same(name in "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}\\.?") {
            let read: HostName = name.parse().unwrap();
            prop_assert_eq!(read.as_str().parse::<HostName>().unwrap(), read);
        }
    }
}

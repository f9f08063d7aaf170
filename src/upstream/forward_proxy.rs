//! The proxy between this program and the internet, as `HTTPS_PROXY` and `NO_PROXY` name it.
//!
//! Pure.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use hyper_util::client::proxy::matcher::Matcher;
use url::{Host, Url};

use super::base_url::{BaseUrl, is_loopback};
use crate::invalid::Invalid;

/// Which connections go through a forward proxy. The default is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ForwardProxy {
    https_proxy: Option<ProxyUrl>,
    no_proxy: NoProxy,
}

/// The value of `HTTPS_PROXY`: `http://HOST:PORT`, perhaps with `USER:PASSWORD@` before the host.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(Url);

/// The value of `NO_PROXY`: the hosts that are reached without the proxy, as curl understands the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy {
    exceptions: Vec<Exception>,
    unknown: Vec<String>,
}

/// One entry of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    /// A form that hyper-util's matcher knows: `name`, `.name`, an address, a network, or `*`.
    pattern: String,
    /// Only for this port.
    port: Option<u16>,
    /// The name itself is not meant, only those below it (`*.name`).
    only_below: bool,
}

impl ForwardProxy {
    /// The proxy for `https` origins, but for those of `no_proxy`.
    pub fn new(https_proxy: Option<ProxyUrl>, no_proxy: NoProxy) -> Self {
        Self { https_proxy, no_proxy }
    }

    /// The proxy on the path to `url`; `None` means directly. Loopback and `http` always go directly.
    pub fn toward(&self, url: &Url) -> Option<&Url> {
        let port = url.port_or_known_default()?;
        self.toward_host(url.scheme() == "https", &url.host()?, port)
    }

    /// The same for a base URL.
    pub fn toward_base(&self, base: &BaseUrl) -> Option<&Url> {
        self.toward_host(base.is_secure(), base.host(), base.port())
    }

    /// The list of exceptions.
    pub fn no_proxy(&self) -> &NoProxy {
        &self.no_proxy
    }

    fn toward_host<S: AsRef<str>>(&self, is_https: bool, host: &Host<S>, port: u16) -> Option<&Url>
    where
        Host<S>: fmt::Display,
    {
        let ProxyUrl(proxy) = self.https_proxy.as_ref()?;
        if !is_https || is_loopback(host) {
            return None;
        }
        let uri: http::Uri = format!("https://{host}/").parse().ok()?;
        let name = host.to_string();
        let matcher =
            Matcher::builder().https(proxy.as_str()).no(self.no_proxy.list_for(&name, port)).build();
        matcher.intercept(&uri).map(|_| proxy)
    }
}

impl NoProxy {
    /// The entries that have no known form. They match nothing; the operator should see them.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    fn list_for(&self, host: &str, port: u16) -> String {
        let host = host.strip_suffix('.').unwrap_or(host);
        let fits = self.exceptions.iter().filter(|exception| {
            let is_name = exception.pattern.trim_start_matches('.').eq_ignore_ascii_case(host);
            exception.port.is_none_or(|own| own == port) && !(exception.only_below && is_name)
        });
        fits.map(|exception| exception.pattern.as_str()).collect::<Vec<_>>().join(",")
    }
}

/// Never fails: what cannot be understood is kept in [`NoProxy::unknown`].
impl From<&str> for NoProxy {
    fn from(text: &str) -> Self {
        let mut list = Self::default();
        // curl separates by commas or blanks.
        for entry in text.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()) {
            match exception(entry) {
                Some(exception) => list.exceptions.push(exception),
                None => list.unknown.push(entry.to_owned()),
            }
        }
        list
    }
}

fn exception(entry: &str) -> Option<Exception> {
    let only_below = entry.starts_with("*.");
    if let Some(pattern) = pattern(entry) {
        return Some(Exception { pattern, port: None, only_below });
    }
    let (host, port) = entry.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    // An address with a port has brackets where it is IPv6.
    let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
    let pattern = if is_bare_ipv6 { None } else { pattern(host) };
    pattern.map(|pattern| Exception { pattern, port: Some(port), only_below })
}

/// The form that the matcher knows.
fn pattern(host: &str) -> Option<String> {
    if host == "*" {
        return Some(host.to_owned());
    }
    let unbracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if unbracketed.parse::<IpAddr>().is_ok() || is_network(unbracketed) {
        return Some(unbracketed.to_owned());
    }
    let name = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
    // One trailing dot says that the name is complete, which it is anyway.
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels = name.strip_prefix('.').unwrap_or(name);
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    labels.split('.').all(is_label).then(|| name.to_owned())
}

fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    length.parse::<u8>().is_ok_and(|length| length <= longest)
}

impl FromStr for ProxyUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.contains(char::is_whitespace) {
            return Err(Invalid::because("contains white space"));
        }
        // Without a scheme it is spoken to in the clear, as curl does.
        let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
        let url = url.map_err(|error| Invalid(format!("is not a URL ({error})")))?;
        if url.scheme() != "http" {
            return Err(Invalid(format!("has the scheme `{}`, which is not supported", url.scheme())));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(Invalid::because("continues after the host: a proxy has no path"));
        }
        Ok(Self(url))
    }
}

/// Without the user information.
impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.0.port_or_known_default().unwrap_or_default();
        write!(f, "{}:{port}", self.0.host_str().unwrap_or_default())
    }
}

impl fmt::Debug for ForwardProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForwardProxy")
            .field("https_proxy", &self.https_proxy)
            .field("no_proxy", &self.no_proxy)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn proxy(https_proxy: &str, no_proxy: &str) -> ForwardProxy {
        ForwardProxy::new(Some(https_proxy.parse().unwrap()), NoProxy::from(no_proxy))
    }

    fn is_used(proxy: &ForwardProxy, url: &str) -> bool {
        let used = proxy.toward(&Url::parse(url).unwrap()).is_some();
        let base: BaseUrl = url.parse().unwrap_or_else(|_| "http://localhost".parse().unwrap());
        assert_eq!(proxy.toward_base(&base).is_some(), used, "{url}");
        used
    }

    #[test]
    fn only_https_to_other_machines_goes_through_it() {
        let proxy = proxy("http://proxy.example:3128", "");
        for url in ["https://a.example/x", "https://10.0.0.1", "https://[2001:db8::1]/"] {
            assert!(is_used(&proxy, url), "{url}");
        }
        for url in ["http://a.example", "https://localhost/", "https://127.0.0.1:9", "https://[::1]/"] {
            assert!(!is_used(&proxy, url), "{url}");
        }
        assert!(!is_used(&ForwardProxy::default(), "https://a.example"));
    }

    #[test]
    fn exceptions_are_read_as_curl_does() {
        let list =
            "a.example, .b.example,*.c.example,d.example:8443,[2001:db8::2]:444,10.0.0.0/8,2001:db8::1";
        let proxy = proxy("proxy.example", list);
        assert!(proxy.no_proxy().unknown().is_empty());
        for url in [
            "https://a.example",
            "https://x.a.example",
            "https://y.b.example",
            "https://z.c.example",
            "https://d.example:8443",
            "https://[2001:db8::2]:444",
            "https://10.1.2.3",
            "https://[2001:db8::1]",
        ] {
            assert!(!is_used(&proxy, url), "{url}");
        }
        for url in [
            "https://nota.example",
            "https://notc.example",
            "https://d.example",
            "https://[2001:db8::2]",
            "https://11.0.0.1",
            "https://a.example.org",
        ] {
            assert!(is_used(&proxy, url), "{url}");
        }
        assert!(!is_used(
            &super::ForwardProxy::new(proxy.https_proxy, NoProxy::from("*")),
            "https://c.example"
        ));
    }

    #[test]
    fn entries_of_no_known_form_are_kept_for_a_warning() {
        let list =
            NoProxy::from("good.example,10.0.0.0/33,a/b,http://x.example,x..y,a.*.example,h:port,::1:8080/x");
        let unknown =
            ["10.0.0.0/33", "a/b", "http://x.example", "x..y", "a.*.example", "h:port", "::1:8080/x"];
        assert_eq!(list.unknown(), unknown);
    }

    #[test]
    fn the_password_is_not_rendered() {
        let proxy = proxy("http://me:p4ss@big.example:8443", "");
        let rendered = format!("{proxy:?}");
        assert!(rendered.contains("big.example:8443") && !rendered.contains("p4ss"), "{rendered}");
        let url = proxy.toward(&Url::parse("https://a.example").unwrap()).unwrap();
        assert_eq!(url.as_str(), "http://me:p4ss@big.example:8443/");
    }

    #[test]
    fn what_is_not_a_proxy_is_refused() {
        assert!("proxy.example:3128".parse::<ProxyUrl>().is_ok());
        for text in ["//", "https://proxy.example", "http://proxy.example/x", "http://a b", "http://p?x", ""]
        {
            assert!(text.parse::<ProxyUrl>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_upsets_the_list(text in "\\PC*|([a-z0-9.*:/\\[\\]-]{0,12},){0,5}") {
            let list = NoProxy::from(text.as_str());
            let proxy = ForwardProxy::new(Some("proxy.example".parse().unwrap()), list);
            let _ = proxy.toward(&Url::parse("https://a.example").unwrap());
        }
    }
}

//! The proxy that stands between us and the upstream, as `HTTPS_PROXY` and `NO_PROXY` name it.

use crate::invalid::Invalid;
use std::fmt;

use hyper_util::client::proxy::matcher::Matcher;
use url::{Host, Url};

use super::{faults::Fault, sources::Environment, urls};

/// Which connections go through a forward proxy.
#[derive(Clone, Default)]
pub struct ForwardProxy {
    /// The proxy for `https` origins, spoken to by `http`, perhaps with user information.
    pub https_proxy: Option<Url>,
    /// The hosts that are reached without it, as curl understands the list.
    pub no_proxy: String,
}

const PROXY_FORM: &str = "`http://HOST:PORT`, perhaps with `USER:PASSWORD@` before the host";
const NO_PROXY_FORM: &str = "host names, IP addresses and networks separated by commas, or `*`";

impl ForwardProxy {
    /// The proxy on the way to `url`; `None` means directly. Loopback and `http` always go directly.
    pub fn toward(&self, url: &Url) -> Option<&Url> {
        self.toward_host(url.scheme() == "https", &url.host()?)
    }

    fn toward_host<S: AsRef<str>>(&self, is_https: bool, host: &Host<S>) -> Option<&Url>
    where
        Host<S>: fmt::Display,
    {
        let proxy = self.https_proxy.as_ref()?;
        if !is_https || urls::is_loopback(host) {
            return None;
        }
        let uri: http::Uri = format!("https://{host}/").parse().ok()?;
        let matcher = Matcher::builder().https(proxy.as_str()).no(self.no_proxy.as_str()).build();
        matcher.intercept(&uri).map(|_| proxy)
    }

    /// Reads the variables in capitals, else those in lower case.
    pub(super) fn read(environment: &Environment, faults: &mut Vec<Fault>) -> Self {
        let mut text = |names: [&'static str; 2], accepts| {
            let variable = names.into_iter().find(|name| environment.value(name).is_some())?;
            let text = environment.value(variable)?.to_str();
            if text.is_none() {
                let unfit = Invalid::because("is not valid UTF-8");
                faults.push(Fault::ForwardProxy { variable, unfit, accepts });
            }
            text.map(|text| (variable, text))
        };
        let proxy = text(["HTTPS_PROXY", "https_proxy"], PROXY_FORM);
        let no_proxy = text(["NO_PROXY", "no_proxy"], NO_PROXY_FORM).map(|(_, text)| text.to_owned());
        let https_proxy = proxy.and_then(|(variable, text)| {
            proxy_url(text)
                .map_err(|unfit| faults.push(Fault::ForwardProxy { variable, unfit, accepts: PROXY_FORM }))
                .ok()
        });
        Self { https_proxy, no_proxy: no_proxy.unwrap_or_default() }
    }
}

fn proxy_url(text: &str) -> Result<Url, Invalid> {
    if text.contains(char::is_whitespace) {
        return Err(Invalid::because("contains white space"));
    }
    // Without a scheme it is spoken to in the clear, as curl has it.
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    let url = url.map_err(|error| Invalid(format!("is not a URL ({error})")))?;
    if url.scheme() != "http" {
        return Err(Invalid(format!("has the scheme `{}`, which is not spoken here", url.scheme())));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(Invalid::because("goes on after the host: a proxy has no path"));
    }
    Ok(url)
}

impl fmt::Debug for ForwardProxy {
    /// Without the user information.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy =
            self.https_proxy.as_ref().map(|url| (url.scheme(), url.host(), url.port_or_known_default()));
        f.debug_struct("ForwardProxy").field("https_proxy", &proxy).field("no_proxy", &self.no_proxy).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)]) -> ForwardProxy {
        let mut faults = Vec::new();
        let proxy = ForwardProxy::read(&variables.iter().copied().collect(), &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        proxy
    }

    fn is_used(proxy: &ForwardProxy, url: &str) -> bool {
        proxy.toward(&Url::parse(url).unwrap()).is_some()
    }

    #[test]
    fn only_https_to_other_machines_goes_through_it() {
        let proxy = proxy(&[("HTTPS_PROXY", "http://proxy.example:3128")]);
        for url in ["https://a.example/x", "https://10.0.0.1", "https://[2001:db8::1]/"] {
            assert!(is_used(&proxy, url), "{url}");
        }
        for url in ["http://a.example", "https://localhost/", "https://127.0.0.1:9", "https://[::1]/"] {
            assert!(!is_used(&proxy, url), "{url}");
        }
    }

    #[test]
    fn exceptions_are_read_as_curl_does() {
        let variables =
            [("https_proxy", "proxy.example"), ("no_proxy", "a.example, .b.example,10.0.0.0/8,2001:db8::1")];
        let proxy = proxy(&variables);
        for url in [
            "https://a.example",
            "https://x.a.example",
            "https://y.b.example",
            "https://10.1.2.3",
            "https://[2001:db8::1]",
        ] {
            assert!(!is_used(&proxy, url), "{url}");
        }
        for url in ["https://nota.example", "https://11.0.0.1", "https://a.example.org"] {
            assert!(is_used(&proxy, url), "{url}");
        }
        let none = ForwardProxy { no_proxy: "*".to_owned(), ..proxy };
        assert!(!is_used(&none, "https://c.example"));
    }

    #[test]
    fn capitals_win_and_user_information_stays() {
        let proxy = proxy(&[
            ("https_proxy", "http://small.example"),
            ("HTTPS_PROXY", "http://me:p4ss@big.example:8443"),
        ]);
        let url = proxy.https_proxy.clone().unwrap();
        assert_eq!(url.as_str(), "http://me:p4ss@big.example:8443/");
        assert!(!format!("{proxy:?}").contains("p4ss"));
        assert!(super::proxy_url("proxy.example:3128").is_ok());
        assert!(super::proxy_url("//").is_err());
        assert!(super::proxy_url("https://proxy.example").is_err());
    }
}

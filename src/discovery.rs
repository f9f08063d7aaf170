//! Where a tenant's API is: asked of CXone after log-in, and again on a schedule, since tenants fail
//! over to other areas.
//!
//! One task for each profile that wants it. It knows the tenant by the profile's token and publishes
//! the base URL; what was found stays in force while asking fails. The task never ends on an error.
//! The token itself is not sent: the answer is public.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::backoff;
use crate::clock::Clock;
use crate::oauth::Tokens;

/// One question, start to end.
const TIME_OUT: Duration = Duration::from_secs(10);
/// The document has a few hundred bytes.
const LARGEST: usize = 256 * 1024;
/// After a failure the next try comes sooner than the schedule.
const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_mins(1);
/// How long one wait for a token lasts before the keeper is asked again.
const TOKEN_WAIT: Duration = Duration::from_mins(1);

/// Whom to ask and how.
#[derive(Clone)]
pub struct Settings {
    /// The document's address; `tenantId` is added as a query.
    pub url: Url,
    /// How often it is asked.
    pub interval: Duration,
    /// Whom to trust.
    pub tls: rustls::ClientConfig,
    /// The forward proxy for `url`; `None` to connect directly.
    pub forward_proxy: Option<Url>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &self.url.host_str())
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// Why the API was not found.
#[derive(Debug, Error)]
pub enum DiscoveryError {
    /// The settings make no HTTP client.
    #[error("the discovery cannot be asked as configured")]
    Client(#[source] reqwest::Error),
    /// The token names no tenant.
    #[error(
        "the access token names no tenant: discovery needs a token of a grant that names one; set CXONE_BASE_URL instead"
    )]
    NoTenant,
    /// The question brought no answer.
    #[error("the discovery endpoint cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// The answer is a refusal.
    #[error("the discovery endpoint answered {0}")]
    Status(u16),
    /// The answer is no such document.
    #[error("the discovery endpoint's answer is unusable: {0}")]
    Unusable(&'static str),
}

/// Asks where tenants are.
pub struct Discoverer {
    client: reqwest::Client,
    settings: Settings,
}

#[derive(Deserialize)]
struct Document {
    api_endpoint: Option<String>,
}

impl Discoverer {
    /// Fails where the settings make no HTTP client.
    pub fn new(settings: Settings) -> Result<Self, DiscoveryError> {
        let mut tls = settings.tls.clone();
        tls.alpn_protocols.clear();
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIME_OUT)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("cxone-proxy/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Some(proxy) = &settings.forward_proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(DiscoveryError::Client)?);
        }
        let client = builder.build().map_err(DiscoveryError::Client)?;
        Ok(Self { client, settings })
    }

    /// Asks once where a tenant's API is. Takes ten seconds at most. Cancel safe.
    pub async fn find(&self, tenant_id: &str) -> Result<Url, DiscoveryError> {
        let mut url = self.settings.url.clone();
        url.query_pairs_mut().append_pair("tenantId", tenant_id);
        let mut answer = self
            .client
            .get(url)
            .header("Accept", "application/json")
            .send()
            .await
            .map_err(|error| DiscoveryError::Unreachable(error.without_url()))?;
        if !answer.status().is_success() {
            return Err(DiscoveryError::Status(answer.status().as_u16()));
        }
        let mut text = Vec::new();
        while let Some(piece) =
            answer.chunk().await.map_err(|error| DiscoveryError::Unreachable(error.without_url()))?
        {
            text.extend_from_slice(&piece);
            if text.len() > LARGEST {
                return Err(DiscoveryError::Unusable("it is too large"));
            }
        }
        endpoint(&text)
    }
}

/// The API's base URL out of the document.
fn endpoint(document: &[u8]) -> Result<Url, DiscoveryError> {
    let document: Document = serde_json::from_slice(document)
        .map_err(|_| DiscoveryError::Unusable("it is not the JSON that is due"))?;
    let endpoint = document.api_endpoint.ok_or(DiscoveryError::Unusable("it has no api_endpoint"))?;
    let url = Url::parse(&endpoint).map_err(|_| DiscoveryError::Unusable("its api_endpoint is no URL"))?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(DiscoveryError::Unusable("its api_endpoint names no host")),
    };
    if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
        return Err(DiscoveryError::Unusable("its api_endpoint is not https, so a token may not go there"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(DiscoveryError::Unusable("its api_endpoint is more than a base URL"));
    }
    Ok(url)
}

/// Keeps `found` at what the discovery says, for ever. To be run by one task; cancel safe.
pub async fn keep<T: PartialEq>(
    discoverer: Discoverer,
    tokens: Tokens,
    clock: Clock,
    make: impl Fn(&Url) -> T,
    found: watch::Sender<Option<Arc<T>>>,
) {
    let mut failures = 0;
    loop {
        let token = match tokens.valid(&clock, Instant::now() + TOKEN_WAIT).await {
            Ok(token) => token,
            Err(unavailable) => {
                sleep(unavailable.retry_after).await;
                continue;
            }
        };
        let asked = match token.tenant_id() {
            Some(tenant) => discoverer.find(tenant).await,
            None => Err(DiscoveryError::NoTenant),
        };
        match asked {
            Ok(url) => {
                failures = 0;
                publish(&url, &make, &found);
                sleep(discoverer.settings.interval).await;
            }
            Err(error) => {
                tracing::warn!(error = %crate::log::causes(&error), "the tenant's API was not found");
                let wait = backoff::full_jitter(RETRY_BASE, RETRY_CAP, failures, 0.5 + fastrand::f64() / 2.0);
                failures = failures.saturating_add(1);
                sleep(wait).await;
            }
        }
    }
}

fn publish<T: PartialEq>(url: &Url, make: impl Fn(&Url) -> T, found: &watch::Sender<Option<Arc<T>>>) {
    let new = Arc::new(make(url));
    let changed = found.send_if_modified(|current| {
        if current.as_ref() == Some(&new) {
            return false;
        }
        *current = Some(new);
        true
    });
    if changed {
        tracing::info!(upstream = %url, "the tenant's API was found");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_base_url_that_a_token_may_go_to_is_believed() {
        let asked = |endpoint: &str| {
            let document = serde_json::json!({ "api_endpoint": endpoint, "area": "na1" }).to_string();
            super::endpoint(document.as_bytes()).map(String::from)
        };
        assert_eq!(asked("https://api-na1.example.com").unwrap(), "https://api-na1.example.com/");
        assert_eq!(asked("https://api.example.com:8443/x/").unwrap(), "https://api.example.com:8443/x/");
        assert_eq!(asked("http://127.0.0.1:9000").unwrap(), "http://127.0.0.1:9000/");
        for endpoint in [
            "http://api.example.com",
            "ftp://api.example.com",
            "//api.example.com",
            "",
            "https://u@api.example.com",
            "https://api.example.com/?x",
            "https://api.example.com/#x",
            "http://localhost.example.com",
        ] {
            assert!(matches!(asked(endpoint), Err(DiscoveryError::Unusable(_))), "{endpoint}");
        }
        for document in ["{}", "[]", "<html>", "{\"api_endpoint\":7}"] {
            assert!(super::endpoint(document.as_bytes()).is_err(), "{document}");
        }
    }
}

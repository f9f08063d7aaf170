//! Finds a tenant's API: asks CXone after log-in, and again on a schedule, since tenants fail over to other
//! areas.
//!
//! There is one task for each profile that wants it. It knows the tenant by the profile's token and
//! publishes the base URL; what was found stays in force while asking fails. The task never ends on an
//! error. The token itself is not sent: the response is public.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use url::{Host, Url};

use crate::backoff;
use crate::cause::Cause;
use crate::clock::Clock;
use crate::invalid::Invalid;
use crate::log::{Due, Repeats};
use crate::tokens::http_client::{Body, HttpClient};
use crate::tokens::json_text;
use crate::tokens::redact::Redactor;
use crate::tokens::{HttpClientError, Network, TokenSource};

/// After a failure the next try comes sooner than the schedule.
const RETRY_BASE: Duration = Duration::from_secs(1);
const RETRY_CAP: Duration = Duration::from_mins(1);
/// How long one wait for a token lasts.
const TOKEN_WAIT: Duration = Duration::from_mins(1);

/// What is asked, and how often. `Debug` shows no query.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The document's address; `tenantId` is added as a query.
    pub url: Url,
    /// How often it is asked.
    pub interval: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("url", &self.url.host_str())
            .field("interval", &self.interval)
            .finish()
    }
}

/// Why the API was not found.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DiscoveryError {
    /// The token names no tenant.
    #[error(
        "the access token names no tenant: discovery needs a grant whose tokens name one. Set CXONE_BASE_URL instead"
    )]
    NoTenant,
    /// There was no response, or an unusable one.
    #[error("the discovery endpoint {0}")]
    Failed(Cause),
    /// The response is an error.
    #[error("the discovery endpoint responded with {0}")]
    Status(u16),
}

/// Asks where a tenant's API is.
#[derive(Debug)]
pub struct Discoverer {
    client: HttpClient,
    settings: Settings,
}

#[derive(Deserialize)]
struct Document {
    api_endpoint: Option<String>,
}

impl Discoverer {
    /// Fails where no HTTP client can be made of the settings.
    pub fn new(settings: Settings, network: Network) -> Result<Self, HttpClientError> {
        Ok(Self { client: HttpClient::new(network)?, settings })
    }

    /// Asks once where a tenant's API is, and makes the result of its base URL. Takes ten seconds at most.
    /// Cancel safe.
    pub async fn find<T>(
        &self,
        tenant_id: &str,
        make: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Result<T, DiscoveryError> {
        let mut url = self.settings.url.clone();
        url.query_pairs_mut().append_pair("tenantId", tenant_id);
        let deadline = self.client.deadline(Instant::now());
        let request = self.client.get(url).header(http::header::ACCEPT, "application/json");
        let received = self.client.send(request, deadline, &Redactor::default()).await;
        let received = received.map_err(DiscoveryError::Failed)?;
        if !(200..300).contains(&received.status) {
            return Err(DiscoveryError::Status(received.status));
        }
        let document = match &received.body {
            Body::Whole(bytes) => json_text::decode(bytes),
            Body::TooLong => return Err(unusable("it is larger than 64 KiB")),
            Body::Undecodable(coding) => {
                return Err(unusable(&format!("its body is not what its content coding {coding} says")));
            }
            Body::BrokeOff => return Err(DiscoveryError::Failed(Cause::Closed { in_response: true })),
            Body::Late(_) => return Err(unusable("it was not complete in time")),
        };
        let base_url = base_url(&document, is_loopback(&self.settings.url))?;
        make(&base_url).map_err(|invalid| unusable(&format!("its api_endpoint {invalid}")))
    }
}

fn unusable(what: &str) -> DiscoveryError {
    DiscoveryError::Failed(Cause::Unusable(what.to_owned()))
}

/// The API's base URL out of the document, as it is written there. It may name this machine only where the
/// discovery endpoint itself is on this machine: else a token would be handed to whatever listens here.
fn base_url(document: &str, on_this_machine: bool) -> Result<String, DiscoveryError> {
    let document: Document =
        serde_json::from_str(document).map_err(|_| unusable("it is not the expected JSON object"))?;
    let text = document.api_endpoint.ok_or_else(|| unusable("it has no api_endpoint"))?;
    let url = Url::parse(&text).map_err(|_| unusable("its api_endpoint is not a URL"))?;
    if url.host().is_none() {
        return Err(unusable("its api_endpoint names no host"));
    }
    let is_loopback = is_loopback(&url);
    if is_loopback && !on_this_machine {
        return Err(unusable("its api_endpoint names this machine"));
    }
    if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback) {
        return Err(unusable("its api_endpoint is not https, so no token may be sent there"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(unusable("its api_endpoint is more than a base URL"));
    }
    Ok(text)
}

/// Whether the URL's host is this machine: `localhost` and names below it, with or without a trailing dot,
/// the loopback addresses, and the unspecified ones, which lead here as well.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Some(Host::Ipv6(address)) => {
            let address = IpAddr::from(address).to_canonical();
            address.is_loopback() || address.is_unspecified()
        }
        None => false,
    }
}

/// Keeps `found` at what the discovery says, for ever. `make` makes the value of a base URL. To be run by
/// one task; cancel safe.
pub async fn run<T: PartialEq>(
    discoverer: Discoverer,
    tokens: TokenSource,
    clock: Clock,
    make: impl Fn(&str) -> Result<T, Invalid>,
    found: watch::Sender<Option<Arc<T>>>,
) {
    let mut failures = 0;
    let mut reported = Repeats::new();
    loop {
        let token = match tokens.valid(Instant::now() + TOKEN_WAIT).await {
            Ok(token) => token,
            Err(unavailable) => {
                sleep(unavailable.retry_after).await;
                continue;
            }
        };
        let outcome = match token.tenant_id() {
            Some(tenant) => discoverer.find(tenant, |text| Ok((make(text)?, text.to_owned()))).await,
            None => Err(DiscoveryError::NoTenant),
        };
        match outcome {
            Ok((value, base_url)) => {
                failures = 0;
                let after = reported.end(clock.now().steady);
                if publish(value, &found) || after.is_some() {
                    tracing::info!(upstream = base_url, "the tenant's API was found: {base_url}");
                }
                sleep(discoverer.settings.interval).await;
            }
            Err(error) => {
                let wait = backoff::full_jitter(RETRY_BASE, RETRY_CAP, failures, 0.5 + fastrand::f64() / 2.0);
                if let Some(due) = reported.met(error.clone(), clock.now().steady) {
                    let more = match due {
                        Due::First => 0,
                        Due::Again { more, .. } => more,
                    };
                    tracing::warn!(
                        discovery_url = %without_query(&discoverer.settings.url),
                        more,
                        next_try_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        "the tenant's API was not found: {error}"
                    );
                }
                failures = failures.saturating_add(1);
                sleep(wait).await;
            }
        }
    }
}

/// A query may hold a key.
fn without_query(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url
}

/// Returns true where the value has changed.
fn publish<T: PartialEq>(value: T, found: &watch::Sender<Option<Arc<T>>>) -> bool {
    let new = Arc::new(value);
    found.send_if_modified(|current| {
        if current.as_ref() == Some(&new) {
            return false;
        }
        *current = Some(new);
        true
    })
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

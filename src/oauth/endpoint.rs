//! The token endpoint on the wire: a request out, an answer in.
//!
//! Decides how a token request is sent. What it says is decided in [`grant`](super::grant), what the
//! answer means in [`answer`](super::answer), when to ask in [`renewal`](super::renewal).

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, header};
use reqwest::{Client, Proxy, Response, redirect, retry};
use tokio::time::{Instant, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use super::Settings;
use super::answer::{Content, Obtained, Reply, judge};
use super::failure::{Failure, Why};
use super::grant::{Grant, GrantType, Request};
use super::shown::shown;
use super::token::Ask;
use crate::backoff::retry_after;
use crate::clock::Clock;
use crate::secret::Secret;

/// From the first look at a secret's file to the last byte of the answer. Clients wait for this.
const TIME_OUT: Duration = Duration::from_secs(10);
/// The most of an answer that is read. Access tokens with many claims take a few KiB.
const LONGEST_ANSWER: usize = 64 * 1024;
const USER_AGENT: &str = concat!("cxone-proxy/", env!("CARGO_PKG_VERSION"));

/// Where tokens come from. The seam for tests, which put a script here.
pub trait TokenEndpoint: Send + Sync + 'static {
    /// Asks once. A refresh token is used up whatever comes of it.
    fn ask(&self, ask: Ask) -> impl Future<Output = Result<Obtained, Failure>> + Send;

    /// What a request asks with, for logs and metrics.
    fn grant_type(&self, ask: &Ask) -> GrantType;

    /// The scopes asked for at log-in.
    fn scopes(&self) -> Vec<String>;
}

/// One token endpoint, with one way to log in there. `Debug` shows no secret.
pub struct Endpoint {
    client: Client,
    url: Url,
    scopes: Option<String>,
    grant: Grant,
    clock: Clock,
    time_out: Duration,
}

/// The settings make no client.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The forward proxy's address is unusable.
    #[error("the forward proxy for the token endpoint is unusable")]
    ForwardProxy(#[source] reqwest::Error),
    /// The TLS settings are unusable.
    #[error("no HTTP client for the token endpoint can be made")]
    Client(#[source] reqwest::Error),
}

impl Endpoint {
    /// Makes the client. Connects nowhere.
    pub fn new(settings: Settings, grant: Grant, clock: Clock) -> Result<Self, EndpointError> {
        let Settings { token_url, scopes, refresh_margin: _, mut tls, forward_proxy } = settings;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Early data may be replayed by anybody on the way, and a refresh token is good for one use.
        tls.enable_early_data = false;
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            // A pooled connection that has died would burn a refresh token.
            .pool_max_idle_per_host(0)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .user_agent(USER_AGENT)
            // The configuration alone decides on a forward proxy.
            .no_proxy();
        if let Some(proxy) = forward_proxy {
            let proxy =
                Proxy::all(proxy).map_err(|error| EndpointError::ForwardProxy(error.without_url()))?;
            client = client.proxy(proxy);
        }
        let client = client.build().map_err(|error| EndpointError::Client(error.without_url()))?;
        Ok(Self { client, url: token_url, scopes, grant, clock, time_out: TIME_OUT })
    }

    /// The address asked.
    pub fn url(&self) -> &Url {
        &self.url
    }

    async fn fetch(&self, grant: GrantType, request: Request, deadline: Instant) -> Result<Reply, Fault> {
        let mut post = self
            .client
            .post(self.url.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, request.content_type)
            .header(header::CONNECTION, "close")
            .body(Bytes::from_owner(request.content));
        if let Some(authorization) = request.authorization {
            post = post.header(header::AUTHORIZATION, authorization);
        }
        let mut response = timeout_at(deadline, post.send()).await.map_err(|_| Fault::Late)??;
        let lines = response.headers().get_all(header::RETRY_AFTER);
        let retry_after = retry_after(lines.iter().map(http::HeaderValue::as_bytes), self.clock.now().wall);
        Ok(Reply {
            grant,
            status: response.status().as_u16(),
            content_type: first_line(&response, &header::CONTENT_TYPE),
            location: first_line(&response, &header::LOCATION),
            retry_after,
            content: content(&mut response, deadline).await,
        })
    }
}

impl fmt::Debug for Endpoint {
    /// Without the client, which shows a forward proxy's password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("host", &self.url.host_str())
            .field("scopes", &self.scopes)
            .field("grant", &self.grant)
            .finish_non_exhaustive()
    }
}

impl TokenEndpoint for Endpoint {
    /// Takes ten seconds at most. Dropping it closes the connection.
    async fn ask(&self, ask: Ask) -> Result<Obtained, Failure> {
        let asked = self.clock.now();
        let deadline = asked.steady + self.time_out;
        let grant = self.grant.grant_type(&ask);
        let mut request = self.grant.request(ask, self.scopes.as_deref()).await;
        let secrets = std::mem::take(&mut request.secrets);
        let sent: Vec<&Secret> = secrets.iter().collect();
        let mut obtained = match self.fetch(grant, request, deadline).await {
            Ok(reply) => judge(&reply, asked.wall, &sent)?,
            Err(fault) => return Err(Failure::from(fault.why(&sent))),
        };
        if !self.grant.can_refresh() {
            obtained.refresh_token = None;
        }
        Ok(obtained)
    }

    fn grant_type(&self, ask: &Ask) -> GrantType {
        self.grant.grant_type(ask)
    }

    fn scopes(&self) -> Vec<String> {
        self.scopes.iter().flat_map(|scopes| scopes.split_ascii_whitespace()).map(str::to_owned).collect()
    }
}

/// No answer.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("no answer in time")]
    Late,
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

impl Fault {
    fn why(self, sent: &[&Secret]) -> Why {
        match self {
            Self::Late => Why::TimedOut,
            // Ours is the only time-out, so this one is the operating system's.
            Self::Client(error) if error.is_timeout() => Why::TimedOut,
            Self::Client(error) => match distrust(&error) {
                Some(how) => Why::Untrusted(shown(&how, sent)),
                None => Why::Unreachable(shown(&root_causes(error), sent)),
            },
        }
    }
}

/// What is wrong with the certificate, where that is what is wrong.
fn distrust(error: &reqwest::Error) -> Option<String> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return is_about_certificates(error).then(|| error.to_string());
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // An I/O error does not count the error inside it among its sources.
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

fn is_about_certificates(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_)
            | rustls::Error::NoCertificatesPresented
    )
}

/// The chain of causes without the address, which may hold credentials, and without repetition.
fn root_causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut told: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !told.iter().any(|told| told.contains(&words)) {
            told.push(words);
        }
        cause = error.source();
    }
    if told.is_empty() { error.to_string() } else { told.join(": ") }
}

/// The first of a field's lines, for display only; a second one changes nothing.
fn first_line(response: &Response, name: &HeaderName) -> Option<String> {
    let line = response.headers().get_all(name).iter().next()?;
    Some(String::from_utf8_lossy(line.as_bytes()).into_owned())
}

async fn content(response: &mut Response, deadline: Instant) -> Content {
    let mut bytes = Zeroizing::new(Vec::new());
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Err(_) => return Content::Late,
            Ok(Err(error)) => return Content::BrokeOff(root_causes(error)),
            Ok(Ok(None)) => return Content::Whole(bytes),
            Ok(Ok(Some(chunk))) if bytes.len() + chunk.len() > LONGEST_ANSWER => return Content::TooLong,
            Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
        }
    }
}

#[cfg(test)]
mod grants;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire;

//! One HTTP request out and its bounded response in: for token requests and discovery.
//!
//! Every request has a connection of its own, no redirect is followed, nothing is sent twice.

mod coding;
mod transport_error;
#[cfg(test)]
pub(crate) mod wire;

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use reqwest::{Client, Proxy, RequestBuilder, Response, redirect, retry};
use tokio::time::{Instant, timeout_at};
use url::Url;
use zeroize::Zeroizing;

use super::Network;
use super::redact::Redactor;
use crate::cause::{Cause, Stage};

/// From the start to the last byte of the response. Clients wait for this.
pub(crate) const TIME_OUT: Duration = Duration::from_secs(10);
/// How much of that name resolution, connection and TLS may take. The rest is for the response, so that a
/// connection that is not made is distinguished from a response that does not come.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(8);
/// The most of a response that is read, after decompression. Access tokens with many claims take a few KiB.
const LONGEST_RESPONSE: usize = 64 * 1024;
const USER_AGENT: &str = concat!("cxone-proxy/", env!("CARGO_PKG_VERSION"));

/// An HTTP/1.1 client without a pool. `Debug` shows nothing: reqwest's would show a forward proxy's password.
pub(crate) struct HttpClient {
    client: Client,
    time_out: Duration,
}

/// No HTTP client can be made of the settings.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The forward proxy's address is unusable.
    #[error("the forward proxy's address is unusable")]
    ForwardProxy(#[source] reqwest::Error),
    /// The TLS settings are unusable.
    #[error("no HTTP client can be made")]
    Client(#[source] reqwest::Error),
}

/// True where a response with this `Content-Encoding` arrives decoded.
pub(super) fn is_decoded(codings: &str) -> bool {
    codings.split(',').all(coding::is_known)
}

/// A response as it came over the connection, decompressed where its content coding is known.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// A response's body, as far as it came.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Zeroizing<Vec<u8>>),
    /// It is larger than 64 KiB.
    TooLong,
    /// It is not what this content coding says.
    Undecodable(String),
    /// The connection ended before.
    BrokeOff,
    /// It was not there after so long a time.
    Late(Duration),
}

impl HttpClient {
    /// Makes the client. Connects nowhere.
    pub(crate) fn new(network: Network) -> Result<Self, HttpClientError> {
        let Network { mut tls, forward_proxy } = network;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Every machine on the path may replay early data, and a refresh token is good for one use.
        tls.enable_early_data = false;
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            // A pooled connection that has died would burn a refresh token.
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIME_OUT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .user_agent(USER_AGENT)
            // The configuration alone decides on a forward proxy.
            .no_proxy();
        if let Some(proxy) = forward_proxy {
            let proxy =
                Proxy::all(proxy).map_err(|error| HttpClientError::ForwardProxy(error.without_url()))?;
            client = client.proxy(proxy);
        }
        let client = client.build().map_err(|error| HttpClientError::Client(error.without_url()))?;
        Ok(Self { client, time_out: TIME_OUT })
    }

    /// The moment until which a request that starts at `start` may take.
    pub(crate) fn deadline(&self, start: Instant) -> Instant {
        start + self.time_out
    }

    pub(crate) fn get(&self, url: Url) -> RequestBuilder {
        self.client.get(url)
    }

    pub(crate) fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url)
    }

    /// Sends a request once and reads its response until `deadline`. No text of the outcome holds a secret
    /// that the redactor knows. Dropping it closes the connection.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        deadline: Instant,
        redactor: &Redactor,
    ) -> Result<Received, Cause> {
        let request = request
            .header(http::header::CONNECTION, "close")
            .header(http::header::ACCEPT_ENCODING, coding::ACCEPTED);
        let mut response = match timeout_at(deadline, request.send()).await {
            Err(_) => return Err(Cause::TimedOut { stage: Stage::Waiting, after: self.time_out }),
            Ok(Err(error)) => return Err(transport_error::cause(error, CONNECT_TIME_OUT, redactor)),
            Ok(Ok(response)) => response,
        };
        let body = match self.body(&mut response, deadline).await {
            Body::Whole(bytes) => match coding::decode(response.headers(), bytes, LONGEST_RESPONSE) {
                Ok(bytes) => Body::Whole(bytes),
                Err(coding::Fault::TooLong) => Body::TooLong,
                Err(coding::Fault::Broken(coding)) => Body::Undecodable(coding),
            },
            body @ (Body::TooLong | Body::Undecodable(_) | Body::BrokeOff | Body::Late(_)) => body,
        };
        Ok(Received { status: response.status().as_u16(), headers: response.headers().clone(), body })
    }

    async fn body(&self, response: &mut Response, deadline: Instant) -> Body {
        let mut bytes = Zeroizing::new(Vec::new());
        loop {
            match timeout_at(deadline, response.chunk()).await {
                Err(_) => return Body::Late(self.time_out),
                Ok(Err(error)) => {
                    tracing::debug!(error = ?error.without_url(), "a response broke off");
                    return Body::BrokeOff;
                }
                Ok(Ok(None)) => return Body::Whole(bytes),
                Ok(Ok(Some(chunk))) if bytes.len() + chunk.len() > LONGEST_RESPONSE => return Body::TooLong,
                Ok(Ok(Some(chunk))) => bytes.extend_from_slice(&chunk),
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn set_time_out(&mut self, time_out: Duration) {
        self.time_out = time_out;
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

impl Received {
    /// The first of a header's lines, for display only; a second one changes nothing.
    pub(crate) fn first_line(&self, name: &HeaderName) -> Option<String> {
        let line = self.headers.get_all(name).iter().next()?;
        Some(String::from_utf8_lossy(line.as_bytes()).into_owned())
    }
}

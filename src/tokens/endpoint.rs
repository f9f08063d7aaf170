//! The token endpoint over the network: a request out, a response in.
//!
//! Decides how a token request is sent. [`request`](super::request) writes it, and
//! [`token_response`] reads what comes back.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header;
use url::Url;
use zeroize::Zeroizing;

use super::clock_skew::{CLOCK_HINT, ClockSkew};
use super::error::RequestError;
use super::grant::{Account, GrantType};
use super::http_client::{HttpClient, HttpClientError};
use super::request::{EncodedRequest, RequestWriter};
use super::scopes::Scopes;
use super::token::TokenRequest;
use super::token_response::{self, RawResponse, TokenResponse};
use super::{Network, Settings};
use crate::backoff::retry_after;
use crate::cause::Cause;
use crate::clock::{Clock, Now};
use crate::log::Repeats;

/// Where tokens come from. Tests put a script here.
pub trait TokenEndpoint: Send + Sync + 'static {
    /// Sends one token request. A refresh token is consumed whatever the outcome.
    fn request(
        &self,
        request: TokenRequest,
    ) -> impl Future<Output = Result<TokenResponse, RequestError>> + Send;

    /// The grant type of a request, for logs and metrics.
    fn grant_type(&self, request: &TokenRequest) -> GrantType;

    /// The scopes that are requested at log-in.
    fn scopes(&self) -> &Scopes;

    /// The endpoint's address and the program's name there.
    fn account(&self) -> &Arc<Account>;

    /// What the credentials keep to themselves, for keys that are made of it. Takes two seconds at most.
    fn key_material(&self) -> impl Future<Output = Zeroizing<Vec<u8>>> + Send;
}

/// One token endpoint, with one account there. `Debug` shows no secret.
pub struct Endpoint {
    client: HttpClient,
    url: Url,
    scopes: Scopes,
    writer: RequestWriter,
    account: Arc<Account>,
    clock: Clock,
    skew: Mutex<Repeats<ClockSkew>>,
}

impl Endpoint {
    /// Makes the client. Connects nowhere.
    pub fn new(settings: Settings, network: Network, clock: Clock) -> Result<Self, HttpClientError> {
        let Settings { token_url, grant, scopes, origins, refresh_margin: _ } = settings;
        let forward_proxy = network.forward_proxy.as_ref().and_then(host_and_port);
        let account = Arc::new(grant.account(without_query(&token_url), forward_proxy, origins));
        let client = HttpClient::new(network)?;
        let writer = RequestWriter::new(grant, &clock);
        Ok(Self { client, url: token_url, scopes, writer, account, clock, skew: Mutex::new(Repeats::new()) })
    }

    async fn send(&self, request: &mut EncodedRequest, sent: Now) -> Result<RawResponse, Cause> {
        let mut post = self
            .client
            .post(self.url.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, request.content_type)
            .body(Bytes::from_owner(std::mem::take(&mut request.body)));
        if let Some(authorization) = request.authorization.take() {
            post = post.header(header::AUTHORIZATION, authorization);
        }
        let deadline = self.client.deadline(sent.steady);
        let received = self.client.send(post, deadline, &request.redactor).await?;
        self.compare_clocks(received.headers.get_all(header::DATE).iter().next(), sent);
        let lines = received.headers.get_all(header::RETRY_AFTER);
        let lines = lines.iter().map(http::HeaderValue::as_bytes);
        Ok(RawResponse {
            status: received.status,
            content_type: received.first_line(&header::CONTENT_TYPE),
            content_encoding: received.first_line(&header::CONTENT_ENCODING),
            location: received.first_line(&header::LOCATION),
            retry_after: retry_after(lines, self.clock.now().wall),
            body: received.body,
        })
    }

    /// Warns where this machine's clock is wrong, or the endpoint's.
    fn compare_clocks(&self, date: Option<&http::HeaderValue>, sent: Now) {
        let now = self.clock.now();
        let skew = date.and_then(|date| ClockSkew::of(date.as_bytes(), sent.wall, now.wall));
        let mut repeats = self.skew.lock().unwrap_or_else(PoisonError::into_inner);
        let token_url = &self.account.token_url;
        match skew {
            Some(skew) if repeats.met(skew, now.steady).is_some() => tracing::warn!(
                token_url,
                "this machine's clock is {skew} that of the token endpoint {token_url}. {CLOCK_HINT}"
            ),
            None if repeats.end(now.steady).is_some() => {
                tracing::info!(
                    token_url,
                    "this machine's clock agrees with that of the token endpoint again"
                );
            }
            Some(_) | None => {}
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("account", &self.account)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

impl TokenEndpoint for Endpoint {
    /// Takes ten seconds at most. Dropping it closes the connection.
    async fn request(&self, request: TokenRequest) -> Result<TokenResponse, RequestError> {
        let requested = self.clock.now();
        let mut request = self.writer.write(request, &self.scopes).await;
        let response = self.send(&mut request, requested).await?;
        let mut obtained = token_response::read(&response, requested.wall, &request.redactor)?;
        if !self.writer.grant().can_refresh() {
            obtained.refresh_token = None;
        }
        Ok(obtained)
    }

    fn grant_type(&self, request: &TokenRequest) -> GrantType {
        self.writer.grant().type_of(request)
    }

    fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    fn account(&self) -> &Arc<Account> {
        &self.account
    }

    async fn key_material(&self) -> Zeroizing<Vec<u8>> {
        self.writer.key_material().await
    }
}

/// A query may hold a key.
fn without_query(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.to_string()
}

fn host_and_port(url: &Url) -> Option<String> {
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

#[cfg(test)]
mod grants_tests;
#[cfg(test)]
mod tests;

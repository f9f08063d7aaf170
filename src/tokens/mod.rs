//! OAuth 2.0 access tokens (RFC 6749), kept fresh in the background.
//!
//! ```text
//! refresh_task -> schedule, forced_renewals   when is a token requested, and with what? (pure)
//!   |  `--> endpoint -> request -> grant      what does the request say?
//!   |           `----> token_response         what does the response mean? (pure)
//!   v
//! source -> proxy                             the current token; "this one was rejected"
//! ```
//!
//! [`new()`] makes both ends: a [`RefreshTask`], which requests tokens, and a [`TokenSource`], the handle
//! for all who need one. A token is requested at start, again before it expires, and when the upstream
//! rejects it. An expired one is never given out.

mod claims;
mod clock_skew;
mod credentials;
mod early_rejections;
mod endpoint;
mod error;
mod forced_renewals;
mod grant;
pub(crate) mod http_client;
pub(crate) mod json_text;
mod notice;
mod path_memory;
pub(crate) mod redact;
mod refresh_task;
mod request;
mod schedule;
mod scopes;
mod secret_reader;
mod shared;
mod snapshot;
mod source;
mod token;
mod token_response;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use claims::Claims;
pub use clock_skew::{CLOCK_HINT, ClockSkew};
pub use credentials::{COMMAND_TIME_OUT, Credentials, SecretPlace, SecretSource};
pub use endpoint::{Endpoint, TokenEndpoint};
pub use error::{Failure, NoRenewal, Reason, RequestError, Unavailable};
pub use grant::{Account, ClientAuth, Grant, GrantType};
pub use http_client::HttpClientError;
pub use refresh_task::RefreshTask;
pub use scopes::Scopes;
pub use shared::{Heard, RedisSettings, Replicas, SharedEndpoint, StoreError, try_store};
pub use snapshot::{Snapshot, State};
pub use source::{RequestKey, TokenSource};
pub use token::{AccessToken, RefreshToken, TokenRequest};
pub use token_response::TokenResponse;

use crate::cause::{Cause, Origins};
use crate::clock::Clock;
use crate::metrics::TokenObserver;
use crate::secret::Secret;
use redact::Redactor;
use token::Validity;

/// What is requested from which token endpoint. `Debug` shows no secret.
#[derive(Clone)]
pub struct Settings {
    /// The token endpoint.
    pub token_url: Url,
    /// How to log in.
    pub grant: Grant,
    /// The scopes that are requested.
    pub scopes: Scopes,
    /// How long before its stated end a token is replaced; a fifth of its lifetime where that is less.
    pub refresh_margin: Duration,
    /// Where all that was set.
    pub origins: Origins,
}

/// Equal where they ask for the same token, wherever the values were set.
impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        (&self.token_url, &self.grant, &self.scopes, self.refresh_margin)
            == (&other.token_url, &other.grant, &other.scopes, other.refresh_margin)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("token_url", &self.token_url.host_str())
            .field("grant", &self.grant)
            .field("scopes", &self.scopes)
            .field("refresh_margin", &self.refresh_margin)
            .finish_non_exhaustive()
    }
}

/// How one address is reached. `Debug` shows no password.
#[derive(Clone)]
pub struct Network {
    /// The certificates to trust. Protocol negotiation and early data are set by the client that connects.
    pub tls: rustls::ClientConfig,
    /// The forward proxy between here and there, with its credentials in the user information; `None` to connect
    /// directly.
    pub forward_proxy: Option<Url>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forward_proxy = self.forward_proxy.as_ref().and_then(Url::host_str);
        f.debug_struct("Network").field("forward_proxy", &forward_proxy).finish_non_exhaustive()
    }
}

/// The two ends of one set of credentials; `redis` shares the token with other replicas. Spawns and connects nothing: run [`RefreshTask::run`].
///
/// Fails where no HTTP client can be made of the settings.
pub fn new(
    settings: Settings,
    network: Network,
    clock: Clock,
    observer: Arc<dyn TokenObserver>,
    redis: Option<&RedisSettings>,
) -> Result<(TokenSource, RefreshTask), HttpClientError> {
    let refresh_margin = settings.refresh_margin;
    let endpoint = Endpoint::new(settings, network, clock.clone())?;
    let endpoint = SharedEndpoint::new(endpoint, redis);
    Ok(RefreshTask::new(endpoint, refresh_margin, clock, observer))
}

/// Logs in once, now, for the commands that need one token only. Takes ten seconds at most. Cancel safe:
/// dropping it closes the connection.
pub async fn log_in_once(endpoint: &Endpoint, clock: &Clock) -> Result<AccessToken, Unavailable> {
    let requested = clock.now();
    let response = endpoint.request(TokenRequest::LogIn).await;
    let now = clock.now();
    let token = response.and_then(|response| {
        let TokenResponse { access_token, scopes, claims, lifetime, .. } = response;
        let scopes = scopes.unwrap_or_else(|| endpoint.scopes().names().to_vec());
        let validity = Validity::new(requested, lifetime);
        AccessToken::new(1, access_token, scopes, claims, now, validity)
            .ok_or_else(|| Cause::Unusable("its access_token does not fit into a header".to_owned()).into())
    });
    token.map_err(|RequestError { cause, retry_after }| {
        let failure = Failure {
            cause,
            grant: endpoint.grant_type(&TokenRequest::LogIn),
            account: Arc::clone(endpoint.account()),
            at: now,
            next_try: now.plus(retry_after.unwrap_or_default()),
            is_remembered: false,
            is_repeated: false,
        };
        Unavailable::failed(Arc::new(failure), now)
    })
}

/// Foreign text made fit to be shown: without the `secrets` in whatever encoding, without
/// control characters, and no longer than 200 characters.
pub fn redact(text: &str, secrets: &[&Secret]) -> String {
    let mut redactor = Redactor::default();
    for secret in secrets {
        redactor.add(secret);
    }
    redactor.redact(text)
}

/// Tokens for the tests of other modules.
#[cfg(test)]
pub(crate) mod testing {
    use std::time::{Duration, SystemTime};

    use super::{AccessToken, Claims, Validity};
    use crate::clock::Clock;
    use crate::secret::Secret;

    /// A token with this text, good for an hour.
    pub(crate) fn access_token(text: &str) -> AccessToken {
        let now = Clock::anchored(SystemTime::UNIX_EPOCH).now();
        let validity = Validity::new(now, Duration::from_hours(1));
        AccessToken::new(1, Secret::new(text.to_owned()), Vec::new(), Claims::default(), now, validity)
            .unwrap()
    }
}

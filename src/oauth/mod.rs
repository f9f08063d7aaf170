//! As whom a request goes upstream: tokens by OAuth 2.0 (RFC 6749), kept fresh in the background.
//!
//! ```text
//! keeper -> renewal            when is a token asked for, and with what? (pure)
//!   |  `--> endpoint -> grant  what does the request say?
//!   |           `----> answer -> token
//!   v
//! tokens -> exchange           the current token; "this one was refused"
//! ```
//!
//! [`keeper()`] makes both ends: a [`Keeper`], whose one task asks for tokens, and [`Tokens`], the
//! handle of everybody who needs one. A token is asked for at start, again before it runs out, and
//! when the upstream refuses it. An expired one is never given out.

mod answer;
mod claims;
mod credentials;
mod endpoint;
mod failure;
mod grant;
mod keeper;
mod renewal;
mod shown;
mod token;
mod tokens;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

pub use answer::Obtained;
pub use claims::Claims;
pub use credentials::{Credentials, SecretSource};
pub use endpoint::{Endpoint, EndpointError, TokenEndpoint};
pub use failure::{Failure, NoNewer, Unavailable, Why};
pub use grant::{ClientAuth, Grant, GrantType};
pub use keeper::Keeper;
pub use shown::shown;
pub use token::{AccessToken, Ask, RefreshToken};
pub use tokens::{Snapshot, State, Tokens};

use crate::clock::Clock;
use crate::metrics::TokenObserver;
use token::Validity;

/// What the token endpoint is and how it is reached. `Debug` shows no password.
#[derive(Clone)]
pub struct Settings {
    /// The token endpoint.
    pub token_url: Url,
    /// Scopes asked for, separated by spaces.
    pub scopes: Option<String>,
    /// How long before its stated end a token is replaced; a fifth of its lifetime where that is less.
    pub refresh_margin: Duration,
    /// Whom to trust. Protocol negotiation and early data are set here, whatever it says.
    pub tls: rustls::ClientConfig,
    /// The forward proxy for `token_url`, with its credentials in the user information; `None` to
    /// connect directly.
    pub forward_proxy: Option<Url>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("token_url", &self.token_url.host_str())
            .field("scopes", &self.scopes)
            .field("refresh_margin", &self.refresh_margin)
            .field("forward_proxy", &self.forward_proxy.as_ref().and_then(Url::host_str))
            .finish_non_exhaustive()
    }
}

/// The two ends of one set of credentials. Spawns and connects nothing: run [`Keeper::run`].
///
/// Fails where the settings make no HTTP client.
pub fn keeper(
    settings: Settings,
    grant: Grant,
    clock: Clock,
    observer: Arc<dyn TokenObserver>,
) -> Result<(Tokens, Keeper), EndpointError> {
    let refresh_margin = settings.refresh_margin;
    let endpoint = Endpoint::new(settings, grant, clock.clone())?;
    Ok(Keeper::new(endpoint, refresh_margin, clock, observer))
}

/// Asks for one token by the configured grant, now, for the commands that only want to
/// see one. Takes ten seconds at most. Cancel safe: dropping it closes the connection.
pub async fn fetch_once(endpoint: &Endpoint, clock: &Clock) -> Result<AccessToken, Unavailable> {
    let unavailable =
        |failure: Failure| Unavailable::new(Arc::new(failure.why), failure.retry_after.unwrap_or_default());
    let asked = clock.now();
    let obtained = endpoint.ask(Ask::LogIn).await.map_err(unavailable)?;
    let scopes = obtained.scopes.unwrap_or_else(|| endpoint.scopes());
    let validity = Validity::new(asked, obtained.lifetime);
    let Obtained { access_token, claims, .. } = obtained;
    AccessToken::new(1, access_token, scopes, claims, clock.now(), validity).ok_or_else(|| {
        unavailable(Why::Unusable("its access_token does not fit into a field".to_owned()).into())
    })
}

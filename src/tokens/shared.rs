//! One token for all replicas: what one of them obtains is published in a store, and the others take it.
//!
//! ```text
//! request -> a token in the store that is not the one from before?  take it
//!         -> the lease? ask the token endpoint, publish, give the lease back
//!         -> somebody else has the lease: look again in a moment
//!         -> the store does not answer: ask the token endpoint, alone
//! ```
//!
//! Nothing here fails because of the store: at worst each replica has a token of its own. The store is asked only when
//! a token is needed, about once in an hour. Refresh tokens stay with the process that got them: a store that comes
//! back from a snapshot would bring back one that was used.

#[cfg(test)]
mod model;
mod replicas;
mod scripts;
mod seal;
mod store;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Digest, SHA256, digest};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

pub use self::replicas::{Heard, Replicas};
use self::seal::Seal;
use self::store::{Lease, Store, TokenSession, TokenStore};
pub use self::store::{RedisSettings, StoreError};
use super::claims::Claims;
use super::endpoint::{Endpoint, TokenEndpoint};
use super::error::RequestError;
use super::grant::{Account, GrantType};
use super::scopes::Scopes;
use super::token::TokenRequest;
use super::token_response::TokenResponse;
use crate::log::Repeats;
use crate::secret::Secret;

/// The lease outlives a token request, which takes ten seconds at most.
const LEASE: Duration = Duration::from_secs(12);
/// How often the store is looked at while another replica asks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A token that ends sooner is not worth taking.
const LEAST: Duration = Duration::from_secs(10);
/// How many of the tokens that were given out are remembered.
const REMEMBERED: usize = 16;
/// Two clocks that measure the end of one token differ by less.
const SLACK: Duration = Duration::from_secs(2);

/// A token endpoint behind a store. Without a store it is the endpoint alone.
#[derive(Debug)]
pub struct SharedEndpoint<E = Endpoint, S = Store> {
    endpoint: E,
    store: Option<S>,
    /// Who takes leases.
    owner: String,
    /// What was given out, the last one at the end: somebody needs another one.
    given: Mutex<VecDeque<Given>>,
    failures: Mutex<Repeats<String>>,
}

/// An access token that was given out.
#[derive(Debug)]
struct Given {
    digest: Digest,
    ends: Instant,
}

/// What is published, before it is sealed.
#[derive(Serialize, Deserialize)]
struct Record {
    access_token: Zeroizing<String>,
    scopes: Option<Vec<String>>,
    tenant_id: Option<String>,
    area: Option<String>,
}

/// What the store holds, and for how long yet.
struct Found {
    record: Record,
    remaining: Duration,
}

/// Tries whether the store can be used: takes a lease of its own, and publishes a record that nobody reads. Takes two
/// seconds at most.
pub async fn try_store(settings: &RedisSettings) -> Result<(), StoreError> {
    let moment = Duration::from_secs(1);
    let mut session = Store::new(settings.clone()).connect("check", &new_owner()).await?;
    match session.lease(moment).await? {
        Some(lease) => session.publish(lease, b"", moment).await,
        None => Ok(()),
    }
}

/// Whose token it is: equal in replicas that may share one.
fn identity(account: &Account, grant: GrantType, scopes: &Scopes) -> String {
    [&account.token_url, grant.as_str(), &account.id, &scopes.names().join(" ")].join("\n")
}

fn new_owner() -> String {
    format!("{:032x}", fastrand::u128(..))
}

impl SharedEndpoint {
    /// Connects nowhere yet.
    pub(super) fn new(endpoint: Endpoint, redis: Option<&RedisSettings>) -> Self {
        Self::with(endpoint, redis.map(|settings| Store::new(settings.clone())))
    }
}

impl<E: TokenEndpoint, S: TokenStore> SharedEndpoint<E, S> {
    fn with(endpoint: E, store: Option<S>) -> Self {
        let failures = Mutex::new(Repeats::new());
        Self { endpoint, store, owner: new_owner(), given: Mutex::default(), failures }
    }

    /// Takes the token of another replica, or asks for one and publishes it. The error is the store's.
    async fn shared(
        &self,
        store: &S,
        request: &mut Option<TokenRequest>,
    ) -> Result<Result<TokenResponse, RequestError>, StoreError> {
        let grant = self.endpoint.grant_type(&TokenRequest::LogIn);
        let identity = identity(self.endpoint.account(), grant, self.endpoint.scopes());
        let seal = Seal::new(&self.endpoint.key_material().await, &identity);
        let mut session = store.connect(&seal.name(), &self.owner).await?;
        let patience = Instant::now() + LEASE + LOOK_EVERY;
        loop {
            if let Some(found) = self.another(&seal, session.read().await?) {
                self.store_works(store);
                return Ok(Ok(found.response()));
            }
            if let Some(lease) = session.lease(LEASE).await? {
                // Somebody may have published between the two.
                if let Some(found) = self.another(&seal, session.read().await?) {
                    self.say(store, session.give_back().await);
                    return Ok(Ok(found.response()));
                }
                let asked = Instant::now();
                let outcome = self.endpoint.request(request.take().unwrap_or(TokenRequest::LogIn)).await;
                self.say(store, end(&mut session, lease, &seal, &outcome, asked).await);
                return Ok(outcome);
            }
            if Instant::now() >= patience {
                return Err(StoreError::Busy);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// What was found, where it is good for a while yet and newer than what was given out. An older one comes from a
    /// store that went back in time.
    fn another(&self, seal: &Seal, stored: Option<(Vec<u8>, Duration)>) -> Option<Found> {
        let (sealed, remaining) = stored?;
        // What cannot be opened is nobody's: it is replaced.
        let found = seal.open::<Record>(sealed).map(|record| Found { record, remaining })?;
        let digest = digest(&SHA256, found.record.access_token.as_bytes());
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = given.iter().any(|given| given.digest.as_ref() == digest.as_ref());
        let is_older = given.back().is_some_and(|last| Instant::now() + remaining + SLACK < last.ends);
        (remaining >= LEAST && !is_known && !is_older).then_some(found)
    }

    fn remember(&self, response: &TokenResponse) {
        let digest = digest(&SHA256, response.access_token.reveal().as_bytes());
        let now = Instant::now();
        // A lifetime that no clock can hold ends late enough.
        let ends = now.checked_add(response.lifetime).unwrap_or(now);
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() == REMEMBERED {
            given.pop_front();
        }
        given.push_back(Given { digest, ends });
    }

    /// Of the last step with the store: the token is good whatever comes of it, and a lease ends by itself.
    fn say(&self, store: &S, outcome: Result<(), StoreError>) {
        match outcome {
            Ok(()) => self.store_works(store),
            Err(error) => self.store_failed(store, &error),
        }
    }

    fn store_failed(&self, store: &S, error: &StoreError) {
        let reason = error.to_string();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(due) = failures.met(reason.clone(), Instant::now()) {
            tracing::warn!(
                store = store.address(),
                more = due.more(),
                "the shared store {} is not used: {reason}. This replica gets a token of its own meanwhile, and tries the \
                 store again for the next one. {}",
                store.address(),
                error.hint()
            );
        }
    }

    fn store_works(&self, store: &S) {
        let ended = self.failures.lock().unwrap_or_else(PoisonError::into_inner).end(Instant::now());
        if ended.is_some() {
            tracing::info!(store = store.address(), "the shared store {} is used again", store.address());
        }
    }
}

impl<E: TokenEndpoint, S: TokenStore> TokenEndpoint for SharedEndpoint<E, S> {
    /// With a store it may take as long as the request of another replica. Dropping it closes the connections; a
    /// lease ends by itself.
    async fn request(&self, request: TokenRequest) -> Result<TokenResponse, RequestError> {
        let Some(store) = &self.store else { return self.endpoint.request(request).await };
        let mut request = Some(request);
        let outcome = match self.shared(store, &mut request).await {
            Ok(outcome) => outcome,
            Err(error) => {
                self.store_failed(store, &error);
                self.endpoint.request(request.unwrap_or(TokenRequest::LogIn)).await
            }
        };
        if let Ok(response) = &outcome {
            self.remember(response);
        }
        outcome
    }

    fn grant_type(&self, request: &TokenRequest) -> GrantType {
        self.endpoint.grant_type(request)
    }

    fn scopes(&self) -> &Scopes {
        self.endpoint.scopes()
    }

    fn account(&self) -> &Arc<Account> {
        self.endpoint.account()
    }

    async fn key_material(&self) -> Zeroizing<Vec<u8>> {
        self.endpoint.key_material().await
    }
}

/// Publishes what was obtained, and gives the lease back. A lifetime counts from the moment when the token was asked for.
async fn end(
    session: &mut impl TokenSession,
    lease: Lease,
    seal: &Seal,
    outcome: &Result<TokenResponse, RequestError>,
    asked: Instant,
) -> Result<(), StoreError> {
    let sealed = outcome.as_ref().ok().and_then(|response| {
        let sealed = seal.close(&Record::of(response))?;
        Some((sealed, response.lifetime.saturating_sub(asked.elapsed())))
    });
    match sealed {
        Some((sealed, lifetime)) => session.publish(lease, &sealed, lifetime).await,
        None => session.give_back().await,
    }
}

impl Record {
    fn of(response: &TokenResponse) -> Self {
        let text = |secret: &Secret| Zeroizing::new(secret.reveal().to_owned());
        Self {
            access_token: text(&response.access_token),
            scopes: response.scopes.clone(),
            tenant_id: response.claims.tenant_id.clone(),
            area: response.claims.area.clone(),
        }
    }
}

impl Found {
    fn response(&self) -> TokenResponse {
        let Record { access_token, scopes, tenant_id, area, .. } = &self.record;
        TokenResponse {
            access_token: Secret::new(access_token.to_string()),
            refresh_token: None,
            scopes: scopes.clone(),
            claims: Claims { tenant_id: tenant_id.clone(), area: area.clone() },
            lifetime: self.remaining,
            is_shared: true,
        }
    }
}

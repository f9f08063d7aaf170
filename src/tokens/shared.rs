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
//! a token is needed, about once in an hour.

mod seal;
mod store;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use zeroize::Zeroizing;

use self::seal::Seal;
use self::store::{Lease, Store};
pub use self::store::{RedisSettings, StoreError};
use super::claims::Claims;
use super::endpoint::{Endpoint, TokenEndpoint};
use super::error::{FailureKind, RequestError};
use super::grant::{Account, GrantType};
use super::scopes::Scopes;
use super::token::{RefreshToken, TokenRequest};
use super::token_response::TokenResponse;
use crate::log::Repeats;
use crate::secret::Secret;

/// The lease outlives a token request, which takes ten seconds at most, and one after it.
const LEASE: Duration = Duration::from_secs(25);
/// How often the store is looked at while another replica asks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A token that ends sooner is not worth taking.
const LEAST: Duration = Duration::from_secs(10);

/// A token endpoint behind a store. Without a store it is the endpoint alone.
#[derive(Debug)]
pub struct SharedEndpoint {
    endpoint: Endpoint,
    store: Option<Store>,
    /// The access token that was given out last: somebody needs another one.
    last: Mutex<Option<Secret>>,
    failures: Mutex<Repeats<String>>,
}

/// What is published, before it is sealed.
#[derive(Serialize, Deserialize)]
struct Record {
    access_token: Zeroizing<String>,
    refresh_token: Option<Zeroizing<String>>,
    scopes: Option<Vec<String>>,
    tenant_id: Option<String>,
    area: Option<String>,
}

/// What the store holds, and for how long yet.
struct Found {
    record: Record,
    remaining: Duration,
}

/// Tries whether the store can be used: takes a lease of its own, and gives it back. Takes two seconds at most.
pub async fn try_store(settings: &RedisSettings) -> Result<(), StoreError> {
    let mut session = Store::new(settings.clone()).connect("check").await?;
    if let Some(lease) = session.lease(Duration::from_secs(1)).await? {
        session.give_back(&lease).await?;
    }
    Ok(())
}

impl SharedEndpoint {
    /// Connects nowhere yet.
    pub(super) fn new(endpoint: Endpoint, redis: Option<&RedisSettings>) -> Self {
        let store = redis.map(|settings| Store::new(settings.clone()));
        Self { endpoint, store, last: Mutex::default(), failures: Mutex::new(Repeats::new()) }
    }

    /// Takes the token of another replica, or asks for one and publishes it. The error is the store's.
    async fn shared(
        &self,
        store: &Store,
        request: &mut Option<TokenRequest>,
    ) -> Result<Result<TokenResponse, RequestError>, StoreError> {
        let identity = self.identity();
        let seal = Seal::new(&self.endpoint.key_material().await, &identity);
        let mut session = store.connect(&seal.name()).await?;
        let patience = Instant::now() + LEASE + LOOK_EVERY;
        loop {
            if let Some(found) = self.another(&seal, session.read().await?) {
                return Ok(Ok(found.response()));
            }
            if let Some(lease) = session.lease(LEASE).await? {
                // Somebody may have published between the two.
                let known = seal_open(&seal, session.read().await?);
                if let Some(found) = self.another_of(known.as_ref()) {
                    let response = found.response();
                    session.give_back(&lease).await?;
                    return Ok(Ok(response));
                }
                return Ok(self.ask(&mut session, &seal, &lease, known, request).await);
            }
            if Instant::now() >= patience {
                return Err(StoreError::Busy);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Asks the token endpoint under a lease. A refresh token of all replicas is taken out before it is sent, so that
    /// nobody sends it twice.
    async fn ask(
        &self,
        session: &mut store::Session,
        seal: &Seal,
        lease: &Lease,
        known: Option<Found>,
        request: &mut Option<TokenRequest>,
    ) -> Result<TokenResponse, RequestError> {
        let own = request.take().unwrap_or(TokenRequest::LogIn);
        let refresh = match known {
            Some(found) if !own.is_refresh() => self.take_refresh_token(session, seal, lease, found).await,
            Some(_) | None => None,
        };
        let outcome = match refresh {
            None => self.endpoint.request(own).await,
            Some(refresh) => match self.endpoint.request(TokenRequest::Refresh(refresh)).await {
                // It says nothing of the credentials.
                Err(error) if FailureKind::of(&error.cause) != FailureKind::Temporary => {
                    self.endpoint.request(own).await
                }
                outcome => outcome,
            },
        };
        let outcome = match outcome {
            Ok(mut response) => {
                let sealed = seal.close(&Record::of(&response));
                let lifetime = response.lifetime;
                if let Ok(true) = session.publish(lease, &sealed, lifetime).await {
                    // It is everybody's now.
                    response.refresh_token = None;
                }
                Ok(response)
            }
            Err(error) => Err(error),
        };
        // A lease that cannot be given back ends by itself.
        let _ = session.give_back(lease).await;
        outcome
    }

    async fn take_refresh_token(
        &self,
        session: &mut store::Session,
        seal: &Seal,
        lease: &Lease,
        found: Found,
    ) -> Option<RefreshToken> {
        let Found { mut record, remaining } = found;
        let refresh = record.refresh_token.take()?;
        let sealed = seal.close(&record);
        let taken = session.publish(lease, &sealed, remaining.max(Duration::from_millis(1))).await;
        matches!(taken, Ok(true)).then(|| RefreshToken::new(Secret::new(refresh.to_string())))
    }

    /// What was found, where it is another token than the last one and good for a while yet.
    fn another(&self, seal: &Seal, stored: Option<(Vec<u8>, Duration)>) -> Option<Found> {
        let found = seal_open(seal, stored)?;
        self.another_of(Some(&found)).is_some().then_some(found)
    }

    fn another_of<'f>(&self, found: Option<&'f Found>) -> Option<&'f Found> {
        let found = found.filter(|found| found.remaining >= LEAST)?;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = last.as_ref().is_some_and(|last| last.reveal() == found.record.access_token.as_str());
        (!is_last).then_some(found)
    }

    /// Whose token it is: equal in replicas that may share one.
    fn identity(&self) -> String {
        let Account { token_url, id, .. } = &**self.endpoint.account();
        let grant = self.endpoint.grant_type(&TokenRequest::LogIn).as_str();
        [token_url, grant, id, &self.endpoint.scopes().names().join(" ")].join("\n")
    }

    fn store_failed(&self, store: &Store, error: &StoreError) {
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

    fn store_works(&self, store: &Store) {
        let ended = self.failures.lock().unwrap_or_else(PoisonError::into_inner).end(Instant::now());
        if ended.is_some() {
            tracing::info!(store = store.address(), "the shared store {} is used again", store.address());
        }
    }
}

impl TokenEndpoint for SharedEndpoint {
    /// With a store it may take as long as the request of another replica. Dropping it closes the connections; a
    /// lease ends by itself.
    async fn request(&self, request: TokenRequest) -> Result<TokenResponse, RequestError> {
        let Some(store) = &self.store else { return self.endpoint.request(request).await };
        let mut request = Some(request);
        let outcome = match self.shared(store, &mut request).await {
            Ok(outcome) => {
                self.store_works(store);
                outcome
            }
            Err(error) => {
                self.store_failed(store, &error);
                self.endpoint.request(request.unwrap_or(TokenRequest::LogIn)).await
            }
        };
        if let Ok(response) = &outcome {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(response.access_token.clone());
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
}

fn seal_open(seal: &Seal, stored: Option<(Vec<u8>, Duration)>) -> Option<Found> {
    let (sealed, remaining) = stored?;
    // What cannot be opened is nobody's: it is replaced.
    seal.open(sealed).map(|record| Found { record, remaining })
}

impl Record {
    fn of(response: &TokenResponse) -> Self {
        let text = |secret: &Secret| Zeroizing::new(secret.reveal().to_owned());
        Self {
            access_token: text(&response.access_token),
            refresh_token: response.refresh_token.as_ref().map(|token| text(token.secret())),
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

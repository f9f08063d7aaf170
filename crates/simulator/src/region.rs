//! A region's life: started, killed, started again, stopped.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};
use tokio::task::JoinSet;

use super::connection;
use super::journal::Entry;
use super::quota::QuotaUse;
use super::referee::Violation;
use super::script::Script;
use super::settings::{Quota, Settings};
use super::state::{Attempts, State};
use super::tls::Identity;
use super::token_endpoint::TokenEndpoint;
use super::tokens::Tokens;
use crate::clock::Now;

/// A simulated region that listens. Dropping it ends it like [`Region::stop`], but does not wait for that.
pub struct Region {
    state: Arc<State>,
    address: SocketAddr,
    identity: Option<Identity>,
    running: Mutex<Option<Running>>,
}

/// The task that accepts connections and owns those it accepted.
struct Running {
    stop: oneshot::Sender<()>,
    task: JoinSet<()>,
}

impl Region {
    /// Starts a region on the current runtime.
    ///
    /// Fails where the address cannot be listened on, or a key or certificate cannot be made (a bad name in
    /// [`Tls::names`](super::Tls::names)). The first region of a process takes some hundred milliseconds to
    /// make its signing key.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let identity = settings.tls.as_ref().map(Identity::new).transpose()?;
        Self::open(settings, identity, None).await
    }

    /// Starts another area of the same CXone: each accepts the other's tokens, and where both serve TLS, one
    /// certificate authority stands for both. Address, accounts, script, quotas, journal and referee are its
    /// own. Revoking tokens in one revokes them in both.
    ///
    /// Fails like [`Region::start`].
    pub async fn start_beside(&self, settings: Settings) -> io::Result<Self> {
        let identity = match (&settings.tls, &self.identity) {
            (Some(_), Some(identity)) => Some(identity.clone()),
            (Some(tls), None) => Some(Identity::new(tls)?),
            (None, _) => None,
        };
        Self::open(settings, identity, Some(Arc::clone(&self.state.tokens))).await
    }

    async fn open(
        settings: Settings,
        identity: Option<Identity>,
        tokens: Option<Arc<Tokens>>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::new(settings, address, tokens)?);
        let running = Running::start(listener, &state, identity.as_ref());
        Ok(Self { state, address, identity, running: Mutex::new(Some(running)) })
    }

    /// Where it listens, with the port that the system picked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Scheme, address, port and path prefix, without a slash at the end.
    pub fn base_url(&self) -> String {
        self.state.base_url.clone()
    }

    /// Scheme, address and port: what the discovery documents stand below.
    pub fn origin(&self) -> String {
        self.state.origin.clone()
    }

    /// The token endpoint for clients.
    pub fn token_url(&self) -> String {
        self.token_endpoint_url(TokenEndpoint::Client)
    }

    /// The token endpoint for clients that have an access key.
    pub fn password_url(&self) -> String {
        self.token_endpoint_url(TokenEndpoint::Password)
    }

    /// The token endpoint for access keys alone.
    pub fn access_key_url(&self) -> String {
        self.token_endpoint_url(TokenEndpoint::AccessKey)
    }

    fn token_endpoint_url(&self, kind: TokenEndpoint) -> String {
        format!("{}{}", self.state.base_url, kind.path())
    }

    /// The certificate to trust, where the region serves TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.ca_pem.as_str())
    }

    /// Makes every access token a bad one: the API answers 401 until there is a new one.
    pub fn revoke_all(&self) {
        self.state.tokens.revoke_all();
    }

    /// Makes every refresh token a bad one: the token endpoint answers `invalid_grant`.
    pub fn revoke_refresh_tokens(&self) {
        self.state.tokens.revoke_refresh_tokens();
    }

    /// From now on, discovery says that the API of all tenants is at `url`, as CXone does when an area fails over. The
    /// API here goes on answering.
    pub fn set_api_endpoint(&self, url: &str) {
        self.state.set_api_endpoint(Some(url.to_owned()));
    }

    /// Replaces the script; what had been used of the old one is forgotten.
    pub fn script(&self, script: Script) {
        self.state.script.arm(script);
    }

    /// Replaces all quotas; nothing of the new ones is used yet.
    pub fn quotas(&self, quotas: impl IntoIterator<Item = Quota>) {
        self.state.quotas.set(quotas.into_iter().collect());
    }

    /// What the quotas in force have let pass and rejected.
    pub fn quota_use(&self) -> Vec<QuotaUse> {
        self.state.quotas.usage(Now::read())
    }

    /// How many attempts at the API were answered, and how many of these by 429.
    pub fn attempts(&self) -> Attempts {
        self.state.counts.attempts()
    }

    /// The last exchanges, in the order in which they began. A status is written down before its client can
    /// see it, an outcome once the exchange is over, which may be a moment after the client has its response.
    pub fn journal(&self) -> Vec<Entry> {
        self.state.journal.entries()
    }

    /// The rules that were broken so far; a good run has none.
    pub fn referee(&self) -> Vec<Violation> {
        self.state.referee.violations()
    }

    /// How many token requests have arrived.
    pub fn token_requests(&self) -> usize {
        self.state.counts.token_requests.load(Ordering::Relaxed)
    }

    /// How many connections have been accepted.
    pub fn connections(&self) -> u64 {
        self.state.counts.connections.load(Ordering::Relaxed)
    }

    /// Drops all connections at once and stops listening. Tokens, script, journal and referee stay as they
    /// are for [`Region::restart`]. All sockets are closed when this returns; cancelled, it goes on by itself.
    pub async fn kill(&self) {
        let running = self.running.lock().await.take();
        if let Some(Running { stop, mut task }) = running {
            // If the task has already ended, there is nothing to stop.
            let _ = stop.send(());
            while task.join_next().await.is_some() {}
        }
    }

    /// Listens again on the same port after [`Region::kill`]; does nothing while the region runs.
    ///
    /// Fails where somebody else has taken the port.
    pub async fn restart(&self) -> io::Result<()> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            *running = Some(Running::start(listener, &self.state, self.identity.as_ref()));
        }
        Ok(())
    }

    /// Ends the region: [`Region::kill`] for good.
    pub async fn stop(self) {
        self.kill().await;
    }
}

impl Running {
    fn start(listener: TcpListener, state: &Arc<State>, identity: Option<&Identity>) -> Self {
        let (stop, stopped) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(accept(listener, Arc::clone(state), identity.cloned(), stopped));
        Self { stop, task }
    }
}

async fn accept(
    listener: TcpListener,
    state: Arc<State>,
    identity: Option<Identity>,
    mut stopped: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let number = state.counts.connections.fetch_add(1, Ordering::Relaxed) + 1;
                    connections.spawn(connection::run(Arc::clone(&state), stream, number, identity.clone()));
                }
                // Out of descriptors, most likely: some will be free again, and spinning frees none.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

//! The store: Redis, or what speaks its protocol. A connection is made for each token that is needed.

use std::path::PathBuf;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, ErrorKind, IntoConnectionInfo, RedisError, Script};
use thiserror::Error;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::scripts;
use crate::secret::Secret;

/// How long connecting may take, with TLS and log-in, and how long each command may.
const CONNECTING: Duration = Duration::from_millis(500);
const COMMAND: Duration = Duration::from_millis(250);
/// How long the password's file may keep us waiting.
const READING: Duration = Duration::from_millis(100);

/// Where the store is. `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisSettings {
    /// `redis://` or `rediss://`, without a password.
    pub url: String,
    /// The password, and the file that it comes from.
    pub password: Option<(PathBuf, Secret)>,
}

/// Why the store is not used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It does not answer in time.
    #[error("it does not answer within {} ms", CONNECTING.as_millis())]
    Slow,
    /// It cannot be reached.
    #[error("it cannot be reached ({0})")]
    Unreachable(String),
    /// It wants another password, or refuses the user.
    #[error("it refuses the log-in ({0})")]
    Refused(String),
    /// It takes no writes: it is full, or a replica that can only be read.
    #[error("it takes no writes ({0})")]
    ReadOnly(String),
    /// Another replica has had the lease for too long.
    #[error("another replica has been asking for a token for too long")]
    Busy,
    /// Anything else.
    #[error("it answers {0}")]
    Other(String),
}

impl StoreError {
    /// The next step for a person.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Slow | Self::Unreachable(_) => {
                "Check the address in CXONE_PROXY_REDIS_URL, the network, and whether Redis runs"
            }
            Self::Refused(_) => {
                "Check CXONE_PROXY_REDIS_PASSWORD_FILE, and the user in CXONE_PROXY_REDIS_URL"
            }
            Self::ReadOnly(_) => {
                "Name the primary in CXONE_PROXY_REDIS_URL, and look at Redis' memory and disk"
            }
            Self::Busy => "Look at the log of the other replicas",
            Self::Other(_) => "Check that CXONE_PROXY_REDIS_URL names a Redis, and what its user may do",
        }
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let said = error.to_string();
        let code = error.code().unwrap_or_default();
        if matches!(code, "READONLY" | "OOM" | "MISCONF" | "MASTERDOWN") {
            return Self::ReadOnly(said);
        }
        if error.kind() == ErrorKind::AuthenticationFailed
            || matches!(code, "NOAUTH" | "WRONGPASS" | "NOPERM")
        {
            return Self::Refused(said);
        }
        if error.is_timeout() {
            Self::Slow
        } else if error.is_io_error() || error.is_connection_dropped() {
            Self::Unreachable(said)
        } else {
            Self::Other(said)
        }
    }
}

/// Where a token is shared. Tests put a model here.
pub trait TokenStore: Send + Sync + 'static {
    /// A connection of one owner for one record.
    type Session: TokenSession;

    /// The address, for people.
    fn address(&self) -> &str;

    /// Connects for the record of this name. An owner may take its lease as often as it wants.
    fn connect(
        &self,
        name: &str,
        owner: &str,
    ) -> impl Future<Output = Result<Self::Session, StoreError>> + Send;
}

/// One record of a store.
pub trait TokenSession: Send {
    /// The record as it is stored, and for how long yet.
    fn read(&mut self) -> impl Future<Output = Result<Option<(Vec<u8>, Duration)>, StoreError>> + Send;

    /// The lease, unless another owner has it.
    fn lease(&mut self, length: Duration) -> impl Future<Output = Result<Option<Lease>, StoreError>> + Send;

    /// Publishes a record for as long as its token lives, unless a later lease has published one, and gives the lease
    /// back.
    fn publish(
        &mut self,
        lease: Lease,
        sealed: &[u8],
        lifetime: Duration,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Gives the lease back, where this owner has it.
    fn give_back(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The store of the replicas.
#[derive(Debug)]
pub struct Store {
    settings: RedisSettings,
}

/// A connection of one owner for the record of one set of credentials.
pub struct Session {
    connection: MultiplexedConnection,
    record: String,
    fence: String,
    lease: String,
    replicas: String,
    owner: String,
}

/// The right to ask the token endpoint. Of two, the later one has the higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease(u64);

#[cfg(test)]
impl Lease {
    pub(super) fn numbered(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }
}

impl Store {
    pub(super) fn new(settings: RedisSettings) -> Self {
        Self { settings }
    }

    /// The password as its file has it now, else as it was at the start.
    async fn password(&self) -> Option<Secret> {
        let (path, at_start) = self.settings.password.clone()?;
        let read = spawn_blocking(move || Secret::from_file_within(&path, READING)).await;
        Some(read.ok().and_then(Result::ok).unwrap_or(at_start))
    }
}

impl TokenStore for Store {
    type Session = Session;

    fn address(&self) -> &str {
        &self.settings.url
    }

    async fn connect(&self, name: &str, owner: &str) -> Result<Session, StoreError> {
        let info = self.settings.url.as_str().into_connection_info()?;
        // Old servers do not know what that would send.
        let log_in = info.redis_settings().clone().set_skip_set_lib_name();
        let log_in = match self.password().await {
            Some(password) => log_in.set_password(password.reveal()),
            None => log_in,
        };
        let info = info.set_redis_settings(log_in);
        let client = Client::open(info)?;
        let connecting = timeout(CONNECTING, client.get_multiplexed_async_connection());
        let connection = connecting.await.map_err(|_| StoreError::Slow)??;
        // In braces, so that a cluster keeps them together.
        let key = |part: &str| format!("{{cxone-proxy:{name}}}:{part}");
        Ok(Session {
            connection,
            record: key("token"),
            fence: key("fence"),
            lease: key("lease"),
            replicas: key("replicas"),
            owner: owner.to_owned(),
        })
    }
}

impl TokenSession for Session {
    async fn read(&mut self) -> Result<Option<(Vec<u8>, Duration)>, StoreError> {
        let script = Script::new(scripts::READ);
        let call = script.key(&self.record);
        let read = in_time(call.invoke_async(&mut self.connection)).await?;
        let (record, remaining): (Option<Vec<u8>>, i64) = read;
        let remaining = u64::try_from(remaining).unwrap_or_default();
        Ok(record.map(|record| (record, Duration::from_millis(remaining))))
    }

    async fn lease(&mut self, length: Duration) -> Result<Option<Lease>, StoreError> {
        let script = scripts::with_numbers(scripts::LEASE);
        let mut call = script.key(&self.lease);
        call.key(&self.fence).arg(&self.owner).arg(millis(length));
        let number: Option<u64> = in_time(call.invoke_async(&mut self.connection)).await?;
        Ok(number.map(Lease))
    }

    async fn publish(&mut self, lease: Lease, sealed: &[u8], lifetime: Duration) -> Result<(), StoreError> {
        let script = scripts::with_numbers(scripts::PUBLISH);
        let mut call = script.key(&self.lease);
        call.key(&self.fence).key(&self.record);
        call.arg(&self.owner).arg(lease.0).arg(sealed).arg(millis(lifetime));
        in_time(call.invoke_async(&mut self.connection)).await
    }

    async fn give_back(&mut self) -> Result<(), StoreError> {
        let script = Script::new(scripts::GIVE_BACK);
        let mut call = script.key(&self.lease);
        call.arg(&self.owner);
        in_time(call.invoke_async(&mut self.connection)).await
    }
}

impl Session {
    /// Stores a message of this owner, and returns those of the others: who, for how many milliseconds it has been
    /// there, and the message. One that is older than `longest` is nobody's.
    pub(super) async fn exchange(
        &mut self,
        message: &[u8],
        longest: Duration,
    ) -> Result<Vec<(Vec<u8>, u64, Vec<u8>)>, StoreError> {
        let script = Script::new(scripts::EXCHANGE);
        let mut call = script.key(&self.replicas);
        call.arg(&self.owner).arg(message).arg(millis(longest));
        in_time(call.invoke_async(&mut self.connection)).await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

async fn in_time<T>(command: impl Future<Output = Result<T, RedisError>>) -> Result<T, StoreError> {
    match timeout(COMMAND, command).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(StoreError::Slow),
    }
}

#[cfg(test)]
mod tests;

//! Who we are to the token endpoint: an identifier and where its secret comes from.
//!
//! Decides which secret is sent when the secret file has become unreadable. Knows nothing of
//! requests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::timeout;

use crate::secret::{Secret, SecretFault};

/// How long the secret file may take to read. It is small and local; one that takes longer lies on
/// a file system that hangs, and the last good secret is better than none.
const FILE_TIME_OUT: Duration = Duration::from_secs(2);

/// An identifier with its secret: a client's (RFC 6749 section 2.3.1) or an access key's. `Debug` shows
/// no secret.
#[derive(Debug)]
pub struct Credentials {
    id: String,
    secret: SecretSource,
}

/// Where a secret comes from.
#[derive(Debug)]
pub enum SecretSource {
    /// Given once, good until the end.
    Value(Secret),
    /// Read again for every token request, so that a rotated secret needs no restart.
    File {
        /// Where it lies.
        path: PathBuf,
        /// What is sent while the file is gone or bad.
        last_good: ArcSwap<Secret>,
    },
}

impl Credentials {
    /// Credentials whose secret does not change.
    pub fn with_secret(id: String, secret: Secret) -> Self {
        Self { id, secret: SecretSource::Value(secret) }
    }

    /// Credentials whose secret lies in a file. `first` is what it held at start.
    pub fn with_secret_file(id: String, path: PathBuf, first: Secret) -> Self {
        Self { id, secret: SecretSource::File { path, last_good: ArcSwap::from_pointee(first) } }
    }

    /// The identifier. Not secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret as it is now. Reads the file where there is one, for two seconds at most; where
    /// that fails, warns and gives the last good secret. Cancel safe.
    pub(super) async fn secret(&self) -> Secret {
        match &self.secret {
            SecretSource::Value(secret) => secret.clone(),
            SecretSource::File { path, last_good } => match read(path).await {
                Ok(secret) => {
                    last_good.store(Arc::new(secret.clone()));
                    secret
                }
                Err(reason) => {
                    tracing::warn!(
                        path = %path.display(),
                        reason = %reason,
                        "secret file is unusable, the last good secret is used"
                    );
                    Secret::clone(&last_good.load())
                }
            },
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum ReadFault {
    #[error(transparent)]
    Fault(#[from] SecretFault),
    #[error("it could not be read within two seconds")]
    TooSlow,
    #[error("reading it broke off")]
    BrokeOff,
}

async fn read(path: &Path) -> Result<Secret, ReadFault> {
    let path = path.to_owned();
    // Off this thread: a network file system that hangs must not stop the exchanges of this core.
    let reading = tokio::task::spawn_blocking(move || Secret::from_file(&path));
    match timeout(FILE_TIME_OUT, reading).await {
        Ok(Ok(read)) => Ok(read?),
        Ok(Err(_)) => Err(ReadFault::BrokeOff),
        Err(_) => Err(ReadFault::TooSlow),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_is_read_again_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "second\n").unwrap();
        let credentials =
            Credentials::with_secret_file("app".to_owned(), path.clone(), Secret::new("first".to_owned()));
        assert_eq!(credentials.secret().await.reveal(), "second");
        std::fs::write(&path, "third").unwrap();
        assert_eq!(credentials.secret().await.reveal(), "third");
    }

    #[tokio::test]
    async fn the_last_good_secret_outlives_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        let credentials =
            Credentials::with_secret_file("app".to_owned(), path.clone(), Secret::new("first".to_owned()));
        assert_eq!(credentials.secret().await.reveal(), "first", "never there");
        std::fs::write(&path, "second").unwrap();
        assert_eq!(credentials.secret().await.reveal(), "second");
        std::fs::write(&path, "  third").unwrap();
        assert_eq!(credentials.secret().await.reveal(), "second", "bad");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(credentials.secret().await.reveal(), "second", "gone");
    }

    #[test]
    fn debug_shows_no_secret() {
        let by_value = Credentials::with_secret("app".to_owned(), Secret::new("s3cret".to_owned()));
        let by_file = Credentials::with_secret_file(
            "app".to_owned(),
            PathBuf::from("/etc/x"),
            Secret::new("s3cret".to_owned()),
        );
        for shown in [format!("{by_value:?}"), format!("{by_file:?}")] {
            assert!(shown.contains("app"));
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
}

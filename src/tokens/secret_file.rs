//! The secret as it is now: read from its file for every token request.
//!
//! A file may lie on a network file system that hangs, or be a pipe that nobody writes to. So it is read by
//! a thread that nobody waits for at the end of the process, one at a time for each file, and for two
//! seconds at most. Then the last good secret is used.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::credentials::SecretSource;
use crate::clock::Clock;
use crate::log::{Due, Repeats};
use crate::secret::{Secret, SecretFault};

/// How long reading may take. A secret file is small and local.
const TIME_OUT: Duration = Duration::from_secs(2);

/// Gives the secret of one set of credentials. `Debug` shows no secret.
#[derive(Debug)]
pub(super) enum SecretReader {
    Value(Secret),
    File(SecretFile),
}

/// A file that is read again and again.
#[derive(Debug)]
pub(super) struct SecretFile {
    path: PathBuf,
    reading: Arc<Reading>,
    used: Mutex<Used>,
    clock: Clock,
}

/// What the last token request used.
#[derive(Debug)]
struct Used {
    last_good: Secret,
    failures: Repeats<String>,
}

/// The one thread that may be reading.
#[derive(Debug, Default)]
struct Reading {
    state: Mutex<State>,
    finished: Notify,
}

#[derive(Debug, Default)]
struct State {
    in_progress: bool,
    /// What a thread has read and nobody has taken yet.
    read: Option<Result<Secret, SecretFault>>,
}

/// Why the file gives no secret now.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Fault(#[from] SecretFault),
    #[error("it could not be read within two seconds")]
    TooSlow,
    #[error("an earlier attempt to read it still hangs")]
    Hanging,
    #[error("no thread can be started to read it: {0}")]
    Thread(std::io::Error),
}

impl SecretReader {
    pub(super) fn new(source: SecretSource, clock: Clock) -> Self {
        match source {
            SecretSource::Value(secret) => Self::Value(secret),
            SecretSource::File { path, at_start } => {
                let used = Used { last_good: at_start, failures: Repeats::new() };
                Self::File(SecretFile { path, reading: Arc::default(), used: Mutex::new(used), clock })
            }
        }
    }

    /// The secret as it is now. Takes two seconds at most; where the file gives no good secret, the log says
    /// so and the last good one is returned. Cancel safe.
    pub(super) async fn secret(&self) -> Secret {
        match self {
            Self::Value(secret) => secret.clone(),
            Self::File(file) => file.secret().await,
        }
    }
}

impl SecretFile {
    async fn secret(&self) -> Secret {
        let read = self.read().await;
        let now = self.clock.now();
        let path = self.path.display();
        let mut used = lock(&self.used);
        match read {
            Ok(secret) => {
                if used.failures.end(now.steady).is_some() {
                    tracing::info!(%path, "the secret file {path} can be read again");
                }
                used.last_good = secret;
            }
            Err(reason) => {
                let reason = reason.to_string();
                if let Some(due) = used.failures.met(reason.clone(), now.steady) {
                    let more = match due {
                        Due::First => 0,
                        Due::Again { more, .. } => more,
                    };
                    tracing::warn!(
                        %path,
                        reason,
                        more,
                        "the secret file {path} gives no secret ({reason}), so the last good secret is used. Check the file."
                    );
                }
            }
        }
        used.last_good.clone()
    }

    async fn read(&self) -> Result<Secret, ReadError> {
        let deadline = Instant::now() + TIME_OUT;
        let earlier = {
            let mut state = lock(&self.reading.state);
            if state.in_progress {
                return Err(ReadError::Hanging);
            }
            state.in_progress = true;
            state.read.take()
        };
        if let Err(error) = self.start_thread() {
            lock(&self.reading.state).in_progress = false;
            return Err(ReadError::Thread(error));
        }
        loop {
            let finished = self.reading.finished.notified();
            if let Some(read) = lock(&self.reading.state).read.take() {
                return Ok(read?);
            }
            if timeout_at(deadline, finished).await.is_err() {
                // On a file system that is slower than our patience, the attempt before has the newest secret.
                return match earlier {
                    Some(Ok(secret)) => Ok(secret),
                    Some(Err(_)) | None => Err(ReadError::TooSlow),
                };
            }
        }
    }

    /// The thread is not joined: the process may end while it hangs.
    fn start_thread(&self) -> std::io::Result<()> {
        let (path, reading) = (self.path.clone(), Arc::clone(&self.reading));
        std::thread::Builder::new().name("secret-file".to_owned()).spawn(move || {
            let read = Secret::from_file(&path);
            let mut state = lock(&reading.state);
            state.read = Some(read);
            state.in_progress = false;
            drop(state);
            reading.finished.notify_one();
        })?;
        Ok(())
    }
}

/// Nothing is left half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

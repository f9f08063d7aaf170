//! The secret as it is now: read from its file, or printed by its command, for every token request.
//!
//! A file may lie on a network file system that hangs, or be a pipe that nobody writes to, and a command may wait for a
//! server. So it is read by a thread that nobody waits for at the end of the process, one at a time for each place, and
//! for some seconds at most. Then the last good secret is used.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::credentials::{COMMAND_TIME_OUT, SecretPlace, SecretSource};
use crate::clock::Clock;
use crate::log::{Due, Repeats};
use crate::secret::{Secret, SecretFault};

/// How long reading may take. A secret file is small and local.
const TIME_OUT: Duration = Duration::from_secs(2);
/// What a command has printed is good for so long: several ask for the secret of one token request.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// Gives the secret of one set of credentials. `Debug` shows no secret.
#[derive(Debug)]
pub(super) enum SecretReader {
    Value(Secret),
    Place(PlaceReader),
}

/// A place that is read again and again.
#[derive(Debug)]
pub(super) struct PlaceReader {
    place: SecretPlace,
    reading: Arc<Reading>,
    used: Mutex<Used>,
    clock: Clock,
}

/// What the last token request used.
#[derive(Debug)]
struct Used {
    last_good: Secret,
    /// When it was read, where that was for a token request.
    read_at: Option<Instant>,
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
    #[error("it did not give it in time")]
    TooSlow,
    #[error("an earlier attempt still hangs")]
    Hanging,
    #[error("no thread can be started to read it: {0}")]
    Thread(std::io::Error),
}

impl SecretReader {
    pub(super) fn new(source: SecretSource, clock: Clock) -> Self {
        match source {
            SecretSource::Value(secret) => Self::Value(secret),
            SecretSource::Read { place, at_start } => {
                let used = Used { last_good: at_start, read_at: None, failures: Repeats::new() };
                Self::Place(PlaceReader { place, reading: Arc::default(), used: Mutex::new(used), clock })
            }
        }
    }

    /// The secret as it is now. Takes two seconds at most for a file and ten for a command; where it gives no good
    /// secret, the log says so and the last good one is returned. Cancel safe.
    pub(super) async fn secret(&self) -> Secret {
        match self {
            Self::Value(secret) => secret.clone(),
            Self::Place(place) => place.secret().await,
        }
    }
}

impl PlaceReader {
    async fn secret(&self) -> Secret {
        if matches!(self.place, SecretPlace::Command(_)) {
            let used = lock(&self.used);
            if used.read_at.is_some_and(|at| at.elapsed() < GOOD_FOR) {
                return used.last_good.clone();
            }
        }
        let read = self.read().await;
        let now = self.clock.now();
        let place = &self.place;
        let mut used = lock(&self.used);
        match read {
            Ok(secret) => {
                if used.failures.end(now.steady).is_some() {
                    tracing::info!(%place, "{place} gives a secret again");
                }
                used.last_good = secret;
                used.read_at = Some(now.steady);
            }
            Err(reason) => {
                let reason = reason.to_string();
                if let Some(due) = used.failures.met(reason.clone(), now.steady) {
                    let more = match due {
                        Due::First => 0,
                        Due::Again { more, .. } => more,
                    };
                    tracing::warn!(
                        %place,
                        reason,
                        more,
                        "{place} gives no secret ({reason}), so the last good secret is used. {}",
                        next_step(place)
                    );
                }
            }
        }
        used.last_good.clone()
    }

    async fn read(&self) -> Result<Secret, ReadError> {
        let patience = match self.place {
            SecretPlace::File(_) => TIME_OUT,
            SecretPlace::Command(_) => COMMAND_TIME_OUT,
        };
        let deadline = Instant::now() + patience;
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
        let (place, reading) = (self.place.clone(), Arc::clone(&self.reading));
        std::thread::Builder::new().name("secret".to_owned()).spawn(move || {
            let read = place.read();
            let mut state = lock(&reading.state);
            state.read = Some(read);
            state.in_progress = false;
            drop(state);
            reading.finished.notify_one();
        })?;
        Ok(())
    }
}

fn next_step(place: &SecretPlace) -> &'static str {
    match place {
        SecretPlace::File(_) => "Check the file.",
        SecretPlace::Command(_) => "Run the command by hand, as the user of this process.",
    }
}

/// Nothing is left half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

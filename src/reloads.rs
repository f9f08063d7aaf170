//! What came of the attempts to read the configuration again, for the admin pages.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// All attempts of the process. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Reloads(Arc<Mutex<ReloadState>>);

/// What is known of the attempts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadState {
    /// How many configurations were taken over after the start.
    pub succeeded: u64,
    /// How many were not.
    pub failed: u64,
    /// When the latest one was taken over.
    pub last_success: Option<SystemTime>,
    /// When the latest one was not taken over.
    pub last_failure: Option<SystemTime>,
    /// Why the latest one was not taken over; `None` where it was.
    pub last_error: Option<String>,
    /// The options whose new values need a restart of the process.
    pub needs_restart: Vec<&'static str>,
}

impl Reloads {
    /// A configuration was taken over, but for these options.
    pub fn succeeded(&self, needs_restart: Vec<&'static str>, now: SystemTime) {
        self.change(|state| {
            state.succeeded += 1;
            state.last_success = Some(now);
            state.last_error = None;
            state.needs_restart = needs_restart;
        });
    }

    /// A configuration was not taken over.
    pub fn failed(&self, error: String, now: SystemTime) {
        self.change(|state| {
            state.failed += 1;
            state.last_failure = Some(now);
            state.last_error = Some(error);
        });
    }

    /// What is known now.
    pub fn state(&self) -> ReloadState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut ReloadState)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn an_error_stays_until_a_configuration_is_taken_over() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let reloads = Reloads::default();
        assert_eq!(reloads.state(), ReloadState::default());
        reloads.failed("wrong".to_owned(), at(1));
        let state = reloads.state();
        assert_eq!((state.failed, state.last_failure), (1, Some(at(1))));
        assert_eq!(state.last_error.as_deref(), Some("wrong"));
        reloads.clone().succeeded(vec!["listen"], at(2));
        let state = reloads.state();
        assert_eq!((state.succeeded, state.failed, state.last_success), (1, 1, Some(at(2))));
        assert_eq!((state.last_error, state.needs_restart), (None, vec!["listen"]));
    }
}

//! What the process says to systemd (`sd_notify(3)`). Without `NOTIFY_SOCKET` nothing is sent.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The service listens. It may still wait for its first token: who needs one asks `ready`.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] says when that is over.
pub(super) fn reloading() {
    // Type=notify-reload wants to know when that was.
    let now = NotifyState::monotonic_usec_now();
    let states = std::iter::once(NotifyState::Reloading).chain(now.ok());
    tell(&states.collect::<Vec<_>>());
}

/// The service ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing open requests")]);
}

/// The service does its work.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often [`alive`] is wanted: twice in the time that systemd waits. `None` where it does not wait.
pub(super) fn watchdog() -> Option<Interval> {
    let every = sd_notify::watchdog_enabled().map(|patience| patience / 2)?;
    let mut due = interval(every.max(Duration::from_millis(1)));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(due)
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(error = &error as &dyn std::error::Error, "the service manager could not be told");
    }
}

//! How many requests a client may send: quotas of three kinds, and what they have let pass. Pure but for its lock.

mod window;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use self::window::Window;
use super::settings::{Quota, QuotaKind, RetryAfterForm};
use crate::clock::Now;

/// The quotas in force and what has been used of them.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// There is a quota at all: without one, no request takes the lock.
    any: AtomicBool,
    limits: Mutex<Vec<Limit>>,
}

/// One quota, each client by itself.
#[derive(Debug)]
struct Limit {
    quota: Quota,
    since: Option<Now>,
    clients: HashMap<String, Window>,
    accepted: u64,
    rejected: u64,
}

/// What one quota has let pass and what it has rejected, for all clients together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QuotaUse {
    /// The path prefix that it is for; `None` for the whole API.
    pub path: Option<String>,
    /// The kind.
    pub kind: QuotaKind,
    /// The requests that it allows in each window.
    pub requests: u32,
    /// The window's length in milliseconds.
    pub per_ms: u64,
    /// The attempts that it let pass.
    pub accepted: u64,
    /// The attempts that it rejected. Another quota's rejections are not among them.
    pub rejected: u64,
    /// The milliseconds since the first attempt that it counted; zero before.
    pub age_ms: u64,
}

/// Too much: the value of `Retry-After`, if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exceeded(pub(super) Option<String>);

impl Quotas {
    /// Puts these quotas in place of those that were; nothing of the new ones is used yet.
    pub(super) fn set(&self, quotas: Vec<Quota>) {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!quotas.is_empty(), Ordering::Release);
        *limits = quotas.into_iter().map(Limit::new).collect();
    }

    /// Counts one request of this client, or says when it may come again. A request must pass every quota for its
    /// path, and one that is rejected uses up nothing.
    pub(super) fn take(&self, client: &str, path: Option<&str>, now: Now) -> Result<(), Exceeded> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let mut longest: Option<(Duration, RetryAfterForm)> = None;
        for limit in limits.iter_mut().filter(|limit| limit.is_for(path)) {
            if let Some(wait) = limit.wait(client, now) {
                limit.rejected += 1;
                if longest.is_none_or(|(other, _)| other < wait) {
                    longest = Some((wait, limit.quota.retry_after));
                }
            }
        }
        if let Some((wait, form)) = longest {
            return Err(Exceeded(retry_after(form, wait, now)));
        }
        for limit in limits.iter_mut().filter(|limit| limit.is_for(path)) {
            limit.count(client, now);
        }
        Ok(())
    }

    /// What has been used of each.
    pub(super) fn usage(&self, now: Now) -> Vec<QuotaUse> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        limits.iter().map(|limit| limit.usage(now)).collect()
    }
}

impl Limit {
    fn new(quota: Quota) -> Self {
        Self { quota, since: None, clients: HashMap::new(), accepted: 0, rejected: 0 }
    }

    fn is_for(&self, path: Option<&str>) -> bool {
        match (&self.quota.path, path) {
            (None, _) => true,
            (Some(prefix), Some(path)) => path.starts_with(prefix.as_str()),
            (Some(_), None) => false,
        }
    }

    /// How long this client must wait; `None` where it need not.
    fn wait(&mut self, client: &str, now: Now) -> Option<Duration> {
        if !self.clients.contains_key(client) {
            self.clients.insert(client.to_owned(), Window::new(self.quota.kind, now.steady));
        }
        self.since.get_or_insert(now);
        self.clients.get_mut(client)?.wait(&self.quota, now.steady)
    }

    fn count(&mut self, client: &str, now: Now) {
        if let Some(window) = self.clients.get_mut(client) {
            window.count(&self.quota, now.steady);
            self.accepted += 1;
        }
    }

    fn usage(&self, now: Now) -> QuotaUse {
        let age = self.since.map(|since| now.steady.saturating_duration_since(since.steady));
        QuotaUse {
            path: self.quota.path.clone(),
            kind: self.quota.kind,
            requests: self.quota.requests,
            per_ms: milliseconds(self.quota.per),
            accepted: self.accepted,
            rejected: self.rejected,
            age_ms: milliseconds(age.unwrap_or_default()),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Says "in `wait`" in the given form, rounded up so that an obedient client does not come too early.
pub(super) fn retry_after(form: RetryAfterForm, wait: Duration, now: Now) -> Option<String> {
    match form {
        RetryAfterForm::None => None,
        RetryAfterForm::Seconds => Some(whole_seconds(wait).to_string()),
        RetryAfterForm::Date => {
            let moment = now.wall.duration_since(UNIX_EPOCH).unwrap_or_default() + wait;
            Some(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(whole_seconds(moment))))
        }
    }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;

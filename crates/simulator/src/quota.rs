//! How many requests a client may send in each window of time. Pure but for its lock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use super::settings::{Quota, RetryAfterForm};
use crate::clock::Now;

/// The quota in force and what has been used of it.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    /// There is a quota at all: without one, no request takes the lock.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    quota: Option<Quota>,
    windows: HashMap<String, (Now, u32)>,
}

/// Too much: the value of `Retry-After`, if there is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exceeded(pub(super) Option<String>);

impl Quotas {
    pub(super) fn set(&self, quota: Option<Quota>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(quota.is_some(), Ordering::Release);
        *state = State { quota, windows: HashMap::new() };
    }

    /// Counts one request of this client, or says when it may come again.
    pub(super) fn take(&self, client: &str, now: Now) -> Result<(), Exceeded> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(quota) = state.quota else { return Ok(()) };
        if !state.windows.contains_key(client) {
            state.windows.insert(client.to_owned(), (now, 0));
        }
        let Some((start, used)) = state.windows.get_mut(client) else { return Ok(()) };
        if now.steady.duration_since(start.steady) >= quota.per {
            (*start, *used) = (now, 0);
        }
        if *used < quota.requests {
            *used += 1;
            return Ok(());
        }
        let left = quota.per.saturating_sub(now.steady.duration_since(start.steady));
        Err(Exceeded(retry_after(quota.retry_after, left, now)))
    }
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
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn now() -> Now {
        Now { steady: Instant::now(), wall: UNIX_EPOCH + Duration::from_millis(1_700_000_000_250) }
    }

    fn quota(retry_after: RetryAfterForm) -> Quota {
        Quota { requests: 2, per: Duration::from_millis(2500), retry_after }
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_until_the_next_window_and_each_client_for_itself() {
        let quotas = Quotas::default();
        let start = now();
        assert_eq!(quotas.take("a", start), Ok(()), "no quota at all");
        quotas.set(Some(quota(RetryAfterForm::Seconds)));
        assert_eq!(quotas.take("a", start), Ok(()));
        assert_eq!(quotas.take("a", start), Ok(()));
        assert_eq!(quotas.take("a", start), Err(Exceeded(Some("3".into()))));
        assert_eq!(quotas.take("b", start), Ok(()));
        let later = start.plus(Duration::from_millis(600));
        assert_eq!(quotas.take("a", later), Err(Exceeded(Some("2".into()))));
        assert_eq!(quotas.take("a", start.plus(Duration::from_millis(2500))), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn dates_are_never_too_early() {
        let start = now();
        let date = retry_after(RetryAfterForm::Date, Duration::from_millis(800), start).unwrap();
        let said = httpdate::parse_http_date(&date).unwrap();
        assert_eq!(said, UNIX_EPOCH + Duration::from_secs(1_700_000_002));
        assert_eq!(retry_after(RetryAfterForm::None, Duration::from_secs(1), start), None);
    }
}

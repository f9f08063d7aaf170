//! Whether a request is sent again. Pure: what was seen and what was done before go in, one closed
//! decision that names its reason comes out. `forward` acts on it.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::backoff;
use crate::metrics::RetryReason;
use crate::upstream::Delivered;

/// Where the backoff after a 429 without `Retry-After` starts.
const RATE_LIMIT_BASE: Duration = Duration::from_millis(500);
/// Where it stops growing.
const RATE_LIMIT_CAP: Duration = Duration::from_secs(10);
/// The most connections that may turn out dead for one request while it is certain that nothing was
/// processed. A server that takes few streams a connection and turns its connections over can refuse
/// several times in a row.
const MOST_UNPROCESSED: u32 = 4;
/// The same where an idempotent request may have been processed: once, because a second failure
/// tells something about the upstream.
const MOST_UNCERTAIN: u32 = 1;

/// The configured limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most retries after 429 for one request.
    pub rate_limit_retries: u32,
    /// The longest that one request may wait, all waits together.
    pub max_wait: Duration,
}

/// What the request is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// All of its body that was sent is still in memory.
    pub replayable: bool,
    /// Its method is idempotent (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// It has a body, and nothing of that was sent.
    pub unsent: bool,
}

/// What was done for this request before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Retries after a 401.
    pub unauthorized: u32,
    /// Retries after a 429 or 503.
    pub rate_limited: u32,
    /// Retries after a dead connection.
    pub connection: u32,
    /// All waiting: backoffs, the queue and tokens.
    pub waited: Duration,
    /// What of it was for a token.
    pub for_token: Duration,
    /// What of it was for a turn in the queue.
    pub in_queue: Duration,
}

impl Spent {
    /// Counts one retry and the wait before it.
    pub fn count(&mut self, reason: RetryReason, waited: Duration) {
        let counter = match reason {
            RetryReason::Unauthorized => &mut self.unauthorized,
            RetryReason::RateLimited => &mut self.rate_limited,
            RetryReason::Connection => &mut self.connection,
        };
        *counter = counter.saturating_add(1);
        self.waited = self.waited.saturating_add(waited);
    }
}

/// What to do with a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterResponse {
    /// Pass it on.
    Relay,
    /// Pass it on, although the request should be sent again: too much of its body was sent to
    /// replay it.
    Unreplayable(RetryReason),
    /// Get a newer token, then send the request again.
    Renew,
    /// Send the request again after this wait.
    Wait(Duration),
    /// Send the request again when its turn has come, and not before this wait is over.
    Queue(Duration),
}

/// What to do after an attempt without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterError {
    /// Respond with a problem.
    Fail,
    /// Send the request again, on another connection.
    Again,
}

/// A failed attempt, as far as it decides about another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Whether the upstream can have seen the request.
    pub delivered: Delivered,
    /// A connection that had been made ended before anything of a response came.
    pub connection_died: bool,
}

/// Decides about a response. `roll` is a random number from 0 to 1.
pub fn after_response(
    status: StatusCode,
    retry_after: Option<Duration>,
    spent: Spent,
    facts: Facts,
    limits: Limits,
    roll: f64,
) -> AfterResponse {
    let wait = match (status, retry_after) {
        (StatusCode::UNAUTHORIZED, _) if spent.unauthorized == 0 => {
            return if facts.replayable {
                AfterResponse::Renew
            } else {
                AfterResponse::Unreplayable(RetryReason::Unauthorized)
            };
        }
        (StatusCode::TOO_MANY_REQUESTS, Some(wait)) => wait,
        (StatusCode::TOO_MANY_REQUESTS, None) => {
            backoff::full_jitter(RATE_LIMIT_BASE, RATE_LIMIT_CAP, spent.rate_limited, roll)
        }
        // A server that says when it will be back is believed, where a repetition is safe.
        (StatusCode::SERVICE_UNAVAILABLE, Some(wait)) if facts.idempotent || facts.unsent => wait,
        _ => return AfterResponse::Relay,
    };
    after_wait(wait, AfterResponse::Wait(wait), spent, facts, limits)
}

/// What a 429 or a 503 with these `headers` says at the time `wall` of when to come back.
pub fn announced_wait(status: StatusCode, headers: &HeaderMap, wall: SystemTime) -> Option<Duration> {
    if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let values = headers.get_all(RETRY_AFTER);
    backoff::retry_after(values.iter().map(HeaderValue::as_bytes), wall)
}

/// Decides about a 429 where the pace says when the request's next turn comes: in about `turn`. Without a
/// `Retry-After` it backs off as well: the window of a quota that is used up now is used up for a while, and the
/// turns until then belong to others. `roll` is a random number from 0 to 1.
pub fn after_paced_429(
    turn: Duration,
    retry_after: Option<Duration>,
    spent: Spent,
    facts: Facts,
    limits: Limits,
    roll: f64,
) -> AfterResponse {
    let backoff = match retry_after {
        Some(after) if !after.is_zero() => Duration::ZERO,
        _ => paced_backoff(spent.rate_limited, roll),
    };
    after_wait(turn.max(backoff), AfterResponse::Queue(backoff), spent, facts, limits)
}

/// The upper half of full jitter, so that the retries of one request do not all fall into one window of a second.
pub fn paced_backoff(rejections: u32, roll: f64) -> Duration {
    backoff::full_jitter(RATE_LIMIT_BASE, RATE_LIMIT_CAP, rejections, roll.mul_add(0.5, 0.5))
}

/// What a wait of this length allows: `again`, where the request may be sent again.
fn after_wait(
    wait: Duration,
    again: AfterResponse,
    spent: Spent,
    facts: Facts,
    limits: Limits,
) -> AfterResponse {
    let may_wait = spent.rate_limited < limits.rate_limit_retries
        && spent.waited.saturating_add(wait) <= limits.max_wait;
    match (may_wait, facts.replayable) {
        (true, true) => again,
        (true, false) => AfterResponse::Unreplayable(RetryReason::RateLimited),
        (false, _) => AfterResponse::Relay,
    }
}

/// Decides about an attempt that failed.
pub fn after_error(failed: Failed, spent: Spent, facts: Facts) -> AfterError {
    let most = match failed.delivered {
        Delivered::Nothing | Delivered::NotProcessed => MOST_UNPROCESSED,
        Delivered::Maybe if facts.idempotent => MOST_UNCERTAIN,
        Delivered::Maybe => 0,
    };
    if failed.connection_died && facts.replayable && spent.connection < most {
        AfterError::Again
    } else {
        AfterError::Fail
    }
}

/// True for a method whose repetition does no more than the request itself (RFC 9110 section 9.2.2).
pub fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::PUT, Method::DELETE].contains(method)
}

#[cfg(test)]
mod tests;

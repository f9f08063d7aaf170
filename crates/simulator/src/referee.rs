//! Watches every run for what must never happen, whatever the test at hand is about.
//!
//! Attempts that belong to one request share its `X-Request-Id`; the rules about a request's attempts
//! hold only for requests that carry one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::script::Endpoint;
use super::wire::{Head, Protocol};
use crate::clock::Now;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// When, in milliseconds since the region was made.
    pub at_ms: u64,
    /// What was seen; never a token or a secret.
    pub detail: String,
}

/// What a client of the region must never do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// At most one token request of a client is under way at a time.
    OneTokenRequestAtOnce,
    /// A refresh token is sent once, whatever became of it.
    RefreshTokenOnce,
    /// A token request comes by HTTP/1.1 as the first request of its connection: on a pooled one that has
    /// died, a refresh token would be lost.
    FreshTokenConnection,
    /// No attempt comes before the `Retry-After` of the response to the last one (RFC 9110 10.2.3).
    RetryAfter,
    /// No connection-specific field arrives (RFC 9110 7.6.1).
    ConnectionSpecificField,
    /// A request that is not safe to repeat is sent again only after 401, 429 or 503.
    SentAgain,
    /// No token is sent that has expired more than a second ago.
    ExpiredToken,
    /// An API request carries exactly one `Authorization`, of the scheme `Bearer`, and its trailers none.
    OneBearer,
    /// There is exactly one `Host` (RFC 9112 3.2).
    OneHost,
    /// The message is framed beyond doubt (RFC 9112 6).
    Framing,
}

/// How much too early an attempt may seem to be, for timers that are not exact.
const SLACK: Duration = Duration::from_millis(5);
/// How long after its end a token may still arrive.
const GRACE: Duration = Duration::from_secs(1);
/// The most violations that are kept word for word.
const MOST_VIOLATIONS: usize = 1000;
/// The most requests and refresh tokens that are remembered; the oldest are dropped.
const MOST_REMEMBERED: usize = 200_000;

/// What has been seen, and what was wrong about it.
#[derive(Debug, Default)]
pub(super) struct Referee {
    off: bool,
    count: AtomicU64,
    seen: Mutex<Seen>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Seen {
    violations: Vec<Violation>,
    requests: HashMap<String, Request>,
    order: VecDeque<String>,
    /// Hashes of refresh tokens: enough to know them again, and nothing to steal.
    refresh_tokens: HashSet<u64>,
    clients: HashMap<String, Asking>,
}

#[derive(Debug, Default)]
struct Request {
    not_before: Option<Instant>,
    /// The status of the last attempt, where it has got one.
    status: Option<u16>,
}

/// What is known of a client's token requests.
#[derive(Debug, Default)]
struct Asking {
    under_way: u32,
    not_before: Option<Instant>,
}

/// A token request that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay<'r> {
    referee: &'r Referee,
    client: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(asking) = self.referee.seen().clients.get_mut(&self.client) {
            asking.under_way = asking.under_way.saturating_sub(1);
        }
    }
}

impl Referee {
    pub(super) fn new(on: bool) -> Self {
        Self { off: !on, ..Self::default() }
    }

    pub(super) fn violations(&self) -> Vec<Violation> {
        self.seen().violations.clone()
    }

    /// How many rules were broken, however many of them are kept.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Notes a message whose framing is in doubt.
    pub(super) fn doubtful(&self, why: &str, at: Duration) {
        self.report(Rule::Framing, at, why.to_owned());
    }

    /// Looks at the fields of a request.
    pub(super) fn head(&self, endpoint: Endpoint, head: &Head, at: Duration) {
        if self.off {
            return;
        }
        for (name, value) in head.lines() {
            if let Some(why) = connection_specific(name, value, head) {
                let detail = format!("{} {why}", describe(head));
                self.report(Rule::ConnectionSpecificField, at, detail);
            }
        }
        let hosts = head.values("host").count();
        if hosts != 1 {
            self.report(Rule::OneHost, at, format!("{} has {hosts} Host fields", describe(head)));
        }
        match endpoint {
            Endpoint::Api => self.bearer_field(head, at),
            Endpoint::Token => {
                if head.protocol != Protocol::Http11 || head.ordinal != 1 {
                    let (name, ordinal) = (head.protocol.name(), head.ordinal);
                    let detail =
                        format!("a token request came by {name} as number {ordinal} of its connection");
                    self.report(Rule::FreshTokenConnection, at, detail);
                }
            }
            Endpoint::Discovery | Endpoint::Any => {}
        }
    }

    fn bearer_field(&self, head: &Head, at: Duration) {
        let mut values = head.values("authorization");
        let why = match (values.next(), values.next()) {
            (None, _) => "has no Authorization",
            (Some(_), Some(_)) => "has more than one Authorization",
            (Some(value), None) if bearer(value).is_none() => {
                "has an Authorization that is not one Bearer token"
            }
            (Some(_), None) => return,
        };
        self.report(Rule::OneBearer, at, format!("{} {why}", describe(head)));
    }

    /// Looks at the trailers of a request.
    pub(super) fn trailers(&self, head: &Head, names: impl Iterator<Item = impl AsRef<str>>, at: Duration) {
        for name in names {
            if name.as_ref().eq_ignore_ascii_case("authorization") {
                self.report(
                    Rule::OneBearer,
                    at,
                    format!("{} has Authorization in its trailers", describe(head)),
                );
            }
        }
    }

    /// Notes that a token was sent whose token response stated that it ends at `stated_end`.
    pub(super) fn token_sent(&self, number: u64, stated_end: std::time::SystemTime, now: Now, at: Duration) {
        if let Ok(late) = now.wall.duration_since(stated_end)
            && late > GRACE
        {
            let detail = format!("token {number} was sent {} ms after its end", late.as_millis());
            self.report(Rule::ExpiredToken, at, detail);
        }
    }

    /// Notes a token request; it is under way until what this returns is dropped.
    pub(super) fn token_request(
        &self,
        client: &str,
        refresh_token: Option<&str>,
        now: Now,
        at: Duration,
    ) -> Option<UnderWay<'_>> {
        if self.off {
            return None;
        }
        let mut seen = self.seen();
        let asking = seen.clients.entry(client.to_owned()).or_default();
        asking.under_way += 1;
        let overlapping = asking.under_way > 1;
        let early = too_early(asking.not_before.take(), now);
        let mut twice = false;
        if let Some(token) = refresh_token {
            if seen.refresh_tokens.len() >= MOST_REMEMBERED {
                seen.refresh_tokens.clear();
            }
            twice = !seen.refresh_tokens.insert(self.hasher.hash_one(token));
        }
        drop(seen);
        if overlapping {
            let detail = format!("two token requests of client {client:?} at once");
            self.report(Rule::OneTokenRequestAtOnce, at, detail);
        }
        if let Some(early) = early {
            let detail =
                format!("a token request of client {client:?} came {} ms too early", early.as_millis());
            self.report(Rule::RetryAfter, at, detail);
        }
        if twice {
            self.report(Rule::RefreshTokenOnce, at, format!("client {client:?} sent a refresh token again"));
        }
        Some(UnderWay { referee: self, client: client.to_owned() })
    }

    /// Notes what a token request was answered.
    pub(super) fn token_response(&self, client: &str, retry_after: Option<&str>, now: Now) {
        let Some(not_before) = retry_after.and_then(|value| moment(value, now)) else { return };
        if let Some(asking) = self.seen().clients.get_mut(client) {
            asking.not_before = Some(not_before);
        }
    }

    /// Notes an attempt at the API.
    pub(super) fn attempt(&self, id: &str, head: &Head, now: Now, at: Duration) {
        if self.off {
            return;
        }
        let mut seen = self.seen();
        let mut broken = Vec::new();
        if let Some(request) = seen.requests.get_mut(id) {
            if let Some(early) = too_early(request.not_before.take(), now) {
                let detail =
                    format!("{} (id {id:?}) came {} ms too early", describe(head), early.as_millis());
                broken.push((Rule::RetryAfter, detail));
            }
            let status = request.status.take();
            if matches!(head.method(), "POST" | "PATCH") && !matches!(status, Some(401 | 429 | 503)) {
                let before = status.map_or("no response".to_owned(), |status| status.to_string());
                let detail = format!("{} (id {id:?}) was sent again after {before}", describe(head));
                broken.push((Rule::SentAgain, detail));
            }
        } else {
            if seen.order.len() >= MOST_REMEMBERED
                && let Some(oldest) = seen.order.pop_front()
            {
                seen.requests.remove(&oldest);
            }
            seen.order.push_back(id.to_owned());
            seen.requests.insert(id.to_owned(), Request::default());
        }
        drop(seen);
        for (rule, detail) in broken {
            self.report(rule, at, detail);
        }
    }

    /// Notes what an attempt was answered.
    pub(super) fn response(&self, id: &str, status: u16, retry_after: Option<&str>, now: Now) {
        if let Some(request) = self.seen().requests.get_mut(id) {
            request.status = Some(status);
            request.not_before = retry_after.filter(|_| status == 429).and_then(|value| moment(value, now));
        }
    }

    fn report(&self, rule: Rule, at: Duration, detail: String) {
        if self.off {
            return;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(rule = ?rule, detail, "violation");
        let mut seen = self.seen();
        if seen.violations.len() < MOST_VIOLATIONS {
            let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
            seen.violations.push(Violation { rule, at_ms, detail });
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token of a `Bearer` value (RFC 6750 2.1), where that is all there is.
pub(super) fn bearer(value: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    let plain = !token.is_empty() && !token.contains([' ', ',', '\t']);
    (plain && scheme.eq_ignore_ascii_case("bearer")).then_some(token)
}

fn describe(head: &Head) -> String {
    let path = head.target().split(|&byte| byte == b'?').next().unwrap_or_default();
    format!("{} {}", head.method(), path.escape_ascii())
}

/// How much too early a request comes, by the `Retry-After` that it was given.
fn too_early(not_before: Option<Instant>, now: Now) -> Option<Duration> {
    let early = not_before?.checked_duration_since(now.steady)?;
    (early > SLACK).then_some(early)
}

/// The moment that a `Retry-After` names.
fn moment(value: &str, now: Now) -> Option<Instant> {
    if let Ok(seconds) = value.parse() {
        return now.steady.checked_add(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    now.steady.checked_add(date.duration_since(now.wall).unwrap_or_default())
}

/// What is wrong with this line, if it is one that must stay on one connection.
fn connection_specific(name: &str, value: &[u8], head: &Head) -> Option<String> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let websocket = || head.values("upgrade").all(|value| value.eq_ignore_ascii_case(b"websocket"));
    let named = |option: &[u8]| head.values(&String::from_utf8_lossy(option)).next().is_some();
    if is("connection") {
        let strange = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).find(|option| {
            let is = |other: &str| option.eq_ignore_ascii_case(other.as_bytes());
            !(is("close")
                || is("keep-alive")
                || is("te")
                || (is("upgrade") && named(b"upgrade") && websocket()))
        });
        return strange.map(|option| format!("has Connection: {}", option.escape_ascii()));
    }
    if is("upgrade") {
        return (!value.eq_ignore_ascii_case(b"websocket"))
            .then(|| format!("has Upgrade: {}", value.escape_ascii()));
    }
    if is("te") {
        return (!value.eq_ignore_ascii_case(b"trailers"))
            .then(|| format!("has TE: {}", value.escape_ascii()));
    }
    let others =
        ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "http2-settings"];
    others.iter().any(|other| is(other)).then(|| format!("has {name}"))
}

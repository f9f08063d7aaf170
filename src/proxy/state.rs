//! What every request of one core works with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::access_log::AccessLog;
use super::budget::Budget;
use super::callers::Callers;
use super::problems;
use super::refusals::Refusals;
use super::retry::Limits;
use super::route::Profile;
use super::via::Via;
use crate::access::{Failures, Guard, PSEUDONYM, Problem, ProblemKind, Rules};
use crate::clock::Clock;
use crate::drain::Drain;
use crate::metrics::Counters;
use crate::pause::Pause;
use crate::traces::Traces;

/// When to come back where too much is in flight: most requests end within a second.
const FULL_RETRY: Duration = Duration::from_secs(1);
/// When to come back during a pause, which ends when a person says so.
const PAUSED_RETRY: Duration = Duration::from_secs(10);

/// How the proxy is set up. All cores share one.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which messages get `Via`.
    pub via: Via,
    /// Responses say in `Server-Timing` where the time went.
    pub server_timing: bool,
    /// Who may send requests; everybody where there is none.
    pub callers: Option<Arc<Callers>>,
    /// Which requests may be sent.
    pub rules: Rules,
    /// What the log has said of those that may not.
    pub refusals: Refusals,
    /// When a request is sent again.
    pub limits: Limits,
    /// The most bytes of one request's body that are kept for that.
    pub replay_buffer: usize,
    /// The most bytes that all kept bodies may take together.
    pub replay_memory: Budget,
    /// The most requests at once, on all cores.
    pub in_flight: usize,
    /// Which requests are logged.
    pub access_log: AccessLog,
    /// How long a tunnel's client may leave bytes that wait for it.
    pub stall_timeout: Option<Duration>,
    /// This process's member of `CDN-Loop` (RFC 8586).
    pub loop_member: HeaderValue,
    /// Where each listener is; `None` for a Unix socket.
    pub listeners: Vec<Option<SocketAddr>>,
    /// The listener where other proxies ask for tokens.
    pub auth_listener: Option<usize>,
    /// Listeners of TCP speak TLS.
    pub tls: bool,
    /// Whether an operator has paused the proxy.
    pub pause: Pause,
    /// Who makes the spans of requests, where traces are sent.
    pub traces: Option<Traces>,
    /// Where failures are noted for a person.
    pub failures: Failures,
}

impl Settings {
    /// A member of `CDN-Loop` that no other process has. `number` is a random one.
    pub fn loop_member(number: u64) -> HeaderValue {
        let member = format!("{PSEUDONYM}-{number:016x}");
        HeaderValue::try_from(member).unwrap_or_else(|_| HeaderValue::from_static(PSEUDONYM))
    }
}

pub(super) struct Shared {
    pub(super) settings: Settings,
    /// That of the settings, by a pointer of this core's own: each request clones it.
    pub(super) access_log: Arc<AccessLog>,
    pub(super) guard: Guard,
    pub(super) profiles: Vec<Profile>,
    pub(super) clock: Clock,
    /// The proxy's own problems, by type.
    pub(super) problems: Counters<ProblemKind>,
    pub(super) drain: Drain,
}

impl Shared {
    /// The profile of this index.
    pub(super) fn profile(&self, index: usize) -> Result<&Profile, Problem> {
        self.profiles.get(index).ok_or_else(|| problems::no_profile(&self.profiles))
    }

    /// True where an authority, spoken to in https or not, is an upstream's own.
    pub(super) fn is_upstream(&self, https: bool, authority: &str) -> bool {
        self.profiles.iter().any(|profile| profile.is_at(https, authority))
    }

    /// Refuses during a pause, and where too much is in flight. The request itself is counted already.
    pub(super) fn make_room(&self, in_flight: usize) -> Result<(), Problem> {
        if self.settings.pause.is_on() {
            return Err(Problem::new(ProblemKind::Paused).retry_after(PAUSED_RETRY));
        }
        let most = self.settings.in_flight;
        if in_flight <= most {
            return Ok(());
        }
        Err(Problem::new(ProblemKind::TooMany)
            .detail(format!("{most} requests are in flight already."))
            .retry_after(FULL_RETRY))
    }
}

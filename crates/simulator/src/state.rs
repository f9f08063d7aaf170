//! What the connections of a region share.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::journal::Journal;
use super::quota::Quotas;
use super::referee::Referee;
use super::script::{Armed, Endpoint};
use super::settings::Settings;
use super::tokens::Tokens;
use crate::clock::Now;

/// A region's memory. It outlives [`Region::kill`](super::Region::kill).
pub(super) struct State {
    pub(super) settings: Settings,
    /// Scheme and authority.
    pub(super) origin: String,
    /// The origin and the path prefix.
    pub(super) base_url: String,
    pub(super) tokens: Arc<Tokens>,
    /// Where discovery says that the API is, if that is not here.
    elsewhere: Mutex<Option<String>>,
    pub(super) quotas: Quotas,
    pub(super) script: Armed,
    pub(super) journal: Journal,
    pub(super) referee: Referee,
    pub(super) counts: Counts,
    started: Instant,
}

impl State {
    /// A region's memory, with the tokens of another where it shares them.
    pub(super) fn new(
        settings: Settings,
        address: SocketAddr,
        shared: Option<Arc<Tokens>>,
    ) -> std::io::Result<Self> {
        let scheme = if settings.tls.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://{address}");
        let base_url = format!("{origin}{}", settings.path_prefix);
        let tokens = match shared {
            Some(tokens) => tokens,
            None => Arc::new(Tokens::new(base_url.clone())?),
        };
        let state = Self {
            tokens,
            origin,
            base_url,
            elsewhere: Mutex::default(),
            quotas: Quotas::default(),
            script: Armed::default(),
            journal: Journal::new(settings.journal),
            referee: Referee::new(settings.referee),
            counts: Counts::default(),
            started: Now::read().steady,
            settings,
        };
        state.quotas.set(state.settings.quotas.clone());
        state.script.arm(state.settings.script.clone());
        Ok(state)
    }

    /// Where the API is, where that is not here.
    pub(super) fn api_endpoint(&self) -> Option<String> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_api_endpoint(&self, url: Option<String>) {
        *self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner) = url;
    }

    /// The time since the region was made.
    pub(super) fn at(&self, now: Now) -> Duration {
        now.steady.duration_since(self.started)
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) connections: AtomicU64,
    pub(super) token_requests: AtomicUsize,
    pub(super) tokens_issued: AtomicU64,
    /// The commonest response has a counter of its own, since every other takes a lock.
    api_ok: AtomicU64,
    responses: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

/// The attempts at the API that have been answered, by a quota, a script or the API itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attempts {
    /// With anything but 401 and 429.
    pub accepted: u64,
    /// With 429.
    pub rejected: u64,
}

impl Counts {
    pub(super) fn attempts(&self) -> Attempts {
        let responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut attempts = Attempts { accepted: self.api_ok.load(Ordering::Relaxed), rejected: 0 };
        for ((endpoint, status), count) in responses.iter() {
            match (*endpoint, *status) {
                ("api", 429) => attempts.rejected += count,
                ("api", 401) => {}
                ("api", _) => attempts.accepted += count,
                (_, _) => {}
            }
        }
        attempts
    }

    pub(super) fn response(&self, endpoint: Endpoint, status: u16) {
        let name = match endpoint {
            Endpoint::Api if status == 200 => {
                self.api_ok.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Endpoint::Api | Endpoint::Any => "api",
            Endpoint::Token => "token",
            Endpoint::Discovery => "discovery",
        };
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        *responses.entry((name, status)).or_default() += 1;
    }

    /// Everything in the Prometheus text format.
    pub(super) fn render(&self, violations: u64) -> String {
        let mut text = String::new();
        let mut metric = |name: &str, about: &str, samples: &[(String, u64)]| {
            let _ = writeln!(text, "# HELP {name} {about}\n# TYPE {name} counter");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner).clone();
        responses.insert(("api", 200), self.api_ok.load(Ordering::Relaxed));
        let samples: Vec<_> = responses
            .into_iter()
            .map(|((endpoint, status), count)| {
                (format!("{{endpoint=\"{endpoint}\",status=\"{status}\"}}"), count)
            })
            .collect();
        metric("simulated_region_requests_total", "Requests answered.", &samples);
        let plain = |count: u64| [(String::new(), count)];
        let token_requests = self.token_requests.load(Ordering::Relaxed) as u64;
        metric("simulated_region_token_requests_total", "Token requests received.", &plain(token_requests));
        let issued = self.tokens_issued.load(Ordering::Relaxed);
        metric("simulated_region_tokens_issued_total", "Access tokens given out.", &plain(issued));
        let connections = self.connections.load(Ordering::Relaxed);
        metric("simulated_region_connections_total", "Connections accepted.", &plain(connections));
        metric("simulated_region_violations_total", "Rules of the referee broken.", &plain(violations));
        text
    }
}

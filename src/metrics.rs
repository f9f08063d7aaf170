//! What is counted, and how a scraper reads it.
//!
//! There is one registry for the process, [`Metrics`]. Code that counts holds a handle that was resolved
//! once ([`ProfileMetrics`], [`Counters`]): to count is an atomic addition, without a lock and without a
//! lookup by text. Labels are enums ([`Label`]), so that a label which nobody knows cannot be written,
//! and every label has a bounded set of values.
//!
//! What every request counts (status, duration, in flight) lies in one table a core and profile, see
//! `profile`; all else in counters of the `prometheus` crate.

mod begun;
mod clients;
mod counters;
mod families;
mod histogram;
mod labels;
mod latencies;
mod pace;
mod process;
mod profile;
mod rare;
mod spread;
mod summary;
mod tokens;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use prometheus::core::Collector;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

pub use clients::ClientRequests;
pub use counters::Counters;
pub use labels::{Label, RetryReason, WaitReason};
pub use pace::LimitReading;
pub use profile::{InFlight, ProfileMetrics, Statuses};
pub use spread::{Durations, Percentiles};
pub use summary::{Latency, Summary};
pub use tokens::{GRANTS, OUTCOMES};

use families::Pulled;
use pace::PaceCollector;
use profile::{Profile, ProfileCollector};
use rare::Rare;

/// The media type of [`Metrics::exposition`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Counters of token requests and the gauges that belong to them.
///
/// A trait so that the refresh task needs no registry and tests can listen.
pub trait TokenObserver: Send + Sync + 'static {
    /// One token request ended. `grant` is one of [`GRANTS`] and `outcome` one of [`OUTCOMES`]; anything
    /// else counts as `other`. `time` is from when until when it was under way.
    fn token_request(&self, grant: &'static str, outcome: &'static str, time: Range<SystemTime>);
    /// A token was obtained at `at` that its issuer says is good until `expires_at`.
    fn token_obtained(&self, at: SystemTime, expires_at: SystemTime);
}

/// All that the process counts. Cheap to clone; all clones count the same.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    registry: Registry,
    profiles: Arc<Mutex<Vec<Arc<Profile>>>>,
    rare: Rare,
    in_flight: Arc<AtomicUsize>,
    /// Profiles that are made from now on keep latencies.
    records_latencies: AtomicBool,
    phase: IntGaugeVec,
    /// What modules above count, by name.
    counters: Mutex<BTreeMap<&'static str, IntCounterVec>>,
}

impl Metrics {
    /// Nothing counted yet. `started` is when the process did.
    pub fn new(version: &'static str, started: SystemTime) -> Self {
        let registry = Registry::new();
        let profiles = Arc::default();
        register(&registry, ProfileCollector::new(Arc::clone(&profiles)));
        register(&registry, process::ProcessCollector::new(started));
        let build = Opts::new("cxone_proxy_build_info", "The program's version, always 1.");
        let build = register(&registry, IntGaugeVec::new(build, &["version"]));
        build.with_label_values(&[version]).set(1);
        let phase =
            Opts::new("cxone_proxy_phase_info", "Whether the process is serving or draining, always 1.");
        let metrics = Self(Arc::new(Shared {
            rare: Rare::new(&registry),
            phase: register(&registry, IntGaugeVec::new(phase, &["phase"])),
            registry,
            profiles,
            in_flight: Arc::default(),
            records_latencies: AtomicBool::new(false),
            counters: Mutex::default(),
        }));
        metrics.set_draining(false);
        metrics
    }

    /// Profiles that are made from now on keep the latency of every request, for [`Metrics::summary`].
    pub fn record_latencies(&self) {
        self.0.records_latencies.store(true, Ordering::Relaxed);
    }

    fn profiles(&self) -> Vec<Arc<Profile>> {
        self.0.profiles.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The handle of a profile, with counters for one core. To be resolved once: each call makes another
    /// profile. [`ProfileMetrics::for_core`] makes the handles of the other cores.
    pub fn profile(&self, name: &str) -> ProfileMetrics {
        let records_latencies = self.0.records_latencies.load(Ordering::Relaxed);
        let in_flight = Arc::clone(&self.0.in_flight);
        let profile = Arc::new(Profile::new(name, &self.0.rare, in_flight, records_latencies));
        self.0.profiles.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&profile));
        ProfileMetrics::new(profile)
    }

    /// Counters with the label `L`, one for each of its values from the start. The same `name` gives the
    /// same counters again; it must be a constant that starts with `cxone_proxy_` and ends with `_total`.
    pub fn counters<L: Label>(&self, name: &'static str, help: &'static str) -> Counters<L> {
        let mut known = self.0.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let family = known.entry(name).or_insert_with(|| {
            register(&self.0.registry, IntCounterVec::new(Opts::new(name, help), &[L::NAME]))
        });
        Counters::resolve(family, &[])
    }

    /// Counters of the requests of identified clients. Each call gives the same ones.
    pub fn client_requests(&self) -> ClientRequests {
        let mut known = self.0.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let family = known.entry(ClientRequests::NAME).or_insert_with(|| {
            let options = Opts::new(ClientRequests::NAME, "Requests of identified clients by status.");
            register(&self.0.registry, IntCounterVec::new(options, &["client", "status"]))
        });
        ClientRequests::new(family.clone())
    }

    /// Shows a count that is kept elsewhere, read by `read` at every scrape: the log lines that were
    /// dropped because nobody read them. To be called once.
    pub fn log_lines_dropped(&self, read: impl Fn() -> u64 + Send + Sync + 'static) {
        let name = "cxone_proxy_log_lines_dropped_total";
        let help = "Log lines that were dropped because the reader of the log was too slow.";
        register(&self.0.registry, Pulled::counter(name, help, read));
    }

    /// Shows how many client connections are open, read by `read` at every scrape. To be called once.
    pub fn connections_open(&self, read: impl Fn() -> u64 + Send + Sync + 'static) {
        let name = "cxone_proxy_connections_open";
        register(&self.0.registry, Pulled::gauge(name, "Client connections that are open.", read));
    }

    /// Shows how many TLS handshakes have failed, and when the listener's certificate expires (seconds of Unix time),
    /// both read at every scrape. To be called once.
    pub fn tls(
        &self,
        failures: impl Fn() -> u64 + Send + Sync + 'static,
        expiry: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let name = "cxone_proxy_tls_handshake_failures_total";
        let help = "TLS handshakes of clients that failed.";
        register(&self.0.registry, Pulled::counter(name, help, failures));
        let name = "cxone_proxy_tls_certificate_expiry_timestamp_seconds";
        let help = "When the listener's certificate expires, as Unix time.";
        register(&self.0.registry, Pulled::gauge(name, help, expiry));
    }

    /// Shows what `read` says of the limits of all profiles at every scrape. To be called once.
    pub fn limits(&self, read: impl Fn() -> Vec<LimitReading> + Send + Sync + 'static) {
        register(&self.0.registry, PaceCollector::new(read));
    }

    /// Requests whose response has not ended, of all profiles on all cores.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    /// Says whether the process has begun to end.
    pub fn set_draining(&self, draining: bool) {
        self.0.phase.reset();
        let phase = if draining { "draining" } else { "serving" };
        self.0.phase.with_label_values(&[phase]).set(1);
    }

    /// Everything there is to scrape, in the Prometheus text format of [`MEDIA_TYPE`]. Reads a few small
    /// files of `/proc` on Linux.
    pub fn exposition(&self) -> String {
        // Fails only for a family without a name or without samples, and the registry leaves those out.
        TextEncoder::new().encode_to_string(&self.0.registry.gather()).unwrap_or_default()
    }
}

/// Makes a collector known to the registry.
fn register<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    #[expect(
        clippy::expect_used,
        reason = "fails for a name or label that is malformed or used twice; they are constants, and the \
                  tests of the contract's list make every one of them"
    )]
    let collector = made
        .and_then(|collector| registry.register(Box::new(collector.clone())).map(|()| collector))
        .expect("constant names are well-formed and unique");
    collector
}

#[cfg(test)]
mod tests;

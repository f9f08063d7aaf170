//! What a run came to, in a few numbers for a person at its end.

use std::collections::BTreeMap;

use prometheus::proto::{LabelPair, MetricFamily};
use serde::Serialize;

use super::Metrics;
use super::latencies::Recorded;

/// A run in a few numbers, all profiles together. Maps go by label value, such as a status or a reason, and leave out
/// what never happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Responses to clients, the proxy's own included.
    pub requests: u64,
    /// Requests whose client went away before a response.
    pub abandoned: u64,
    /// From the beginning of the first request to the end of the last one.
    pub seconds: f64,
    /// Responses in each of these seconds.
    pub per_second: f64,
    /// Responses to clients by status.
    pub statuses: BTreeMap<String, u64>,
    /// Responses of the upstream by status: one for each attempt.
    pub upstream_statuses: BTreeMap<String, u64>,
    /// From the end of a request's header section to the end of its response.
    pub latency_ms: Latency,
    /// Requests sent again, by reason.
    pub retries: BTreeMap<String, u64>,
    /// Seconds that requests have waited in the proxy, by reason.
    pub wait_seconds: BTreeMap<String, f64>,
    /// Token requests by outcome.
    pub token_requests: BTreeMap<String, u64>,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "each is the percentile that its name says")]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Metrics {
    /// What has been counted so far. Latencies and rate are zero unless [`Metrics::record_latencies`] was called
    /// before the profiles were made.
    pub fn summary(&self) -> Summary {
        let families = self.0.registry.gather();
        let statuses = counts(&families, "cxone_proxy_requests_total", "status");
        let requests = statuses.values().sum();
        let mut recorded = Recorded::new();
        if let Some(recorded) = &mut recorded {
            for profile in self.profiles() {
                profile.add_latencies(recorded);
            }
        }
        let span = recorded.as_ref().and_then(|recorded| recorded.span);
        let seconds = span.map_or(0.0, |(first, last)| last.saturating_duration_since(first).as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
        let per_second = if seconds > 0.0 { requests as f64 / seconds } else { 0.0 };
        Summary {
            requests,
            abandoned: counts(&families, "cxone_proxy_requests_abandoned_total", "profile").values().sum(),
            seconds,
            per_second,
            statuses,
            upstream_statuses: counts(&families, "cxone_proxy_upstream_responses_total", "status"),
            latency_ms: recorded.as_ref().map(Latency::of).unwrap_or_default(),
            retries: counts(&families, "cxone_proxy_retries_total", "reason"),
            wait_seconds: sums(&families, "cxone_proxy_wait_seconds_total", "reason"),
            token_requests: counts(&families, "cxone_proxy_token_requests_total", "outcome"),
        }
    }
}

impl Latency {
    fn of(recorded: &Recorded) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "an hour in microseconds is far below 2^52")]
        let at = |quantile| recorded.micros().value_at_quantile(quantile) as f64 / 1000.0;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

/// A family's counters, added up for each value of one label.
fn sums(families: &[MetricFamily], name: &str, label: &str) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    let samples = families.iter().filter(|family| family.name() == name).flat_map(MetricFamily::get_metric);
    for sample in samples {
        let value = sample.get_label().iter().find(|pair| pair.name() == label).map(LabelPair::value);
        if let (Some(value), count) = (value, sample.get_counter().get_value())
            && count > 0.0
        {
            *sums.entry(value.to_owned()).or_insert(0.0) += count;
        }
    }
    sums
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter of whole events, never negative"
)]
fn counts(families: &[MetricFamily], name: &str, label: &str) -> BTreeMap<String, u64> {
    sums(families, name, label).into_iter().map(|(value, sum)| (value, sum as u64)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use http::{Method, StatusCode};

    use super::*;
    use crate::metrics::{RetryReason, WaitReason};

    fn metrics(records: bool) -> Metrics {
        let metrics = Metrics::new("1", SystemTime::UNIX_EPOCH);
        if records {
            metrics.record_latencies();
        }
        let profiles = [metrics.profile("a"), metrics.profile("b")];
        for (profile, status) in [(0, 200), (1, 200), (1, 429)] {
            let profile: &crate::metrics::ProfileMetrics = &profiles[profile];
            profile.response(&Method::GET, StatusCode::from_u16(status).unwrap());
            profile.request_finished(Duration::from_millis(10));
        }
        profiles[0].upstream_response(StatusCode::OK, Duration::ZERO);
        profiles[0].retry(RetryReason::RateLimited);
        profiles[1].wait(WaitReason::RateLimited, Duration::from_millis(1500));
        profiles[1].token_observer().token_request(
            "client_credentials",
            "ok",
            SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH,
        );
        profiles[1].abandoned();
        metrics
    }

    #[test]
    fn a_summary_adds_up_all_profiles() {
        let summary = metrics(true).summary();
        let ones = |key: &str| BTreeMap::from([(key.to_owned(), 1)]);
        assert_eq!((summary.requests, summary.abandoned), (3, 1));
        assert_eq!(summary.statuses, BTreeMap::from([("200".to_owned(), 2), ("429".to_owned(), 1)]));
        assert_eq!(summary.upstream_statuses, ones("200"));
        assert_eq!(summary.retries, ones("rate_limited"));
        assert_eq!(summary.wait_seconds, BTreeMap::from([("rate_limited".to_owned(), 1.5)]));
        assert_eq!(summary.token_requests, ones("ok"));
        assert!((10.0..10.1).contains(&summary.latency_ms.p99), "{:?}", summary.latency_ms);
        assert!(summary.seconds >= 0.01 && summary.per_second > 0.0, "{summary:?}");
    }

    #[test]
    fn without_being_asked_nothing_is_recorded() {
        let summary = metrics(false).summary();
        assert_eq!((summary.requests, summary.latency_ms), (3, Latency::default()));
    }
}

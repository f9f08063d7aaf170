//! The Prometheus text format, version 0.0.4: one snapshot of all that is counted.
//!
//! Decides the names, the help and the labels. Every label has a bounded set of values.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::process::usage;
use super::{BOUNDS, Histogram, RESENDS, Shards, TokenCounters};

/// The media type of an [`exposition`].
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What an exposition is made of.
#[derive(Debug)]
pub struct Readings<'a> {
    /// What each profile counts.
    pub profiles: Vec<ProfileReadings<'a>>,
    /// The process has begun to end.
    pub draining: bool,
    /// The program's version.
    pub version: &'static str,
    /// When the process started.
    pub started: SystemTime,
}

/// What one profile counts.
#[derive(Debug)]
pub struct ProfileReadings<'a> {
    /// Its name, where profiles are to be told apart.
    pub name: Option<&'a str>,
    /// Requests and connections.
    pub shards: &'a Shards,
    /// Token requests; `None` where the credentials are another profile's.
    pub tokens: Option<&'a TokenCounters>,
}

/// Everything there is to scrape. Reads two files of `/proc` on Linux, and sums the shards.
pub fn exposition(readings: &Readings<'_>) -> String {
    let mut families: Vec<MetricFamily> = Vec::new();
    for profile in &readings.profiles {
        let mut own = requests(profile.shards);
        own.extend(profile.tokens.into_iter().flat_map(tokens));
        for family in own {
            merge(&mut families, family, profile.name);
        }
    }
    let connections = readings.profiles.iter().map(|profile| profile.shards.connections()).sum::<usize>();
    families.push(gauge(
        "cxone_proxy_connections_open",
        "Client connections.",
        &[],
        number(connections as u64),
    ));
    families.extend(process(readings));
    // Fails only for a family without samples or without a name, and there is none here.
    TextEncoder::new().encode_to_string(&families).unwrap_or_default()
}

/// Puts a profile's samples to those of the others, with its name where they are told apart.
fn merge(families: &mut Vec<MetricFamily>, mut family: MetricFamily, profile: Option<&str>) {
    let mut samples = family.take_metric();
    if let Some(profile) = profile {
        for sample in &mut samples {
            let mut labels = sample.take_label();
            labels.push(label("profile", profile));
            sample.set_label(labels);
        }
    }
    if let Some(known) = families.iter_mut().find(|known| known.name() == family.name()) {
        known.mut_metric().extend(samples);
    } else {
        family.set_metric(samples);
        families.push(family);
    }
}

fn requests(shards: &Shards) -> Vec<MetricFamily> {
    vec![
        answers(shards),
        histogram(
            "cxone_proxy_request_duration_seconds",
            "Time from the end of a request's head to the end of its answer.",
            shards.iter().map(|shard| &shard.request_duration),
        ),
        histogram(
            "cxone_proxy_upstream_duration_seconds",
            "Time from sending a request upstream to the head of its answer, each attempt by itself.",
            shards.iter().map(|shard| &shard.upstream_duration),
        ),
        by_reason(
            "cxone_proxy_retries_total",
            "Requests sent upstream again, by what made it necessary.",
            shards.resends(),
        ),
        by_reason(
            "cxone_proxy_replays_skipped_total",
            "Requests not sent again because their content is larger than the replay buffer.",
            shards.replays_skipped(),
        ),
        counter(
            "cxone_proxy_requests_abandoned_total",
            "Requests whose client went away before an answer.",
            [sample(&[], shards.abandoned())],
        ),
        gauge(
            "cxone_proxy_requests_in_flight",
            "Requests whose answer has not ended.",
            &[],
            number(shards.in_flight() as u64),
        ),
    ]
}

fn answers(shards: &Shards) -> MetricFamily {
    // A family needs a sample, and the first request of a kind should be seen as an increase: the
    // commonest kind starts from 0.
    let mut counts = BTreeMap::from([(("GET", 200), 0)]);
    for (method, status, count) in shards.iter().flat_map(|shard| shard.requests()) {
        *counts.entry((method, status)).or_default() += count;
    }
    counter(
        "cxone_proxy_requests_total",
        "Answers to clients, the proxy's own included, by method and status.",
        counts.into_iter().map(|((method, status), count)| {
            sample(&[("method", method), ("status", itoa::Buffer::new().format(status))], count)
        }),
    )
}

fn tokens(tokens: &TokenCounters) -> Vec<MetricFamily> {
    vec![
        counter(
            "cxone_proxy_token_requests_total",
            "Token requests by grant and by what came of them.",
            tokens
                .requests()
                .map(|(grant, outcome, count)| sample(&[("grant", grant), ("outcome", outcome)], count)),
        ),
        gauge(
            "cxone_proxy_token_expiry_timestamp_seconds",
            "When the latest token expires, as Unix time; 0 before the first.",
            &[],
            tokens.expiry().as_secs_f64(),
        ),
        gauge(
            "cxone_proxy_token_last_success_timestamp_seconds",
            "When the latest token was obtained, as Unix time; 0 before the first.",
            &[],
            tokens.last_success().as_secs_f64(),
        ),
    ]
}

fn process(readings: &Readings<'_>) -> Vec<MetricFamily> {
    let phase = if readings.draining { "draining" } else { "serving" };
    let usage = usage();
    let mut families = vec![
        gauge(
            "cxone_proxy_build_info",
            "The program's version, always 1.",
            &[("version", readings.version)],
            1.0,
        ),
        gauge(
            "cxone_proxy_phase_info",
            "Whether the process is serving or draining, always 1.",
            &[("phase", phase)],
            1.0,
        ),
        gauge(
            "cxone_proxy_process_start_time_seconds",
            "When the process started, as Unix time.",
            &[],
            readings.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
        ),
    ];
    families.extend(usage.resident.map(|bytes| {
        gauge(
            "cxone_proxy_process_resident_memory_bytes",
            "Memory of the process in RAM.",
            &[],
            number(bytes),
        )
    }));
    families.extend(usage.cpu.map(|time| {
        let mut metric = Metric::default();
        metric.set_counter(counted(time.as_secs_f64()));
        counter(
            "cxone_proxy_process_cpu_seconds_total",
            "User and system time that the process has used.",
            [metric],
        )
    }));
    families
}

/// One sample for each reason, also for those that never occurred: a rate needs a start.
fn by_reason(name: &str, help: &str, counts: [u64; RESENDS.len()]) -> MetricFamily {
    let samples = RESENDS.iter().zip(counts).map(|(reason, count)| sample(&[("reason", reason)], count));
    counter(name, help, samples)
}

fn histogram<'a>(name: &str, help: &str, parts: impl Iterator<Item = &'a Histogram>) -> MetricFamily {
    let mut counts = [0; BOUNDS.len() + 1];
    let mut seconds = 0.0;
    for (part, sum) in parts.map(Histogram::read) {
        counts.iter_mut().zip(part).for_each(|(count, more)| *count += more);
        seconds += sum;
    }
    let mut cumulative = 0;
    let buckets = counts.iter().zip(BOUNDS).map(|(count, bound)| {
        cumulative += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut histogram = prometheus::proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    // The bucket without a bound is written from this.
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(seconds);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    family(name, help, MetricType::HISTOGRAM, vec![metric])
}

fn counter(name: &str, help: &str, samples: impl IntoIterator<Item = Metric>) -> MetricFamily {
    family(name, help, MetricType::COUNTER, samples.into_iter().collect())
}

fn gauge(name: &str, help: &str, labels: &[(&str, &str)], value: f64) -> MetricFamily {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    family(name, help, MetricType::GAUGE, vec![metric])
}

fn family(name: &str, help: &str, kind: MetricType, samples: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(samples);
    family
}

fn sample(labels: &[(&str, &str)], count: u64) -> Metric {
    let mut metric = labelled(labels);
    metric.set_counter(counted(number(count)));
    metric
}

fn counted(value: f64) -> Counter {
    let mut counter = Counter::default();
    counter.set_value(value);
    counter
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    Metric::from_label(labels.iter().map(|(name, value)| label(name, value)).collect())
}

fn label(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// The format knows floating point numbers only.
#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53, which no count or size here reaches")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;

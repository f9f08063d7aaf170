//! The exposition against the contract's list.

#![expect(
    clippy::float_cmp,
    reason = "what is compared was written as a short decimal and read back exactly"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use http::{Method, StatusCode};

use super::*;
use crate::access;

/// Every family: name, type, labels. Section 7 of the contract, and what we have beyond it.
const FAMILIES: [(&str, &str, &[&str]); 26] = [
    ("cxone_proxy_build_info", "gauge", &["version"]),
    ("cxone_proxy_connections_open", "gauge", &[]),
    ("cxone_proxy_errors_total", "counter", &["type"]),
    ("cxone_proxy_guard_refusals_total", "counter", &["reason"]),
    ("cxone_proxy_log_lines_dropped_total", "counter", &[]),
    ("cxone_proxy_phase_info", "gauge", &["phase"]),
    ("cxone_proxy_rate_limited_responses_total", "counter", &["profile"]),
    ("cxone_proxy_ready", "gauge", &["profile"]),
    ("cxone_proxy_replays_skipped_total", "counter", &["profile", "reason"]),
    ("cxone_proxy_request_duration_seconds", "histogram", &["profile"]),
    ("cxone_proxy_requests_abandoned_total", "counter", &["profile"]),
    ("cxone_proxy_requests_in_flight", "gauge", &["profile"]),
    ("cxone_proxy_requests_total", "counter", &["method", "profile", "status"]),
    ("cxone_proxy_retries_total", "counter", &["profile", "reason"]),
    ("cxone_proxy_token_expiry_timestamp_seconds", "gauge", &["profile"]),
    ("cxone_proxy_token_last_success_timestamp_seconds", "gauge", &["profile"]),
    ("cxone_proxy_token_requests_total", "counter", &["grant", "outcome", "profile"]),
    ("cxone_proxy_upstream_duration_seconds", "histogram", &["profile"]),
    ("cxone_proxy_upstream_responses_total", "counter", &["profile", "status"]),
    ("cxone_proxy_wait_seconds_total", "counter", &["profile", "reason"]),
    ("process_cpu_seconds_total", "counter", &[]),
    ("process_max_fds", "gauge", &[]),
    ("process_open_fds", "gauge", &[]),
    ("process_resident_memory_bytes", "gauge", &[]),
    ("process_start_time_seconds", "gauge", &[]),
    ("process_virtual_memory_bytes", "gauge", &[]),
];

fn metrics() -> Metrics {
    Metrics::new("1.2.3", UNIX_EPOCH + Duration::from_secs(1_700_000_000))
}

/// A family as the text format shows it.
#[derive(Debug, Default)]
struct Family {
    help: String,
    kind: String,
    /// Name of the sample, labels, value.
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!families.contains_key(name), "{name} twice");
            name.clone_into(&mut current);
            families.entry(current.clone()).or_default().help = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current);
            families.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, "}"));
            let labels = labels.strip_suffix('}').unwrap();
            let pairs = labels.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
                let (name, value) = pair.split_once('=').unwrap();
                (name.to_owned(), value.trim_matches('"').to_owned())
            });
            let sample = (name.to_owned(), pairs.collect(), value.parse().unwrap());
            families.get_mut(&current).unwrap().samples.push(sample);
        }
    }
    families
}

/// The value of the one sample with these labels and perhaps others.
fn value(metrics: &Metrics, name: &str, labels: &[(&str, &str)]) -> f64 {
    let families = parse(&metrics.exposition());
    let all = families.values().flat_map(|family| &family.samples);
    let mut found = all.filter(|(own, pairs, _)| {
        own == name && labels.iter().all(|(name, value)| pairs.get(*name).is_some_and(|own| own == value))
    });
    let (_, _, value) = found.next().unwrap_or_else(|| panic!("no {name} {labels:?}"));
    assert!(found.next().is_none(), "more than one {name} {labels:?}");
    *value
}

fn complete() -> Metrics {
    let metrics = metrics();
    metrics.profile("default").token_observer();
    metrics.log_lines_dropped(|| 3);
    metrics.connections_open(|| 2);
    access::problem_counters(&metrics);
    access::Guard::new(access::Settings::default(), &metrics, crate::clock::Clock::System);
    metrics
}

#[test]
fn every_family_of_the_contract_is_there_from_the_start_and_no_other() {
    let families = parse(&complete().exposition());
    let listed: BTreeSet<&str> = FAMILIES.iter().map(|(name, ..)| *name).collect();
    let found: BTreeSet<&str> = families.keys().map(String::as_str).collect();
    assert_eq!(found, listed);
    for (name, kind, labels) in FAMILIES {
        let family = &families[name];
        assert_eq!(family.kind, kind, "{name}");
        assert!(family.help.len() > 20 && family.help.ends_with('.'), "{name}: {}", family.help);
        assert!(!family.samples.is_empty(), "{name}");
        for (sample, own, _) in &family.samples {
            let own: BTreeSet<&str> = own.keys().map(String::as_str).filter(|label| *label != "le").collect();
            assert_eq!(own, labels.iter().copied().collect(), "{sample}");
        }
    }
}

#[test]
fn names_end_with_what_they_count_in() {
    let plain = [
        "cxone_proxy_ready",
        "cxone_proxy_requests_in_flight",
        "cxone_proxy_connections_open",
        "process_open_fds",
        "process_max_fds",
    ];
    for (name, family) in parse(&complete().exposition()) {
        assert!(name.starts_with("cxone_proxy_") || name.starts_with("process_"), "{name}");
        let has_unit = ["_seconds", "_bytes", "_info"].iter().any(|unit| name.ends_with(unit));
        match family.kind.as_str() {
            "counter" => assert!(name.ends_with("_total"), "{name}"),
            "histogram" => assert!(name.ends_with("_seconds"), "{name}"),
            _ => assert!(has_unit || plain.contains(&name.as_str()), "{name}"),
        }
    }
}

#[test]
fn responses_are_counted_by_method_and_status_on_all_cores() {
    let metrics = metrics();
    let one = metrics.profile("default");
    let two = one.for_core();
    one.response(&Method::GET, StatusCode::OK);
    two.response(&Method::GET, StatusCode::OK);
    two.clone().response(&Method::from_bytes(b"PROPFIND").unwrap(), StatusCode::OK);
    two.response(&Method::from_bytes(b"get").unwrap(), StatusCode::OK);
    one.response(&Method::PATCH, StatusCode::from_u16(999).unwrap());
    one.response(&Method::TRACE, StatusCode::METHOD_NOT_ALLOWED);
    for (method, status, due) in
        [("GET", "200", 2.0), ("other", "200", 2.0), ("PATCH", "599", 1.0), ("TRACE", "405", 1.0)]
    {
        let labels = [("method", method), ("status", status), ("profile", "default")];
        assert_eq!(value(&metrics, "cxone_proxy_requests_total", &labels), due, "{method} {status}");
    }
    assert_eq!(one.responses(), 6);
    assert_eq!(two.responses(), 6);
}

#[test]
fn every_method_has_a_row_of_its_own() {
    let metrics = metrics();
    let profile = metrics.profile("default");
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    for method in methods {
        profile.response(&method.parse().unwrap(), StatusCode::CREATED);
    }
    for method in methods {
        let labels = [("method", method), ("status", "201")];
        assert_eq!(value(&metrics, "cxone_proxy_requests_total", &labels), 1.0, "{method}");
    }
}

#[test]
fn the_api_is_counted_apart_from_the_proxy() {
    let metrics = metrics();
    let profile = metrics.profile("default");
    profile.upstream_response(StatusCode::UNAUTHORIZED, Duration::from_millis(3));
    profile.for_core().upstream_response(StatusCode::OK, Duration::from_millis(40));
    profile.request_finished(Duration::from_millis(60));
    assert_eq!(value(&metrics, "cxone_proxy_upstream_responses_total", &[("status", "401")]), 1.0);
    assert_eq!(value(&metrics, "cxone_proxy_upstream_responses_total", &[("status", "200")]), 1.0);
    assert_eq!(value(&metrics, "cxone_proxy_upstream_duration_seconds_count", &[]), 2.0);
    assert_eq!(value(&metrics, "cxone_proxy_upstream_duration_seconds_bucket", &[("le", "0.005")]), 1.0);
    assert_eq!(value(&metrics, "cxone_proxy_upstream_duration_seconds_bucket", &[("le", "+Inf")]), 2.0);
    assert_eq!(value(&metrics, "cxone_proxy_request_duration_seconds_sum", &[]), 0.06);
}

#[test]
fn requests_in_flight_follow_their_profile_and_end_once() {
    let metrics = metrics();
    let (api, digital) = (metrics.profile("api"), metrics.profile("digital"));
    let gauge = |profile| value(&metrics, "cxone_proxy_requests_in_flight", &[("profile", profile)]);
    let mut first = api.enter(tokio::time::Instant::now());
    let second = digital.for_core().enter(tokio::time::Instant::now());
    assert_eq!((first.total(), second.total()), (1, 2));
    assert_eq!((gauge("api"), gauge("digital"), metrics.in_flight()), (1.0, 1.0, 2));
    first.move_to(&digital);
    first.move_to(&digital);
    assert_eq!((gauge("api"), gauge("digital"), metrics.in_flight()), (0.0, 2.0, 2));
    assert_eq!((api.in_flight(), digital.in_flight()), (0, 2));
    drop((first, second));
    assert_eq!((gauge("api"), gauge("digital"), metrics.in_flight()), (0.0, 0.0, 0));
}

#[test]
fn what_is_rare_is_counted_by_reason() {
    let metrics = metrics();
    let (api, digital) = (metrics.profile("api"), metrics.profile("digital"));
    api.retry(RetryReason::Connection);
    api.for_core().retry(RetryReason::Connection);
    digital.retry(RetryReason::Unauthorized);
    digital.replay_skipped(RetryReason::RateLimited);
    api.wait(WaitReason::Token, Duration::from_millis(1500));
    api.wait(WaitReason::Token, Duration::from_millis(1500));
    digital.rate_limited();
    digital.abandoned();
    digital.set_ready(true);
    let due = [
        ("cxone_proxy_retries_total", "api", Some("connection"), 2.0),
        ("cxone_proxy_retries_total", "api", Some("unauthorized"), 0.0),
        ("cxone_proxy_retries_total", "digital", Some("unauthorized"), 1.0),
        ("cxone_proxy_replays_skipped_total", "digital", Some("rate_limited"), 1.0),
        ("cxone_proxy_wait_seconds_total", "api", Some("token"), 3.0),
        ("cxone_proxy_wait_seconds_total", "api", Some("queue"), 0.0),
        ("cxone_proxy_rate_limited_responses_total", "digital", None, 1.0),
        ("cxone_proxy_requests_abandoned_total", "digital", None, 1.0),
        ("cxone_proxy_ready", "api", None, 0.0),
        ("cxone_proxy_ready", "digital", None, 1.0),
    ];
    for (name, profile, reason, due) in due {
        let labels: Vec<_> =
            [("profile", profile)].into_iter().chain(reason.map(|reason| ("reason", reason))).collect();
        assert_eq!(value(&metrics, name, &labels), due, "{name} {profile} {reason:?}");
    }
    assert_eq!((api.retries(RetryReason::Connection), digital.retries(RetryReason::Connection)), (2, 0));
}

#[test]
fn token_requests_are_counted_for_whoever_owns_the_credentials() {
    let metrics = metrics();
    let owner = metrics.profile("api").token_observer();
    metrics.profile("shares_them");
    owner.token_request("client_credentials", "ok", SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH);
    owner.token_request("refresh_token", "refused", SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH);
    owner.token_request(
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "ok",
        SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH,
    );
    owner.token_request("client_credentials", "lost", SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH);
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    owner.token_obtained(at, at + Duration::from_hours(1));
    for (grant, outcome, due) in [
        ("client_credentials", "ok", 1.0),
        ("refresh_token", "refused", 1.0),
        ("access_key", "unusable", 0.0),
        ("other", "ok", 1.0),
        ("client_credentials", "other", 1.0),
    ] {
        let labels = [("grant", grant), ("outcome", outcome), ("profile", "api")];
        assert_eq!(value(&metrics, "cxone_proxy_token_requests_total", &labels), due, "{grant} {outcome}");
    }
    let expiry = value(&metrics, "cxone_proxy_token_expiry_timestamp_seconds", &[]);
    assert_eq!(expiry, 1_700_003_600.25);
    assert_eq!(value(&metrics, "cxone_proxy_token_last_success_timestamp_seconds", &[]), 1_700_000_000.25);
    assert!(!metrics.exposition().contains("outcome=\"ok\",profile=\"shares_them\""));
}

#[test]
fn the_process_is_described() {
    let metrics = complete();
    assert_eq!(value(&metrics, "cxone_proxy_build_info", &[("version", "1.2.3")]), 1.0);
    assert_eq!(value(&metrics, "process_start_time_seconds", &[]), 1_700_000_000.0);
    assert_eq!(value(&metrics, "cxone_proxy_log_lines_dropped_total", &[]), 3.0);
    assert_eq!(value(&metrics, "cxone_proxy_phase_info", &[("phase", "serving")]), 1.0);
    metrics.set_draining(true);
    assert_eq!(value(&metrics, "cxone_proxy_phase_info", &[("phase", "draining")]), 1.0);
    assert!(!metrics.exposition().contains("phase=\"serving\""));
    assert_eq!(value(&metrics, "cxone_proxy_connections_open", &[]), 2.0);
}

#[test]
fn the_same_name_counts_together() {
    let metrics = metrics();
    let (one, other) = (access::problem_counters(&metrics), access::problem_counters(&metrics));
    one.add(access::ProblemKind::Loop);
    other.add(access::ProblemKind::Loop);
    assert_eq!(one.count(access::ProblemKind::Loop), 2);
    assert_eq!(value(&metrics, "cxone_proxy_errors_total", &[("type", "loop")]), 2.0);
    let series = parse(&metrics.exposition())["cxone_proxy_errors_total"].samples.len();
    assert_eq!(series, access::ProblemKind::ALL.len(), "each type is there from the start");
}

#[test]
fn no_profiles_name_can_break_the_format() {
    let metrics = metrics();
    metrics.profile("a\"b\\c\nd").response(&Method::GET, StatusCode::OK);
    let text = metrics.exposition();
    assert!(text.contains(r#"profile="a\"b\\c\nd""#), "{text}");
}

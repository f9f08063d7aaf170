//! The text as a scraper reads it: line by line, by a reader that knows nothing of the writer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use proptest::prelude::*;

use super::*;
use crate::metrics::{METHODS, TokenObserver};

fn written(shards: &Shards, tokens: &TokenCounters) -> String {
    exposition(&Readings {
        profiles: vec![ProfileReadings { name: None, shards, tokens: Some(tokens) }],
        draining: false,
        version: "1.2.3",
        started: UNIX_EPOCH + Duration::from_millis(1_700_000_000_500),
    })
}

fn fresh() -> String {
    written(&Shards::new(2), &TokenCounters::default())
}

#[track_caller]
fn assert_holds(text: &str, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(text.lines().any(|own| own == line), "`{line}` is missing in:\n{text}");
    }
}

/// One sample line: its name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

/// Reads the format strictly: HELP, then TYPE, then at least one sample, for each family once.
fn read(text: &str) -> BTreeMap<String, (String, Vec<Sample>)> {
    assert!(text.ends_with('\n'));
    let mut families: BTreeMap<String, (String, Vec<Sample>)> = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(help) = lines.next() {
        let (name, about) = help.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
        assert!(about.ends_with('.') && about.len() > 15, "{help}");
        let (named, kind) = lines.next().unwrap().strip_prefix("# TYPE ").unwrap().split_once(' ').unwrap();
        assert_eq!(name, named);
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap();
            let pairs = labels.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
                let (label, value) = pair.split_once('=').unwrap();
                let value = value.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
                (label.to_owned(), value.to_owned())
            });
            samples.push((name.to_owned(), pairs.collect(), value.parse().unwrap()));
        }
        assert!(!samples.is_empty(), "{name} has no sample");
        assert!(families.insert(name.to_owned(), (kind.to_owned(), samples)).is_none(), "{name} twice");
    }
    families
}

fn is_count(value: f64, count: usize) -> bool {
    (value - number(count as u64)).abs() < 0.5
}

#[test]
fn a_fresh_process_shows_every_family() {
    assert_holds(
        &fresh(),
        r#"
        # HELP cxone_proxy_requests_total Answers to clients, the proxy's own included, by method and status.
        # TYPE cxone_proxy_requests_total counter
        cxone_proxy_requests_total{method="GET",status="200"} 0
        # TYPE cxone_proxy_request_duration_seconds histogram
        cxone_proxy_request_duration_seconds_bucket{le="0.0005"} 0
        cxone_proxy_request_duration_seconds_bucket{le="120"} 0
        cxone_proxy_request_duration_seconds_bucket{le="+Inf"} 0
        cxone_proxy_request_duration_seconds_sum 0
        cxone_proxy_request_duration_seconds_count 0
        # TYPE cxone_proxy_upstream_duration_seconds histogram
        cxone_proxy_upstream_duration_seconds_count 0
        # TYPE cxone_proxy_retries_total counter
        cxone_proxy_retries_total{reason="unauthorized"} 0
        cxone_proxy_retries_total{reason="rate_limited"} 0
        cxone_proxy_retries_total{reason="connection"} 0
        # TYPE cxone_proxy_replays_skipped_total counter
        cxone_proxy_replays_skipped_total{reason="unauthorized"} 0
        cxone_proxy_replays_skipped_total{reason="rate_limited"} 0
        cxone_proxy_replays_skipped_total{reason="connection"} 0
        # TYPE cxone_proxy_requests_abandoned_total counter
        cxone_proxy_requests_abandoned_total 0
        # TYPE cxone_proxy_requests_in_flight gauge
        cxone_proxy_requests_in_flight 0
        # TYPE cxone_proxy_connections_open gauge
        cxone_proxy_connections_open 0
        # TYPE cxone_proxy_token_requests_total counter
        cxone_proxy_token_requests_total{grant="client_credentials",outcome="ok"} 0
        cxone_proxy_token_requests_total{grant="refresh_token",outcome="unusable"} 0
        # TYPE cxone_proxy_token_expiry_timestamp_seconds gauge
        cxone_proxy_token_expiry_timestamp_seconds 0
        # TYPE cxone_proxy_token_last_success_timestamp_seconds gauge
        cxone_proxy_token_last_success_timestamp_seconds 0
        # TYPE cxone_proxy_build_info gauge
        cxone_proxy_build_info{version="1.2.3"} 1
        cxone_proxy_phase_info{phase="serving"} 1
        # TYPE cxone_proxy_process_start_time_seconds gauge
        cxone_proxy_process_start_time_seconds 1700000000.5
        "#,
    );
}

#[test]
fn every_family_says_its_unit() {
    let without_unit = BTreeSet::from(["cxone_proxy_requests_in_flight", "cxone_proxy_connections_open"]);
    for (name, (kind, samples)) in read(&fresh()) {
        assert!(name.starts_with("cxone_proxy_"), "{name}");
        let has_unit = ["_seconds", "_bytes", "_info"].iter().any(|unit| name.ends_with(unit));
        match kind.as_str() {
            "counter" => assert!(name.ends_with("_total"), "{name}"),
            "gauge" => assert!(has_unit != without_unit.contains(name.as_str()), "{name}"),
            "histogram" => assert!(name.ends_with("_seconds"), "{name}"),
            other => panic!("{name} is a {other}"),
        }
        for (series, labels, _) in samples {
            let suffix = series.strip_prefix(&name).unwrap();
            assert_eq!(suffix.is_empty(), kind != "histogram", "{series}");
            assert!(!labels.contains_key("path"), "{series}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_process_tells_what_it_uses() {
    let families = read(&fresh());
    let (kind, samples) = &families["cxone_proxy_process_resident_memory_bytes"];
    assert!(kind == "gauge" && samples[0].2 > 100_000.0, "{samples:?}");
    assert_eq!(families["cxone_proxy_process_cpu_seconds_total"].0, "counter");
}

#[test]
fn the_cores_are_summed() {
    let shards = Shards::new(3);
    for (shard, status) in shards.iter().zip([200, 200, 502]) {
        shard.answered(&Method::POST, status);
        shard.answered(&Method::from_bytes(b"PROPFIND").unwrap(), 200);
        shard.resent(0);
        shard.replay_skipped(1);
        shard.in_flight.fetch_add(2, Ordering::Relaxed);
        shard.connections.fetch_add(3, Ordering::Relaxed);
        shard.abandoned.fetch_add(1, Ordering::Relaxed);
        shard.request_duration.observe(Duration::from_millis(20));
        shard.upstream_duration.observe(Duration::from_mins(5));
    }
    let tokens = TokenCounters::default();
    tokens.token_request("client_credentials", "refused");
    tokens.token_request("authorization_code", "ok");
    let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    tokens.token_obtained(at, at + Duration::from_hours(1));
    let text = written(&shards, &tokens);
    assert_holds(
        &text,
        r#"
        cxone_proxy_requests_total{method="GET",status="200"} 0
        cxone_proxy_requests_total{method="POST",status="200"} 2
        cxone_proxy_requests_total{method="POST",status="502"} 1
        cxone_proxy_requests_total{method="other",status="200"} 3
        cxone_proxy_retries_total{reason="unauthorized"} 3
        cxone_proxy_retries_total{reason="rate_limited"} 0
        cxone_proxy_replays_skipped_total{reason="rate_limited"} 3
        cxone_proxy_requests_in_flight 6
        cxone_proxy_connections_open 9
        cxone_proxy_requests_abandoned_total 3
        cxone_proxy_request_duration_seconds_bucket{le="0.01"} 0
        cxone_proxy_request_duration_seconds_bucket{le="0.025"} 3
        cxone_proxy_request_duration_seconds_bucket{le="120"} 3
        cxone_proxy_request_duration_seconds_bucket{le="+Inf"} 3
        cxone_proxy_request_duration_seconds_sum 0.06
        cxone_proxy_request_duration_seconds_count 3
        cxone_proxy_upstream_duration_seconds_bucket{le="120"} 0
        cxone_proxy_upstream_duration_seconds_bucket{le="+Inf"} 3
        cxone_proxy_upstream_duration_seconds_sum 900
        cxone_proxy_token_requests_total{grant="client_credentials",outcome="refused"} 1
        cxone_proxy_token_requests_total{grant="other",outcome="ok"} 1
        cxone_proxy_token_expiry_timestamp_seconds 1700003600.25
        cxone_proxy_token_last_success_timestamp_seconds 1700000000.25
        "#,
    );
    read(&text);
}

#[test]
fn profiles_are_told_apart_by_a_label() {
    let (one, two, tokens) = (Shards::new(1), Shards::new(1), TokenCounters::default());
    for shard in two.iter() {
        shard.answered(&Method::GET, 200);
        shard.connections.fetch_add(2, Ordering::Relaxed);
    }
    let text = exposition(&Readings {
        profiles: vec![
            ProfileReadings { name: Some("one"), shards: &one, tokens: Some(&tokens) },
            ProfileReadings { name: Some("two"), shards: &two, tokens: None },
        ],
        draining: false,
        version: "1",
        started: UNIX_EPOCH,
    });
    assert_holds(
        &text,
        r#"
        cxone_proxy_requests_total{method="GET",status="200",profile="one"} 0
        cxone_proxy_requests_total{method="GET",status="200",profile="two"} 1
        cxone_proxy_token_expiry_timestamp_seconds{profile="one"} 0
        cxone_proxy_connections_open 2
        "#,
    );
    assert!(!text.contains(r#"token_expiry_timestamp_seconds{profile="two"}"#));
    read(&text);
}

#[test]
fn draining_is_seen() {
    let (shards, tokens) = (Shards::new(1), TokenCounters::default());
    let text = exposition(&Readings {
        profiles: vec![ProfileReadings { name: None, shards: &shards, tokens: Some(&tokens) }],
        draining: true,
        version: "1",
        started: UNIX_EPOCH,
    });
    assert_holds(&text, r#"cxone_proxy_phase_info{phase="draining"} 1"#);
    assert!(!text.contains("serving\""));
}

proptest! {
    /// Whatever clients send, the number of series is bounded and none is lost.
    #[test]
    fn answers_of_any_kind_are_counted_under_bounded_labels(
        answers in proptest::collection::vec(("[A-Za-z!#$%&'*+.^_`|~-]{1,12}", any::<u16>(), 0..2_usize), 0..60),
    ) {
        let shards = Shards::new(2);
        for (method, status, core) in &answers {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            shards.iter().nth(*core).unwrap().answered(&method, *status);
        }
        let families = read(&written(&shards, &TokenCounters::default()));
        let (_, samples) = &families["cxone_proxy_requests_total"];
        for (_, labels, _) in samples {
            prop_assert!(labels["method"] == "other" || METHODS.contains(&labels["method"].as_str()));
            prop_assert!((100..600).contains(&labels["status"].parse::<u16>().unwrap()));
        }
        let sum: f64 = samples.iter().map(|(.., value)| value).sum();
        prop_assert!(is_count(sum, answers.len()));
        prop_assert_eq!(shards.answered(), answers.len() as u64);
    }

    /// Buckets never fall, each holds what is within its bound, and the last holds all.
    #[test]
    fn buckets_are_cumulative(millis in proptest::collection::vec(0..200_000_u64, 0..50)) {
        let shards = Shards::new(3);
        for (at, millis) in millis.iter().enumerate() {
            let shard = shards.iter().nth(at % 3).unwrap();
            shard.request_duration.observe(Duration::from_millis(*millis));
        }
        let families = read(&written(&shards, &TokenCounters::default()));
        let (_, samples) = &families["cxone_proxy_request_duration_seconds"];
        let buckets: Vec<f64> =
            samples.iter().filter(|(name, ..)| name.ends_with("_bucket")).map(|(.., value)| *value).collect();
        prop_assert_eq!(buckets.len(), BOUNDS.len() + 1);
        prop_assert!(buckets.is_sorted());
        for (bound, value) in BOUNDS.iter().zip(&buckets) {
            let within = millis.iter().filter(|millis| Duration::from_millis(**millis).as_secs_f64() <= *bound);
            prop_assert!(is_count(*value, within.count()));
        }
        prop_assert!(is_count(buckets[BOUNDS.len()], millis.len()));
    }
}

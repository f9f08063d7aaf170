//! What `/metrics` exposes: names, types, labels.

use std::collections::BTreeSet;
use std::path::Path;

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script};

use crate::support::{Message, Metrics, Setup, eventually, get, request};

/// A program of which every kind of event has happened once.
async fn eventful() -> Setup {
    let setup =
        Setup::launched(|launch| launch.flag("replay-buffer", "64KiB").flag("budget", "10000/1h")).await;
    let once = |canned: Canned| Script::of([Fault::new(Action::Status(canned)).at(Endpoint::Api).times(1)]);
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup.region.script(once(Canned::new(401)));
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup.region.script(once(Canned::new(429).field("Retry-After", "1")));
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup.region.script(once(Canned::new(429).field("Retry-After", "0")));
    let large = request("POST", "/api/v2/upload", "", &"x".repeat(500_000));
    assert_eq!(setup.fetch(large).await.status(), 429);
    let foreign = setup.fetch("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    assert_eq!(foreign.status(), 421);
    let odd = setup.fetch(request("FROBNICATE", "/api/v2/echo", "", "")).await;
    assert_eq!(odd.status(), 200);
    setup
}

/// Asks the metrics until all requests are counted, which may be a moment after their responses.
async fn settled(setup: &Setup) -> Metrics {
    setup.in_flight(0).await;
    setup.metrics().await
}

#[tokio::test]
async fn every_promised_metric_is_there() {
    let setup = eventful().await;
    let metrics = settled(&setup).await;
    let count = |name: &str, labels: &[(&str, &str)]| metrics.count(&format!("cxone_proxy_{name}"), labels);
    let own = [("profile", "default")];

    assert_eq!(count("requests_total", &own), 6);
    assert_eq!(count("requests_total", &[("method", "GET"), ("status", "200")]), 3);
    assert_eq!(count("requests_total", &[("method", "GET"), ("status", "421")]), 1);
    assert_eq!(count("requests_total", &[("method", "other"), ("status", "200")]), 1);
    assert_eq!(count("upstream_responses_total", &[("status", "200"), own[0]]), 4);
    assert_eq!(count("upstream_responses_total", &[("status", "401"), own[0]]), 1);
    assert_eq!(count("upstream_responses_total", &[("status", "429"), own[0]]), 2);
    assert_eq!(count("errors_total", &[("type", "wrong-host")]), 1);
    assert_eq!(count("request_duration_seconds_count", &own), 6);
    assert_eq!(count("upstream_duration_seconds_count", &own), 7);
    assert_eq!(count("retries_total", &[("reason", "unauthorized"), own[0]]), 1);
    assert_eq!(count("retries_total", &[("reason", "rate_limited"), own[0]]), 1);
    assert_eq!(count("retries_total", &[("reason", "connection"), own[0]]), 0);
    assert_eq!(count("rate_limited_responses_total", &own), 2);
    assert_eq!(count("guard_refusals_total", &[]), 1);
    assert_eq!(count("replays_skipped_total", &[("reason", "rate_limited"), own[0]]), 1);
    for grant in ["client_credentials", "refresh_token"] {
        let labels = [("grant", grant), ("outcome", "ok"), own[0]];
        assert_eq!(count("token_requests_total", &labels), 1, "{grant}");
    }
    assert_eq!(count("ready", &[]), 1);
    assert_eq!(count("requests_in_flight", &[]), 0);
    assert_eq!(count("log_lines_dropped_total", &[]), 0);
    assert_eq!(count("build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1);
    assert!(metrics.sum("cxone_proxy_connections_open", &[]).is_some());

    let seconds =
        |name: &str, labels: &[(&str, &str)]| metrics.sum(&format!("cxone_proxy_{name}"), labels).unwrap();
    assert!((0.9..10.0).contains(&seconds("wait_seconds_total", &[("reason", "rate_limited")])));
    for reason in ["token", "queue"] {
        assert!(seconds("wait_seconds_total", &[("reason", reason)]) >= 0.0, "{reason}");
    }
    let expiry = seconds("token_expiry_timestamp_seconds", &own);
    let success = seconds("token_last_success_timestamp_seconds", &own);
    assert!((3500.0..=3601.0).contains(&(expiry - success)), "{expiry} {success}");
}

#[tokio::test]
async fn process_metrics_have_their_standard_names() {
    let setup = Setup::new().await;
    let metrics = setup.metrics().await;
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"] {
        assert!(metrics.sum(name, &[]).unwrap_or_default() >= 0.0, "{name}");
        assert!(metrics.families().contains_key(name), "{name}");
        assert!(!metrics.text().contains(&format!("cxone_proxy_{name}")), "{name}");
    }
}

#[tokio::test]
async fn every_family_has_help_a_unit_and_labels_of_bounded_values() {
    let setup = eventful().await;
    let metrics = settled(&setup).await;
    let plain_gauges = [
        "ready",
        "requests_in_flight",
        "connections_open",
        "build_info",
        "pace_limited",
        "pace_learned_rate",
        "queue_length",
        "budget_left",
    ];
    for (name, (kind, help)) in metrics.families() {
        if name.starts_with("process_") {
            continue;
        }
        let own = name.strip_prefix("cxone_proxy_").unwrap_or_else(|| panic!("{name} is not ours"));
        assert!(help.ends_with('.'), "{name}: {help:?}");
        let has_unit = match kind {
            "counter" => own.ends_with("_total"),
            "histogram" => own.ends_with("_seconds") || own.ends_with("_bytes"),
            _ => own.ends_with("_seconds") || own.ends_with("_bytes") || own.ends_with("_info"),
        };
        assert!(has_unit || plain_gauges.contains(&own), "{name} is a {kind} without a unit");
    }
    let known = [
        "method", "status", "type", "reason", "grant", "outcome", "profile", "version", "le", "phase",
        "client", "limit", "quantile",
    ];
    for line in metrics.families().keys() {
        for label in metrics.labels(line) {
            assert!(known.contains(&label), "{line}: {label}");
        }
    }
    assert!(!metrics.text().contains("/api/"), "no paths");
}

/// What belongs to a profile carries its name, also where there are no profiles.
#[tokio::test]
async fn the_label_profile_is_always_there() {
    let setup = eventful().await;
    let metrics = settled(&setup).await;
    for name in [
        "requests_total",
        "upstream_responses_total",
        "retries_total",
        "token_requests_total",
        "token_expiry_timestamp_seconds",
        "requests_in_flight",
    ] {
        let values: BTreeSet<_> =
            metrics.values(&format!("cxone_proxy_{name}"), "profile").into_iter().collect();
        assert_eq!(values, BTreeSet::from(["default"]), "{name}");
    }
}

#[tokio::test]
async fn unknown_methods_count_as_other() {
    let setup = Setup::new().await;
    for method in ["FROBNICATE", "get", "M-SEARCH"] {
        assert_eq!(setup.fetch(request(method, "/api/v2/echo", "", "")).await.status(), 200);
    }
    let metrics = settled(&setup).await;
    assert_eq!(metrics.count("cxone_proxy_requests_total", &[("method", "other")]), 3);
    let methods: BTreeSet<_> = metrics.values("cxone_proxy_requests_total", "method").into_iter().collect();
    let known = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE", "other"];
    assert!(methods.iter().all(|method| known.contains(method)), "{methods:?}");
}

#[tokio::test]
async fn open_connections_and_requests_in_flight_are_counted() {
    let setup = Setup::new().await;
    let mut busy = setup.connect().await;
    busy.send(get("/api/v2/long-poll?seconds=60")).await;
    setup.in_flight(1).await;
    let metrics = setup.metrics().await;
    assert_eq!(metrics.count("cxone_proxy_requests_in_flight", &[]), 1);
    // Whether the connection of the scrape itself counts is left open.
    assert!((1..=2).contains(&metrics.count("cxone_proxy_connections_open", &[])));
    drop(busy);
    setup.in_flight(0).await;
}

/// The rows of the only table in the documents with this header.
fn documented(header: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let texts: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let found = texts.iter().find_map(|text| text.split_once(&format!("{header}\n| --- |")));
    let (_, rows) = found.unwrap_or_else(|| panic!("no table {header}"));
    let (_, rows) = rows.split_once('\n').unwrap();
    rows.split_once("\n\n").map_or(rows, |(rows, _)| rows).to_owned()
}

/// Of the text `key`.
const SHA256_OF_KEY: &str = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

#[tokio::test]
async fn the_documents_list_exactly_the_metrics_that_are_exposed() {
    let setup = eventful().await;
    // One more kind that does not come by itself: a client that leaves.
    let mut leaving = setup.connect().await;
    leaving.send(get("/api/v2/long-poll?seconds=60")).await;
    setup.in_flight(1).await;
    drop(leaving);
    let metrics = settled(&setup).await;
    let table = documented("| metric | labels | meaning |");
    let documented: BTreeSet<_> = table.lines().filter_map(|row| row.split('`').nth(1)).collect();
    // Clients are there only where a file names them.
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("clients.toml");
    std::fs::write(&path, format!("[[client]]\nname = \"one\"\nkey_sha256 = \"{SHA256_OF_KEY}\"\n")).unwrap();
    // And replicas only where there is a store, which need not answer.
    let store = "redis://127.0.0.1:9";
    let guarded = Setup::launched(|launch| launch.flag("clients", &path).flag("redis-url", store)).await;
    eventually("a store that is away", async || {
        guarded.metrics().await.families().contains_key("cxone_proxy_shared_store_up").then_some(())
    })
    .await;
    let asked = guarded.fetch(request("GET", "/api/v2/users/me", "X-Proxy-Key: key\r\n", "")).await;
    assert_eq!(asked.status(), 200);
    let of_clients: Metrics = guarded.metrics().await;
    // And TLS only where there is a certificate.
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (files.path().join("proxy.pem"), files.path().join("proxy.key"));
    std::fs::write(&pem, certificate.cert.pem()).unwrap();
    std::fs::write(&key, certificate.signing_key.serialize_pem()).unwrap();
    let secure = Setup::launched(|launch| launch.flag("tls-cert", &pem).flag("tls-key", &key)).await;
    let of_tls: Metrics = secure.metrics().await;
    let more = of_clients.families().into_keys().chain(of_tls.families().into_keys());
    let exposed = metrics.families().into_keys().chain(more);
    let exposed: BTreeSet<_> = exposed.collect();
    let standard = |name: &&&str| !name.starts_with("process_");
    let documented_own: BTreeSet<_> = documented.iter().filter(standard).collect();
    assert_eq!(documented_own, exposed.iter().filter(standard).collect());
}

/// A client's error is not the proxy's, and the upstream's is not either.
#[tokio::test]
async fn errors_of_the_upstream_and_of_the_proxy_are_distinguished() {
    let setup = Setup::new().await;
    let canned = Action::Status(Canned::new(502).body("the upstream's"));
    setup.region.script(Script::of([Fault::new(canned).at(Endpoint::Api).times(1)]));
    let upstreams: Message = setup.get("/api/v2/users/me").await;
    assert_eq!((upstreams.status(), upstreams.text().as_str()), (502, "the upstream's"));
    setup.region.kill().await;
    eventually("a problem of the proxy", async || (setup.get("/").await.status() == 502).then_some(())).await;
    let metrics = settled(&setup).await;
    assert_eq!(metrics.count("cxone_proxy_upstream_responses_total", &[("status", "502")]), 1);
    assert_eq!(metrics.count("cxone_proxy_errors_total", &[("type", "upstream-unreachable")]), 1);
}

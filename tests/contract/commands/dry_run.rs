//! `serve --dry-run` and `serve --summary`: a load script is tried without asking anybody, and read afterwards.

use cxone_simulator::{Region, Settings};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Launch, RawConnection, Upstream, get, request, serve};

/// A dry run in front of an upstream that does not exist.
fn dry() -> Launch {
    serve("https://nowhere.invalid/tenant").argument("--dry-run")
}

#[tokio::test]
async fn a_dry_run_answers_by_itself_and_says_so() {
    let mut process = dry().listening().await;
    let mut connection = RawConnection::to(process.proxy_address()).await;
    let response = connection.fetch(get("//api/v2/users/a%2Fb?x=1")).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    assert!(response.only("x-dry-run").is_some(), "{}", response.start);
    let expected = json!({
        "dry_run": true, "method": "GET", "target": "/tenant//api/v2/users/a%2Fb?x=1", "body_bytes": 0,
    });
    assert_eq!(response.json(), expected);
    let response = connection.fetch(request("POST", "/api/v2/upload", "", "hello")).await;
    assert_eq!((response.status(), &response.json()["body_bytes"]), (200, &json!(5)));
    let ready = RawConnection::to(process.admin_address()).await.fetch(get("/readyz")).await;
    assert_eq!(ready.status(), 200, "{}", ready.text());
    assert!(process.warning_about("dry run").is_some(), "{:?}", process.log());
    process.signal(Signal::TERM);
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_dry_run_shares_nothing_with_other_replicas() {
    let store = Upstream::start().await;
    let process = dry().flag("redis-url", format!("redis://{}", store.address())).listening().await;
    let response = RawConnection::to(process.proxy_address()).await.fetch(get("/")).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    assert!(store.stays_unconnected().await);
}

#[tokio::test]
async fn a_dry_run_has_the_guard_and_the_limits_of_a_real_one() {
    let process = dry().listening().await;
    let page = "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    assert_eq!(RawConnection::to(process.proxy_address()).await.fetch(page).await.status(), 421);
    let (status, _, log) = dry().flag("max-wait", "soon").run().await;
    assert_eq!(status.code(), Some(2), "{log}");
}

#[tokio::test]
async fn the_summary_is_one_json_object_on_standard_output() {
    let region = Region::start(Settings::default()).await.unwrap();
    let mut process = serve(&region.base_url()).argument("--summary=json").listening().await;
    let mut connection = RawConnection::to(process.proxy_address()).await;
    for path in ["/api/v2/users/me", "/api/v2/status/429?retry_after=0", "/api/v2/nothing"] {
        connection.fetch(get(path)).await;
    }
    drop(connection);
    process.signal(Signal::TERM);
    let output = process.rest_of_output().await;
    let summary: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert_eq!(summary["requests"], 3);
    assert_eq!(summary["statuses"], json!({ "200": 1, "404": 1, "429": 1 }));
    assert_eq!(summary["retries"], json!({ "rate_limited": 3 }));
    assert_eq!(summary["upstream_statuses"]["429"], 4);
    assert_eq!(summary["token_requests"], json!({ "ok": 1 }));
    let latency = |key: &str| summary["latency_ms"][key].as_f64().unwrap();
    assert!(latency("p50") > 0.0 && latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_summary_for_people_is_lines() {
    let mut process = dry().argument("--summary").listening().await;
    RawConnection::to(process.proxy_address()).await.fetch(get("/api/v2/users/me")).await;
    process.signal(Signal::TERM);
    let output = process.rest_of_output().await;
    assert!(output.starts_with("requests        1 in "), "{output}");
    assert!(output.contains("statuses        200: 1\n"), "{output}");
}

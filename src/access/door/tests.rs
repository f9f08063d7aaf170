//! What the guard counts and logs.

use std::time::{Duration, UNIX_EPOCH};

use http::Request;
use tokio::time::advance;

use super::*;
use crate::log::recorder::Recorder;
use crate::metrics::Metrics;

fn from(host: &str, origin: Option<&str>) -> Parts {
    let request = Request::get("/api/v2/users?token=s3cret").header("host", host);
    let request = origin.into_iter().fold(request, |request, origin| request.header("origin", origin));
    request.body(()).unwrap().into_parts().0
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_refusals_is_counted_and_said_once_a_minute_for_each_reason() {
    let lines = Recorder::default();
    let log = tracing_subscriber::fmt().json().flatten_event(true).with_writer(lines.clone()).finish();
    let _log = tracing::subscriber::set_default(log);
    let metrics = Metrics::new("1.2.3", UNIX_EPOCH);
    let guard = Guard::new(Settings::default(), &metrics, Clock::System);
    let refuse = |host, origin| guard.admit(&from(host, origin), None, |_, _| false).unwrap_err();

    for _ in 0..1000 {
        refuse("evil.example", None);
    }
    refuse("localhost", Some("https://page.example"));
    let said = lines.take_json();
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(said[0]["reason"], "wrong_host");
    assert_eq!(said[0]["host"], "evil.example");
    assert_eq!(said[0]["path"], "/api/v2/users", "without the query");
    assert_eq!(said[0]["level"], "WARN");
    assert!(said[0]["hint"].as_str().unwrap().contains("CXONE_PROXY_ALLOWED_HOSTS"));
    assert!(said[0].get("requests_since_the_last_such_line").is_none());
    assert_eq!(said[1]["reason"], "origin");
    assert_eq!(said[1]["origin"], "https://page.example");

    advance(Duration::from_mins(1)).await;
    refuse("evil.example", None);
    let said = lines.take_json();
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["requests_since_the_last_such_line"], 1000);
    let counted = metrics.exposition();
    assert!(counted.contains("cxone_proxy_guard_refusals_total{reason=\"wrong_host\"} 1001\n"), "{counted}");
    assert!(counted.contains("cxone_proxy_guard_refusals_total{reason=\"origin\"} 1\n"), "{counted}");
}

#[tokio::test]
async fn what_is_admitted_is_not_said() {
    let metrics = Metrics::new("1.2.3", UNIX_EPOCH);
    let guard = Guard::new(Settings::default(), &metrics, Clock::System);
    assert!(guard.admit(&from("localhost", None), None, |_, _| false).is_ok());
    let counted = metrics.exposition();
    let others = counted.lines().filter(|line| line.starts_with("cxone_proxy_guard_refusals_total"));
    assert_eq!(others.filter(|line| !line.ends_with(" 0")).count(), 0, "{counted}");
}

//! `Server-Timing`: where the time of a request went, where that was asked for.

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script};

use crate::support::{Setup, get};

/// The `dur` of a metric in the proxy's own line.
fn duration(line: &str, metric: &str) -> f64 {
    let (_, rest) = line.split_once(&format!("{metric};dur=")).unwrap_or_else(|| panic!("{line}"));
    rest.split(',').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_response_says_where_its_time_went_and_keeps_the_upstream_s_own_line() {
    let setup = Setup::launched(|launch| launch.flag("server-timing", "true")).await;
    let limited = Canned::new(429).field("Retry-After", "1");
    let own = Canned::new(200).field("Server-Timing", "db;dur=5");
    setup.region.script(Script::of([
        Fault::new(Action::Status(limited)).at(Endpoint::Api).times(1),
        Fault::new(Action::Status(own)).at(Endpoint::Api),
    ]));
    let response = setup.fetch(get("/api/v2/users/me")).await;
    assert_eq!(response.status(), 200);
    let lines = response.all("server-timing");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "db;dur=5");
    assert!(lines[1].ends_with(", attempts;desc=\"2\""), "{lines:?}");
    assert!(duration(lines[1], "wait") >= 1000.0, "{lines:?}");
    assert!(duration(lines[1], "upstream") > 0.0, "{lines:?}");
}

#[tokio::test]
async fn a_response_says_nothing_of_it_by_default() {
    let setup = Setup::launched(|launch| launch).await;
    assert!(setup.fetch(get("/api/v2/users/me")).await.all("server-timing").is_empty());
}

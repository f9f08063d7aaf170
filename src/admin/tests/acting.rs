//! What an operator can do, who may do it, and what the pages show beyond the token.

use axum::http::StatusCode;
use tokio::time::sleep;

use super::stage::start;
use super::*;

fn post(path: &str) -> axum::http::request::Builder {
    Request::post(path).header(HOST, "localhost:8081")
}

#[tokio::test]
async fn a_pause_is_shown_and_ends() {
    let stage = Stage::play([Line::Grants(&[])]).await;
    stage.until("valid").await;
    for _ in 0..2 {
        assert_eq!(stage.here(post("/pause")).await.json(), json!({ "paused": true }));
    }
    assert!(stage.pause.is_on());
    let readyz = stage.get("/readyz").await;
    assert_eq!(
        (readyz.status, readyz.body.as_str()),
        (503, "not ready (paused): an operator has paused the proxy\n")
    );
    let status = stage.get("/status").await.json();
    assert_eq!((&status["ready"], &status["paused_since"]), (&json!(false), &json!("2023-11-14T22:13:20Z")));
    assert_eq!(stage.here(post("/resume")).await.json(), json!({ "paused": false }));
    assert!(!stage.pause.is_on());
    assert_eq!(stage.get("/readyz").await.status, 200);
    assert_eq!(stage.get("/status").await.json()["ready"], true);
}

#[tokio::test]
async fn a_new_token_is_asked_for_while_the_old_one_serves() {
    let stage = Stage::named([
        ("api", vec![Line::Grants(&[]), Line::Grants(&[]), Line::Grants(&[])]),
        ("digital", vec![Line::Grants(&[]), Line::Grants(&[])]),
    ])
    .await;
    stage.until_of(0, "valid").await;
    stage.until_of(1, "valid").await;
    assert_eq!(stage.here(post("/renew/api")).await.status, 200);
    let generation = |place: usize| stage.tokens[place].snapshot(stage.clock.now()).generation;
    while generation(0) != 2 {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(stage.here(post("/renew")).await.status, 200);
    while (generation(0), generation(1)) != (3, 2) {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(stage.here(post("/renew/unknown")).await.status, 404);
}

#[tokio::test]
async fn renewals_have_a_budget() {
    let stage = Stage::play((0..100).map(|_| Line::Grants(&[]))).await;
    stage.until("valid").await;
    let mut seen = stage.here(post("/renew")).await;
    for _ in 0..1000 {
        seen = stage.here(post("/renew")).await;
        if seen.status != 200 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!((seen.status, seen.all("retry-after")), (429, vec!["5"]), "{seen:?}");
}

#[tokio::test]
async fn only_this_machine_and_the_page_itself_may_act() {
    let stage = Stage::play([]).await;
    for path in ["/pause", "/resume", "/renew", "/renew/default"] {
        for request in [
            post(path).header("origin", "https://app.example"),
            post(path).header("origin", "https://evil.example"),
            post(path).header("sec-fetch-site", "cross-site"),
            post(path).header("origin", "http://localhost:8080"),
        ] {
            assert_eq!(stage.here(request).await.status, 403, "{path}");
        }
        let own =
            post(path).header("origin", "http://localhost:8081").header("sec-fetch-site", "same-origin");
        assert_eq!(stage.here(own).await.status, 200, "{path}");
        let remote = Seen::of(stage.raw(post(path)).await).await;
        assert_eq!(remote.status, 403, "a connection from elsewhere: {path}");
        assert!(remote.json()["hint"].as_str().unwrap().contains("CXONE_PROXY_ADMIN_LISTEN"));
        let read = stage.here(Request::get(path).header(HOST, "localhost")).await;
        assert_eq!((read.status, read.all("allow")), (405, vec!["POST"]), "{path}");
        stage.pause.end();
    }
    assert_eq!(stage.get("/status").await.json()["actions"], false);
    let here = stage.here(Request::get("/status").header(HOST, "localhost")).await;
    assert_eq!(here.json()["actions"], true);
}

#[tokio::test]
async fn failures_are_shown_with_their_hints() {
    let stage = Stage::play([]).await;
    let problem = Problem::new(ProblemKind::TooMany).detail("9 requests are in flight already.");
    stage.failures.problem("default", Some(("GET", "/api/x?key=s3cret")), &problem, start());
    stage.failures.response("default", ("PUT", "/y"), StatusCode::FORBIDDEN, start());
    let failures = stage.get("/status").await.json()["failures"].clone();
    assert_eq!(
        failures[1],
        json!({
            "status": 503,
            "title": "Too many requests are in flight",
            "profile": "default",
            "request": "GET /api/x",
            "detail": "9 requests are in flight already.",
            "hint": "Try again later, or raise limits.in_flight (CXONE_PROXY_IN_FLIGHT).",
            "count": 1,
            "first_at": "2023-11-14T22:13:20Z",
            "latest_at": "2023-11-14T22:13:20Z",
        })
    );
    assert_eq!(failures[0]["status"], 403);
    assert!(failures[0]["hint"].as_str().unwrap().contains("CXONE_SCOPES"));
}

#[tokio::test]
async fn the_history_has_what_was_counted_since_the_last_sample() {
    let stage = Stage::play([]).await;
    let profile = &stage.profiles[0];
    stage.sample();
    for status in [200, 201, 404, 429, 502] {
        profile.response(&Method::GET, StatusCode::from_u16(status).unwrap());
    }
    profile.upstream_response(StatusCode::OK, Duration::from_millis(100));
    profile.added(Duration::from_micros(50));
    profile.retry(RetryReason::RateLimited);
    sleep(Duration::from_millis(20)).await;
    stage.sample();
    let history = stage.get("/history").await.json();
    let latest = |column: &str| history[column][0].as_f64().unwrap();
    assert_eq!(history["next"], 2);
    for (column, share) in
        [("succeeded", 2.0), ("client_errors", 1.0), ("rate_limited", 1.0), ("server_errors", 1.0)]
    {
        assert!(
            (latest(column) / latest("retries_rate_limited") - share).abs() < 0.01,
            "{column}: {history}"
        );
    }
    assert!((95.0..105.0).contains(&latest("upstream_p99_ms")), "{history}");
    assert!((0.047..0.053).contains(&latest("added_p50_ms")), "{history}");
    assert_eq!(stage.get("/history?after=2").await.json()["at_ms"], json!([]));
    let latency = stage.get("/status").await.json()["latency"].clone();
    assert!((0.047..0.053).contains(&latency["added_ms"]["max"].as_f64().unwrap()), "{latency}");
}

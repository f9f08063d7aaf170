//! What the pages say of the token, the drain and the counters, as these change.

use axum::http::StatusCode;
use tokio::time::sleep;

use super::stage::{TOKEN, start};
use super::*;
use crate::drain::Phase;
use crate::tokens::RequestKey;

fn refused() -> Cause {
    Cause::Refused { status: 401, error: Some("invalid_client".to_owned()), description: None }
}

#[tokio::test]
async fn not_ready_before_the_first_token_and_alive_all_the_same() {
    let stage = Stage::play([Line::Hangs]).await;
    let seen = stage.get("/readyz").await;
    assert_eq!(seen.status, 503);
    assert!(
        seen.body.starts_with("not ready (absent): the token endpoint has not responded yet\nhint: "),
        "{seen:?}"
    );
    assert!(!seen.body.contains("next try"), "{seen:?}");
    assert_eq!(seen.all("content-type"), [TEXT]);
    assert_eq!(stage.ask("HEAD", "/readyz").await.status, 503);
    assert_eq!(stage.get("/livez").await.status, 200);
}

#[tokio::test]
async fn readiness_gives_the_reason_the_next_step_and_the_next_try() {
    for (cause, state) in [
        (refused(), "refused"),
        (Cause::Unreachable("connection refused".to_owned()), "unreachable"),
        (Cause::ServerError(503), "unreachable"),
        (Cause::RateLimited, "unreachable"),
        (Cause::Unusable("it is HTML".to_owned()), "unreachable"),
    ] {
        let stage = Stage::play([Line::Fails(cause), Line::Hangs]).await;
        stage.until(state).await;
        let failure = stage.tokens[0].snapshot(stage.clock.now()).failure.unwrap();
        let seen = stage.get("/readyz").await;
        assert_eq!(seen.status, 503);
        let lines: Vec<&str> = seen.body.lines().collect();
        assert_eq!(lines[0], format!("not ready ({state}): {failure}"));
        assert_eq!(lines[1], format!("hint: {}", failure.hint()));
        assert!(lines[2].starts_with("next try: in "), "{}", lines[2]);
        assert!(lines[2].contains(" s (2023-11-14T22:13:2"), "{}", lines[2]);
        assert!(lines[2].ends_with("); a restart of the proxy asks at once"), "{}", lines[2]);
        assert_eq!(lines.len(), 3);
    }
}

#[tokio::test]
async fn an_expired_token_is_not_ready() {
    let stage = Stage::play([Line::Grants(&[]), Line::Hangs]).await;
    stage.until("valid").await;
    assert_eq!(stage.get("/readyz").await.body, "ready\n");
    stage.clock.suspend(Duration::from_hours(2));
    let seen = stage.get("/readyz").await;
    assert_eq!(seen.status, 503);
    assert!(seen.body.starts_with("not ready (expired): "), "{seen:?}");
}

#[tokio::test]
async fn a_probe_after_a_suspension_wakes_the_refresh_task() {
    let stage = Stage::play([Line::Grants(&[]), Line::Grants(&[])]).await;
    stage.until("valid").await;
    stage.clock.suspend(Duration::from_hours(2));
    // It may see the old token's end, or the new token already.
    stage.get("/readyz").await;
    stage.until("valid").await;
    assert_eq!(stage.get("/readyz").await.body, "ready\n");
    assert_eq!(stage.get("/status").await.json()["token"]["generation"], 2);
}

#[tokio::test]
async fn draining_is_not_ready_whatever_the_token_and_everything_else_stays_up() {
    let stage = Stage::play([Line::Grants(&[])]).await;
    stage.until("valid").await;
    assert!(stage.get("/metrics").await.body.contains("cxone_proxy_ready{profile=\"default\"} 1\n"));
    stage.drainer.advance(Phase::Draining);
    let seen = stage.get("/readyz").await;
    let reason = "not ready (draining): the process is about to end\n";
    assert_eq!((seen.status, seen.body.as_str()), (503, reason));
    assert_eq!(stage.get("/livez").await.status, 200);
    assert_eq!(stage.get("/status").await.json()["draining"], true);
    let metrics = stage.get("/metrics").await.body;
    assert!(metrics.contains("phase=\"draining\"") && !metrics.contains("phase=\"serving\""));
    assert!(metrics.contains("cxone_proxy_ready{profile=\"default\"} 0\n"));
}

#[tokio::test]
async fn an_undiscovered_upstream_is_not_ready() {
    let stage = Stage::with_address(Arc::new(|| None), [Line::Grants(&[])]).await;
    stage.until("valid").await;
    let seen = stage.get("/readyz").await;
    assert_eq!(seen.status, 503);
    assert!(seen.body.starts_with("not ready (undiscovered): "), "{seen:?}");
    assert!(stage.get("/metrics").await.body.contains("cxone_proxy_ready{profile=\"default\"} 0\n"));
    assert_eq!(stage.get("/status").await.json()["upstream"]["base_url"], Value::Null);
}

#[tokio::test]
async fn a_failed_renewal_leaves_it_ready_and_says_so_in_the_status() {
    let stage = Stage::play([Line::Grants(&[]), Line::Fails(refused()), Line::Hangs]).await;
    stage.until("valid").await;
    let key = RequestKey { method: &Method::GET, path: "/x" };
    stage.tokens[0].rejected(1, key).unwrap();
    while stage.get("/status").await.json()["token"]["last_error"].is_null() {
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(stage.get("/readyz").await.status, 200);
    let token = &stage.get("/status").await.json()["token"];
    assert_eq!(token["state"], "valid");
    assert!(token["last_error"].as_str().unwrap().contains("invalid_client"), "{token}");
    assert!(token["hint"].as_str().unwrap().contains("CXONE_CLIENT_ID"), "{token}");
    assert!(token["next_try_at"].as_str().unwrap().starts_with("2023-11-14T22:13:2"), "{token}");
}

#[tokio::test]
async fn each_profile_has_its_own_readiness() {
    let stage = Stage::named([
        ("api", vec![Line::Grants(&[])]),
        ("digital", vec![Line::Fails(refused()), Line::Hangs]),
    ])
    .await;
    stage.until_of(0, "valid").await;
    stage.until_of(1, "refused").await;
    for (path, status) in [
        ("/readyz", 503),
        ("/readyz?any", 200),
        ("/readyz?any=false", 503),
        ("/readyz/api", 200),
        ("/readyz/digital", 503),
        ("/readyz/API", 404),
    ] {
        assert_eq!(stage.get(path).await.status, status, "{path}");
    }
    let seen = stage.get("/readyz").await;
    assert!(seen.body.starts_with("digital: not ready (refused): "), "{seen:?}");
    assert!(!seen.body.contains("api: "), "{seen:?}");
    let neither = Stage::named([("api", vec![]), ("digital", vec![])]).await.get("/readyz?any").await;
    assert_eq!(neither.status, 503);
    assert!(
        neither.body.contains("api: not ready") && neither.body.contains("digital: not ready"),
        "{neither:?}"
    );
}

#[tokio::test]
async fn the_status_before_the_first_token() {
    let stage = Stage::play([Line::Hangs]).await;
    assert_eq!(
        stage.get("/status").await.json(),
        json!({
            "version": "1.2.3",
            "uptime_seconds": 0,
            "draining": false,
            "ready": false,
            "paused_since": null,
            "actions": false,
            "listen": ["127.0.0.1:8080"],
            "upstream": {
                "base_url": "https://api.example/v",
                "token_url": "https://auth.example/token",
            },
            "token": {
                "state": "absent",
                "scopes": [],
                "obtained_at": null,
                "expires_at": null,
                "expires_in_seconds": null,
                "generation": 0,
                "last_error": null,
                "hint": null,
                "next_try_at": null,
            },
            "requests": { "total": 0, "in_flight": 0, "oldest_in_flight_seconds": null, "abandoned": 0, "statuses": {} },
            "retries": { "unauthorized": 0, "rate_limited": 0, "connection": 0 },
            "pace": {
                "state": "unlimited",
                "learned_rate": null,
                "queue_length": 0,
                "paused_until": null,
                "budget_left": 1, "replicas": null,
                "limits": [],
            },
            "upstream_responses": {},
            "rate_limited_responses": 0,
            "wait_seconds": { "rate_limited": 0.0, "token": 0.0, "queue": 0.0 },
            "latency": { "added_ms": null, "upstream_ms": null },
            "reload": {
                "succeeded": 0,
                "failed": 0,
                "last_success": null,
                "last_failure": null,
                "last_error": null,
                "needs_restart": [],
            },
            "failures": [],
        })
    );
}

#[tokio::test]
async fn the_status_counts_on_all_cores_and_says_the_times() {
    let stage = Stage::play([Line::Grants(&["users:read", "users:write"]), Line::Hangs]).await;
    stage.until("valid").await;
    let profile = &stage.profiles[0];
    let mut in_flight = Vec::new();
    for core in [profile.clone(), profile.for_core()] {
        core.response(&Method::GET, StatusCode::OK);
        core.response(&Method::PUT, StatusCode::UNAUTHORIZED);
        core.retry(RetryReason::RateLimited);
        in_flight.push(core.enter(tokio::time::Instant::now()));
    }
    profile.retry(RetryReason::Unauthorized);
    let status = stage.get("/status").await.json();
    let requests = json!({ "total": 4, "in_flight": 2, "oldest_in_flight_seconds": 0, "abandoned": 0, "statuses": { "200": 2, "401": 2 } });
    assert_eq!(status["requests"], requests);
    assert_eq!(status["retries"], json!({ "unauthorized": 1, "rate_limited": 2, "connection": 0 }));
    let token = &status["token"];
    assert_eq!((&token["state"], &token["generation"]), (&json!("valid"), &json!(1)));
    assert_eq!(token["scopes"], json!(["users:read", "users:write"]));
    let times = [&token["obtained_at"], &token["expires_at"]].map(|time| time.as_str().unwrap());
    assert!(times[0].starts_with("2023-11-14T22:13:2") && times[0].ends_with('Z'), "{times:?}");
    assert!(times[1].starts_with("2023-11-14T23:13:2") && times[1].ends_with('Z'), "{times:?}");
    let left = token["expires_in_seconds"].as_u64().unwrap();
    assert!((3590..=3600).contains(&left), "{left}");
    assert_eq!(stage.clock.now().wall.duration_since(start()).unwrap().as_secs(), status["uptime_seconds"]);
}

#[tokio::test]
async fn with_profiles_the_status_holds_the_same_for_each() {
    let stage = Stage::named([("api", vec![Line::Grants(&[])]), ("digital", vec![Line::Hangs])]).await;
    stage.until("valid").await;
    stage.profiles[1].response(&Method::GET, StatusCode::OK);
    stage.profiles[1].retry(RetryReason::Connection);
    let status = stage.get("/status").await.json();
    let [api, digital] = &status["profiles"].as_array().unwrap()[..] else { panic!("{status}") };
    assert_eq!((&api["name"], &digital["name"]), (&json!("api"), &json!("digital")));
    assert_eq!((&api["token"]["state"], &digital["token"]["state"]), (&json!("valid"), &json!("absent")));
    assert_eq!((&digital["requests"]["total"], &digital["requests"]["in_flight"]), (&json!(1), &json!(0)));
    assert_eq!(digital["retries"]["connection"], 1);
    assert_eq!((&status["upstream"], &status["token"]), (&api["upstream"], &api["token"]), "of the first");
    assert_eq!(
        (&status["requests"], &status["retries"]),
        (&digital["requests"], &digital["retries"]),
        "of all"
    );
}

#[tokio::test]
async fn no_page_shows_the_token_or_the_query_of_its_endpoint() {
    let stage = Stage::play([Line::Grants(&["a"])]).await;
    stage.until("valid").await;
    for path in PAGES.into_iter().chain(["/readyz/default", "/nowhere"]) {
        let seen = stage.get(path).await;
        assert!(!seen.body.contains(TOKEN) && !seen.body.contains("s3cret"), "{path}: {seen:?}");
        assert!(!format!("{seen:?}").contains(TOKEN), "{path}");
    }
}

//! What the pages say of the token, the drain and the counters, as these change.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use super::stage::{Line, Stage, TOKEN};
use super::*;
use crate::oauth::Why;

fn refused() -> Why {
    let grant = crate::oauth::GrantType::ClientCredentials;
    Why::Refused { status: 401, grant, error: Some("invalid_client".to_owned()), description: None }
}

#[tokio::test]
async fn readiness_gives_the_reason_and_the_next_step() {
    let stage = Stage::play([Line::Hangs]);
    let seen = stage.get("/readyz").await;
    assert_eq!(
        (seen.status, seen.content.as_str()),
        (
            503,
            "not ready (absent): the token endpoint has not answered yet\nhint: Try again shortly: the token \
             endpoint is being asked.\n"
        )
    );
    assert_eq!(seen.all("Content-Type"), ["text/plain; charset=utf-8"]);
    assert_eq!(stage.ask("HEAD", "/readyz").await.status, 503);
    assert_eq!(stage.get("/livez").await.status, 200, "it runs all the same");

    for (why, state) in [
        (refused(), "refused"),
        (Why::Unreachable("connection refused".to_owned()), "unreachable"),
        (Why::Failed(503), "unreachable"),
        (Why::RateLimited, "unreachable"),
        (Why::Unusable("it is HTML".to_owned()), "unreachable"),
    ] {
        let expected = format!("not ready ({state}): {why}\nhint: {}\n", why.hint());
        let stage = Stage::play([Line::Fails(why), Line::Hangs]);
        stage.until(state).await;
        let seen = stage.get("/readyz").await;
        assert_eq!((seen.status, seen.content), (503, expected));
    }
}

#[tokio::test]
async fn an_expired_token_is_not_ready() {
    let stage = Stage::play([Line::Grants(&[]), Line::Hangs]);
    stage.until("valid").await;
    assert_eq!(stage.get("/readyz").await.content, "ready\n");
    stage.clock.suspend(Duration::from_hours(2));
    let seen = stage.get("/readyz").await;
    assert_eq!(seen.status, 503);
    assert!(seen.content.starts_with("not ready (expired): "), "{seen:?}");
}

#[tokio::test]
async fn a_probe_after_a_suspension_wakes_the_keeper() {
    let stage = Stage::play([Line::Grants(&[]), Line::Grants(&[])]);
    stage.until("valid").await;
    stage.clock.suspend(Duration::from_hours(2));
    // It may see the old token's end, or the new token already.
    stage.get("/readyz").await;
    stage.until("valid").await;
    assert_eq!(stage.get("/readyz").await.content, "ready\n");
    assert_eq!(stage.get("/status").await.json()["token"]["generation"], 2);
}

#[tokio::test]
async fn draining_is_not_ready_whatever_the_token_and_everything_else_stays_up() {
    let mut stage = Stage::play([Line::Grants(&[])]);
    stage.until("valid").await;
    stage.begin_draining();
    let seen = stage.get("/readyz").await;
    let reason = "not ready (draining): the process is about to end\n";
    assert_eq!((seen.status, seen.content.as_str()), (503, reason));
    assert_eq!(stage.get("/livez").await.status, 200);
    assert_eq!(stage.get("/status").await.json()["draining"], true);
    assert!(stage.get("/metrics").await.content.contains("phase=\"draining\""));
    assert!(stage.is_up());
}

#[tokio::test]
async fn a_failed_renewal_leaves_it_ready_and_says_so_in_the_status() {
    let stage = Stage::play([Line::Grants(&[]), Line::Fails(refused()), Line::Hangs]);
    stage.until("valid").await;
    stage.tokens.reject(1);
    while stage.get("/status").await.json()["token"]["last_error"].is_null() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(stage.get("/readyz").await.status, 200);
    let token = &stage.get("/status").await.json()["token"];
    assert_eq!(token["state"], "valid");
    assert_eq!(token["last_error"], refused().to_string());
}

#[tokio::test]
async fn the_status_before_the_first_token() {
    let stage = Stage::play([Line::Hangs]);
    assert_eq!(
        stage.get("/status").await.json(),
        json!({
            "version": "1.2.3",
            "uptime_seconds": 0,
            "draining": false,
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
            },
            "requests": { "total": 0, "in_flight": 0 },
            "retries": { "unauthorized": 0, "rate_limited": 0, "connection": 0 },
        })
    );
}

#[tokio::test]
async fn the_status_counts_and_tells_the_time() {
    let stage = Stage::play([Line::Grants(&["users:read", "users:write"]), Line::Hangs]);
    stage.until("valid").await;
    for (shard, reason) in stage.shards.iter().zip([0, 2]) {
        shard.answered(&Method::GET, 200);
        shard.answered(&Method::PUT, 401);
        shard.in_flight.fetch_add(1, Ordering::Relaxed);
        shard.resent(reason);
        shard.resent(1);
    }
    let status = stage.get("/status").await.json();
    assert_eq!(status["requests"], json!({ "total": 4, "in_flight": 2 }));
    assert_eq!(status["retries"], json!({ "unauthorized": 1, "rate_limited": 2, "connection": 1 }));
    let token = &status["token"];
    assert_eq!(token["state"], "valid");
    assert_eq!(token["generation"], 1);
    assert_eq!(token["scopes"], json!(["users:read", "users:write"]));
    let times = [&token["obtained_at"], &token["expires_at"]].map(|time| time.as_str().unwrap());
    assert!(times[0].starts_with("2023-11-14T22:13:2") && times[0].len() == 20, "{times:?}");
    assert!(times[1].starts_with("2023-11-14T23:13:2") && times[1].ends_with('Z'), "{times:?}");
    assert!((3590..=3600).contains(&token["expires_in_seconds"].as_u64().unwrap()), "{token}");

    stage.clock.suspend(Duration::from_hours(2));
    let token = &stage.get("/status").await.json()["token"];
    assert_eq!(token["state"], "expired");
    assert_eq!(token["expires_in_seconds"], 0);
    assert_eq!(token["expires_at"], times[1]);
}

#[tokio::test]
async fn the_metrics_tell_of_tokens() {
    let stage = Stage::play([Line::Fails(Why::TimedOut), Line::Grants(&[])]);
    stage.until("valid").await;
    let text = stage.get("/metrics").await.content;
    for line in [
        "cxone_proxy_token_requests_total{grant=\"client_credentials\",outcome=\"unreachable\"} 1",
        "cxone_proxy_token_requests_total{grant=\"client_credentials\",outcome=\"ok\"} 1",
        "cxone_proxy_token_requests_total{grant=\"refresh_token\",outcome=\"ok\"} 0",
        "cxone_proxy_build_info{version=\"1.2.3\"} 1",
        "cxone_proxy_process_start_time_seconds 1700000000",
    ] {
        assert!(text.lines().any(|own| own == line), "{line}\n{text}");
    }
    let expiry =
        text.lines().find_map(|line| line.strip_prefix("cxone_proxy_token_expiry_timestamp_seconds "));
    assert!((1_700_003_600.0..1_700_003_610.0).contains(&expiry.unwrap().parse::<f64>().unwrap()));
}

#[tokio::test]
async fn no_page_shows_the_token() {
    let stage = Stage::play([Line::Grants(&["a"]), Line::Fails(refused()), Line::Hangs]);
    stage.until("valid").await;
    assert_eq!(stage.tokens.current(stage.clock.now()).unwrap().text().reveal(), TOKEN);
    for suspended in [false, true] {
        if suspended {
            stage.clock.suspend(Duration::from_hours(2));
            stage.get("/readyz").await;
            stage.until("refused").await;
        }
        for path in RESOURCES.iter().map(|(path, ..)| *path).chain(["/nowhere"]) {
            for method in ["GET", "HEAD", "POST"] {
                let seen = format!("{:?}", stage.ask(method, path).await);
                assert!(!seen.contains(TOKEN) && !seen.contains("s3cret"), "{method} {path}: {seen}");
            }
        }
    }
}

use serde_json::{Value, json};

use super::client::{Bearer, Wire, assert_clean, once, region, request};

#[tokio::test]
async fn shows_the_journal_without_credentials() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    bearer.ask("GET", "/api/v2/users//7?x=1", "X-Request-Id: seven\r\n", "").await.unwrap();
    let reply = once(&region, request("GET", "/_region/journal", "", "")).await.unwrap();
    let entries = reply.json();
    assert_eq!(entries.as_array().unwrap().len(), 2, "control requests are not written down");
    let (log_in, attempt) = (&entries[0], &entries[1]);
    assert_eq!(log_in["endpoint"], "token");
    assert_eq!((&log_in["grant"], &log_in["token"]), (&json!("client_credentials"), &json!(1)));
    assert_eq!(attempt["endpoint"], "api");
    assert_eq!(attempt["target"], "/api/v2/users//7?x=1");
    assert_eq!((&attempt["token"], &attempt["status"]), (&json!(1), &json!(200)));
    assert_eq!((&attempt["request_id"], &attempt["outcome"]), (&json!("seven"), &json!("answered")));
    assert!(attempt["ended_ms"].as_f64().unwrap() >= attempt["at_ms"].as_f64().unwrap());
    let text = String::from_utf8(reply.body).unwrap();
    assert!(!text.contains(&bearer.token) && !text.contains("demo-secret"));
}

#[tokio::test]
async fn takes_a_script_and_refuses_what_is_none() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let script = json!({ "faults": [
        { "when": { "endpoint": "api", "method": "GET", "path": "/api/v2/users" }, "skip": 1, "times": 1,
          "then": { "status": { "status": 503, "fields": [["Retry-After", "1"]], "body": "busy" } } },
        { "when": { "path": "/api/v2/upload" },
          "then": { "early_response": { "response": { "status": 413 }, "read": 10, "rest": "close" } } },
        { "when": { "path": "/none" }, "then": { "drop_before": {} } },
        { "when": { "path": "/none" }, "then": { "malformed": { "what": "two_lengths" } } },
        { "when": { "path": "/none" }, "then": { "revoke": {} } },
    ]});
    let put = |script: &Value| request("PUT", "/_region/script", "", &script.to_string());
    assert_eq!(once(&region, put(&script)).await.unwrap().status, 204);
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200);
    let reply = bearer.get("/api/v2/users/me").await;
    assert_eq!((reply.status, reply.first("retry-after")), (503, Some("1")));
    assert_eq!(reply.body, b"busy");
    assert_eq!(bearer.ask("POST", "/api/v2/upload", "", "0123456789").await.unwrap().status, 413);

    for bad in [json!({ "faults": [{ "then": "explode" }] }), json!({ "fault": [] }), json!(7)] {
        let reply = once(&region, put(&bad)).await.unwrap();
        assert_eq!(reply.status, 400, "{bad}");
        assert!(reply.json()["error"].is_string());
    }
    assert_eq!(once(&region, request("DELETE", "/_region/script", "", "")).await.unwrap().status, 204);
    assert_eq!(bearer.ask("POST", "/api/v2/upload", "", "0123456789").await.unwrap().status, 200);
}

#[tokio::test]
async fn revokes_and_limits() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    assert_eq!(once(&region, request("POST", "/_region/revoke", "", "")).await.unwrap().status, 204);
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 401);

    let bearer = Bearer::of(&region).await;
    let quota = json!({ "requests": 1, "per_ms": 60_000, "retry_after": "date" }).to_string();
    assert_eq!(once(&region, request("POST", "/_region/quota", "", &quota)).await.unwrap().status, 204);
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200);
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 429);
    assert_eq!(once(&region, request("DELETE", "/_region/quota", "", "")).await.unwrap().status, 204);
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200);
    assert_eq!(once(&region, request("POST", "/_region/quota", "", "{}")).await.unwrap().status, 400);
    let endless = r#"{"requests":1,"per_ms":0}"#;
    assert_eq!(once(&region, request("POST", "/_region/quota", "", endless)).await.unwrap().status, 400);
    assert_clean(&region);
}

#[tokio::test]
async fn takes_quotas_of_each_kind_and_says_what_has_been_used_of_them() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let quotas = json!([
        { "requests": 100, "per_ms": 60_000, "kind": "sliding", "retry_after": "none" },
        { "requests": 1, "per_ms": 60_000, "kind": "bucket", "burst": 2, "path": "/api/v2/users" },
    ]);
    let put = request("POST", "/_region/quota", "", &quotas.to_string());
    assert_eq!(once(&region, put).await.unwrap().status, 204);
    let mut statuses = Vec::new();
    for path in ["/api/v2/users/me", "/api/v2/users/7", "/api/v2/users/me", "/api/v2/echo"] {
        statuses.push(bearer.get(path).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 200]);
    once(&region, request("GET", "/api/v2/users/me", "", "")).await.unwrap();
    let used = once(&region, request("GET", "/_region/quota", "", "")).await.unwrap().json();
    assert_eq!(used["attempts"], json!({ "accepted": 3, "rejected": 1 }), "a 401 is neither");
    let counts =
        |quota: &Value| (quota["kind"].clone(), quota["accepted"].clone(), quota["rejected"].clone());
    assert_eq!(counts(&used["quotas"][0]), (json!("sliding"), json!(3), json!(0)));
    assert_eq!(counts(&used["quotas"][1]), (json!("bucket"), json!(2), json!(1)));
    assert_eq!(used["quotas"][1]["path"], "/api/v2/users");
    assert_eq!(region.attempts().accepted, 3);
    assert_eq!(region.quota_use().len(), 2);
    assert_eq!(once(&region, request("DELETE", "/_region/quota", "", "")).await.unwrap().status, 204);
    assert!(region.quota_use().is_empty());
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200);
}

#[tokio::test]
async fn counts_for_prometheus_and_lists_violations() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    bearer.get("/api/v2/users/me").await;
    bearer.get("/api/v2/nothing").await;
    once(&region, request("GET", "/api/v2/users/me", "", "")).await.unwrap();
    let mut wire = Wire::to(&region).await;
    let metrics = wire.ask(request("GET", "/_region/metrics", "", "")).await.unwrap();
    assert_eq!(metrics.first("content-type"), Some("text/plain; version=0.0.4"));
    let text = String::from_utf8(metrics.body).unwrap();
    for line in [
        "simulated_region_requests_total{endpoint=\"api\",status=\"200\"} 1",
        "simulated_region_requests_total{endpoint=\"api\",status=\"401\"} 1",
        "simulated_region_requests_total{endpoint=\"api\",status=\"404\"} 1",
        "simulated_region_requests_total{endpoint=\"token\",status=\"200\"} 1",
        "simulated_region_token_requests_total 1",
        "simulated_region_tokens_issued_total 1",
        "simulated_region_connections_total 5",
        "simulated_region_violations_total 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
    let referee = wire.ask(request("GET", "/_region/referee", "", "")).await.unwrap().json();
    assert_eq!(referee["count"], 1);
    assert_eq!(referee["violations"][0]["rule"], "one_bearer");
}

#[tokio::test]
async fn has_nothing_else() {
    let region = region().await;
    assert_eq!(once(&region, request("GET", "/_region/", "", "")).await.unwrap().status, 404);
    assert_eq!(once(&region, request("POST", "/_region/journal", "", "")).await.unwrap().status, 405);
    assert_clean(&region);
}

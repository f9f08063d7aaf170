//! The pages through the real server, over real sockets.

use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use stage::{Line, Seen, Stage, TOKEN};

use super::*;
use crate::oauth::Why;

mod stage;

fn refused() -> Why {
    Why::Refused { status: 401, error: Some("invalid_client".to_owned()), description: None }
}

#[tokio::test]
async fn every_page_is_of_this_moment_and_of_its_type() {
    let stage = Stage::play([Line::Grants(&["a"])]);
    stage.until("valid").await;
    for (path, media_type, start) in [
        ("/", "text/plain; charset=utf-8", "cxone-proxy 1.2.3\n"),
        ("/livez", "text/plain; charset=utf-8", "ok\n"),
        ("/readyz", "text/plain; charset=utf-8", "ready\n"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "# HELP cxone_proxy_"),
        ("/status", "application/json", "{\n  \"version\": \"1.2.3\","),
    ] {
        let seen = stage.get(path).await;
        assert_eq!(seen.status, 200, "{path}");
        assert!(seen.content.starts_with(start), "{path}: {}", seen.content);
        assert_eq!(seen.all("Content-Type"), [media_type], "{path}");
        assert_eq!(seen.all("Content-Length"), [seen.content.len().to_string()], "{path}");
        assert_eq!(seen.all("Cache-Control"), ["no-store"], "{path}");
        assert_eq!(seen.all("X-Content-Type-Options"), ["nosniff"], "{path}");
        assert!(seen.all("Date")[0].starts_with("Tue, 14 Nov 2023 22:13:"), "{path}: {}", seen.head);

        let with_query = stage.get(&format!("{path}?verbose=1&x=/y")).await;
        assert_eq!((with_query.status, with_query.all("Content-Type")), (200, vec![media_type]), "{path}");
        let absolute = stage.get(&format!("http://localhost:8081{path}?q")).await;
        assert_eq!((absolute.status, absolute.all("Content-Type")), (200, vec![media_type]), "{path}");
        let asked_head = stage.ask("HEAD", path).await;
        assert_eq!((asked_head.status, asked_head.content.as_str()), (200, ""), "{path}");
        assert_eq!(asked_head.all("Content-Type"), [media_type], "{path}");
        assert_ne!(asked_head.all("Content-Length"), ["0"], "{path}");
    }
}

#[tokio::test]
async fn the_index_names_every_page() {
    let index = Stage::play([]).get("/").await.content;
    for (path, ..) in RESOURCES {
        assert!(index.lines().any(|line| line.split(' ').next() == Some(path)), "{path}: {index}");
    }
}

#[tokio::test]
async fn a_connection_serves_one_page_after_the_other() {
    let stage = Stage::play([]);
    let two =
        "HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let seen = stage.send(two).await;
    assert_eq!(seen.all("Content-Length"), ["3"]);
    assert!(seen.content.starts_with("HTTP/1.1 200 OK\r\n"), "no content before it: {seen:?}");
    assert!(seen.content.ends_with("\r\n\r\nok\n"), "{seen:?}");
}

fn problem(seen: &Seen, status: u16) -> serde_json::Value {
    assert_eq!(seen.status, status, "{seen:?}");
    assert_eq!(seen.all("Content-Type"), ["application/problem+json"]);
    assert_eq!(seen.all("Proxy-Status"), ["cxone-proxy; error=http_request_error"]);
    assert_eq!(seen.all("Cache-Control"), ["no-store"]);
    let problem = seen.json();
    assert_eq!(problem["status"], status);
    for member in ["type", "title", "detail", "hint"] {
        assert!(problem[member].as_str().unwrap().len() > 5, "{member}: {problem}");
    }
    problem
}

#[tokio::test]
async fn what_is_no_page_is_told_where_the_pages_are() {
    let stage = Stage::play([]);
    for target in ["/health", "/livez/", "//livez", "/LIVEZ", "/api/v2/users/me", "/metrics%2F"] {
        let hint = problem(&stage.get(target).await, 404)["hint"].to_string();
        for (path, ..) in RESOURCES {
            assert!(hint.contains(path), "{path}: {hint}");
        }
    }
    let long = format!("/{}", "x".repeat(5000));
    assert!(problem(&stage.get(&long).await, 404)["detail"].as_str().unwrap().len() < 300);
    assert_eq!(stage.ask("POST", "/nowhere").await.status, 404);
    assert_eq!(stage.ask("HEAD", "/nowhere").await.content, "");
}

#[tokio::test]
async fn the_pages_can_only_be_read() {
    let stage = Stage::play([]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get"] {
        for (path, ..) in RESOURCES {
            let seen = stage.ask(method, path).await;
            let detail = problem(&seen, 405)["detail"].to_string();
            assert!(detail.contains(method), "{detail}");
            assert_eq!(seen.all("Allow"), ["GET, HEAD"]);
        }
    }
    let seen = stage.send("POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{\"a\": 1}\n").await;
    assert_eq!(seen.status, 405, "content is not read: {seen:?}");
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

#[tokio::test]
async fn the_gate_stands_before_every_page() {
    let gate: Gate = Arc::new(|head| {
        if head.fields.lists(b"Host", b"localhost") {
            return Ok(());
        }
        let fields = vec![("content-length", "999".to_owned()), ("Cache-Control", "private".to_owned())];
        Err(Denial { status: 421, fields, content: b"wrong host".to_vec() })
    });
    let stage = Stage::behind(gate, Arc::new(|_| Vec::new()), []);
    for path in RESOURCES.iter().map(|(path, ..)| *path).chain(["/nowhere"]) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        let seen = stage.send(&request).await;
        assert_eq!((seen.status, seen.content.as_str()), (421, "wrong host"), "{path}");
        assert_eq!(seen.all("Content-Length"), ["10"], "the true one only");
        assert_eq!(seen.all("Cache-Control"), ["private"], "its own");
        assert_eq!(seen.all("X-Content-Type-Options"), ["nosniff"]);
        let to_head = stage.send(&request.replace("GET", "HEAD")).await;
        assert_eq!((to_head.status, to_head.content.as_str()), (421, ""), "{path}");
    }
    assert_eq!(stage.get("/livez").await.status, 200);
}

#[tokio::test]
async fn an_allowed_web_origin_can_read_the_pages() {
    let gate: Gate = Arc::new(|head| match head.method {
        Method::OPTIONS => Err(Denial { status: 204, fields: Vec::new(), content: Vec::new() }),
        _ => Ok(()),
    });
    let additions: Additions = Arc::new(|head| {
        let origins = head.fields.all(b"Origin").map(|origin| String::from_utf8_lossy(origin).into_owned());
        origins.map(|origin| ("Access-Control-Allow-Origin", origin)).collect()
    });
    let stage = Stage::behind(gate, additions, []);
    for (method, path, status) in
        [("OPTIONS", "/status", 204), ("GET", "/status", 200), ("GET", "/nowhere", 404), ("PUT", "/", 405)]
    {
        let origin = "Origin: https://a.example\r\n";
        let seen = stage
            .send(&format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{origin}Connection: close\r\n\r\n"))
            .await;
        assert_eq!(seen.status, status);
        assert_eq!(seen.all("Access-Control-Allow-Origin"), ["https://a.example"], "{method} {path}");
        assert_eq!(seen.all("Content-Length").is_empty(), status == 204, "RFC 9110 section 8.6: {seen:?}");
    }
    assert_eq!(stage.get("/status").await.all("Access-Control-Allow-Origin"), [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_by_the_second_function() {
    let stage = Stage::play([]);
    let seen = stage.send("GET /livez HTTP/1.1\r\nHost : a\r\n\r\n").await;
    assert_eq!((seen.status, seen.content.as_str()), (400, "Head(FieldName)"));
    assert_eq!(seen.all("Content-Length"), ["15"]);
}

#[tokio::test]
async fn http2_with_prior_knowledge_reads_the_same() {
    let stage = Stage::play([]);
    let stream = tokio::net::TcpStream::connect(stage.address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let mut driving = tokio::task::JoinSet::new();
    driving.spawn(async move { drop(connection.await) });
    for (path, status, expected) in [("/livez?a", 200, "ok\n"), ("/readyz", 503, "not ready (absent)")] {
        let request = http::Request::get(format!("http://localhost{path}")).body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
        let mut body = answer.into_body();
        let mut content = Vec::new();
        while let Some(piece) = body.data().await {
            content.extend_from_slice(&piece.unwrap());
        }
        assert!(String::from_utf8(content).unwrap().starts_with(expected), "{path}");
    }
}

#[test]
fn the_path_is_what_stands_between_authority_and_query() {
    for (target, path) in [
        ("/", "/"),
        ("/livez", "/livez"),
        ("/livez?a=/b", "/livez"),
        ("/?http://a/livez", "/"),
        ("http://localhost", "/"),
        ("http://localhost:8081/livez", "/livez"),
        ("HTTP://[::1]:8081/livez?x", "/livez"),
        ("http://localhost?livez", "/"),
        ("//livez", "//livez"),
        ("", "/"),
    ] {
        assert_eq!(String::from_utf8_lossy(path_of(target.as_bytes())), path, "{target}");
    }
}

proptest! {
    #[test]
    fn a_query_and_an_authority_never_change_the_page(path in "(/[a-z/.%]{0,20})", query in "[ -~]{0,20}") {
        let plain = path_of(path.as_bytes()).to_vec();
        prop_assert_eq!(&plain, path.as_bytes());
        let whole = format!("{path}?{query}");
        prop_assert_eq!(path_of(whole.as_bytes()), &plain[..]);
        let absolute = format!("http://localhost:8081{whole}");
        prop_assert_eq!(path_of(absolute.as_bytes()), &plain[..]);
    }

    #[test]
    fn any_target_has_a_path(target in proptest::collection::vec(any::<u8>(), 0..40)) {
        prop_assert!(!path_of(&target).is_empty());
    }
}

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::json;

use super::client::{Bearer, Wire, assert_clean, broken, once, region, request};
use crate::{Expiry, Region, RetryAfterForm, Rule, Settings, pattern};

fn sha256(bytes: &[u8]) -> String {
    let digest = digest(&SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn pattern_of(start: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        let done = bytes.len() as u64;
        bytes.extend_from_slice(&pattern(start + done, length - done));
    }
    bytes
}

#[tokio::test]
async fn serves_users_to_any_client_with_a_token() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let user = bearer.get("/api/v2/users/42").await;
    assert_eq!((user.status, user.json()["id"].as_str()), (200, Some("42")));
    assert_eq!(bearer.get("/api/v2/users/me").await.json()["id"], "demo-client");
    assert_eq!(bearer.get("//api///v2/users//me").await.json()["id"], "demo-client");
    assert_eq!(bearer.get("/api/v2/users").await.json()["totalRecords"], 2);
    assert_eq!(bearer.get("/api/v2/nothing").await.status, 404);
    assert_eq!(bearer.get("/elsewhere").await.status, 404);
    let post = bearer.ask("POST", "/api/v2/users/42", "", "{}").await.unwrap();
    assert_eq!((post.status, post.first("allow")), (405, Some("GET, HEAD")));
    assert_eq!(bearer.get("/api/v2/reports").await.status, 403);
    assert_clean(&region);
}

#[tokio::test]
async fn refuses_what_is_no_token_of_its_own() {
    let region = region().await;
    let other = Region::start(Settings::default()).await.unwrap();
    let foreign = Bearer { region: &region, token: Bearer::of(&other).await.token };
    let reply = foreign.get("/api/v2/users/me").await;
    assert_eq!(reply.status, 401);
    assert!(reply.first("www-authenticate").unwrap().contains("error=\"invalid_token\""));

    let bearer = Bearer::of(&region).await;
    let mut forged = Bearer { region: &region, token: bearer.token.clone() };
    forged.token.replace_range(bearer.token.len() - 8.., "AAAAAAAA");
    assert_eq!(forged.get("/api/v2/users/me").await.status, 401);
    assert_clean(&region);
    assert_eq!(once(&region, request("GET", "/api/v2/users/me", "", "")).await.unwrap().status, 401);
    assert_eq!(broken(&region), [Rule::OneBearer]);
}

#[tokio::test]
async fn stops_taking_tokens_that_are_revoked_or_old() {
    let lifetime = std::time::Duration::from_millis(300);
    let settings = Settings { token_lifetime: lifetime, expiry: Expiry::Exact, ..Settings::default() };
    let region = Region::start(settings).await.unwrap();
    let bearer = Bearer::of(&region).await;
    let mut wire = Wire::to(&region).await;
    let me = bearer.text("GET", "/api/v2/users/me", "", "");
    assert_eq!(wire.ask(&me).await.unwrap().status, 200);
    tokio::time::sleep(lifetime).await;
    let reply = wire.ask(&me).await.unwrap();
    assert_eq!((reply.status, &reply.json()["error_description"]), (401, &json!("the token has expired")));

    let renewed = Bearer::of(&region).await.text("GET", "/api/v2/users/me", "", "");
    assert_eq!(wire.ask(&renewed).await.unwrap().status, 200, "the same connection, another token");
    region.revoke_all();
    let reply = wire.ask(&renewed).await.unwrap();
    assert_eq!(
        (reply.status, &reply.json()["error_description"]),
        (401, &json!("the token has been revoked"))
    );
    assert_clean(&region);
}

#[tokio::test]
async fn limits_each_client_and_says_when_to_come_again() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let quota = |form| crate::Quota::new(1, std::time::Duration::from_mins(1)).retry_after(form);
    region.quotas([quota(RetryAfterForm::Seconds)]);
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200);
    let reply = bearer.get("/api/v2/users/me").await;
    assert_eq!((reply.status, reply.first("retry-after")), (429, Some("60")));

    region.quotas([quota(RetryAfterForm::Date)]);
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200);
    let reply = bearer.get("/api/v2/users/me").await;
    assert!(httpdate::parse_http_date(reply.first("retry-after").unwrap()).is_ok());

    region.quotas([quota(RetryAfterForm::None)]);
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200);
    let reply = bearer.get("/api/v2/users/me").await;
    assert_eq!((reply.status, reply.first("retry-after")), (429, None));
    region.quotas([]);
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200);
}

#[tokio::test]
async fn describes_what_arrived_byte_for_byte() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let target = "/api/v2//echo/%2Fa//B;c?x=%7e&x=+&&y";
    let mut text = bearer.text("PATCH", target, "X-ODD: one\r\nx-odd: tw\u{e9}\r\n", "").into_bytes();
    text.truncate(text.len() - 2);
    text.extend_from_slice(
        b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 11\r\n\r\n",
    );
    let seen = once(&region, text).await.unwrap().json();
    assert_eq!(seen["method"], "PATCH");
    assert_eq!(seen["target"], target);
    let fields: Vec<_> = seen["fields"].as_array().unwrap().iter().collect();
    assert_eq!(fields[0], &json!(["Host", "region"]));
    assert_eq!(fields[2], &json!(["X-ODD", "one"]));
    assert_eq!(fields[3], &json!(["x-odd", "tw\u{c3}\u{a9}"]), "bytes, not characters");
    assert_eq!(seen["body"], json!({ "bytes": 11, "sha256": sha256(b"hello world") }));
    assert_eq!(seen["trailers"], json!([["X-Sum", "11"]]));
    assert_clean(&region);
}

#[tokio::test]
async fn counts_uploads() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let body = "x".repeat(300_000);
    let reply = bearer.ask("POST", "/api/v2/upload", "", &body).await.unwrap();
    assert_eq!(reply.json()["sha256"], sha256(body.as_bytes()));
    assert_eq!(reply.json()["bytes"], 300_000);
    assert_eq!(region.journal().last().unwrap().body_bytes, 300_000);
}

#[tokio::test]
async fn sends_large_bodies_that_can_be_checked() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let whole = pattern_of(0, 200_000);
    let reply = bearer.get("/api/v2/large?bytes=200000").await;
    assert!(reply.body == whole);
    assert_eq!(reply.first("x-checksum-sha256"), Some(sha256(&whole).as_str()));

    let reply = bearer.get("/api/v2/large?bytes=200000&framing=chunked").await;
    assert!(reply.body == whole);
    assert_eq!(reply.trailers, [("X-Checksum-Sha256".to_owned(), sha256(&whole))]);

    let part =
        bearer.ask("GET", "/api/v2/large?bytes=200000", "Range: bytes=70000-70999\r\n", "").await.unwrap();
    assert_eq!((part.status, part.first("content-range")), (206, Some("bytes 70000-70999/200000")));
    assert!(part.body == whole[70_000..71_000]);
    let none = bearer.ask("GET", "/api/v2/large?bytes=10", "Range: bytes=10-\r\n", "").await.unwrap();
    assert_eq!((none.status, none.first("content-range")), (416, Some("bytes */10")));
    assert_eq!(bearer.get("/api/v2/large?bytes=many").await.status, 400);
}

#[tokio::test]
async fn heads_have_lengths_but_no_bodies() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let mut wire = Wire::to(&region).await;
    for target in ["/api/v2/users/me", "/api/v2/large?bytes=100", "/api/v2/large?bytes=100&framing=chunked"] {
        wire.send(bearer.text("HEAD", target, "", "")).await;
        assert_eq!(wire.head().await.unwrap().status, 200, "{target}");
    }
    assert_eq!(wire.ask(bearer.text("GET", "/api/v2/users/me", "", "")).await.unwrap().status, 200);
}

#[tokio::test]
async fn answers_with_any_status() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let mut wire = Wire::to(&region).await;
    for status in [204, 205, 304, 418, 503, 599] {
        let target = format!("/api/v2/status/{status}?retry_after=7");
        let reply = wire.ask(bearer.text("GET", &target, "", "")).await.unwrap();
        assert_eq!((reply.status, reply.first("retry-after")), (status, Some("7")));
    }
    let reply = bearer.get("/api/v2/status/500?body=oh+no").await;
    assert_eq!(reply.body, b"oh no");
    assert_eq!(bearer.get("/api/v2/status/100").await.status, 404);
    assert_eq!(bearer.get("/api/v2/status/503?retry_after=%0d%0ax:").await.status, 400);
}

#[tokio::test]
async fn redirects_within_its_prefix_and_elsewhere() {
    let region = Region::start(Settings { path_prefix: "/t".into(), ..Settings::default() }).await.unwrap();
    assert!(region.base_url().ends_with("/t"));
    let reply = once(
        &region,
        super::client::token_request(super::client::CREDENTIALS).replace("POST /api", "POST /t/api"),
    );
    let token = reply.await.unwrap().json()["access_token"].as_str().unwrap().to_owned();
    let bearer = Bearer { region: &region, token };
    let location = async |query: &str| {
        let reply = bearer.get(&format!("/t/api/v2/redirect{query}")).await;
        assert_eq!(reply.first("location"), reply.first("content-location"));
        (reply.status, reply.first("location").unwrap().to_owned())
    };
    assert_eq!(location("").await, (302, "http://region/t/api/v2/users/me".into()));
    assert_eq!(location("?form=path&to=/x&status=201").await, (201, "/t/x".into()));
    assert_eq!(location("?form=scheme&to=/x").await, (302, "https://region/t/x".into()));
    assert_eq!(location("?form=foreign&to=/x").await, (302, "https://elsewhere.example/x".into()));
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 404, "the prefix is missing");
}

#[tokio::test]
async fn sets_cookies_of_every_kind_and_tells_which_came() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let reply =
        bearer.ask("GET", "/api/v2/cookies", "Cookie: a=1; b=2\r\nCookie: c=3\r\n", "").await.unwrap();
    assert_eq!(reply.json(), json!({ "cookies": ["a=1", "b=2", "c=3"], "lines": 2 }));
    let cookies = reply.all("set-cookie");
    assert_eq!(cookies.len(), 5);
    assert!(cookies.contains(&"domain=2; Domain=region; Path=/api; HttpOnly"));
}

#[tokio::test]
async fn has_compressed_bodies_trailers_and_bench_documents() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let gzip = bearer.get("/api/v2/gzip").await;
    assert_eq!(gzip.first("content-encoding"), Some("gzip"));
    assert_eq!(gzip.body.get(..3), Some(&[0x1f, 0x8b, 8][..]));

    let reply = bearer.get("/api/v2/trailers").await;
    assert_eq!(reply.body, b"one two");
    let names: Vec<_> = reply.trailers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(names, [("X-Checksum", "onetwo"), ("X-Repeated", "first"), ("X-Repeated", "second")]);

    for (target, length) in [("1k", 1024), ("16k", 16 * 1024), ("64k", 64 * 1024)] {
        let reply = bearer.get(&format!("/api/v2/bench/{target}")).await;
        assert_eq!(reply.body.len(), length, "{target}");
    }
}

//! The other ways to log in.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::client::{Bearer, Reply, assert_clean, broken, once, region, request};
use crate::{AccessKey, Client, Region, Rule, Settings, Tenant};

const KEY: &str = "username=demo-access-key&password=demo-access-key-secret";
const TENANT: &str = "11e85da0-0000-4000-8000-0242ac110003";

/// A form at the password's kind, with HTTP Basic or without.
async fn ask(region: &Region, basic: Option<&str>, form: &str) -> Reply {
    let basic = basic.map(|pair| format!("Authorization: Basic {}\r\n", STANDARD.encode(pair)));
    let fields = format!("{}Content-Type: application/x-www-form-urlencoded\r\n", basic.unwrap_or_default());
    once(region, request("POST", "/auth/token", &fields, form)).await.unwrap()
}

async fn ask_by_key(region: &Region, body: &Value) -> Reply {
    let fields = "Content-Type: application/json\r\n";
    let target = "/authentication/v1/token/access-key";
    once(region, request("POST", target, fields, &body.to_string())).await.unwrap()
}

fn error(reply: &Reply) -> (u16, String) {
    (reply.status, reply.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn claims(token: &Value) -> Value {
    let part = token.as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn get(region: &Region, token: &Value, target: &str) -> Reply {
    Bearer { region, token: token.as_str().unwrap().to_owned() }.get(target).await
}

#[tokio::test]
async fn a_client_with_an_access_key_gets_a_token_for_the_key() {
    let region = region().await;
    let form = format!("grant_type=password&{KEY}");
    let said = ask(&region, Some("demo-client:demo-secret"), &form).await.json();
    assert_eq!((&said["token_type"], &said["expires_in"]), (&json!("Bearer"), &json!(3600)));
    for token in [&said["access_token"], &said["id_token"]] {
        let claims = claims(token);
        assert_eq!((&claims["tenantId"], &claims["area"]), (&json!(TENANT), &json!("na1")));
        assert_eq!(claims["sub"], "demo-access-key");
    }
    let me = get(&region, &said["access_token"], "/api/v2/users/me").await.json();
    assert_eq!(me["id"], "demo-access-key");
    assert_eq!(get(&region, &said["id_token"], "/api/v2/users/me").await.status, 401);

    let body = format!("{form}&client_id=demo-client&client_secret=demo-secret&scope=contacts:read");
    let narrowed = ask(&region, None, &body).await.json();
    assert_eq!(narrowed["scope"], "contacts:read");
    assert_eq!(get(&region, &narrowed["access_token"], "/api/v2/users/me").await.status, 403);
    assert_clean(&region);
}

#[tokio::test]
async fn a_refresh_belongs_to_its_client_and_works_once() {
    let settings = Settings {
        clients: vec![Client::new("a", "x", &[]), Client::new("b", "y", &[])],
        ..Settings::default()
    };
    let region = Region::start(settings).await.unwrap();
    let first = ask(&region, Some("a:x"), &format!("grant_type=password&{KEY}")).await.json();
    let refresh = |said: &Value| {
        format!("grant_type=refresh_token&refresh_token={}", said["refresh_token"].as_str().unwrap())
    };
    let second = ask(&region, Some("a:x"), &refresh(&first)).await.json();
    assert_eq!(claims(&second["access_token"])["sub"], "demo-access-key");
    assert_eq!(claims(&second["id_token"])["tenantId"], TENANT);
    assert_clean(&region);
    let stolen = ask(&region, Some("b:y"), &refresh(&second)).await;
    assert_eq!(error(&stolen), (400, "invalid_grant".into()));
    let again = ask(&region, Some("a:x"), &refresh(&first)).await;
    assert_eq!(error(&again), (400, "invalid_grant".into()));
    assert_eq!(broken(&region), [Rule::RefreshTokenOnce]);
}

#[tokio::test]
async fn each_token_endpoint_has_its_own_grants_and_names_what_is_wrong() {
    let region = region().await;
    let good = Some("demo-client:demo-secret");
    for (basic, form, expected) in [
        (Some("demo-client:guessed"), format!("grant_type=password&{KEY}"), (401, "invalid_client")),
        (None, format!("grant_type=password&{KEY}"), (401, "invalid_client")),
        (good, format!("grant_type=password&{KEY}x"), (400, "invalid_grant")),
        (good, "grant_type=password&username=demo-access-key".to_owned(), (400, "invalid_request")),
        (good, "grant_type=client_credentials".to_owned(), (400, "unsupported_grant_type")),
        (good, format!("grant_type=password&{KEY}&scope=everything"), (400, "invalid_scope")),
    ] {
        let (status, error) = error(&ask(&region, basic, &form).await);
        assert_eq!((status, error.as_str()), expected, "{form}");
    }
    let fields = "Content-Type: application/x-www-form-urlencoded\r\n";
    let form = format!("grant_type=password&{KEY}&client_id=demo-client&client_secret=demo-secret");
    let reply = once(&region, request("POST", "/api/v2/oauth/token", fields, &form)).await.unwrap();
    assert_eq!(error(&reply), (400, "unsupported_grant_type".into()));
    assert_eq!(region.token_requests(), 7);
    assert_clean(&region);
}

#[tokio::test]
async fn basic_is_decoded_unless_the_region_takes_it_raw() {
    for (raw, good, bad) in [(false, "a:p%2Bq", "a:p+q"), (true, "a:p+q", "a:p%2Bq")] {
        let clients = vec![Client::new("a", "p+q", &[])];
        let region =
            Region::start(Settings { clients, raw_basic: raw, ..Settings::default() }).await.unwrap();
        let form = format!("grant_type=password&{KEY}");
        assert_eq!(ask(&region, Some(good), &form).await.status, 200);
        assert_eq!(ask(&region, Some(bad), &form).await.status, 401);
    }
}

#[tokio::test]
async fn an_access_key_alone_gets_a_token() {
    let settings = Settings {
        access_keys: vec![AccessKey {
            tenant: Some("t-2".to_owned()),
            ..AccessKey::new("k", "s\"", &["users:read"])
        }],
        tenants: vec![Tenant::new("t-1", "na1"), Tenant::new("t-2", "eu1")],
        ..Settings::default()
    };
    let region = Region::start(settings).await.unwrap();
    let said = ask_by_key(&region, &json!({ "accessKeyId": "k", "accessKeySecret": "s\"" })).await.json();
    assert_eq!((&said["expires_in"], said.get("token_type")), (&json!(3600), None));
    let claims = claims(&said["access_token"]);
    assert_eq!((&claims["tenantId"], &claims["area"]), (&json!("t-2"), &json!("eu1")));
    assert_eq!(get(&region, &said["access_token"], "/api/v2/users/me").await.json()["id"], "k");

    for body in
        [json!({ "accessKeyId": "k", "accessKeySecret": "x" }), json!({ "accessKeyId": "k" }), json!(7)]
    {
        let reply = ask_by_key(&region, &body).await;
        assert_eq!(reply.status, if body.get("accessKeySecret").is_some() { 401 } else { 400 });
        assert!(reply.json()["message"].is_string() && reply.json().get("error").is_none());
    }
    let get = once(&region, request("GET", "/authentication/v1/token/access-key", "", "")).await.unwrap();
    assert_eq!((get.status, get.first("allow")), (405, Some("POST")));
    let grants: Vec<_> = region.journal().into_iter().filter_map(|entry| entry.grant).collect();
    assert_eq!(grants, vec!["access_key"; 5]);
    assert_clean(&region);
}

#[tokio::test]
async fn the_referee_tells_access_keys_apart_and_watches_each() {
    let region = region().await;
    let slow = r#"{ "faults": [{ "when": { "endpoint": "token" }, "then": { "delay": { "ms": 200 } } }] }"#;
    assert_eq!(once(&region, request("PUT", "/_region/script", "", slow)).await.unwrap().status, 204);
    let body = |id: &str| json!({ "accessKeyId": id, "accessKeySecret": "demo-access-key-secret" });
    let (one, other) = (body("demo-access-key"), body("another"));
    tokio::join!(ask_by_key(&region, &one), ask_by_key(&region, &other));
    assert_clean(&region);
    tokio::join!(ask_by_key(&region, &one), ask_by_key(&region, &one));
    assert_eq!(broken(&region), [Rule::OneTokenRequestAtOnce]);
}

#[tokio::test]
async fn a_missing_scope_is_said_in_the_vendor_s_words_too() {
    let bearer_region = region().await;
    let bearer = Bearer::of(&bearer_region).await;
    let text = "Token does not have the required scope: reports:read";
    for (target, challenge) in [("/api/v2/reports", true), ("/api/v2/reports?challenge=none", false)] {
        let reply = bearer.get(target).await;
        assert_eq!((reply.status, reply.first("icstatusdescription")), (403, Some(text)));
        assert_eq!(reply.first("www-authenticate").is_some(), challenge);
        assert_eq!(reply.json()["message"], text);
    }
}

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::client::{Bearer, CREDENTIALS, assert_clean, broken, once, region, request, token_request};
use crate::{Client, ExpiresIn, Region, Rule, Settings};

async fn error(region: &Region, form: &str) -> (u16, String) {
    let reply = once(region, token_request(form)).await.unwrap();
    (reply.status, reply.json()["error"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn gives_signed_tokens_for_client_credentials() {
    let region = region().await;
    let reply = once(&region, token_request(CREDENTIALS)).await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.first("cache-control"), Some("no-store"));
    let said = reply.json();
    assert_eq!(said["token_type"], "Bearer");
    assert_eq!(said["expires_in"], 3600);
    assert_eq!(said["scope"], "users:read contacts:read");

    let token = said["access_token"].as_str().unwrap();
    let parts: Vec<Value> = token
        .split('.')
        .take(2)
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    assert_eq!(parts[0]["alg"], "RS256");
    assert_eq!(parts[1]["iss"], region.base_url());
    assert_eq!(parts[1]["sub"], "demo-client");
    assert_eq!(parts[1]["scope"], "users:read contacts:read");
    let lifetime = parts[1]["exp"].as_u64().unwrap() - parts[1]["iat"].as_u64().unwrap();
    assert!((3600..=3601).contains(&lifetime), "{lifetime}");

    let keys = once(&region, request("GET", "/.well-known/jwks.json", "", "")).await.unwrap().json();
    assert_eq!(keys["keys"][0]["kid"], parts[0]["kid"]);
    assert_eq!(region.token_requests(), 1);
    assert_clean(&region);
}

#[tokio::test]
async fn narrows_scopes_to_those_asked_for() {
    let region = region().await;
    let form = format!("{CREDENTIALS}&scope=contacts%3Aread");
    let said = once(&region, token_request(&form)).await.unwrap().json();
    assert_eq!(said["scope"], "contacts:read");
    let bearer = Bearer { region: &region, token: said["access_token"].as_str().unwrap().to_owned() };
    let reply = bearer.get("/api/v2/users/7").await;
    assert_eq!(reply.status, 403);
    assert!(reply.first("www-authenticate").unwrap().contains("insufficient_scope"));
    assert_clean(&region);
}

#[tokio::test]
async fn names_the_error_in_what_it_refuses() {
    let region = region().await;
    let wrong = CREDENTIALS.replace("demo-secret", "guessed");
    assert_eq!(error(&region, &wrong).await, (401, "invalid_client".into()));
    let unknown = CREDENTIALS.replace("client_credentials", "authorization_code");
    assert_eq!(error(&region, &unknown).await, (400, "unsupported_grant_type".into()));
    let greedy = format!("{CREDENTIALS}&scope=users:read+everything");
    assert_eq!(error(&region, &greedy).await, (400, "invalid_scope".into()));
    let repeated = format!("{CREDENTIALS}&client_id=demo-client");
    assert_eq!(error(&region, &repeated).await, (400, "invalid_request".into()));
    let without = CREDENTIALS.replace("grant_type=client_credentials&", "");
    assert_eq!(error(&region, &without).await, (400, "invalid_request".into()));
    assert_eq!(error(&region, "grant_type=client_credentials").await, (401, "invalid_client".into()));

    let json = request("POST", "/api/v2/oauth/token", "Content-Type: application/json\r\n", CREDENTIALS);
    assert_eq!(once(&region, json).await.unwrap().json()["error"], "invalid_request");
    let get = once(&region, request("GET", "/api/v2/oauth/token", "", "")).await.unwrap();
    assert_eq!((get.status, get.first("allow")), (405, Some("POST")));

    let reply = once(&region, token_request(&wrong)).await.unwrap();
    assert!(reply.first("www-authenticate").unwrap().starts_with("Basic"));
}

#[tokio::test]
async fn takes_credentials_by_http_basic_as_well_but_not_twice() {
    let odd = Client::new("a:b", "s p%", &[]);
    let region = Region::start(Settings { clients: vec![odd], ..Settings::default() }).await.unwrap();
    let basic = format!("Authorization: Basic {}\r\n", STANDARD.encode("a%3Ab:s+p%25"));
    let fields = format!("{basic}Content-Type: application/x-www-form-urlencoded\r\n");
    let ask = |form: &str| request("POST", "/api/v2/oauth/token", &fields, form);
    assert_eq!(once(&region, ask("grant_type=client_credentials")).await.unwrap().status, 200);
    let both = once(&region, ask("grant_type=client_credentials&client_id=a&client_secret=b")).await.unwrap();
    assert_eq!(both.json()["error"], "invalid_request");
}

#[tokio::test]
async fn a_refresh_token_works_once_and_its_second_use_is_reported() {
    let region = region().await;
    let said = once(&region, token_request(CREDENTIALS)).await.unwrap().json();
    let form = |token: &Value| {
        let token = token.as_str().unwrap();
        format!(
            "grant_type=refresh_token&refresh_token={token}&client_id=demo-client&client_secret=demo-secret"
        )
    };
    let first = form(&said["refresh_token"]);
    let renewed = once(&region, token_request(&first)).await.unwrap().json();
    assert_ne!(renewed["access_token"], said["access_token"]);
    assert_ne!(renewed["refresh_token"], said["refresh_token"]);
    assert_clean(&region);

    assert_eq!(error(&region, &first).await, (400, "invalid_grant".into()));
    assert_eq!(broken(&region), [Rule::RefreshTokenOnce]);
    region.revoke_refresh_tokens();
    assert_eq!(error(&region, &form(&renewed["refresh_token"])).await, (400, "invalid_grant".into()));
}

#[tokio::test]
async fn states_the_lifetime_in_the_form_that_was_asked_for() {
    for (form, expected) in [(ExpiresIn::Text, Value::from("3600")), (ExpiresIn::Absent, Value::Null)] {
        let settings = Settings {
            expires_in: form,
            token_type: "bEARER".into(),
            issue_refresh_tokens: false,
            ..Settings::default()
        };
        let region = Region::start(settings).await.unwrap();
        let said = once(&region, token_request(CREDENTIALS)).await.unwrap().json();
        assert_eq!(said["expires_in"], expected);
        assert_eq!(said["token_type"], "bEARER");
        assert_eq!(said.get("refresh_token"), None);
    }
}

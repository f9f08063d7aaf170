//! Where things are, and a tenant that moves.

use serde_json::{Value, json};

use super::client::{Bearer, Reply, assert_clean, once, region, request};
use crate::{Endpoint, Region, Settings, Tls};

const CONFIGURATION: &str = "/.well-known/cxone-configuration?tenantId=11e85da0-0000-4000-8000-0242ac110003";

async fn get(region: &Region, target: &str) -> Reply {
    once(region, request("GET", target, "", "")).await.unwrap()
}

async fn api_endpoint(region: &Region) -> Value {
    get(region, CONFIGURATION).await.json()["api_endpoint"].clone()
}

#[tokio::test]
async fn says_where_the_api_of_a_tenant_is() {
    let settings = Settings { path_prefix: "/prefix".to_owned(), ..Settings::default() };
    let region = Region::start(settings).await.unwrap();
    let said = get(&region, CONFIGURATION).await.json();
    assert_eq!(said["api_endpoint"], region.base_url());
    assert_eq!(region.base_url(), format!("{}/prefix", region.origin()));
    assert_eq!(said["area"], "na1");
    assert_eq!(get(&region, "/.well-known/cxone-configuration").await.status, 400);
    assert_eq!(get(&region, "/.well-known/cxone-configuration?tenantId=x").await.status, 404);
    let post = once(&region, request("POST", CONFIGURATION, "", "x")).await.unwrap();
    assert_eq!((post.status, post.first("allow")), (405, Some("GET, HEAD")));
    assert_clean(&region);
}

#[tokio::test]
async fn says_where_tokens_are() {
    let region = region().await;
    let said = get(&region, "/.well-known/openid-configuration").await.json();
    assert_eq!(said["token_endpoint"], region.password_url());
    assert_eq!(said["issuer"], region.base_url());
    let keys = said["jwks_uri"].as_str().unwrap().strip_prefix(&region.origin()).unwrap().to_owned();
    assert_eq!(get(&region, &keys).await.status, 200);
}

#[tokio::test]
async fn is_journalled_and_open_to_faults_without_a_token() {
    let region = region().await;
    let script = json!({ "faults": [
        { "when": { "endpoint": "discovery" }, "times": 1, "then": { "status": { "status": 503 } } },
    ]});
    once(&region, request("PUT", "/_region/script", "", &script.to_string())).await.unwrap();
    assert_eq!(get(&region, CONFIGURATION).await.status, 503);
    assert_eq!(get(&region, CONFIGURATION).await.status, 200);
    let journal = region.journal();
    assert!(journal.iter().all(|entry| entry.endpoint == Endpoint::Discovery && entry.token.is_none()));
    assert_eq!(journal.len(), 2);
    let metrics = String::from_utf8(get(&region, "/_region/metrics").await.body).unwrap();
    assert!(metrics.contains(r#"simulated_region_requests_total{endpoint="discovery",status="200"} 1"#));
    assert_clean(&region);
}

#[tokio::test]
async fn an_area_beside_takes_over_with_the_same_tokens() {
    let first = region().await;
    let second = first.start_beside(Settings::default()).await.unwrap();
    assert_ne!(first.address(), second.address());
    first.set_api_endpoint(&second.base_url());
    let said = get(&first, CONFIGURATION).await.json();
    assert_eq!((&said["api_endpoint"], said.get("area")), (&json!(second.base_url()), None));

    let Bearer { token, .. } = Bearer::of(&first).await;
    let bearer = Bearer { region: &second, token };
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200);
    second.revoke_all();
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 401);
    assert_eq!((first.token_requests(), second.token_requests()), (1, 0));
    assert_clean(&first);
    assert_clean(&second);
}

#[tokio::test]
async fn a_tenant_is_moved_and_moved_back_by_request() {
    let region = region().await;
    let put = |body: &str| request("PUT", "/_region/api-endpoint", "", body);
    let moved = once(&region, put(r#"{ "api_endpoint": "https://api-eu1.example" }"#)).await.unwrap();
    assert_eq!(moved.status, 204);
    assert_eq!(api_endpoint(&region).await, "https://api-eu1.example");
    assert_eq!(once(&region, put(r#"{ "url": "x" }"#)).await.unwrap().status, 400);
    let back = once(&region, request("DELETE", "/_region/api-endpoint", "", "")).await.unwrap();
    assert_eq!(back.status, 204);
    assert_eq!(api_endpoint(&region).await, json!(region.base_url()));
}

#[tokio::test]
async fn areas_with_tls_share_their_authority() {
    let secure = || Settings { tls: Some(Tls::default()), ..Settings::default() };
    let first = Region::start(secure()).await.unwrap();
    let second = first.start_beside(secure()).await.unwrap();
    assert_eq!(first.ca_pem(), second.ca_pem());
    assert!(second.ca_pem().is_some() && second.base_url().starts_with("https://"));
    let plain = first.start_beside(Settings::default()).await.unwrap();
    assert_eq!(plain.ca_pem(), None);
}

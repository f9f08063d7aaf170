//! What the admin pages say of each profile.

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script};
use serde_json::Value;

use super::{TwoRegions, attempts};
use crate::support::eventually;

/// A program whose second profile's credentials are refused.
async fn half_refused() -> TwoRegions {
    let files = tempfile::tempdir().unwrap();
    let secret = files.path().join("wrong");
    std::fs::write(&secret, "wrong").unwrap();
    let own = format!("[profile.oauth]\nclient_secret_file = '{}'\n", secret.display());
    let regions = TwoRegions::of(&format!("{}{own}", super::pair("host = 'digital.localhost'"))).await;
    eventually("the refusal", async || {
        (regions.admin("/readyz/digital").await.text().contains("refused")).then_some(())
    })
    .await;
    regions
}

#[tokio::test]
async fn readiness_is_reported_for_each_profile_and_for_all() {
    let regions = half_refused().await;
    eventually("the first token", async || {
        (regions.admin("/readyz/api").await.status() == 200).then_some(())
    })
    .await;
    for page in ["/readyz", "/readyz/digital"] {
        let response = regions.admin(page).await;
        assert_eq!(response.status(), 503, "{page}");
        let text = response.text();
        assert!(text.starts_with("digital: not ready (refused): "), "{text}");
        assert!(text.contains("\nhint: Check CXONE_CLIENT_ID"), "{text}");
        assert!(!text.contains("api:"), "{text}");
    }
    for page in ["/readyz/unknown", "/readyz/", "/readyz/api/", "/readyz/API"] {
        assert_eq!(regions.admin(page).await.status(), 404, "{page}");
    }
}

#[tokio::test]
async fn ready_when_all_are() {
    let regions = TwoRegions::pair("host = 'digital.localhost'").await;
    eventually("both tokens", async || (regions.admin("/readyz").await.status() == 200).then_some(())).await;
    for name in ["api", "digital"] {
        assert_eq!(regions.admin(&format!("/readyz/{name}")).await.text(), "ready\n");
    }
}

#[tokio::test]
async fn one_profile_serves_while_the_other_s_credentials_are_refused() {
    let regions = half_refused().await;
    for _ in 0..3 {
        assert_eq!(regions.get("/api/v2/users/me", "localhost").await.status(), 200);
        let refused = regions.get("/api/v2/users/me", "digital.localhost").await;
        assert_eq!(refused.status(), 502);
        assert_eq!(refused.only("Proxy-Status"), Some("cxone-proxy; error=proxy_configuration_error"));
    }
    assert_eq!([attempts(&regions.api).len(), attempts(&regions.digital).len()], [3, 0]);
}

#[tokio::test]
async fn one_profile_s_token_is_renewed_and_the_other_s_is_not() {
    let regions = TwoRegions::pair("host = 'digital.localhost'").await;
    for host in ["localhost", "digital.localhost"] {
        assert_eq!(regions.get("/api/v2/users/me", host).await.status(), 200);
    }
    let refusal = Fault::new(Action::Status(Canned::new(401))).at(Endpoint::Api);
    regions.digital.script(Script::of([refusal]));
    for _ in 0..3 {
        assert_eq!(regions.get("/api/v2/users/me", "digital.localhost").await.status(), 401);
        assert_eq!(regions.get("/api/v2/users/me", "localhost").await.status(), 200);
    }
    // The first refusal causes a renewal; the fresh token is refused too, so the next two cause none yet.
    assert_eq!((regions.api.token_requests(), regions.digital.token_requests()), (1, 2));
}

#[tokio::test]
async fn status_reports_each_profile() {
    let regions = TwoRegions::pair("host = 'digital.localhost'").await;
    for host in ["localhost", "digital.localhost", "digital.localhost"] {
        assert_eq!(regions.get("/api/v2/users/me", host).await.status(), 200);
    }
    let status = regions.admin("/status").await.json();
    let [api, digital] = &status["profiles"].as_array().unwrap()[..] else { panic!("{status}") };
    for (profile, name, region, total) in
        [(api, "api", &regions.api, 1), (digital, "digital", &regions.digital, 2)]
    {
        assert_eq!(profile["name"], name);
        assert_eq!(profile["upstream"]["base_url"], region.base_url());
        assert_eq!(profile["upstream"]["token_url"], region.token_url());
        assert_eq!(profile["token"]["state"], "valid");
        assert_eq!(profile["token"]["generation"], 1);
        assert_eq!(profile["requests"]["total"], total);
    }
    // The keys for one upstream describe the first profile.
    assert_eq!((&status["upstream"], &status["token"]), (&api["upstream"], &api["token"]));
    assert_eq!(status["requests"]["total"], 3);
    // Tokens of a region are JWTs.
    assert!(!regions.admin("/status").await.text().contains("eyJ"));
}

#[tokio::test]
async fn without_profiles_no_profiles_are_reported() {
    let setup = crate::support::Setup::new().await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    assert_eq!(setup.admin("/status").await.json()["profiles"], Value::Null);
    let names = setup.metrics().await;
    assert!(names.values("cxone_proxy_requests_total", "profile").iter().all(|name| *name == "default"));
    assert_eq!(setup.admin("/readyz/default").await.status(), 200);
}

#[tokio::test]
async fn metrics_carry_the_profile() {
    let text = "[[profile]]\nname = 'api'\n[profile.upstream]\nbase_url = '{api}'\n\
                [[profile]]\nname = 'same'\nhost = 'same.localhost'\ncredentials = 'api'\n\
                [profile.upstream]\nbase_url = '{api}'\n";
    let regions = TwoRegions::of(text).await;
    for host in ["localhost", "same.localhost"] {
        assert_eq!(regions.get("/api/v2/users/me", host).await.status(), 200);
    }
    assert_eq!(regions.api.token_requests(), 1, "they share one token");
    let metrics = regions.metrics().await;
    for name in ["api", "same"] {
        let labels = [("method", "GET"), ("status", "200"), ("profile", name)];
        assert_eq!(metrics.count("cxone_proxy_requests_total", &labels), 1);
        assert_eq!(metrics.count("cxone_proxy_requests_in_flight", &[("profile", name)]), 0);
    }
    // Shared credentials are counted once, for the profile that names them first.
    let ok = [("grant", "client_credentials"), ("outcome", "ok")];
    assert_eq!(metrics.count("cxone_proxy_token_requests_total", &ok), 1);
    let ok = [ok[0], ok[1], ("profile", "api")];
    assert_eq!(metrics.count("cxone_proxy_token_requests_total", &ok), 1);
    let count = |start: &str| metrics.text().lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(count("# HELP cxone_proxy_requests_total "), 1);
    assert_eq!(count("cxone_proxy_connections_open "), 1);
}

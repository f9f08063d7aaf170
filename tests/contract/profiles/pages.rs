//! What the admin pages and the log say of each profile.

use cxone_proxy::simulator::{Action, Canned, Endpoint, Fault, Script};
use serde_json::Value;

use super::{Cast, attempts};
use crate::support::eventually;

/// A program whose second profile's credentials are refused.
async fn half_refused() -> Cast {
    let files = tempfile::tempdir().unwrap();
    let secret = files.path().join("wrong");
    std::fs::write(&secret, "wrong").unwrap();
    let own = format!("[profile.oauth]\nclient_secret_file = '{}'\n", secret.display());
    let cast = Cast::of(&format!("{}{own}", super::pair("host = 'digital.localhost'"))).await;
    eventually("the refusal", async || {
        (cast.admin("/readyz/digital").await.text().contains("refused")).then_some(())
    })
    .await;
    cast
}

#[tokio::test]
async fn ready_is_told_of_each_profile_and_of_all() {
    let cast = half_refused().await;
    eventually("the first token", async || (cast.admin("/readyz/api").await.status() == 200).then_some(()))
        .await;
    for page in ["/readyz", "/readyz/digital"] {
        let reply = cast.admin(page).await;
        assert_eq!(reply.status(), 503, "{page}");
        let text = reply.text();
        assert!(text.starts_with("digital: not ready (refused): the token endpoint refused"), "{text}");
        assert!(text.contains("\nhint: Check CXONE_CLIENT_ID"), "{text}");
        assert!(!text.contains("api:"), "{text}");
    }
    for page in ["/readyz/unknown", "/readyz/", "/readyz/api/", "/readyz/API"] {
        assert_eq!(cast.admin(page).await.status(), 404, "{page}");
    }
}

#[tokio::test]
async fn ready_when_all_are() {
    let cast = Cast::pair("host = 'digital.localhost'").await;
    eventually("both tokens", async || (cast.admin("/readyz").await.status() == 200).then_some(())).await;
    for name in ["api", "digital"] {
        assert_eq!(cast.admin(&format!("/readyz/{name}")).await.text(), "ready\n");
    }
}

#[tokio::test]
async fn one_profile_serves_while_the_other_s_credentials_are_refused() {
    let cast = half_refused().await;
    for _ in 0..3 {
        assert_eq!(cast.get("/api/v2/users/me", "localhost").await.status(), 200);
        let refused = cast.get("/api/v2/users/me", "digital.localhost").await;
        assert_eq!(refused.status(), 502);
        assert_eq!(refused.only("Proxy-Status"), Some("cxone-proxy; error=proxy_configuration_error"));
    }
    assert_eq!([attempts(&cast.api).len(), attempts(&cast.digital).len()], [3, 0]);
}

#[tokio::test]
async fn one_profile_s_token_is_renewed_and_the_other_s_is_not() {
    let cast = Cast::pair("host = 'digital.localhost'").await;
    for host in ["localhost", "digital.localhost"] {
        assert_eq!(cast.get("/api/v2/users/me", host).await.status(), 200);
    }
    let refusal = Fault::new(Action::Status(Canned::new(401))).at(Endpoint::Api);
    cast.digital.script(Script::of([refusal]));
    for _ in 0..3 {
        assert_eq!(cast.get("/api/v2/users/me", "digital.localhost").await.status(), 401);
        assert_eq!(cast.get("/api/v2/users/me", "localhost").await.status(), 200);
    }
    assert_eq!(cast.api.token_requests(), 1);
    assert!(cast.digital.token_requests() > 1);
}

#[tokio::test]
async fn status_tells_of_each_profile() {
    let cast = Cast::pair("host = 'digital.localhost'").await;
    for host in ["localhost", "digital.localhost", "digital.localhost"] {
        assert_eq!(cast.get("/api/v2/users/me", host).await.status(), 200);
    }
    let status = cast.admin("/status").await.json();
    let [api, digital] = &status["profiles"].as_array().unwrap()[..] else { panic!("{status}") };
    for (profile, name, region, total) in [(api, "api", &cast.api, 1), (digital, "digital", &cast.digital, 2)]
    {
        assert_eq!(profile["name"], name);
        assert_eq!(profile["upstream"]["base_url"], region.base_url());
        assert_eq!(profile["upstream"]["token_url"], region.token_url());
        assert_eq!(profile["token"]["state"], "valid");
        assert_eq!(profile["token"]["generation"], 1);
        assert_eq!(profile["requests"]["total"], total);
    }
    // What is promised of one upstream is told of the first.
    assert_eq!((&status["upstream"], &status["token"]), (&api["upstream"], &api["token"]));
    assert_eq!(status["requests"]["total"], 3);
    assert!(cast.admin("/status").await.text().find("access_token").is_none());
}

#[tokio::test]
async fn without_profiles_nobody_is_told_of_any() {
    let stage = crate::support::Stage::new().await;
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 200);
    assert_eq!(stage.admin("/status").await.json()["profiles"], Value::Null);
    assert!(!stage.admin("/metrics").await.text().contains("profile="));
    assert_eq!(stage.admin("/readyz/default").await.status(), 200);
}

#[tokio::test]
async fn metrics_carry_the_profile() {
    let text = "[[profile]]\nname = 'api'\n[profile.upstream]\nbase_url = '{api}'\n\
                [[profile]]\nname = 'same'\nhost = 'same.localhost'\ncredentials = 'api'\n\
                [profile.upstream]\nbase_url = '{api}'\n";
    let cast = Cast::of(text).await;
    for host in ["localhost", "same.localhost"] {
        assert_eq!(cast.get("/api/v2/users/me", host).await.status(), 200);
    }
    assert_eq!(cast.api.token_requests(), 1, "they share one token");
    let metrics = cast.admin("/metrics").await.text();
    for name in ["api", "same"] {
        for sample in [
            format!("cxone_proxy_requests_total{{method=\"GET\",status=\"200\",profile=\"{name}\"}} 1"),
            format!("cxone_proxy_requests_in_flight{{profile=\"{name}\"}} 0"),
        ] {
            assert!(metrics.lines().any(|line| line == sample), "{sample}\n{metrics}");
        }
    }
    // One set of credentials is counted once, where it was first named; and a family's help comes once.
    let count = |start: &str| metrics.lines().filter(|line| line.starts_with(start)).count();
    let tokens = "cxone_proxy_token_requests_total{grant=\"client_credentials\",outcome=\"ok\"";
    assert_eq!(count(tokens), 1, "{metrics}");
    assert_eq!(count(&format!("{tokens},profile=\"api\"}} 1")), 1, "{metrics}");
    assert_eq!(count("# HELP cxone_proxy_requests_total "), 1);
    assert_eq!(count("cxone_proxy_connections_open "), 1);
}

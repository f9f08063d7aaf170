//! Section 7: the admin listener.

mod metrics;

use serde_json::Value;

use crate::support::{Launch, Setup, eventually, get, request};

#[tokio::test]
async fn livez_is_200_and_readyz_follows_the_token() {
    let setup = Setup::launched(|launch| launch.variable("CXONE_CLIENT_SECRET", "wr0ng-s3cret")).await;
    assert_eq!(setup.admin("/livez").await.status(), 200);
    setup.token_state("refused").await;
    let readyz = setup.admin("/readyz").await;
    assert_eq!(readyz.status(), 503);
    assert!(readyz.text().contains("refused"), "{}", readyz.text());
    let good = Setup::new().await;
    good.token_state("valid").await;
    assert_eq!(good.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn one_ready_profile_is_enough_for_any() {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("wrong"), "wr0ng-s3cret").unwrap();
    let file = files.path().join("proxy.toml");
    let text = format!(
        "[[profile]]\nname = 'good'\n[[profile]]\nname = 'bad'\nhost = 'bad.localhost'\n\
         [profile.oauth]\nclient_secret_file = '{}'\n",
        files.path().join("wrong").display()
    );
    std::fs::write(&file, text).unwrap();
    let setup = Setup::launched(|launch| launch.flag("config", &file)).await;
    eventually("one ready profile", async || {
        (setup.admin("/readyz/good").await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(setup.admin("/readyz").await.status(), 503);
    assert_eq!(setup.admin("/readyz?any").await.status(), 200);
}

#[tokio::test]
async fn status_has_all_the_promised_keys() {
    let setup = Setup::new().await;
    setup.token_state("valid").await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    let status = setup.status().await;
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let count = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64);
    assert_eq!(text("/version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert!(status["uptime_seconds"].is_number());
    assert_eq!(status["draining"], false);
    assert_eq!(text("/upstream/base_url"), Some(setup.region.base_url()));
    assert_eq!(text("/upstream/token_url"), Some(setup.region.token_url()));
    assert_eq!(text("/token/state").as_deref(), Some("valid"));
    assert_eq!(status["token"]["scopes"], serde_json::json!(["users:read", "contacts:read"]));
    for time in ["/token/obtained_at", "/token/expires_at"] {
        let time = text(time).unwrap();
        assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    }
    assert!((3500..=3600).contains(&count("/token/expires_in_seconds").unwrap()), "{status}");
    assert_eq!(count("/token/generation"), Some(1));
    assert_eq!(status["token"].get("last_error"), Some(&Value::Null));
    assert_eq!((count("/requests/total"), count("/requests/in_flight")), (Some(1), Some(0)));
    for reason in ["unauthorized", "rate_limited", "connection"] {
        assert_eq!(count(&format!("/retries/{reason}")), Some(0), "{reason}");
    }
}

#[tokio::test]
async fn other_methods_and_pages_are_refused() {
    let setup = Setup::new().await;
    let admin = setup.proxy.admin_address();
    for (method, page, expected) in
        [("GET", "/nowhere", 404), ("POST", "/livez", 405), ("DELETE", "/status", 405)]
    {
        let mut client = crate::support::RawConnection::to(admin).await;
        assert_eq!(client.fetch(request(method, page, "", "")).await.status(), expected, "{method} {page}");
    }
    let mut client = crate::support::RawConnection::to(admin).await;
    client.send(request("HEAD", "/livez", "", "")).await;
    assert_eq!(client.head().await.unwrap().status(), 200);
    assert_eq!(client.fetch(get("/livez")).await.status(), 200, "nothing followed the head");
}

#[tokio::test]
async fn an_admin_listener_that_is_off_is_not_there() {
    let setup = Setup::launched(|launch: Launch| launch.flag("admin-listen", "off")).await;
    assert!(setup.proxy.event("listening").await["admin"].is_null());
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    assert_eq!(setup.get("/livez").await.status(), 404, "the proxy has no admin pages");
}

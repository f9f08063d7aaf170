//! Flags win over the environment, the environment over the file, the file over defaults.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{listening, offline};
use crate::support::{Launch, RawConnection, Setup, serve};

fn file(directory: &TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("proxy.toml");
    std::fs::write(&path, text).unwrap();
    path
}

async fn upstream(launch: &Launch) -> String {
    listening(launch).await["upstream"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_stronger_source_wins() {
    let directory = TempDir::new().unwrap();
    let path = file(&directory, "[upstream]\nbase_url = \"https://file.invalid/\"\n");
    assert_eq!(upstream(&offline()).await, "https://api.cxone.com");
    let from_file = offline().flag("config", &path);
    assert_eq!(upstream(&from_file).await, "https://file.invalid");
    let from_variable = from_file.variable("CXONE_BASE_URL", "https://variable.invalid");
    assert_eq!(upstream(&from_variable).await, "https://variable.invalid");
    let from_flag = from_variable.flag("base-url", "https://flag.invalid/a/b/");
    assert_eq!(upstream(&from_flag).await, "https://flag.invalid/a/b");
}

#[tokio::test]
async fn a_region_is_short_for_its_address() {
    for (region, expected) in [
        ("global", "https://api.cxone.com"),
        ("eu", "https://api.eu.cxone.com"),
        ("usgov", "https://api.usgov.cxone.com"),
    ] {
        assert_eq!(upstream(&offline().variable("CXONE_REGION", region)).await, expected);
    }
}

#[tokio::test]
async fn of_two_that_exclude_each_other_the_stronger_source_wins() {
    let directory = TempDir::new().unwrap();
    let path = file(&directory, "[upstream]\nbase_url = \"https://file.invalid\"\n");
    let region = offline().flag("config", &path).variable("CXONE_REGION", "eu");
    assert_eq!(upstream(&region).await, "https://api.eu.cxone.com");
    let flag = region.flag("base-url", "https://flag.invalid");
    assert_eq!(upstream(&flag).await, "https://flag.invalid");
}

#[tokio::test]
async fn the_file_is_named_by_variable_or_flag() {
    let directory = TempDir::new().unwrap();
    let path = file(&directory, "[upstream]\nregion = \"usgov\"\n");
    let by_variable = offline().variable("CXONE_PROXY_CONFIG", &path);
    assert_eq!(upstream(&by_variable).await, "https://api.usgov.cxone.com");
    let other = directory.path().join("other.toml");
    std::fs::write(&other, "[upstream]\nregion = \"eu\"\n").unwrap();
    assert_eq!(upstream(&by_variable.flag("config", &other)).await, "https://api.eu.cxone.com");
    let missing = Path::new("/nonexistent/proxy.toml");
    let (status, _, log) = offline().flag("config", missing).run().await;
    assert_eq!(status.code(), Some(2));
    assert!(log.contains("/nonexistent/proxy.toml") && log.contains("--config"), "{log}");
}

#[tokio::test]
async fn an_empty_variable_counts_as_not_set() {
    let directory = TempDir::new().unwrap();
    let path = file(&directory, "[upstream]\nregion = \"eu\"\n");
    let launch = offline()
        .variable("CXONE_PROXY_CONFIG", &path)
        .variable("CXONE_BASE_URL", "")
        .variable("CXONE_REGION", "")
        .variable("CXONE_PROXY_MAX_WAIT", "");
    assert_eq!(upstream(&launch).await, "https://api.eu.cxone.com");
    let (status, _, log) = launch.variable("CXONE_CLIENT_ID", "").run().await;
    assert_eq!(status.code(), Some(2));
    assert!(log.contains("oauth.client_id") && log.contains("CXONE_CLIENT_ID"), "{log}");
}

#[tokio::test]
async fn everything_can_be_in_the_file() {
    let directory = TempDir::new().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "demo-secret\n").unwrap();
    let setup = Setup::launched(|launch| {
        let base_url = launch.value("CXONE_BASE_URL").unwrap().to_str().unwrap().to_owned();
        let text = format!(
            "listen = \"127.0.0.1:0\"\n\
             drain_timeout = \"5s\"\n\
             [upstream]\n\
             base_url = \"{base_url}\"\n\
             connect_timeout = \"2s\"\n\
             response_timeout = \"off\"\n\
             [oauth]\n\
             client_id = \"demo-client\"\n\
             client_secret_file = {secret:?}\n\
             scopes = \"users:read contacts:read\"\n\
             token_url = \"{base_url}/api/v2/oauth/token\"\n\
             refresh_margin = \"1m\"\n\
             [admin]\n\
             listen = \"off\"\n\
             [guard]\n\
             allowed_hosts = [\"first.example\", \"second.example\"]\n\
             allowed_origins = [\"https://app.example\"]\n\
             [forwarding]\n\
             via = \"off\"\n\
             [retry]\n\
             replay_buffer = \"64KiB\"\n\
             rate_limit_retries = 1\n\
             max_wait = \"2s\"\n\
             [limits]\n\
             header_size = \"16KiB\"\n\
             header_timeout = \"5s\"\n\
             idle_timeout = \"1m\"\n\
             in_flight = 100\n\
             [log]\n\
             filter = \"info\"\n\
             format = \"json\"\n"
        );
        let path = file(&directory, &text);
        let bare = ["CXONE_BASE_URL", "CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET"];
        let launch = Launch::of("serve").flag("config", path);
        bare.into_iter().fold(launch, Launch::without_variable)
    })
    .await;
    for host in ["first.example", "second.example:8080"] {
        let response = setup.fetch(format!("GET /api/v2/users/me HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(response.status(), 200, "{host}");
        assert_eq!(response.only("via"), None);
    }
    assert!(setup.proxy.events()[0]["admin"].is_null());
}

#[tokio::test]
async fn lists_are_separated_by_commas_in_variables_and_flags() {
    let names = "first.example, second.example";
    for launch in
        [offline().variable("CXONE_PROXY_ALLOWED_HOSTS", names), offline().flag("allowed-hosts", names)]
    {
        let process = launch.listening().await;
        for (host, known) in [("first.example", true), ("second.example", true), ("third.example", false)] {
            // The origin is not allowed: 403 shows that the host was known.
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: https://evil.example\r\n\r\n");
            let response = RawConnection::to(process.proxy_address()).await.fetch(request).await;
            assert_eq!(response.status(), if known { 403 } else { 421 }, "{host}");
        }
    }
}

#[tokio::test]
async fn the_real_addresses_are_logged() {
    let process = serve("http://127.0.0.1:9").listening().await;
    let (proxy, admin) = (process.proxy_address(), process.admin_address());
    assert!(proxy.port() != 0 && admin.port() != 0 && proxy != admin);
    assert_eq!(
        RawConnection::to(proxy).await.fetch("GET * HTTP/1.1\r\nHost: localhost\r\n\r\n").await.status(),
        400
    );
}

//! A mistake is an error at start that names the key, its source and what would be accepted.

use tempfile::TempDir;

use super::offline;
use crate::support::Launch;

async fn refused(launch: Launch, expected: &[&str]) {
    let (status, output, log) = launch.run().await;
    assert_eq!(status.code(), Some(2), "{launch:?}: {log}");
    assert_eq!(output, "", "results only");
    for expected in expected {
        assert!(log.contains(expected), "{expected:?} is missing: {log}");
    }
    assert!(!log.contains("s3cr3t-value"), "{log}");
}

#[tokio::test]
async fn errors_in_the_file_name_key_line_and_what_is_accepted() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("proxy.toml");
    let file = path.to_str().unwrap();
    for (text, line, expected) in [
        ("\n[upstream]\nregion = \"mars\"\n", 3, ["upstream.region", "`global`, `eu` or `usgov`"]),
        ("[upstream]\nconect_timeout = \"5s\"\n", 2, ["upstream.conect_timeout", "upstream.connect_timeout"]),
        ("[retry]\nmax_wait = 30\n", 2, ["retry.max_wait", "`ms`, `s`, `m` or `h`"]),
        ("[retry]\nreplay_buffer = 1024\n", 2, ["retry.replay_buffer", "`MiB`"]),
        ("[retry]\nrate_limit_retries = \"many\"\n", 2, ["retry.rate_limit_retries", "an integer"]),
        ("[guard]\n\nallowed_hosts = [1]\n", 3, ["guard.allowed_hosts", "accepted:"]),
        ("listen = \"nowhere\"\n", 1, ["listen", "`unix:PATH`"]),
        ("[oauth]\nclient_secret = \"s3cr3t-value\"\n", 2, ["oauth.client_secret", "CXONE_CLIENT_SECRET"]),
        ("[upstream]\nregion = \n", 2, ["TOML", ""]),
    ] {
        std::fs::write(&path, text).unwrap();
        refused(offline().flag("config", file), &[&format!("{file}:{line}"), expected[0], expected[1]]).await;
    }
}

#[tokio::test]
async fn errors_in_variables_and_flags_name_them() {
    for (variable, flag, value, accepted) in [
        ("CXONE_REGION", "region", "mars", "`global`, `eu` or `usgov`"),
        ("CXONE_PROXY_CONNECT_TIMEOUT", "connect-timeout", "10", "`ms`, `s`, `m` or `h`"),
        ("CXONE_PROXY_RESPONSE_TIMEOUT", "response-timeout", "never", "`off`"),
        ("CXONE_PROXY_HEADER_SIZE", "header-size", "64", "`KiB`"),
        ("CXONE_PROXY_IN_FLIGHT", "in-flight", "0", "an integer from 1"),
        ("CXONE_PROXY_VIA", "via", "maybe", "`response`, `both` or `off`"),
        ("CXONE_PROXY_LISTEN", "listen", "8080", "127.0.0.1:8080"),
        ("CXONE_PROXY_ALLOWED_ORIGINS", "allowed-origins", "app.example", "https://"),
        ("CXONE_PROXY_LOG", "log", "[[", "accepted:"),
        ("CXONE_PROXY_LOG_FORMAT", "log-format", "xml", "`text` or `json`"),
        ("CXONE_TOKEN_URL", "token-url", "nowhere", "https://"),
        ("CXONE_CA_FILE", "ca-file", "/nonexistent/ca.pem", "accepted:"),
    ] {
        let bare = Launch::of("serve")
            .variable("CXONE_CLIENT_ID", "app")
            .variable("CXONE_CLIENT_SECRET", "s3cr3t-value")
            .variable("HTTPS_PROXY", "http://127.0.0.1:9");
        refused(bare.clone().variable(variable, value), &[variable, accepted]).await;
        refused(bare.flag(flag, value), &[&format!("--{flag}"), accepted]).await;
    }
}

#[tokio::test]
async fn all_mistakes_are_reported_at_once() {
    let launch = offline().flag("via", "maybe").variable("CXONE_PROXY_MAX_WAIT", "5");
    refused(
        launch.without_variable("CXONE_CLIENT_ID"),
        &["--via", "CXONE_PROXY_MAX_WAIT", "CXONE_CLIENT_ID"],
    )
    .await;
}

#[tokio::test]
async fn two_that_exclude_each_other_are_an_error_within_one_source() {
    let base_url = "https://upstream.invalid";
    let both = offline().variable("CXONE_BASE_URL", base_url).variable("CXONE_REGION", "eu");
    refused(both, &["CXONE_BASE_URL", "CXONE_REGION", "exclude"]).await;
    let both = offline().flag("base-url", base_url).flag("region", "eu");
    refused(both, &["--base-url", "--region", "exclude"]).await;
    let both = offline().variable("CXONE_CLIENT_SECRET_FILE", "/nonexistent");
    refused(both, &["CXONE_CLIENT_SECRET", "CXONE_CLIENT_SECRET_FILE", "exclude"]).await;
}

#[tokio::test]
async fn plain_http_is_refused_unless_the_host_is_loopback() {
    for url in [
        "http://upstream.invalid",
        "http://192.0.2.1",
        "http://[2001:db8::1]",
        "http://localhost.evil.example",
    ] {
        refused(offline().variable("CXONE_BASE_URL", url), &["CXONE_BASE_URL", url, "https://"]).await;
        refused(offline().variable("CXONE_TOKEN_URL", url), &["CXONE_TOKEN_URL", url, "https://"]).await;
    }
    for url in ["http://localhost:9", "http://127.0.0.1:9", "http://127.1.2.3:9", "http://[::1]:9"] {
        let process = offline().variable("CXONE_BASE_URL", url).listening().await;
        assert_eq!(process.event("listening").await["upstream"], url);
    }
}

#[tokio::test]
async fn a_base_url_has_no_query_fragment_or_user() {
    for url in [
        "https://a.invalid/?q",
        "https://a.invalid/#f",
        "https://u:s3cr3t-value@a.invalid",
        "ftp://a.invalid",
    ] {
        refused(offline().variable("CXONE_BASE_URL", url), &["CXONE_BASE_URL", "accepted:"]).await;
    }
}

#[tokio::test]
async fn listening_beyond_this_machine_needs_allowed_hosts() {
    for address in ["0.0.0.0:0", "[::]:0"] {
        refused(offline().flag("listen", address), &["--listen", "guard.allowed_hosts"]).await;
    }
    let launch = offline().flag("listen", "0.0.0.0:0").flag("allowed-hosts", "proxy.example");
    assert_ne!(launch.listening().await.proxy_address().port(), 0);
    refused(offline().flag("admin-listen", "0.0.0.0:0"), &["--admin-listen", "guard.allowed_hosts"]).await;
}

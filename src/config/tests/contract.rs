//! Each option that is promised, with its names and its default.

use std::{collections::HashSet, num::NonZeroUsize, time::Duration};

use super::super::{
    options::{Fallback, Form, TABLE},
    *,
};
use super::Given;
use crate::{
    access::{AllowedHosts, HostName},
    header_case::HeaderCase,
    log,
    proxy::Via,
    tokens::{ClientAuth, Grant, Scopes, SecretPlace, SecretSource},
    upstream::tls::Trust,
};

/// Variable, file key, default as promised.
const PROMISED: &[(&str, &str, &str)] = &[
    ("CXONE_REGION", "upstream.region", "global"),
    ("CXONE_BASE_URL", "upstream.base_url", "from the region"),
    ("CXONE_CA_FILE", "upstream.ca_file", "platform roots"),
    ("CXONE_DISCOVER", "upstream.discover", "false"),
    (
        "CXONE_DISCOVERY_URL",
        "upstream.discovery_url",
        "https://cxone.niceincontact.com/.well-known/cxone-configuration",
    ),
    ("CXONE_PROXY_DISCOVER_INTERVAL", "upstream.discover_interval", "5m"),
    ("CXONE_PROXY_CONNECT_TIMEOUT", "upstream.connect_timeout", "10s"),
    ("CXONE_PROXY_RESPONSE_TIMEOUT", "upstream.response_timeout", "off"),
    ("CXONE_GRANT", "oauth.grant", "client_credentials"),
    ("CXONE_CLIENT_ID", "oauth.client_id", "required"),
    ("CXONE_CLIENT_SECRET", "", "required"),
    ("CXONE_CLIENT_SECRET_FILE", "oauth.client_secret_file", ""),
    ("CXONE_CLIENT_SECRET_COMMAND", "oauth.client_secret_command", ""),
    ("CXONE_CLIENT_AUTH", "oauth.client_auth", "`body` for `client_credentials`, `basic` for `password`"),
    ("CXONE_ACCESS_KEY_ID", "oauth.access_key_id", "required for `password` and `access_key`"),
    ("CXONE_ACCESS_KEY_SECRET", "", "required for `password` and `access_key`"),
    ("CXONE_ACCESS_KEY_SECRET_FILE", "oauth.access_key_secret_file", ""),
    ("CXONE_ACCESS_KEY_SECRET_COMMAND", "oauth.access_key_secret_command", ""),
    ("CXONE_AREA", "oauth.area", "required for `access_key` unless `oauth.token_url` is set"),
    ("CXONE_SCOPES", "oauth.scopes", "none"),
    ("CXONE_TOKEN_URL", "oauth.token_url", "`{base_url}/api/v2/oauth/token`"),
    ("CXONE_PROXY_REFRESH_MARGIN", "oauth.refresh_margin", "5m"),
    ("CXONE_PROXY_LISTEN", "listen", "127.0.0.1:8080"),
    ("CXONE_PROXY_ADMIN_LISTEN", "admin.listen", "127.0.0.1:8081"),
    ("CXONE_PROXY_AUTH_LISTEN", "auth.listen", "off"),
    ("CXONE_PROXY_REDIS_URL", "redis.url", "none: each process has a token of its own"),
    ("CXONE_PROXY_REDIS_PASSWORD_FILE", "redis.password_file", "none"),
    ("CXONE_PROXY_ALLOWED_HOSTS", "guard.allowed_hosts", "this machine's own"),
    ("CXONE_PROXY_ALLOWED_ORIGINS", "guard.allowed_origins", "none"),
    ("CXONE_PROXY_VIA", "forwarding.via", "response"),
    ("CXONE_PROXY_HEADER_CASE", "forwarding.header_case", "title"),
    ("CXONE_PROXY_SERVER_TIMING", "forwarding.server_timing", "false"),
    ("CXONE_PROXY_REPLAY_BUFFER", "retry.replay_buffer", "1MiB"),
    ("CXONE_PROXY_REPLAY_MEMORY", "retry.replay_memory", "64MiB"),
    ("CXONE_PROXY_RATE_LIMIT_RETRIES", "retry.rate_limit_retries", "3"),
    ("CXONE_PROXY_MAX_WAIT", "retry.max_wait", "30s"),
    ("CXONE_PROXY_HEADER_SIZE", "limits.header_size", "64KiB"),
    ("CXONE_PROXY_HEADER_TIMEOUT", "limits.header_timeout", "10s"),
    ("CXONE_PROXY_IDLE_TIMEOUT", "limits.idle_timeout", "5m"),
    ("CXONE_PROXY_STALL_TIMEOUT", "limits.stall_timeout", "60s"),
    ("CXONE_PROXY_IN_FLIGHT", "limits.in_flight", "10000"),
    ("CXONE_PROXY_CONNECTIONS", "limits.connections", "20000"),
    ("CXONE_PROXY_DRAIN_DELAY", "drain_delay", "0s"),
    ("CXONE_PROXY_DRAIN_TIMEOUT", "drain_timeout", "30s"),
    ("CXONE_PROXY_THREADS", "threads", "number of cores"),
    ("CXONE_PROXY_WATCH", "watch", "true"),
    ("CXONE_PROXY_LOG", "log.filter", "info"),
    ("CXONE_PROXY_LOG_FORMAT", "log.format", "`text` on a terminal, else `json`"),
    ("CXONE_PROXY_ACCESS_LOG", "log.access", "errors"),
    ("CXONE_PROXY_ACCESS_SAMPLE", "log.access_sample", "1"),
    ("CXONE_PROXY_ACCESS_QUERY", "log.access_query", "false"),
    ("CXONE_PROXY_PACE", "rate.pace", "adaptive"),
    ("CXONE_PROXY_MAX_RATE", "rate.max", "none"),
    ("CXONE_PROXY_MAX_CONCURRENT", "rate.concurrent", "none"),
    ("CXONE_PROXY_QUEUE", "rate.queue", "10000"),
    ("CXONE_PROXY_BUDGET", "rate.budget", "none"),
    ("CXONE_PROXY_TLS_CERT", "tls.cert", "none: plain HTTP"),
    ("CXONE_PROXY_TLS_KEY", "tls.key", "none"),
    ("CXONE_PROXY_TLS_CLIENT_CA", "tls.client_ca", "none: clients show no certificate"),
    ("CXONE_PROXY_CLIENTS", "clients_file", "none: everybody who reaches the proxy"),
    ("CXONE_PROXY_ALLOW", "access.allow", "everything"),
    ("CXONE_PROXY_DENY", "access.deny", "nothing"),
    ("CXONE_PROXY_READ_ONLY", "access.read_only", "false"),
];

#[test]
fn the_table_is_what_is_promised() {
    let table: Vec<_> = TABLE
        .iter()
        .map(|entry| {
            let default = match entry.default {
                Fallback::Required => "required".to_owned(),
                Fallback::RequiredFor(cases) => format!("required for {cases}"),
                Fallback::Described(text) | Fallback::Value(text) => text.to_owned(),
            };
            (entry.variable, entry.file_key.unwrap_or_default(), default)
        })
        .collect();
    let promised: Vec<_> =
        PROMISED.iter().map(|(name, key, text)| (*name, *key, (*text).to_owned())).collect();
    assert_eq!(table, promised);
}

#[test]
fn a_flag_is_the_variables_name() {
    for entry in TABLE.iter() {
        let bare =
            entry.variable.strip_prefix("CXONE_PROXY_").or(entry.variable.strip_prefix("CXONE_")).unwrap();
        let flag = bare.to_lowercase().replace('_', "-");
        let is_secret = ["CXONE_CLIENT_SECRET", "CXONE_ACCESS_KEY_SECRET"].contains(&entry.variable);
        let expected = (!is_secret).then_some(flag);
        assert_eq!(entry.flag.map(str::to_owned), expected);
    }
}

#[test]
fn names_are_used_once() {
    let unique = |names: Vec<&str>| names.iter().collect::<HashSet<_>>().len() == names.len();
    assert!(unique(TABLE.iter().map(|entry| entry.variable).collect()));
    assert!(unique(TABLE.iter().filter_map(|entry| entry.file_key).collect()));
    assert!(unique(TABLE.iter().filter_map(|entry| entry.flag).collect()));
}

#[test]
fn defaults_hold_where_nothing_is_set() {
    let Loaded { config, warnings, .. } = Given::credentials().load().unwrap();
    assert!(warnings.is_empty());
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.admin.unwrap().to_string(), "127.0.0.1:8081");
    assert_eq!(config.profiles[0].upstream.base_url.to_string(), "https://api.cxone.com");
    assert_eq!(config.profiles[0].upstream.trust, Trust::load(None).unwrap());
    assert_eq!(config.profiles[0].upstream.connect_timeout, Duration::from_secs(10));
    assert_eq!(config.profiles[0].upstream.response_timeout, None);
    let Grant::ClientCredentials { client, auth } = &config.profiles[0].oauth.grant else {
        panic!("another grant")
    };
    assert_eq!((client.id.as_str(), *auth), ("app", ClientAuth::Body));
    assert!(matches!(&client.secret, SecretSource::Value(secret) if secret.reveal() == "s3cr3t"));
    assert_eq!(config.profiles[0].oauth.scopes, Scopes::default());
    assert_eq!(config.profiles[0].oauth.token_url.as_str(), "https://api.cxone.com/api/v2/oauth/token");
    assert_eq!(config.profiles[0].oauth.refresh_margin, Duration::from_mins(5));
    assert_eq!(config.guard.hosts, AllowedHosts::Listed(vec![]));
    assert!(config.guard.origins.is_empty());
    assert_eq!(config.via, Via::Response);
    assert_eq!(config.header_case, HeaderCase::Title);
    assert_eq!(config.retry.replay_buffer, 1 << 20);
    assert_eq!(config.retry.replay_memory, 64 << 20);
    assert_eq!(config.retry.limits.rate_limit_retries, 3);
    assert_eq!(config.retry.limits.max_wait, Duration::from_secs(30));
    assert_eq!(config.limits.header_size, 64 << 10);
    assert_eq!(config.limits.header_timeout, Duration::from_secs(10));
    assert_eq!(config.limits.idle_timeout, Duration::from_mins(5));
    assert_eq!(config.limits.stall_timeout, Some(Duration::from_mins(1)));
    assert_eq!(config.in_flight, 10_000);
    assert_eq!(config.limits.connections, 20_000);
    assert_eq!(config.drain_delay, Duration::ZERO);
    assert_eq!(config.threads, None);
    assert_eq!(config.drain_timeout, Duration::from_secs(30));
    assert_eq!(config.log, log::Settings { filter: "info".to_owned(), format: None, no_color: false });
    assert_eq!(config.forward_proxy.toward(&"https://api.example".parse().unwrap()), None);
}

#[test]
fn regions_have_their_addresses() {
    let regions = [
        ("global", "https://api.cxone.com"),
        ("eu", "https://api.eu.cxone.com"),
        ("usgov", "https://api.usgov.cxone.com"),
    ];
    for (region, address) in regions {
        let config = Given::credentials().variable("CXONE_REGION", region).config();
        assert_eq!(config.profiles[0].upstream.base_url.to_string(), address);
        assert_eq!(config.profiles[0].oauth.token_url.as_str(), format!("{address}/api/v2/oauth/token"));
    }
}

#[test]
fn each_word_of_a_choice_is_accepted() {
    for entry in TABLE.iter() {
        if let Form::OneOf(words) = entry.form {
            for word in words.iter().filter(|_| *entry != &options::GRANT) {
                assert!(Given::credentials().variable(entry.variable, *word).load().is_ok(), "{word}");
            }
        }
    }
}

#[test]
fn the_file_can_set_everything_but_the_secret() {
    let text = r#"
        listen = "[::1]:9000"
        drain_timeout = "1m"
        drain_delay = "15s"
        threads = 3

        [upstream]
        base_url = "https://gateway.example:8443/cx//one/"
        connect_timeout = "1500ms"
        response_timeout = "90s"

        [oauth]
        client_id = "in file"
        client_secret_file = "SECRET"
        scopes = ["users:read", "calls:write"]
        token_url = "https://login.example/token?tenant=1"
        refresh_margin = "0s"

        [admin]
        listen = "off"

        [guard]
        allowed_hosts = ["Proxy.Example", "::1", "10.0.0.7"]
        allowed_origins = ["https://App.example:443", "http://localhost:3000"]

        [forwarding]
        via = "both"
        header_case = "preserve"

        [retry]
        replay_buffer = "0B"
        replay_memory = "512KiB"
        rate_limit_retries = 0
        max_wait = "1h"

        [limits]
        header_size = "8KiB"
        header_timeout = "2s"
        idle_timeout = "1s"
        stall_timeout = "off"
        in_flight = 7
        connections = 9

        [log]
        filter = "warn,cxone_proxy=debug"
        format = "text"
    "#;
    let given = Given::nothing().with_file("secret", "from file\r\n");
    let path = given.path("secret");
    let config = given.file(&text.replace("SECRET", path.to_str().unwrap())).config();
    assert_eq!(config.listen.to_string(), "[::1]:9000");
    assert_eq!(config.admin, None);
    assert_eq!(config.profiles[0].upstream.base_url.to_string(), "https://gateway.example:8443/cx//one");
    assert_eq!(config.profiles[0].upstream.connect_timeout, Duration::from_millis(1500));
    assert_eq!(config.profiles[0].upstream.response_timeout, Some(Duration::from_secs(90)));
    let client = config.profiles[0].oauth.grant.client().unwrap().clone();
    assert_eq!(client.id, "in file");
    let SecretSource::Read { place: SecretPlace::File(read), at_start } = client.secret else {
        panic!("not by file")
    };
    assert_eq!((read, at_start.reveal()), (path, "from file"));
    assert_eq!(config.profiles[0].oauth.scopes.names(), ["users:read", "calls:write"]);
    assert_eq!(config.profiles[0].oauth.token_url.as_str(), "https://login.example/token?tenant=1");
    assert_eq!(config.profiles[0].oauth.refresh_margin, Duration::ZERO);
    let AllowedHosts::Listed(hosts) = &config.guard.hosts else { panic!("{:?}", config.guard.hosts) };
    let hosts: Vec<_> = hosts.iter().map(HostName::as_str).collect();
    assert_eq!(hosts, ["proxy.example", "[::1]", "10.0.0.7"]);
    let origins = ["https://app.example", "http://localhost:3000"].map(|origin| origin.parse().unwrap());
    assert_eq!(config.guard.origins, origins);
    assert_eq!(config.via, Via::Both);
    assert_eq!(config.header_case, HeaderCase::Preserve);
    assert_eq!(config.retry.replay_buffer, 0);
    assert_eq!(config.retry.replay_memory, 512 << 10);
    assert_eq!(config.retry.limits.rate_limit_retries, 0);
    assert_eq!(config.retry.limits.max_wait, Duration::from_hours(1));
    assert_eq!(config.limits.header_size, 8192);
    assert_eq!(config.limits.header_timeout, Duration::from_secs(2));
    assert_eq!(config.limits.idle_timeout, Duration::from_secs(1));
    assert_eq!(config.limits.stall_timeout, None);
    assert_eq!(config.in_flight, 7);
    assert_eq!(config.limits.connections, 9);
    assert_eq!(config.threads, NonZeroUsize::new(3));
    assert_eq!(config.drain_delay, Duration::from_secs(15));
    assert_eq!(config.drain_timeout, Duration::from_mins(1));
    assert_eq!(config.log.filter, "warn,cxone_proxy=debug");
    assert_eq!(config.log.format, Some(log::Format::Text));
}

#[test]
fn dotted_keys_and_inline_tables_mean_the_same() {
    for text in ["retry.max_wait = \"7s\"", "retry = { max_wait = \"7s\" }", "[retry]\nmax_wait = '7s'"] {
        assert_eq!(
            Given::credentials().file(text).config().retry.limits.max_wait,
            Duration::from_secs(7),
            "{text}"
        );
    }
}

#[test]
fn the_readme_rows_name_every_option() {
    let rows = markdown_rows();
    assert_eq!(rows.lines().count(), TABLE.len());
    assert!(
        rows.starts_with(
            "| `CXONE_REGION` | `upstream.region` | `global` | `global` = https://api.cxone.com, "
        )
    );
    assert!(rows.contains("| `CXONE_CLIENT_SECRET` | (never in the file) | required | "));
    assert!(rows.contains("| `CXONE_CLIENT_SECRET_FILE` | `oauth.client_secret_file` | | "), "{rows}");
}

#[test]
fn no_debug_form_holds_a_secret() {
    let config = Given::credentials().variable("HTTPS_PROXY", "http://me:p4ss@proxy.example:3128").config();
    let printed = format!("{config:?}");
    assert!(printed.contains("proxy.example") && printed.contains("app"));
    assert!(!printed.contains("s3cr3t") && !printed.contains("p4ss"), "{printed}");
}

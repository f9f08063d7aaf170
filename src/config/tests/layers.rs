//! Which of several values counts.

use std::{ffi::OsStr, time::Duration};

use proptest::prelude::*;

use super::super::{options as o, *};
use super::Given;
use crate::{log, tokens::SecretSource};

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = || Given::credentials().file("[upstream]\nregion = 'usgov'\n");
    let host = |given: Given| given.config().profiles[0].upstream.base_url.host().to_string();
    assert_eq!(host(file()), "api.usgov.cxone.com");
    assert_eq!(host(file().variable("CXONE_REGION", "eu")), "api.eu.cxone.com");
    assert_eq!(host(file().variable("CXONE_REGION", "eu").flag(&o::REGION, "global")), "api.cxone.com");
}

proptest! {
    #[test]
    fn the_strongest_source_that_says_anything_counts(
        [flag, variable, file] in [proptest::option::of(0_u32..=1000), proptest::option::of(0_u32..=1000), proptest::option::of(0_u32..=1000)]
    ) {
        let mut given = Given::credentials();
        if let Some(value) = flag {
            given = given.flag(&o::RATE_LIMIT_RETRIES, value.to_string());
        }
        if let Some(value) = variable {
            given = given.variable("CXONE_PROXY_RATE_LIMIT_RETRIES", value.to_string());
        }
        if let Some(value) = file {
            given = given.file(&format!("retry.rate_limit_retries = {value}"));
        }
        let expected = flag.or(variable).or(file).unwrap_or(3);
        prop_assert_eq!(given.config().retry.limits.rate_limit_retries, expected);
    }

    #[test]
    fn of_region_and_base_url_the_stronger_source_counts(places in proptest::array::uniform3(0..3)) {
        // For each of flag, variable, file: nothing, the region, or the base URL.
        let mut given = Given::credentials();
        let [flag, variable, file] = places;
        given = match flag {
            1 => given.flag(&o::REGION, "eu"),
            2 => given.flag(&o::BASE_URL, "https://flag.example"),
            _ => given,
        };
        given = match variable {
            1 => given.variable("CXONE_REGION", "eu"),
            2 => given.variable("CXONE_BASE_URL", "https://variable.example"),
            _ => given,
        };
        given = match file {
            1 => given.file("upstream.region = 'eu'"),
            2 => given.file("upstream.base_url = 'https://file.example'"),
            _ => given,
        };
        let names = ["flag.example", "variable.example", "file.example"];
        let expected = places.iter().zip(names).find(|(place, _)| **place != 0);
        let expected = expected.map_or("api.cxone.com", |(place, name)| if *place == 1 { "api.eu.cxone.com" } else { name });
        prop_assert_eq!(given.config().profiles[0].upstream.base_url.host().to_string(), expected);
    }
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    let config = Given::credentials()
        .variable("CXONE_REGION", "")
        .variable("CXONE_BASE_URL", "")
        .variable("CXONE_CLIENT_SECRET_FILE", "")
        .variable("CXONE_PROXY_CONFIG", "")
        .variable("CXONE_PROXY_NO_SUCH_THING", "")
        .variable("HTTPS_PROXY", "")
        .variable("https_proxy", "proxy.example:3128")
        .variable("NO_COLOR", "")
        .config();
    assert_eq!(config.profiles[0].upstream.base_url.to_string(), "https://api.cxone.com");
    let toward = config.forward_proxy.toward(&"https://api.example".parse().unwrap());
    assert_eq!(toward.unwrap().as_str(), "http://proxy.example:3128/");
    assert!(!config.log.no_color);
}

#[test]
fn the_file_can_be_named_by_a_variable_and_the_flag_is_stronger() {
    let named = Given::credentials().with_file("named.toml", "retry.max_wait = '1s'");
    let path = named.path("named.toml");
    let config = named.variable("CXONE_PROXY_CONFIG", path).config();
    assert_eq!(config.retry.limits.max_wait, Duration::from_secs(1));
    let both = Given::credentials().variable("CXONE_PROXY_CONFIG", "/nowhere").file("retry.max_wait = '2s'");
    assert_eq!(both.config().retry.limits.max_wait, Duration::from_secs(2));
}

#[test]
fn the_secret_comes_from_the_stronger_source() {
    let secret = |config: Config| match &config.profiles[0].oauth.grant.client().unwrap().secret {
        SecretSource::Value(secret) => format!("value {}", secret.reveal()),
        SecretSource::Read { at_start, .. } => format!("file {}", at_start.reveal()),
    };
    let given = || Given::credentials().with_file("secret", "other\n");
    let named = given();
    let in_file = format!("oauth.client_secret_file = '{}'", named.path("secret").display());
    assert_eq!(
        secret(named.file(&in_file).config()),
        "value s3cr3t",
        "the variable is stronger than the file"
    );
    let flagged = given();
    let path = flagged.path("secret");
    assert_eq!(
        secret(flagged.flag(&o::CLIENT_SECRET_FILE, path).config()),
        "file other",
        "the flag is stronger"
    );
    // A file that does not count need not be there.
    assert_eq!(
        secret(Given::credentials().file("oauth.client_secret_file = '/nowhere'").config()),
        "value s3cr3t"
    );
}

#[test]
fn a_secret_that_every_user_can_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    for (mode, expected) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        let given = Given::nothing().variable("CXONE_CLIENT_ID", "app").with_file("secret", "s3cr3t");
        let path = given.path("secret");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let loaded = given.variable("CXONE_CLIENT_SECRET_FILE", path.clone()).load().unwrap();
        assert_eq!(loaded.warnings.len(), expected, "{mode:o}");
        for warning in loaded.warnings {
            let path = path.to_str().unwrap();
            let due =
                format!("every user of this machine can read the secret in {path}: run `chmod 600 {path}`");
            assert_eq!(warning.to_string(), due);
        }
    }
}

#[test]
fn service_links_of_kubernetes_are_not_configuration() {
    let linked = [
        ("CXONE_PROXY_SERVICE_HOST", "10.0.0.1"),
        ("CXONE_PROXY_SERVICE_PORT", "8080"),
        ("CXONE_PROXY_SERVICE_PORT_HTTP", "8080"),
        ("CXONE_PROXY_PORT", "tcp://10.0.0.1:8080"),
        ("CXONE_PROXY_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("CXONE_PROXY_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    let mut given = Given::credentials();
    for (name, value) in linked {
        given = given.variable(name, value);
    }
    assert!(given.load().is_ok());
    assert!(Given::credentials().variable("CXONE_PROXY_PORT", "8080").load().is_err());
}

#[test]
fn an_environment_can_be_made_of_a_part_of_another() {
    let whole: Environment = [("CXONE_REGION", "eu"), ("CXONE_PROXY_LOG", "debug")].into_iter().collect();
    let made = whole.only(&["CXONE_PROXY_LOG", "NO_COLOR"]).with("CXONE_CLIENT_ID", "app");
    assert_eq!(made.value("CXONE_REGION"), None);
    assert_eq!(made.value("CXONE_PROXY_LOG"), Some(OsStr::new("debug")));
    assert_eq!(made.with("CXONE_CLIENT_ID", "other").value("CXONE_CLIENT_ID"), Some(OsStr::new("other")));
}

#[test]
fn the_log_alone_asks_for_nothing_else() {
    let environment: Environment =
        [("CXONE_PROXY_LOG", "debug"), ("CXONE_REGION", "mars"), ("NO_COLOR", "1")].into_iter().collect();
    let flags = Flags { config: None, values: vec![(&o::LOG_FORMAT, "json".into())] };
    let settings = load_log(&flags, &environment).unwrap();
    let expected =
        log::Settings { filter: "debug".to_owned(), format: Some(log::Format::Json), no_color: true };
    assert_eq!(settings, expected);
    let bad: Environment = [("CXONE_PROXY_LOG", "a=b=c")].into_iter().collect();
    assert!(
        load_log(&Flags::default(), &bad).unwrap_err().to_string().starts_with("log.filter from environment")
    );
}

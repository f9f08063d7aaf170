//! Which options belong to which grant.

use super::super::{options as o, *};
use super::Given;
use crate::tokens::{ClientAuth, Credentials, Grant};

fn client(given: Given) -> Given {
    given.variable("CXONE_CLIENT_ID", "app").variable("CXONE_CLIENT_SECRET", "s3cr3t")
}

fn key(given: Given) -> Given {
    given.variable("CXONE_ACCESS_KEY_ID", "KEY").variable("CXONE_ACCESS_KEY_SECRET", "k3y")
}

fn password() -> Given {
    client(key(Given::nothing())).variable("CXONE_GRANT", "password")
}

fn access_key() -> Given {
    key(Given::nothing()).variable("CXONE_GRANT", "access_key").variable("CXONE_AREA", "na1")
}

fn auth(config: &Config) -> ClientAuth {
    match config.profiles[0].oauth.grant {
        Grant::ClientCredentials { auth, .. } | Grant::Password { auth, .. } => auth,
        Grant::AccessKey { .. } => panic!("no client"),
    }
}

fn revealed(credentials: &Credentials) -> (&str, &str) {
    (&credentials.id, credentials.secret.at_start().reveal())
}

#[test]
fn a_password_needs_a_client_and_a_key() {
    let config = password().config();
    assert_eq!(config.profiles[0].oauth.grant.grant_type().as_str(), "password");
    assert_eq!(revealed(config.profiles[0].oauth.grant.client().unwrap()), ("app", "s3cr3t"));
    assert_eq!(revealed(config.profiles[0].oauth.grant.key().unwrap()), ("KEY", "k3y"));
    assert_eq!(auth(&config), ClientAuth::Basic);
    assert_eq!(config.profiles[0].oauth.token_url.as_str(), "https://cxone.niceincontact.com/auth/token");
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cr3t") && !shown.contains("k3y"), "{shown}");
}

#[test]
fn an_access_key_needs_an_area_or_an_address() {
    let config = access_key().config();
    assert_eq!(config.profiles[0].oauth.grant.grant_type().as_str(), "access_key");
    assert!(config.profiles[0].oauth.grant.client().is_none());
    assert_eq!(revealed(config.profiles[0].oauth.grant.key().unwrap()), ("KEY", "k3y"));
    let endpoint = |given: Given| given.config().profiles[0].oauth.token_url.to_string();
    let of_area =
        |area: &str| format!("https://{area}.nice-incontact.com/authentication/v1/token/access-key");
    assert_eq!(endpoint(access_key()), of_area("na1"));
    assert_eq!(endpoint(access_key().variable("CXONE_AREA", "EU1")), of_area("eu1"));
    let elsewhere = "https://login.example/keys";
    assert_eq!(endpoint(access_key().variable("CXONE_AREA", "").flag(&o::TOKEN_URL, elsewhere)), elsewhere);
    assert_eq!(endpoint(access_key().flag(&o::TOKEN_URL, elsewhere)), elsewhere, "the flag is stronger");
    let flagged = access_key().variable("CXONE_AREA", "").file("oauth.token_url = 'https://a.example'");
    assert_eq!(endpoint(flagged.flag(&o::AREA, "uk1")), of_area("uk1"), "here the area is");
    assert_eq!(
        access_key().variable("CXONE_TOKEN_URL", elsewhere).only_fault(),
        "oauth.token_url (environment variable CXONE_TOKEN_URL) and oauth.area (environment variable CXONE_AREA) \
         exclude each other; accepted: one of them in each source"
    );
}

#[test]
fn the_file_can_say_all_but_the_secrets() {
    let given = Given::nothing().with_file("client", "s3cr3t\n").with_file("key", "k3y\n");
    let text = format!(
        "[oauth]\ngrant = 'password'\nclient_id = 'app'\nclient_auth = 'basic_raw'\naccess_key_id = 'KEY'\n\
         client_secret_file = '{}'\naccess_key_secret_file = '{}'\n",
        given.path("client").display(),
        given.path("key").display()
    );
    let config = given.file(&text).config();
    assert_eq!(auth(&config), ClientAuth::BasicRaw);
    assert_eq!(revealed(config.profiles[0].oauth.grant.client().unwrap()), ("app", "s3cr3t"));
    assert_eq!(revealed(config.profiles[0].oauth.grant.key().unwrap()), ("KEY", "k3y"));
    let in_file = "[oauth]\ngrant = 'access_key'\naccess_key_id = 'KEY'\narea = 'na1'\n";
    let given = Given::nothing().variable("CXONE_ACCESS_KEY_SECRET", "k3y").file(in_file);
    assert_eq!(given.config().profiles[0].oauth.grant.grant_type().as_str(), "access_key");
}

#[test]
fn each_client_authentication_goes_with_each_grant_that_has_a_client() {
    let words =
        [("basic", ClientAuth::Basic), ("basic_raw", ClientAuth::BasicRaw), ("body", ClientAuth::Body)];
    for (word, expected) in words {
        for given in [Given::credentials(), password()] {
            assert_eq!(auth(&given.variable("CXONE_CLIENT_AUTH", word).config()), expected);
        }
    }
    let colon = || password().variable("CXONE_CLIENT_ID", "a:b");
    let fault = colon().variable("CXONE_CLIENT_AUTH", "basic_raw").only_fault();
    assert!(fault.contains("`a:b` contains a colon, where `basic_raw` would end it"), "{fault}");
    assert!(colon().load().is_ok());
}

#[test]
fn what_is_missing_names_the_grant_that_needs_it() {
    let faults = Given::nothing().variable("CXONE_GRANT", "password").faults();
    let expected =
        ["oauth.client_id", "CXONE_CLIENT_SECRET", "oauth.access_key_id", "CXONE_ACCESS_KEY_SECRET"];
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    for (fault, name) in faults.iter().zip(expected) {
        let start = format!(
            "{name} is not set anywhere, and the grant `password` (environment variable CXONE_GRANT) needs it; \
             accepted: the environment variable CXONE_"
        );
        assert!(fault.starts_with(&start), "{fault}");
    }
    assert_eq!(
        access_key().variable("CXONE_AREA", "").only_fault(),
        "oauth.area is not set anywhere, and the grant `access_key` (environment variable CXONE_GRANT) needs it; \
         accepted: the environment variable CXONE_AREA, the environment variable CXONE_TOKEN_URL, the flag --area, \
         the flag --token-url, or the key oauth.area or oauth.token_url in the file named by --config"
    );
}

#[test]
fn what_the_grant_does_not_use_is_a_contradiction() {
    assert_eq!(
        access_key().variable("CXONE_CLIENT_ID", "app").only_fault(),
        "oauth.client_id from environment variable CXONE_CLIENT_ID: is set, but the grant `access_key` \
         (environment variable CXONE_GRANT) does not use it; accepted: leave it out, or set oauth.grant to \
         `client_credentials` or `password`"
    );
    assert_eq!(
        Given::credentials().variable("CXONE_ACCESS_KEY_SECRET", "k3y").only_fault(),
        "CXONE_ACCESS_KEY_SECRET from environment variable CXONE_ACCESS_KEY_SECRET: is set, but the grant \
         `client_credentials` (default) does not use it; accepted: leave it out, or set oauth.grant to `password` \
         or `access_key`"
    );
    for (given, key) in [
        (access_key().variable("CXONE_CLIENT_AUTH", "basic"), "oauth.client_auth"),
        (access_key().variable("CXONE_SCOPES", "users:read"), "oauth.scopes"),
        (access_key().variable("CXONE_CLIENT_SECRET_FILE", "/nowhere"), "oauth.client_secret_file"),
        (password().flag(&o::AREA, "na1"), "oauth.area"),
        (Given::credentials().file("oauth.access_key_id = 'KEY'"), "oauth.access_key_id"),
    ] {
        let fault = given.only_fault();
        assert!(
            fault.starts_with(&format!("{key} from ")) && fault.contains(" does not use it; "),
            "{fault}"
        );
    }
}

#[test]
fn a_grant_from_a_stronger_source_wins_over_what_was_meant_for_another() {
    let in_file = "[oauth]\nclient_id = 'app'\nclient_auth = 'body'\nscopes = 'users:read'\n";
    assert_eq!(
        access_key().file(in_file).config().profiles[0].oauth.grant.grant_type().as_str(),
        "access_key"
    );
    let flagged = access_key().variable("CXONE_CLIENT_ID", "app").flag(&o::GRANT, "access_key");
    assert_eq!(flagged.config().profiles[0].oauth.grant.grant_type().as_str(), "access_key");
    let weaker = key(Given::nothing())
        .variable("CXONE_CLIENT_ID", "app")
        .file("[oauth]\ngrant = 'access_key'\narea = 'na1'\n");
    assert!(weaker.only_fault().starts_with("oauth.client_id from environment variable"));
}

#[test]
fn an_unknown_grant_is_the_only_fault() {
    assert_eq!(
        Given::nothing().variable("CXONE_GRANT", "implicit").only_fault(),
        "oauth.grant from environment variable CXONE_GRANT: `implicit` is none of the known words; accepted: \
         `client_credentials`, `password` or `access_key`"
    );
}

#[test]
fn an_area_is_one_label_of_a_name() {
    for (area, complaint) in [
        ("na1.evil.example", "contains a character that is no letter, digit or hyphen"),
        ("evil.example/", "contains a character that is no letter, digit or hyphen"),
        ("a@b", "contains a character that is no letter, digit or hyphen"),
        ("na 1", "contains a character that is no letter, digit or hyphen"),
        ("ä", "contains a character that is no letter, digit or hyphen"),
        ("-na1", "starts or ends with a hyphen"),
        ("na1-", "starts or ends with a hyphen"),
    ] {
        let fault = access_key().variable("CXONE_AREA", area).only_fault();
        let start =
            format!("oauth.area from environment variable CXONE_AREA: `{area}` {complaint}; accepted: ");
        assert!(fault.starts_with(&start), "{fault}");
    }
    assert!(access_key().variable("CXONE_AREA", "x".repeat(63)).load().is_ok());
    assert!(access_key().variable("CXONE_AREA", "x".repeat(64)).load().is_err());
}

#[test]
fn no_grant_sends_credentials_in_the_clear() {
    for given in [password(), access_key().variable("CXONE_AREA", "")] {
        let fault = given.variable("CXONE_TOKEN_URL", "http://login.example/token").only_fault();
        assert!(fault.contains("would send credentials in the clear to another machine"), "{fault}");
    }
    assert!(password().variable("CXONE_TOKEN_URL", "http://127.0.0.1:1/token").load().is_ok());
}

#[test]
fn the_access_key_s_secret_is_never_shown() {
    assert_eq!(
        access_key().file("[oauth]\naccess_key_secret = 'k3y'").only_fault(),
        "oauth.access_key_secret in cxone-proxy.toml:2: the access key's secret never goes into the configuration \
         file; accepted: the environment variable CXONE_ACCESS_KEY_SECRET, or a file of its own named by \
         oauth.access_key_secret_file"
    );
    let spaced = access_key().variable("CXONE_ACCESS_KEY_SECRET", " k3y").only_fault();
    assert!(spaced.contains("the value has white space before or after the secret"), "{spaced}");
    let misplaced =
        access_key().variable("CXONE_ACCESS_KEY_SECRET", "").variable("CXONE_ACCESS_KEY_SECRET_FILE", "k3y");
    let fault = misplaced.only_fault();
    assert!(fault.contains("the value cannot be read: the file does not exist"), "{fault}");
    assert!(!spaced.contains("k3y") && !fault.contains("k3y"));
    let both = access_key().variable("CXONE_ACCESS_KEY_SECRET_FILE", "/nowhere").only_fault();
    assert!(both.starts_with("CXONE_ACCESS_KEY_SECRET (environment variable"), "{both}");
}

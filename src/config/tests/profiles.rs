//! `[[profile]]`: what each key says, and what is inherited.

use std::time::Duration;

use super::super::*;
use super::Given;
use crate::{
    proxy::Selector,
    server::Listen,
    tokens::{ClientAuth, Grant},
};

pub(super) fn file(text: &str) -> Given {
    Given::credentials().file(text)
}

pub(super) fn profiles(given: Given) -> Vec<Profile> {
    given.config().profiles
}

fn secret(profile: &Profile) -> &str {
    profile.oauth.grant.client().unwrap().secret.at_start().reveal()
}

/// Two profiles that differ in nothing but what selects them, with more keys for the second.
pub(super) fn second(keys: &str) -> String {
    format!("[[profile]]\nname = 'a'\n[[profile]]\nname = 'b'\npath_prefix = '/b'\n{keys}")
}

#[test]
fn without_any_the_flat_settings_are_the_one_called_default() {
    let config = Given::credentials().config();
    let [only] = &config.profiles[..] else { panic!("{:?}", config.profiles) };
    assert_eq!(only.name, "default");
    assert_eq!((&only.selector, &only.listen, only.credentials), (&Selector::default(), &None, 0));
    assert!(!only.rewrite_json_links);
    assert_eq!(only.upstream.base_url.to_string(), "https://api.cxone.com");
    assert_eq!(only.oauth.grant.client().unwrap().id, "app");
}

#[test]
fn every_key() {
    let given = file(
        "[[profile]]\n\
         name = 'api'\n\
         [[profile]]\n\
         name = 'digital-2_x'\n\
         host = 'Digital.LOCALHOST'\n\
         path_prefix = '/digital/v1'\n\
         strip_prefix = true\n\
         listen = 'unix:/run/digital.sock,mode=0660'\n\
         rewrite_json_links = true\n\
         [profile.upstream]\n\
         base_url = 'https://digital.example/x'\n\
         connect_timeout = '1s'\n\
         response_timeout = '2s'\n\
         [profile.oauth]\n\
         grant = 'password'\n\
         access_key_id = 'KEY'\n\
         scopes = ['a', 'b']\n\
         refresh_margin = '7s'\n\
         client_auth = 'body'\n\
         token_url = 'https://token.example/'\n",
    )
    .variable("CXONE_ACCESS_KEY_SECRET", "")
    .with_file("key", "k3y\n");
    let path = given.path("key");
    let text = format!("{}access_key_secret_file = '{}'\n", given.file.clone().unwrap(), path.display());
    let [api, digital] = &profiles(given.file(&text))[..] else { panic!("not two") };
    assert_eq!(digital.name, "digital-2_x");
    let selector = Selector {
        host: Some("digital.localhost".to_owned()),
        path_prefix: Some("/digital/v1".to_owned()),
        strip_prefix: true,
    };
    assert_eq!(digital.selector, selector);
    assert_eq!(digital.listen, Some(Listen::Unix { path: "/run/digital.sock".into(), mode: 0o660 }));
    assert_eq!(api.listen, None);
    assert!(digital.rewrite_json_links && !api.rewrite_json_links);
    assert_eq!(digital.upstream.base_url.to_string(), "https://digital.example/x");
    assert_eq!(digital.upstream.connect_timeout, Duration::from_secs(1));
    assert_eq!(digital.upstream.response_timeout, Some(Duration::from_secs(2)));
    assert_eq!(digital.oauth.scopes.names(), ["a", "b"]);
    assert_eq!(digital.oauth.refresh_margin, Duration::from_secs(7));
    assert_eq!(digital.oauth.token_url.as_str(), "https://token.example/");
    let Grant::Password { client, auth: ClientAuth::Body, key } = &digital.oauth.grant else {
        panic!("{:?}", digital.oauth.grant)
    };
    assert_eq!((client.id.as_str(), key.id.as_str()), ("app", "KEY"));
    assert_eq!(digital.credentials, 1);
    assert_eq!(api.oauth.grant.grant_type().as_str(), "client_credentials");
    assert_eq!(api.upstream.base_url.to_string(), "https://api.cxone.com");
}

#[test]
fn a_host_may_be_an_address_and_a_switch_may_be_off() {
    let text = second("host = '::1'\nstrip_prefix = false\nrewrite_json_links = false\n");
    let profiles = profiles(file(&text));
    assert_eq!(profiles[1].selector.host.as_deref(), Some("[::1]"));
    assert!(!profiles[1].selector.strip_prefix && !profiles[1].rewrite_json_links);
}

#[test]
fn what_a_profile_does_not_set_it_inherits_from_any_source() {
    let flat = "oauth.client_id = 'flat'\nupstream.region = 'eu'\nupstream.connect_timeout = '3s'\n";
    let text = format!(
        "{flat}{}[profile.upstream]\nbase_url = 'https://b.example'\n[profile.oauth]\nclient_id = 'own'\n",
        second("")
    );
    let given = Given::nothing()
        .variable("CXONE_CLIENT_SECRET", "s3cr3t")
        .variable("CXONE_PROXY_RESPONSE_TIMEOUT", "9s")
        .flag(&options::REFRESH_MARGIN, "8s")
        .file(&text);
    let profiles = profiles(given);
    let ids: Vec<_> =
        profiles.iter().map(|profile| profile.oauth.grant.client().unwrap().id.as_str()).collect();
    assert_eq!(ids, ["flat", "own"]);
    let places: Vec<_> = profiles.iter().map(|profile| profile.upstream.base_url.to_string()).collect();
    assert_eq!(places, ["https://api.eu.cxone.com", "https://b.example"]);
    let token_urls: Vec<_> = profiles.iter().map(|profile| profile.oauth.token_url.as_str()).collect();
    assert_eq!(
        token_urls,
        ["https://api.eu.cxone.com/api/v2/oauth/token", "https://b.example/api/v2/oauth/token"]
    );
    for profile in &profiles {
        assert_eq!(profile.upstream.connect_timeout, Duration::from_secs(3));
        assert_eq!(profile.upstream.response_timeout, Some(Duration::from_secs(9)));
        assert_eq!(profile.oauth.refresh_margin, Duration::from_secs(8));
        assert_eq!(secret(profile), "s3cr3t");
    }
}

#[test]
fn what_is_set_for_one_profile_wins_over_what_is_set_for_all() {
    let text = second("[profile.upstream]\nregion = 'usgov'\n[profile.oauth]\nclient_id = 'own'\n");
    let given = file(&text).variable("CXONE_REGION", "eu").flag(&options::CLIENT_ID, "flag");
    let profiles = profiles(given);
    assert_eq!(profiles[0].upstream.base_url.to_string(), "https://api.eu.cxone.com");
    assert_eq!(profiles[1].upstream.base_url.to_string(), "https://api.usgov.cxone.com");
    assert_eq!(profiles[0].oauth.grant.client().unwrap().id, "flag");
    assert_eq!(profiles[1].oauth.grant.client().unwrap().id, "own");
}

#[test]
fn a_secret_of_its_own_is_not_in_the_way_of_the_flat_one() {
    let given = Given::credentials().with_file("own", "0wn\n");
    let text = second(&format!("[profile.oauth]\nclient_secret_file = '{}'\n", given.path("own").display()));
    let profiles = profiles(given.file(&text));
    assert_eq!([secret(&profiles[0]), secret(&profiles[1])], ["s3cr3t", "0wn"]);
    assert_eq!(profiles[1].credentials, 1);
}

#[test]
fn what_the_flat_grant_does_not_use_another_profile_may() {
    let text = second("[profile.oauth]\ngrant = 'access_key'\naccess_key_id = 'KEY'\narea = 'na1'\n");
    let given = file(&text).variable("CXONE_ACCESS_KEY_SECRET", "k3y");
    let profiles = profiles(given);
    let words: Vec<_> = profiles.iter().map(|profile| profile.oauth.grant.grant_type().as_str()).collect();
    assert_eq!(words, ["client_credentials", "access_key"]);
    // Of no use to anybody, or to the very profile that sets it, it is a mistake as ever.
    let fault = file(&second("")).variable("CXONE_ACCESS_KEY_SECRET", "k3y").only_fault();
    assert!(fault.starts_with("CXONE_ACCESS_KEY_SECRET from environment variable"), "{fault}");
    let text = format!("{text}[[profile]]\nname = 'c'\nhost = 'c'\n[profile.oauth]\naccess_key_id = 'KEY'\n");
    let fault = file(&text).variable("CXONE_ACCESS_KEY_SECRET", "k3y").only_fault();
    assert!(
        fault.starts_with("oauth.access_key_id from cxone-proxy.toml:14: is set, but the grant"),
        "{fault}"
    );
}

#[test]
fn identical_credentials_are_shared_and_named_ones_are_their_owners() {
    let text = "[[profile]]\nname = 'a'\n\
                [[profile]]\nname = 'b'\nhost = 'b.localhost'\n\
                [[profile]]\nname = 'c'\nhost = 'c.localhost'\n[profile.oauth]\nclient_id = 'other'\n\
                [[profile]]\nname = 'd'\nhost = 'd.localhost'\ncredentials = 'c'\n\
                [profile.upstream]\nbase_url = 'https://d.example'\n\
                [[profile]]\nname = 'e'\nhost = 'e.localhost'\ncredentials = 'd'\n\
                [[profile]]\nname = 'f'\nhost = 'f.localhost'\n[profile.oauth]\nscopes = ['x']\n";
    let profiles = profiles(file(text));
    let credentials: Vec<_> = profiles.iter().map(|profile| profile.credentials).collect();
    assert_eq!(credentials, [0, 0, 2, 2, 2, 5]);
    let [_, _, c, d, e, _] = &profiles[..] else { panic!("not six") };
    assert_eq!((&d.oauth, &e.oauth), (&c.oauth, &c.oauth));
    assert_eq!(d.upstream.base_url.to_string(), "https://d.example");
    assert_eq!(d.oauth.token_url, c.oauth.token_url, "it is one token");
}

#[test]
fn a_profile_that_names_anothers_credentials_needs_none_of_its_own() {
    let given = Given::nothing().with_file("secret", "s3cr3t");
    let text = format!(
        "[[profile]]\nname = 'a'\n[profile.oauth]\nclient_id = 'a'\nclient_secret_file = '{}'\n\
         [[profile]]\nname = 'b'\nhost = 'b.localhost'\ncredentials = 'a'\n\
         [[profile]]\nname = 'c'\nhost = 'c.localhost'\ncredentials = 'b'\n",
        given.path("secret").display()
    );
    let profiles = profiles(given.file(&text));
    assert!(profiles.iter().all(|profile| profile.credentials == 0 && secret(profile) == "s3cr3t"));
}

#[test]
fn of_an_owner_with_faults_only_those_are_reported() {
    let text = "[[profile]]\nname = 'x'\n[profile.upstream]\nregion = 'mars'\n\
                [[profile]]\nname = 'a'\nhost = 'a.localhost'\n\
                [[profile]]\nname = 'b'\nhost = 'b.localhost'\ncredentials = 'a'\n\
                [[profile]]\nname = 'c'\nhost = 'c.localhost'\ncredentials = 'x'\n";
    let fault = file(text).only_fault();
    assert!(fault.starts_with("upstream.region from cxone-proxy.toml:4: `mars`"), "{fault}");
}

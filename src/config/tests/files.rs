//! Files that options name.

use std::process::Command;

use super::super::*;
use super::Given;
use super::profiles::second;
use crate::{log, upstream::tls::Trust};

fn certificate() -> String {
    rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem()
}

/// The bundle is a pipe that gives its certificates to the first reader only.
#[test]
fn a_bundle_is_read_once_for_all_profiles() {
    let given = Given::credentials();
    let path = given.path("ca.pem");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let (pipe, bundle) = (path.clone(), format!("# ours\n{}{}", certificate(), certificate()));
    // Ends with the test's process where nobody reads twice.
    std::thread::spawn(move || {
        std::fs::write(&pipe, bundle).unwrap();
        std::fs::write(&pipe, "").unwrap();
    });
    let profiles = given.variable("CXONE_CA_FILE", &path).file(&second("")).config().profiles;
    let [one, two] = &profiles[..] else { panic!("{profiles:?}") };
    assert_eq!(one.upstream.trust, two.upstream.trust);
    assert_ne!(one.upstream.trust, Trust::load(None).unwrap());
}

#[test]
fn profiles_may_have_bundles_of_their_own() {
    let given = Given::credentials().with_file("a.pem", &certificate()).with_file("b.pem", &certificate());
    let (a, b) = (given.path("a.pem"), given.path("b.pem"));
    let due = [&a, &b].map(|path| Trust::load(Some(path)).unwrap());
    let own = second(&format!("[profile.upstream]\nca_file = '{}'\n", b.display()));
    let profiles = given.variable("CXONE_CA_FILE", &a).file(&own).config().profiles;
    let trusts: Vec<_> = profiles.into_iter().map(|profile| profile.upstream.trust).collect();
    assert_eq!(trusts, due);
    assert_ne!(trusts[0], trusts[1]);
}

#[test]
fn a_private_key_is_not_a_bundle() {
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let given = Given::credentials().with_file("key.pem", &key);
    let path = given.path("key.pem");
    let fault = given.variable("CXONE_CA_FILE", path).only_fault();
    assert!(fault.contains("`key.pem` holds no certificate in PEM form; accepted: "), "{fault}");
}

#[test]
fn a_configuration_file_may_begin_with_a_byte_order_mark() {
    assert_eq!(Given::credentials().file("\u{feff}threads = 2\n").config().threads.unwrap().get(), 2);
}

#[test]
fn a_configuration_file_that_is_not_text_is_an_error_that_says_so() {
    let given = Given::credentials();
    let path = given.path("odd.toml");
    std::fs::write(&path, b"listen = '\xff'").unwrap();
    let fault = given.variable("CXONE_PROXY_CONFIG", path).only_fault();
    let due = "configuration file odd.toml from environment variable CXONE_PROXY_CONFIG: is not UTF-8 text; accepted: ";
    assert!(fault.starts_with(due), "{fault}");
}

#[test]
fn a_directory_is_not_a_configuration_file() {
    let given = Given::credentials();
    let path = given.path("");
    let fault = given.variable("CXONE_PROXY_CONFIG", path).only_fault();
    assert!(fault.contains(": cannot be read: it is a directory; accepted: "), "{fault}");
}

#[test]
fn errors_know_the_form_of_the_log_from_every_source() {
    let format = |given: Given| given.flag(&options::VIA, "on").load().unwrap_err().log_format;
    let in_file = "log.format = 'json'";
    assert_eq!(format(Given::credentials()), None);
    assert_eq!(format(Given::credentials().file(in_file)), Some(log::Format::Json));
    assert_eq!(
        format(Given::credentials().file(in_file).variable("CXONE_PROXY_LOG_FORMAT", "text")),
        Some(log::Format::Text)
    );
    assert_eq!(format(Given::credentials().variable("CXONE_PROXY_LOG_FORMAT", "xml")), None);
}

#[test]
fn a_replay_buffer_that_can_never_be_filled_is_a_warning() {
    let warnings = |memory: &str| {
        let given = Given::credentials().variable("CXONE_PROXY_REPLAY_MEMORY", memory);
        given.load().unwrap().warnings
    };
    assert_eq!(warnings("1MiB"), []);
    assert_eq!(warnings("1023KiB"), [Warning::ReplayBufferTooLarge]);
}

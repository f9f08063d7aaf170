//! `HTTPS_PROXY` and `NO_PROXY`.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use super::{super::*, Given};

fn toward(config: &Config, url: &str) -> Option<String> {
    config.forward_proxy.toward(&url.parse().unwrap()).map(ToString::to_string)
}

#[test]
fn the_variables_in_capitals_count_and_then_those_in_lower_case() {
    let given = || Given::credentials().variable("https_proxy", "http://small.example:1");
    let small = given().config();
    assert_eq!(toward(&small, "https://api.example").as_deref(), Some("http://small.example:1/"));
    let large = given().variable("HTTPS_PROXY", "http://large.example:2").config();
    assert_eq!(toward(&large, "https://api.example").as_deref(), Some("http://large.example:2/"));
    let except = given().variable("no_proxy", "api.example").config();
    assert_eq!(toward(&except, "https://api.example"), None);
    assert!(toward(&except, "https://other.example").is_some());
    // The capitals count alone, not both lists together.
    let except = given().variable("no_proxy", "api.example").variable("NO_PROXY", "other.example").config();
    assert!(toward(&except, "https://api.example").is_some());
    assert_eq!(toward(&except, "https://other.example"), None);
}

#[test]
fn an_entry_that_matches_no_host_is_a_warning_and_the_others_count() {
    let loaded = Given::credentials()
        .variable("HTTPS_PROXY", "http://proxy.example:3128")
        .variable("NO_PROXY", "api.example, http://b.example/, 10.0.0.0/33,c.*.example")
        .load()
        .unwrap();
    assert_eq!(toward(&loaded.config, "https://api.example"), None);
    assert!(toward(&loaded.config, "https://b.example").is_some());
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    let due = ["http://b.example/", "10.0.0.0/33", "c.*.example"].map(|entry| {
        format!(
            "NO_PROXY has the entry `{entry}`, which matches no host; accepted: `name`, `.name`, `*.name`, \
             `name:port`, an IP address, a network such as `10.0.0.0/8`, or `*`"
        )
    });
    assert_eq!(warnings, due);
}

#[test]
fn a_warning_names_the_variable_that_was_read_and_forges_no_line() {
    let loaded = Given::credentials().variable("no_proxy", "a\nb").load().unwrap();
    let [warning] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
    assert!(warning.to_string().starts_with("no_proxy has the entry `a\\nb`, "), "{warning}");
}

#[test]
fn each_known_form_of_an_entry_is_no_warning() {
    let known = "name,.name.example,*.name.example,name:8443,192.0.2.1,[2001:db8::1]:443,2001:db8::1,10.0.0.0/8,fd00::/8,*";
    assert_eq!(Given::credentials().variable("NO_PROXY", known).load().unwrap().warnings, []);
}

#[test]
fn exceptions_that_are_not_text_are_an_error() {
    let bytes = OsString::from_vec(vec![b'x', 0xff]);
    let fault = Given::credentials().variable("NO_PROXY", bytes).only_fault();
    assert!(
        fault.starts_with("environment variable NO_PROXY: is not valid UTF-8; accepted: host names"),
        "{fault}"
    );
}

#[test]
fn a_forward_proxy_must_make_sense() {
    for (name, value, complaint) in [
        ("HTTPS_PROXY", "socks5://a.example", "has the scheme `socks5`, which is not supported"),
        ("https_proxy", "http://me:p4ss@a.example:99999", "is not a URL (invalid port number)"),
        ("HTTPS_PROXY", "http://a.example/wpad.dat", "continues after the host: a proxy has no path"),
        ("HTTPS_PROXY", "a b", "contains white space"),
    ] {
        let fault = Given::credentials().variable(name, value).only_fault();
        assert!(
            fault.starts_with(&format!("environment variable {name}: {complaint}; accepted: ")),
            "{fault}"
        );
        assert!(!fault.contains("p4ss"));
    }
}

//! When the API is looked up, and what excludes that.

use std::time::Duration;

use super::super::*;
use super::profiles::{file, profiles, second};

fn discovery(profile: &Profile) -> Option<(&str, Duration)> {
    profile.upstream.discovery.as_ref().map(|found| (found.url.as_str(), found.interval))
}

#[test]
fn discovery_is_asked_for_by_a_boolean_or_by_its_word() {
    let cxone = "https://cxone.niceincontact.com/.well-known/cxone-configuration";
    let due = Some((cxone, Duration::from_mins(5)));
    assert_eq!(discovery(&profiles(file("upstream.discover = true"))[0]), due);
    assert_eq!(discovery(&profiles(file("upstream.discover = 'true'"))[0]), due);
    assert_eq!(discovery(&profiles(file("").variable("CXONE_DISCOVER", "true"))[0]), due);
    assert_eq!(discovery(&profiles(file("").flag(&options::DISCOVER, "true"))[0]), due);
    for none in [file(""), file("upstream.discover = false"), file("").variable("CXONE_DISCOVER", "false")] {
        assert_eq!(discovery(&profiles(none)[0]), None);
    }
    let own =
        "[upstream]\ndiscover = true\ndiscovery_url = 'http://127.0.0.1:9/x?y'\ndiscover_interval = '1s'\n";
    assert_eq!(discovery(&profiles(file(own))[0]), Some(("http://127.0.0.1:9/x?y", Duration::from_secs(1))));
    let unknown = file("").variable("CXONE_DISCOVER", "yes").only_fault();
    assert!(unknown.ends_with("accepted: `true` or `false`"), "{unknown}");
    let number = file("upstream.discover = 1").only_fault();
    assert!(
        number.starts_with("upstream.discover from cxone-proxy.toml:1: the value is of type integer"),
        "{number}"
    );
    for (key, value) in [("discovery_url", "http://a.example/"), ("discover_interval", "999ms")] {
        let fault = file(&format!("upstream.{key} = '{value}'")).only_fault();
        assert!(fault.starts_with(&format!("upstream.{key} from cxone-proxy.toml:1: `{value}`")), "{fault}");
    }
}

#[test]
fn a_base_url_excludes_discovery_and_the_stronger_source_wins() {
    let both = "[upstream]\ndiscover = true\nbase_url = 'https://a.example'\n";
    assert_eq!(
        file(both).only_fault(),
        "upstream.discover (cxone-proxy.toml:2) and upstream.base_url (cxone-proxy.toml:3) exclude each other; \
         accepted: one of them in each source"
    );
    let discover = || file("upstream.discover = true");
    let given = || file("upstream.base_url = 'https://a.example'");
    for (given, is_discovered) in [
        (discover().variable("CXONE_BASE_URL", "https://b.example"), false),
        (discover().variable("CXONE_BASE_URL", "https://b.example").flag(&options::DISCOVER, "true"), true),
        (discover().flag(&options::BASE_URL, "https://b.example"), false),
        (given().variable("CXONE_DISCOVER", "true"), true),
        (given().variable("CXONE_DISCOVER", "false"), false),
        (discover().variable("CXONE_DISCOVER", "false"), false),
        (file("[upstream]\ndiscover = false\nbase_url = 'https://a.example'\n"), false),
        // The region says where tokens come from, and is no contradiction.
        (discover().variable("CXONE_REGION", "eu"), true),
    ] {
        assert_eq!(discovery(&profiles(given)[0]).is_some(), is_discovered);
    }
}

#[test]
fn a_profile_may_be_discovered_where_others_are_not() {
    let text = second("[profile.upstream]\nbase_url = 'https://b.example'\n");
    let found = profiles(file(&format!("upstream.discover = true\n{text}")));
    assert_eq!([discovery(&found[0]).is_some(), discovery(&found[1]).is_some()], [true, false]);
    let text = second("[profile.upstream]\ndiscover = true\n");
    let found = profiles(file(&text).variable("CXONE_BASE_URL", "https://a.example"));
    assert_eq!([discovery(&found[0]).is_some(), discovery(&found[1]).is_some()], [false, true]);
    let text = second("[profile.upstream]\ndiscover = true\nbase_url = 'https://b.example'\n");
    let fault = file(&text).only_fault();
    assert!(fault.starts_with("upstream.discover (cxone-proxy.toml:7) and upstream.base_url"), "{fault}");
}

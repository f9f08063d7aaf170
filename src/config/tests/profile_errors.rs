//! The error for each kind of mistake in a `[[profile]]`.

use super::Given;
use super::profiles::{file, profiles, second};

#[test]
fn which_profiles_credentials_can_be_named() {
    for (keys, complaint) in [
        ("credentials = 'c'\n", "`c` names no other profile; accepted: another profile's name"),
        ("credentials = 'b'\n", "`b` names no other profile; accepted: another profile's name"),
        (
            "credentials = 'a'\n[profile.oauth]\nclient_id = 'x'\n",
            "names another profile's credentials, and oauth.client_id sets some of its own; accepted: one of the two",
        ),
        (
            "credentials = 'c'\n[[profile]]\nname = 'c'\nhost = 'c.localhost'\n",
            "`c` comes later; accepted: a profile that comes before this one",
        ),
    ] {
        let due = format!("profile.credentials in cxone-proxy.toml:6: {complaint}");
        assert_eq!(file(&second(keys)).only_fault(), due);
    }
}

#[test]
fn bad_values_are_reported_with_their_line() {
    let type_of =
        |key: &str, wanted: &str| format!("profile.{key} in cxone-proxy.toml:6: accepted: {wanted}");
    let string = "a string in quotation marks";
    let switch = "`true` or `false`";
    for (keys, due) in [
        ("host = 7", type_of("host", string)),
        ("listen = ['127.0.0.1:1']", type_of("listen", string)),
        ("credentials = true", type_of("credentials", string)),
        ("strip_prefix = 'true'", type_of("strip_prefix", switch)),
        ("rewrite_json_links = 1", type_of("rewrite_json_links", switch)),
        (
            "hots = 'x'",
            "profile.hots in cxone-proxy.toml:6: is none of a profile's keys; accepted: name, host, path_prefix, \
             strip_prefix, listen, credentials, rewrite_json_links, and the sections upstream, oauth and rate"
                .to_owned(),
        ),
        (
            "[profile.upstream]\nbase_uri = 'x'",
            "unknown key upstream.base_uri in cxone-proxy.toml:7 (did you mean upstream.base_url?); accepted: the keys \
             that `cxone-proxy serve --help` lists"
                .to_owned(),
        ),
    ] {
        assert_eq!(file(&second(&format!("{keys}\n"))).only_fault(), due, "{keys}");
    }
    for (keys, start) in [
        ("host = 'a,b'", "profile.host in cxone-proxy.toml:6: `a,b` is not one host name; accepted: one"),
        ("host = ''", "profile.host in cxone-proxy.toml:6: `` is not one host name; accepted: one"),
        ("host = '*'", "profile.host in cxone-proxy.toml:6: `*` is not one host name; accepted: one"),
        ("host = 'a:80'", "profile.host in cxone-proxy.toml:6: names `a:80`, which has a port"),
        (
            "listen = '8082'",
            "profile.listen in cxone-proxy.toml:6: `8082` has no port; accepted: an address and port",
        ),
        (
            "listen = 'off'",
            "profile.listen in cxone-proxy.toml:6: `off` has no port; accepted: an address and port",
        ),
        ("upstream = 'x'", "upstream in cxone-proxy.toml:6: has a value, but it is a section"),
        (
            "[profile.oauth]\nclient_secret = 'x'",
            "oauth.client_secret in cxone-proxy.toml:7: the client secret never",
        ),
        ("[profile.upstream]\nregion = 'mars'", "upstream.region from cxone-proxy.toml:7: `mars` is none"),
    ] {
        let fault = file(&second(&format!("{keys}\n"))).only_fault();
        assert!(fault.starts_with(start), "{keys}: {fault}");
        assert!(fault.contains("accepted: "), "{fault}");
    }
}

#[test]
fn a_path_prefix_is_a_path() {
    for prefix in ["b", "/", "/b/", "", "/b?x", "/b#x", "/b c", "https://b"] {
        let text = format!("[[profile]]\nname = 'b'\npath_prefix = '{prefix}'\n");
        assert_eq!(
            file(&text).only_fault(),
            format!(
                "profile.path_prefix in cxone-proxy.toml:3: `{prefix}` is not a path prefix; accepted: a path such \
                 as `/digital`, without a slash at its end"
            )
        );
    }
    for prefix in ["/b", "/b/c", "/B%2f", "/b//c"] {
        let text = format!("[[profile]]\nname = 'b'\npath_prefix = '{prefix}'\n");
        assert_eq!(profiles(file(&text))[0].selector.path_prefix.as_deref(), Some(prefix));
    }
    let text = "[[profile]]\nname = 'b'\nstrip_prefix = true\n";
    assert_eq!(
        file(text).only_fault(),
        "profile.strip_prefix in cxone-proxy.toml:3: has nothing to strip; accepted: together with path_prefix"
    );
}

#[test]
fn a_profile_has_a_name_of_its_own() {
    assert_eq!(
        file("\n[[profile]]\nhost = 'x'\n").only_fault(),
        "profile.name in cxone-proxy.toml:2: is missing; accepted: a name such as `digital`"
    );
    for name in ["", "Digital", "a b", "a/b", "\u{e4}", &"a".repeat(65)] {
        let fault = file(&format!("[[profile]]\nname = '{name}'\n")).only_fault();
        assert!(fault.starts_with("profile.name in cxone-proxy.toml:2: `"), "{fault}");
        assert!(fault.contains("is not a name; accepted: up to 64 lower-case letters"), "{fault}");
    }
    let twice = "[[profile]]\nname = 'a'\n[profile.upstream]\nregion = 'mars'\n\
                 [[profile]]\nname = 'a'\nhost = 'x'\n";
    let faults = file(twice).faults();
    assert_eq!(faults.len(), 2, "{faults:#?}");
    assert_eq!(
        faults[1],
        "profile.name in cxone-proxy.toml:6: `a` names another profile already; accepted: a name of its own"
    );
}

#[test]
fn a_profile_that_nothing_selects_is_a_mistake() {
    for (first, second) in [
        ("", ""),
        ("host = 'x.localhost'\n", "host = 'X.localhost'\n"),
        ("path_prefix = '/x'\n", "path_prefix = '/x'\nstrip_prefix = true\n"),
    ] {
        let text = format!("[[profile]]\nname = 'a'\n{first}[[profile]]\nname = 'b'\n{second}");
        let fault = file(&text).only_fault();
        assert!(
            fault.contains("`b` would never be selected, since `a` has the same selectors; accepted: a host"),
            "{fault}"
        );
    }
    let ports = "[[profile]]\nname = 'a'\nlisten = '127.0.0.1:0'\n\
                 [[profile]]\nname = 'b'\nlisten = '127.0.0.1:0'\n";
    assert_eq!(profiles(file(ports)).len(), 2);
}

#[test]
fn profiles_are_written_in_double_brackets() {
    for text in ["[profile]\nname = 'a'\n", "profile = 'a'\n", "profile = [{ name = 'a' }]\n"] {
        assert_eq!(
            file(text).only_fault(),
            "profile in cxone-proxy.toml:1: is not a list of tables; accepted: `[[profile]]`, in double brackets, \
             above the keys of each"
        );
    }
}

#[test]
fn every_listener_has_an_address_of_its_own() {
    let taken = |listen: &str, other: &str| {
        format!(
            "profile.listen in cxone-proxy.toml:6: `{listen}` is taken by the listener `{other}`; accepted: an address of its own"
        )
    };
    for listen in ["127.0.0.1:8080", "127.0.0.1:8081", "unix:/run/x.sock"] {
        let text = second(&format!("listen = '{listen}'\n"));
        let given = if listen.starts_with("unix") {
            file(&text).variable("CXONE_PROXY_LISTEN", listen)
        } else {
            file(&text)
        };
        assert_eq!(given.only_fault(), taken(listen, listen));
    }
    let text =
        "[[profile]]\nname = 'a'\nlisten = 'localhost:9'\n[[profile]]\nname = 'b'\nlisten = '127.0.0.1:9'\n";
    assert_eq!(file(text).only_fault(), taken("127.0.0.1:9", "localhost:9"));
}

#[test]
fn a_public_listener_needs_allowed_hosts() {
    let text = second("listen = '0.0.0.0:9000'\n");
    let fault = file(&text).only_fault();
    assert!(
        fault.starts_with("profile.listen from cxone-proxy.toml:6: `0.0.0.0:9000` can be reached"),
        "{fault}"
    );
    let allowed = file(&text).variable("CXONE_PROXY_ALLOWED_HOSTS", "proxy.example");
    assert_eq!(profiles(allowed).len(), 2);
}

#[test]
fn what_all_profiles_inherit_is_reported_once() {
    let fault = file(&second("[[profile]]\nname = 'c'\nhost = 'c.localhost'\n"))
        .variable("CXONE_REGION", "mars")
        .only_fault();
    assert!(fault.starts_with("upstream.region from environment variable CXONE_REGION"), "{fault}");
    let fault = Given::nothing().variable("CXONE_CLIENT_SECRET", "x").file(&second("")).only_fault();
    assert!(fault.starts_with("oauth.client_id is not set anywhere"), "{fault}");
}

#[test]
fn what_all_profiles_inherit_is_warned_of_once() {
    use std::os::unix::fs::PermissionsExt;
    let given = Given::nothing().variable("CXONE_CLIENT_ID", "app").variable("CXONE_GRANT", "password");
    let given = given.variable("CXONE_ACCESS_KEY_ID", "KEY").with_file("one", "1").with_file("two", "2");
    for name in ["one", "two"] {
        std::fs::set_permissions(given.path(name), std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let (one, two) = (given.path("one"), given.path("two"));
    let loaded = given
        .variable("CXONE_CLIENT_SECRET_FILE", one)
        .variable("CXONE_ACCESS_KEY_SECRET_FILE", two)
        .file(&second(""))
        .load()
        .unwrap();
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
}

#[test]
fn the_faults_of_all_profiles_are_reported_together() {
    let text = "[[profile]]\nhost = 'x'\n[[profile]]\nname = 'b'\npath_prefix = 'b'\nlisten = 'x'\n\
                [profile.upstream]\nregion = 'mars'\n";
    let faults = file(text).variable("CXONE_PROXY_MAX_WAIT", "1").faults();
    let keys: Vec<_> = faults.iter().map(|fault| fault.split(' ').next().unwrap()).collect();
    assert_eq!(
        keys,
        ["profile.name", "profile.path_prefix", "profile.listen", "upstream.region", "retry.max_wait"]
    );
}

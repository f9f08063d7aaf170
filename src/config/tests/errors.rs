//! The error for each kind of mistake.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use super::super::options as o;
use super::Given;

const DURATION: &str =
    "an integer with `ms`, `s`, `m` or `h`, such as `10s` or `500ms`, more than zero and at most `8760h`";

#[test]
fn a_bad_value_names_key_source_value_and_what_would_do() {
    let cases = [
        (
            "CXONE_REGION",
            "mars",
            "upstream.region",
            "`mars` is none of the known words",
            "`global`, `eu` or `usgov`",
        ),
        ("CXONE_PROXY_CONNECT_TIMEOUT", "10", "upstream.connect_timeout", "`10` has no unit", DURATION),
        ("CXONE_PROXY_CONNECT_TIMEOUT", "0s", "upstream.connect_timeout", "`0s` is too short", DURATION),
        (
            "CXONE_PROXY_CONNECT_TIMEOUT",
            "10 s",
            "upstream.connect_timeout",
            "`10 s` has an unknown unit",
            DURATION,
        ),
        ("CXONE_PROXY_IDLE_TIMEOUT", "9000h", "limits.idle_timeout", "`9000h` is too long", DURATION),
        (
            "CXONE_PROXY_IN_FLIGHT",
            "0",
            "limits.in_flight",
            "`0` is too small",
            "an integer from 1 to 1000000",
        ),
        (
            "CXONE_PROXY_IN_FLIGHT",
            "1e3",
            "limits.in_flight",
            "`1e3` is not a whole number",
            "an integer from 1 to 1000000",
        ),
    ];
    for (variable, value, key, complaint, accepted) in cases {
        assert_eq!(
            Given::credentials().variable(variable, value).only_fault(),
            format!("{key} from environment variable {variable}: {complaint}; accepted: {accepted}")
        );
    }
}

#[test]
fn a_source_is_a_flag_a_variable_or_a_line() {
    let expected = |origin: &str| {
        format!(
            "forwarding.via from {origin}: `on` is none of the known words; accepted: `response`, `both` or `off`"
        )
    };
    assert_eq!(Given::credentials().flag(&o::VIA, "on").only_fault(), expected("flag --via"));
    assert_eq!(
        Given::credentials().variable("CXONE_PROXY_VIA", "on").only_fault(),
        expected("environment variable CXONE_PROXY_VIA")
    );
    let file = "# one\n\n[log]\nfilter = 'info'\n\n[forwarding]\n  via = 'on'\n";
    assert_eq!(Given::credentials().file(file).only_fault(), expected("cxone-proxy.toml:7"));
}

#[test]
fn types_of_the_file_are_checked() {
    let cases = [
        ("retry.max_wait = 30", "`30` is a bare number without a unit"),
        ("retry.replay_buffer = 1024", "`1024` is a bare number without a unit"),
        ("retry.rate_limit_retries = '3'", "`3` is a string, where an integer belongs"),
        ("retry.rate_limit_retries = -1", "`-1` is not a whole number"),
        ("retry.rate_limit_retries = 3.0", "the value is of type float, where an integer belongs"),
        ("guard.allowed_hosts = '*'", "`*` is a string, where an array of strings belongs"),
        ("guard.allowed_hosts = [1]", "the value is an array with an item of type integer"),
        (
            "guard.allowed_hosts = ['a,b']",
            "the value is an array with an item that contains `,`: give each its own string",
        ),
        ("listen = true", "the value is of type boolean, where a string in quotation marks belongs"),
        ("listen = 8080", "the value is of type integer, where a string in quotation marks belongs"),
        ("listen.port = 1", "the value is a table"),
        ("oauth.client_id = ''", "`` is empty"),
    ];
    for (text, complaint) in cases {
        let mut given = Given::credentials().file(text);
        given.environment.retain(|(name, _)| name != "CXONE_CLIENT_ID" || !text.contains("client_id"));
        let fault = given.only_fault();
        let key = text.split([' ', '=']).next().unwrap().replace(".port", "");
        let expected = format!("{key} from cxone-proxy.toml:1: {complaint}; accepted: ");
        assert!(fault.starts_with(&expected), "{fault}\n{expected}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let faults = Given::nothing()
        .variable("CXONE_REGION", "mars")
        .variable("CXONE_PROXY_MAX_WIAT", "1s")
        .flag(&o::VIA, "on")
        .file("[limits]\nin_flight = 0\nhaeder_size = '1KiB'\n")
        .faults();
    assert_eq!(faults.len(), 7, "{faults:#?}");
    for start in [
        "unknown environment variable CXONE_PROXY_MAX_WIAT (did you mean CXONE_PROXY_MAX_WAIT?); accepted: ",
        "unknown key limits.haeder_size in cxone-proxy.toml:3 (did you mean limits.header_size?); accepted: ",
        "upstream.region from environment variable CXONE_REGION: `mars`",
        "oauth.client_id is not set anywhere; accepted: the environment variable CXONE_CLIENT_ID, ",
        "CXONE_CLIENT_SECRET is not set anywhere; accepted: the environment variable CXONE_CLIENT_SECRET, ",
        "forwarding.via from flag --via: `on`",
        "limits.in_flight from cxone-proxy.toml:2: `0` is too small",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(start)), "{start}\n{faults:#?}");
    }
}

#[test]
fn what_is_missing_comes_with_the_ways_to_set_it() {
    assert_eq!(
        Given::credentials().variable("CXONE_CLIENT_ID", "").only_fault(),
        "oauth.client_id is not set anywhere; accepted: the environment variable CXONE_CLIENT_ID, \
         the flag --client-id, or the key oauth.client_id in the file named by --config"
    );
    assert_eq!(
        Given::credentials().variable("CXONE_CLIENT_SECRET", "").only_fault(),
        "CXONE_CLIENT_SECRET is not set anywhere; accepted: the environment variable CXONE_CLIENT_SECRET, \
         the environment variable CXONE_CLIENT_SECRET_FILE, the flag --client-secret-file, or the key \
         oauth.client_secret_file in the file named by --config"
    );
}

#[test]
fn values_that_a_stronger_source_overrides_are_checked_too() {
    let fault = Given::credentials().file("[retry]\nmax_wait = 'soon'").flag(&o::MAX_WAIT, "1s").only_fault();
    assert!(
        fault
            .starts_with("retry.max_wait from cxone-proxy.toml:2: `soon` does not start with a whole number")
    );
}

#[test]
fn exclusive_keys_are_an_error_within_one_source() {
    let url = "https://a.example";
    let cases = [
        (
            Given::credentials().variable("CXONE_REGION", "eu").variable("CXONE_BASE_URL", url),
            "upstream.base_url (environment variable CXONE_BASE_URL) and upstream.region (environment variable CXONE_REGION)",
        ),
        (
            Given::credentials().flag(&o::REGION, "eu").flag(&o::BASE_URL, url),
            "upstream.base_url (flag --base-url) and upstream.region (flag --region)",
        ),
        (
            Given::credentials().file("[upstream]\nregion = 'eu'\nbase_url = 'https://a.example'"),
            "upstream.base_url (cxone-proxy.toml:3) and upstream.region (cxone-proxy.toml:2)",
        ),
        (
            Given::credentials().variable("CXONE_CLIENT_SECRET_FILE", "/nowhere"),
            "CXONE_CLIENT_SECRET (environment variable CXONE_CLIENT_SECRET) and oauth.client_secret_file (environment variable CXONE_CLIENT_SECRET_FILE)",
        ),
    ];
    for (given, both) in cases {
        let expected = format!("{both} exclude each other; accepted: one of them in each source");
        assert_eq!(given.only_fault(), expected);
    }
}

#[test]
fn unknown_keys_get_the_likely_one() {
    let cases = [
        ("listne = 'x'", "listne", Some("listen")),
        ("region = 'eu'", "region", Some("upstream.region")),
        ("[upstraem]\nregion = 'eu'", "upstraem", Some("upstream")),
        ("[oauth]\nclientid = 'x'", "oauth.clientid", Some("oauth.client_id")),
        ("[proxy.deep]\nx = 1", "proxy", None),
        ("xyzzy = 1", "xyzzy", None),
    ];
    for (text, key, meant) in cases {
        let line = if text.contains("oauth") { 2 } else { 1 };
        let meant = meant.map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
        let fault = Given::credentials().file(text).only_fault();
        assert!(
            fault.starts_with(&format!("unknown key {key} in cxone-proxy.toml:{line}{meant}; ")),
            "{fault}"
        );
    }
}

#[test]
fn a_section_has_no_value() {
    for text in ["upstream = 'eu'", "[[upstream]]\nregion = 'eu'"] {
        assert_eq!(
            Given::credentials().file(text).only_fault(),
            "upstream in cxone-proxy.toml:1: has a value, but it is a section; accepted: `[upstream]` with its keys \
             below it"
        );
    }
}

#[test]
fn unknown_variables_get_the_likely_one() {
    let cases = [
        ("CXONE_REGOIN", Some("CXONE_REGION")),
        ("CXONE_PROXY_REGION", Some("CXONE_REGION")),
        ("CXONE_MAX_WAIT", Some("CXONE_PROXY_MAX_WAIT")),
        ("CXONE_PROXY_CONFG", Some("CXONE_PROXY_CONFIG")),
        ("CXONE_CLIENT_SECERT", Some("CXONE_CLIENT_SECRET")),
        ("CXONE_TENANT_NAME", None),
    ];
    for (name, meant) in cases {
        let meant = meant.map(|meant| format!(" (did you mean {meant}?)")).unwrap_or_default();
        let fault = Given::credentials().variable(name, "v4lue").only_fault();
        assert!(fault.starts_with(&format!("unknown environment variable {name}{meant}; ")), "{fault}");
        assert!(!fault.contains("v4lue"));
    }
}

#[test]
fn a_secret_in_the_file_is_an_error_that_does_not_show_it() {
    for (text, key) in [
        ("[oauth]\nclient_secret = 's3cr3t'", "oauth.client_secret"),
        ("# top\nclient_secret = 's3cr3t'", "client_secret"),
    ] {
        assert_eq!(
            Given::credentials().file(text).only_fault(),
            format!(
                "{key} in cxone-proxy.toml:2: the client secret never goes into the configuration file; accepted: \
                 the environment variable CXONE_CLIENT_SECRET, or a file of its own named by oauth.client_secret_file"
            )
        );
    }
}

#[test]
fn a_bad_secret_is_described_and_not_shown() {
    let by_file = |content: &str| {
        let given = Given::credentials().variable("CXONE_CLIENT_SECRET", "").with_file("secret", content);
        let path = given.path("secret");
        given.variable("CXONE_CLIENT_SECRET_FILE", path).only_fault()
    };
    for secret in [" s3cr3t", "s3cr3t ", "\ts3cr3t\n"] {
        let fault = Given::credentials().variable("CXONE_CLIENT_SECRET", secret).only_fault();
        let expected = "CXONE_CLIENT_SECRET from environment variable CXONE_CLIENT_SECRET: the value has white space \
                        before or after the secret";
        assert!(fault.starts_with(expected), "{fault}");
        let in_file = by_file(secret);
        assert!(in_file.contains("`secret` has white space before or after the secret"), "{in_file}");
        assert!(!fault.contains("s3cr3t") && !in_file.contains("s3cr3t"));
    }
    assert!(by_file("\n").contains(" is empty; "));
    for (secret, complaint) in [
        (
            "\"s3cr3t\"",
            "has quotation marks around the secret, which would be sent as a part of it: remove them",
        ),
        (
            "'s3cr3t'",
            "has quotation marks around the secret, which would be sent as a part of it: remove them",
        ),
        (
            "\u{feff}s3cr3t",
            "begins with a byte order mark, which some editors write: save the secret without it",
        ),
    ] {
        let fault = Given::credentials().variable("CXONE_CLIENT_SECRET", secret).only_fault();
        let expected =
            format!("from environment variable CXONE_CLIENT_SECRET: the value {complaint}; accepted: ");
        assert!(fault.contains(&expected), "{fault}");
        let in_file = by_file(&format!("{secret}\n"));
        assert!(in_file.contains(&format!("`secret` {complaint}; accepted: ")), "{in_file}");
        assert!(!fault.contains("s3cr3t") && !in_file.contains("s3cr3t"), "{fault} {in_file}");
    }
}

#[test]
fn a_secret_put_in_place_of_its_files_name_is_not_shown() {
    let fault = Given::nothing()
        .variable("CXONE_CLIENT_ID", "app")
        .variable("CXONE_CLIENT_SECRET_FILE", "s3cr3t")
        .only_fault();
    assert!(
        fault.contains("the value cannot be read: the file does not exist (relative paths start in /"),
        "{fault}"
    );
    assert!(!fault.contains("s3cr3t"));
}

#[test]
fn passwords_in_urls_are_not_shown() {
    let cases = [
        (
            "CXONE_BASE_URL",
            "https://me:p4ss@a.example/x",
            "`https://…@a.example/x` contains user information",
        ),
        ("CXONE_BASE_URL", "https://a.example/x?key=p4ss", "`https://a.example/x?…` contains a query"),
        ("CXONE_BASE_URL", "https://a.example/#p4ss", "`https://a.example/#…` contains a fragment"),
        ("CXONE_BASE_URL", "me:p4ss@a.example", "`…@a.example` has no scheme"),
        ("CXONE_TOKEN_URL", "https://me:p4ss@a.example/", "`https://…@a.example/` contains user information"),
    ];
    for (variable, value, complaint) in cases {
        let fault = Given::credentials().variable(variable, value).only_fault();
        assert!(
            fault.contains(&format!("from environment variable {variable}: {complaint}; accepted: ")),
            "{fault}"
        );
        assert!(!fault.contains("p4ss"));
    }
}

#[test]
fn a_broken_file_is_named_with_its_line_and_not_shown() {
    let fault =
        Given::credentials().file("[oauth]\nclient_id = 'x'\nclient_secret = \"s3cr3t\n").only_fault();
    assert!(fault.starts_with("cxone-proxy.toml:3: is not TOML ("), "{fault}");
    assert!(!fault.contains("s3cr3t"));
    let twice = Given::credentials().file("listen = 'a'\nlisten = 'b'\n").only_fault();
    assert!(twice.starts_with("cxone-proxy.toml:2: is not TOML (duplicate key"), "{twice}");
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_who_named_it() {
    let fault = Given::credentials().variable("CXONE_PROXY_CONFIG", "/nowhere/x.toml").only_fault();
    assert!(
        fault.starts_with(
            "configuration file /nowhere/x.toml from environment variable CXONE_PROXY_CONFIG: cannot be read: the directory /nowhere does not exist; accepted: the path of a readable TOML file"
        ),
        "{fault}"
    );
}

#[test]
fn bytes_that_are_not_text_are_an_error() {
    let bytes = || OsString::from_vec(vec![b'x', 0xff]);
    assert_eq!(
        Given::credentials().variable("CXONE_PROXY_VIA", bytes()).only_fault(),
        "forwarding.via from environment variable CXONE_PROXY_VIA: is not valid UTF-8; accepted: text"
    );
    assert_eq!(
        Given::credentials().flag(&o::VIA, bytes()).only_fault(),
        "forwarding.via from flag --via: is not valid UTF-8; accepted: text"
    );
}

#[test]
fn a_public_listener_needs_allowed_hosts() {
    for address in ["0.0.0.0:8080", "[::]:8080", "192.0.2.1:8080"] {
        let fault = Given::credentials().variable("CXONE_PROXY_LISTEN", address).only_fault();
        let start =
            format!("listen from environment variable CXONE_PROXY_LISTEN: `{address}` can be reached");
        assert!(fault.starts_with(&start), "{fault}");
        for hosts in ["proxy.example", "*"] {
            let given = Given::credentials().variable("CXONE_PROXY_LISTEN", address);
            assert!(given.variable("CXONE_PROXY_ALLOWED_HOSTS", hosts).load().is_ok());
        }
    }
    let admin = Given::credentials().flag(&o::ADMIN_LISTEN, "0.0.0.0:1").only_fault();
    assert!(
        admin.starts_with("admin.listen from flag --admin-listen: `0.0.0.0:1` can be reached"),
        "{admin}"
    );
    let empty = Given::credentials().flag(&o::LISTEN, "0.0.0.0:1").file("guard.allowed_hosts = []");
    assert!(empty.only_fault().contains("set guard.allowed_hosts"));
    for address in ["127.1.2.3:1", "[::1]:1", "localhost:1", "unix:/run/x"] {
        assert!(Given::credentials().flag(&o::LISTEN, address).load().is_ok(), "{address}");
    }
}

#[test]
fn two_listeners_need_two_addresses() {
    assert_eq!(
        Given::credentials().flag(&o::LISTEN, "localhost:8081").only_fault(),
        "listen is `localhost:8081` (flag --listen) and admin.listen is `127.0.0.1:8081` (default), which cannot both \
         be listened on; accepted: two different addresses, or `off` for admin.listen"
    );
    let picked = Given::credentials().flag(&o::LISTEN, "127.0.0.1:0").flag(&o::ADMIN_LISTEN, "127.0.0.1:0");
    assert!(picked.load().is_ok());
}

#[test]
fn a_ca_file_holds_certificates_and_nothing_else() {
    let fault = |content: &str| {
        let given = Given::credentials().with_file("ca.pem", content);
        let path = given.path("ca.pem");
        given.variable("CXONE_CA_FILE", path).only_fault()
    };
    let start = "upstream.ca_file from environment variable CXONE_CA_FILE: `ca.pem` ";
    assert!(fault("").starts_with(&format!("{start}holds no certificate in PEM form; ")));
    let broken = fault("-----BEGIN CERTIFICATE-----\nAAAA\n");
    assert!(broken.starts_with(&format!("{start}is not a PEM file; ")), "{broken}");
    let nonsense = fault("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    assert!(nonsense.starts_with(&format!("{start}holds a certificate that cannot be used; ")), "{nonsense}");
    let gone = Given::credentials().variable("CXONE_CA_FILE", "/nowhere/ca.pem").only_fault();
    let due = "`/nowhere/ca.pem` cannot be read: the directory /nowhere does not exist; ";
    assert!(gone.contains(due), "{gone}");
}

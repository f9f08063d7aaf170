//! Requests by their heads, admitted or refused.

use http::Request;
use proptest::prelude::*;

use super::*;

fn settings() -> Settings {
    Settings {
        hosts: "proxy.internal, dotted.internal.".parse().unwrap(),
        origins: vec!["https://app.example".parse().unwrap()],
    }
}

fn request(method: &str, target: &str, lines: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

const LOCAL: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)));

fn is_upstream(secure: bool, authority: &str) -> bool {
    secure && ["api.example", "api.example:443"].iter().any(|own| own.eq_ignore_ascii_case(authority))
}

fn refusal(target: &str, lines: &[(&str, &str)]) -> Option<Refusal> {
    admit(&request("GET", target, lines), &settings(), LOCAL, is_upstream).err()
}

#[test]
fn the_proxys_own_names_are_known() {
    for host in [
        "localhost",
        "LOCALHOST:1",
        "localhost.",
        "localhost.:80",
        "127.0.0.1",
        "127.9.9.9:8080",
        "[::1]",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]",
        "192.0.2.7:1",
        "proxy.internal",
        "proxy.internal.",
        "Proxy.Internal:8080",
        "dotted.internal",
        "dotted.internal.:80",
    ] {
        assert_eq!(refusal("/", &[("Host", host)]), None, "{host}");
    }
}

#[test]
fn other_names_are_refused() {
    for host in [
        "",
        ".",
        "example.com",
        "localhost.example.com",
        "localhost@example.com",
        "127.0.0.1.nip.io",
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "::1",
        "[::ffff:127.0.0.1]",
        "[::ffff:192.0.2.7]",
        "0.0.0.0",
        "[::]",
        "localhost:x",
        "localhost, example.com",
        "api.example",
        "192.0.2.8",
        "localhost..",
        "proxy.internal..",
    ] {
        assert_eq!(refusal("/", &[("Host", host)]), Some(Refusal::WrongHost), "{host}");
    }
    let mut head = request("GET", "/", &[]);
    head.headers.insert(HOST, HeaderValue::from_bytes(b"localhost\xff").unwrap());
    assert_eq!(admit(&head, &settings(), None, is_upstream).err(), Some(Refusal::WrongHost));
}

#[test]
fn only_the_address_at_which_the_connection_arrived_is_known() {
    for (host, local, known) in [
        ("192.0.2.7", Some("192.0.2.7"), true),
        ("192.0.2.7", Some("::ffff:192.0.2.7"), true),
        ("192.0.2.7", Some("192.0.2.8"), false),
        ("192.0.2.7", None, false),
        ("[2001:db8::1]:80", Some("2001:db8::1"), true),
        ("[2001:db8::2]", Some("2001:db8::1"), false),
        ("0.0.0.0", Some("0.0.0.0"), false),
        ("[::]", Some("::"), false),
        ("127.0.0.1", None, true),
        ("127.0.0.1", Some("192.0.2.7"), true),
    ] {
        let head = request("GET", "/", &[("Host", host)]);
        let local = local.map(|local| local.parse().unwrap());
        let admitted = admit(&head, &Settings::default(), local, is_upstream);
        assert_eq!(admitted.is_ok(), known, "{host} at {local:?}");
    }
}

#[test]
fn any_host_is_known_where_the_operator_says_so() {
    let settings = Settings { hosts: AllowedHosts::Any, ..settings() };
    for host in ["evil.example", "0.0.0.0", "10.1.2.3:80"] {
        let head = request("GET", "/", &[("Host", host)]);
        assert!(admit(&head, &settings, None, is_upstream).is_ok(), "{host}");
    }
}

#[test]
fn exactly_one_host_is_needed() {
    assert_eq!(refusal("/", &[]), Some(Refusal::Host));
    assert_eq!(refusal("/", &[("Host", "localhost"), ("host", "localhost")]), Some(Refusal::Host));
    let mut old = request("GET", "/", &[]);
    old.version = Version::HTTP_10;
    assert!(admit(&old, &settings(), LOCAL, is_upstream).is_ok());
    let mut old = request("GET", "/", &[("Host", "evil.example")]);
    old.version = Version::HTTP_10;
    assert_eq!(admit(&old, &settings(), LOCAL, is_upstream).err(), Some(Refusal::WrongHost));
}

#[test]
fn http2_names_its_host_in_the_authority() {
    for (uri, lines, due) in [
        ("http://localhost/x", &[("host", "evil.example")][..], None),
        ("https://localhost/x", &[], None),
        ("http://evil.example/x", &[("host", "localhost")], Some(Refusal::WrongHost)),
        // The upstream's own origin counts in absolute form alone.
        ("https://api.example/x", &[], Some(Refusal::WrongHost)),
        ("/x", &[("host", "localhost")], None),
        ("/x", &[("host", "evil.example")], Some(Refusal::WrongHost)),
        ("/x", &[], Some(Refusal::Host)),
    ] {
        let mut head = request("GET", uri, lines);
        head.version = Version::HTTP_2;
        let admitted = admit(&head, &settings(), LOCAL, is_upstream);
        assert_eq!(admitted.as_ref().err(), due.as_ref(), "{uri} {lines:?}");
        assert!(admitted.is_err() || admitted.unwrap().path == "/x");
    }
}

#[test]
fn absolute_form_counts_in_place_of_host() {
    let head = request("GET", "http://localhost:8080/x", &[("Host", "example.com")]);
    let admitted = admit(&head, &settings(), LOCAL, is_upstream).unwrap();
    let host = admitted.host.unwrap();
    assert_eq!((host.as_str(), admitted.upstream), ("localhost:8080", None));
    let host = [("Host", "localhost")];
    let head = request("GET", "https://API.example:443?y", &host);
    let admitted = admit(&head, &settings(), LOCAL, is_upstream).unwrap();
    assert_eq!((admitted.path.as_str(), admitted.upstream), ("/?y", Some(true)));
    for target in
        ["http://api.example/x", "https://api.example:444/", "http://example.com/", "https://localhost/"]
    {
        assert_eq!(refusal(target, &host), Some(Refusal::WrongHost), "{target}");
    }
    for target in ["ftp://localhost/", "http://evil@localhost/", "evil", "localhost:80"] {
        assert_eq!(refusal(target, &host), Some(Refusal::Target), "{target}");
    }
    assert_eq!(refusal("http://localhost/x", &[]), Some(Refusal::Host));
}

#[test]
fn methods_that_are_not_served() {
    let host = [("Host", "localhost")];
    for (method, target, due) in [
        ("CONNECT", "evil.example:443", Refusal::Connect),
        ("CONNECT", "/", Refusal::Connect),
        ("TRACE", "/x", Refusal::Trace),
        ("TRACE", "http://api.example/", Refusal::Trace),
        ("OPTIONS", "*", Refusal::Asterisk),
    ] {
        let head = request(method, target, &host);
        assert_eq!(admit(&head, &settings(), LOCAL, is_upstream).err(), Some(due), "{method} {target}");
    }
}

#[test]
fn origins_decide_alone() {
    let host = ("Host", "localhost:8080");
    for (lines, due) in [
        (&[host, ("Origin", "https://app.example")][..], None),
        (&[host, ("Origin", "https://app.example"), ("Sec-Fetch-Site", "cross-site")], None),
        (&[host, ("Origin", "http://localhost:8080")], None),
        (&[host, ("Origin", "http://LOCALHOST:8080"), ("Sec-Fetch-Site", "same-origin")], None),
        (&[host, ("Origin", "http://localhost")], Some(Refusal::Origin)),
        (&[host, ("Origin", "https://localhost:8080")], Some(Refusal::Origin)),
        (&[host, ("Origin", "null")], Some(Refusal::Origin)),
        (&[host, ("Origin", "")], Some(Refusal::Origin)),
        (&[host, ("Origin", "https://app.example.evil")], Some(Refusal::Origin)),
        (&[host, ("Origin", "https://app.example, https://evil.example")], Some(Refusal::Origin)),
        (
            &[host, ("Origin", "https://app.example"), ("Origin", "https://app.example")],
            Some(Refusal::Origin),
        ),
        (&[host, ("Sec-Fetch-Site", "cross-site")], Some(Refusal::CrossSite)),
        (&[host, ("Sec-Fetch-Site", "Same-Site")], Some(Refusal::CrossSite)),
        (&[host, ("Sec-Fetch-Site", "none"), ("Sec-Fetch-Site", "cross-site")], Some(Refusal::CrossSite)),
        (&[host, ("Sec-Fetch-Site", "none")], None),
        (&[host, ("Sec-Fetch-Site", "same-origin")], None),
        (&[host, ("Sec-Fetch-Mode", "cors")], None),
    ] {
        assert_eq!(refusal("/", lines), due, "{lines:?}");
    }
}

#[test]
fn an_allowed_origins_preflight_is_seen() {
    let asks = ("Access-Control-Request-Method", "PUT");
    let app = ("Origin", "https://app.example");
    let own = ("Origin", "http://localhost");
    for (method, lines, due) in [
        ("OPTIONS", [app, asks], true),
        ("GET", [app, asks], false),
        ("OPTIONS", [own, asks], false),
        ("OPTIONS", [app, ("X-Other", "1")], false),
    ] {
        let head = request(method, "/x", &[("Host", "localhost"), lines[0], lines[1]]);
        let admitted = admit(&head, &settings(), LOCAL, is_upstream).unwrap();
        assert_eq!(admitted.preflight, due, "{method} {lines:?}");
    }
}

#[test]
fn a_refused_page_of_an_allowed_origin_is_still_allowed_to_read_why() {
    let head = request("GET", "/", &[("Host", "evil.example"), ("Origin", "https://app.example")]);
    assert!(admit(&head, &settings(), LOCAL, is_upstream).is_err());
    assert!(allowed_origin(&head.headers, &settings()).is_some());
    let twice = request("GET", "/", &[("Origin", "https://app.example"), ("Origin", "https://app.example")]);
    assert_eq!(allowed_origin(&twice.headers, &settings()), None);
    assert_eq!(allowed_origin(&head.headers, &Settings::default()), None);
}

#[test]
fn a_refusal_names_what_it_refuses() {
    let head =
        request("GET", "/", &[("Host", "evil.example"), ("Origin", "http://x"), ("Origin", "http://y")]);
    let json = String::from_utf8(Refusal::WrongHost.problem(&head).json()).unwrap();
    assert!(json.contains("The request is for `evil.example`"), "{json}");
    let json = String::from_utf8(Refusal::Origin.problem(&head).json()).unwrap();
    assert!(json.contains("a web page of `http://x` and `http://y`"), "{json}");
    let head = request("GET", "http://elsewhere.example/", &[("Host", "localhost")]);
    let json = String::from_utf8(Refusal::WrongHost.problem(&head).json()).unwrap();
    assert!(json.contains("The request is for `elsewhere.example`"), "{json}");
}

proptest! {
    #[test]
    fn no_foreign_name_is_known(host in "[a-z0-9.:\\[\\]-]{0,24}") {
        let known = Settings::default().knows(&host, None);
        let name = split_authority(&host).map(|(name, _)| name);
        let is_own = name.is_some_and(|name| {
            let bare = name.trim_start_matches('[').trim_end_matches(']');
            matches!(name, "localhost" | "localhost.")
                || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        });
        prop_assert!(!known || is_own, "{}", host);
    }

    #[test]
    fn any_field_is_survived(
        host in proptest::collection::vec(any::<u8>(), 0..30),
        origin in proptest::collection::vec(any::<u8>(), 0..30),
    ) {
        let mut head = request("GET", "/", &[]);
        if let (Ok(host), Ok(origin)) = (HeaderValue::from_bytes(&host), HeaderValue::from_bytes(&origin)) {
            head.headers.insert(HOST, host);
            head.headers.insert(ORIGIN, origin);
            if let Err(refusal) = admit(&head, &settings(), None, is_upstream) {
                let _ = refusal.problem(&head).json();
            }
        }
    }
}

//! `Host` and `Origin`: what is admitted, read once more as a browser reads it.

use bolero::{check, produce};
use http::Request;
use url::{Host, Url};

use super::*;
use crate::fuzz::{text, words};

const HOSTS: &[&str] = &[
    "localhost",
    "LOCALHOST",
    "127.0.0.1",
    "127.1",
    "0x7f.1",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "192.0.2.7",
    "198.51.100.9",
    "[2001:db8::1]",
    "proxy.internal",
    "evil.example",
    ".",
    ":",
    "8080",
    "@",
    "%2e",
    ",",
    "[",
    "]",
    "/",
];
const ORIGINS: &[&str] = &[
    "https://app.example",
    "http://",
    "http://localhost",
    "http://proxy.internal",
    "https://",
    "null",
    "app.example",
    "localhost",
    "127.0.0.1",
    "evil.example",
    ":8080",
    ":80",
    ".",
    "@",
    " ",
];

fn local() -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))
}

fn is_ours(authority: &str) -> bool {
    // What no browser can send, no web page can make it send.
    let Ok(url) = Url::parse(&format!("http://{authority}/")) else { return true };
    match url.host() {
        Some(Host::Domain(name)) => matches!(name.trim_end_matches('.'), "localhost" | "proxy.internal"),
        Some(Host::Ipv4(address)) => address.is_loopback() || address == local(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        None => false,
    }
}

#[test]
fn fuzz() {
    let settings = Settings {
        hosts: "proxy.internal".parse().unwrap(),
        origins: vec!["https://app.example".parse().unwrap()],
    };
    let input = (words(HOSTS), text(HOSTS), produce::<bool>(), words(ORIGINS));
    check!().with_generator(input).for_each(|(plain, wild, is_of_page, origin)| {
        for host in [plain, wild] {
            let mut request = Request::builder().uri("/").header("Host", host);
            if *is_of_page {
                request = request.header("Origin", origin);
            }
            let Ok(request) = request.body(()) else { continue };
            let Ok(admitted) = admit(&request.into_parts().0, &settings, Some(local()), |_, _| false) else {
                continue;
            };
            assert!(is_ours(host), "{host:?} is another's");
            if admitted.origin.is_some() {
                assert!(origin.eq_ignore_ascii_case("https://app.example"), "{origin:?} is not allowed");
            } else if *is_of_page {
                assert!(is_ours(origin.trim_start_matches("http://")), "{origin:?} is another's page");
            }
        }
    });
}

//! Discovery documents: what comes of one is where the token goes.

use bolero::check;

use super::*;
use crate::fuzz::words;

const WORDS: &[&str] = &[
    "https:",
    "http:",
    "HTTPS:",
    "//",
    "/",
    "\\",
    "@",
    ":",
    ".",
    "?",
    "#",
    "%2e",
    "api.example.com",
    "localhost",
    "127.0.0.1",
    "0x7f.1",
    "2130706433",
    "0",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "user",
    "8443",
    "\t",
    "\u{3002}",
    "\u{ff0e}",
];

#[test]
fn fuzz() {
    check!().with_generator(words(WORDS)).for_each(|text| {
        let document = serde_json::json!({ "api_endpoint": text }).to_string();
        if let Ok(found) = base_url(&document, false) {
            assert_eq!(found, *text, "it is taken as it is written");
            let url = Url::parse(&found).unwrap();
            assert_eq!(url.scheme(), "https");
            assert_eq!((url.username(), url.password(), url.query(), url.fragment()), ("", None, None, None));
            // As resolvers read a host; one with an empty label (`localhost..`) resolves nowhere.
            let host = url.host_str().unwrap();
            let name = host.strip_suffix('.').unwrap_or(host);
            assert!(name != "localhost" && !name.ends_with(".localhost"), "{found}");
            assert!(!host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()), "{found}");
        }
    });
}

//! References in responses: what is rewritten leads to this proxy, as a browser reads it.

use std::borrow::Cow;

use bolero::check;
use url::Url;

use super::{Mapping, json_links, location};
use crate::fuzz::{text, words};
use crate::upstream::BaseUrl;

const WORDS: &[&str] = &[
    "https://",
    "http://",
    "HTTPS://",
    "//",
    "/",
    "\\",
    "\t",
    "api.example.com",
    "API.example.com:443",
    "evil.example",
    "@",
    ":443",
    ".",
    "..",
    "/v1",
    "?",
    "#",
    "%2f",
    "<",
    ">",
];

fn leads_here(reference: &str, local: Option<&str>) {
    let here = Url::parse("http://localhost:8080/x/y").unwrap();
    if let Some(local) = local
        && let Ok(url) = here.join(local)
    {
        assert_eq!(url.origin(), here.origin(), "{reference:?} became {local:?}");
    }
}

#[test]
fn fuzz() {
    let bases: [BaseUrl; 2] =
        ["https://api.example.com", "https://api.example.com/v1"].map(|base| base.parse().unwrap());
    check!().with_generator((words(WORDS), text(WORDS))).for_each(|(plain, wild)| {
        for (base, local_prefix) in bases.iter().flat_map(|base| [(base, ""), (base, "/here")]) {
            let authority = Cow::Borrowed("localhost:8080");
            let mapping = Mapping { base, authority, local_https: false, local_prefix, kept_prefix: "" };
            let mappings = [mapping];
            for reference in [plain, wild] {
                let local = location::local(reference, &mappings);
                leads_here(reference, local.as_deref());
                if !reference.contains(['<', '>']) {
                    let link = location::local_links(&format!("<{reference}>; rel=next"), &mappings);
                    assert_eq!(link, local.as_ref().map(|local| format!("<{local}>; rel=next")));
                }
                let json = serde_json::json!({ "_links": { "next": { "href": reference } } }).to_string();
                let rewritten = json_links::rewrite(json.as_bytes(), |text| location::local(text, &mappings));
                if let Some(rewritten) = rewritten {
                    let rewritten: serde_json::Value = serde_json::from_slice(&rewritten).unwrap();
                    leads_here(reference, rewritten["_links"]["next"]["href"].as_str());
                }
            }
        }
    });
}

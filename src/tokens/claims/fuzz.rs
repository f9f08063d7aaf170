//! Claims, out of tokens that nobody has verified.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bolero::{check, produce};

use super::*;
use crate::fuzz::json_object;

const KEYS: &[&str] = &[
    "tenantId",
    "area",
    "iss",
    "exp",
    "https://login.example/tenantId",
    "urn:x:area",
    "x/area",
    ":tenantId",
];
const VALUES: &[&str] = &[
    "\"11e85da0-0000-4000-8000-0242ac110003\"",
    "\"na1\"",
    "\"https://login.example/\"",
    "\"a b\"",
    "\"\\u00e9\"",
    "\"\"",
    "7",
    "-7",
    "1.5",
    "null",
    "[]",
    "{\"tenantId\":\"inner\"}",
];

#[test]
fn fuzz() {
    let input = (json_object(KEYS, VALUES), produce::<(bool, String)>());
    check!().with_generator(input).for_each(|(claims, (is_spoilt, extra))| {
        let payload = URL_SAFE_NO_PAD.encode(claims);
        let extra = if *is_spoilt { extra.as_str() } else { "" };
        let token = format!("e30.{payload}{extra}.c2ln");
        let read = in_jwt(&token);
        if !*is_spoilt {
            assert_eq!(read, serde_json::from_str(claims).ok());
        }
        let found = Claims::of(&[read, in_jwt(extra)], &Redactor::default());
        for identifier in [found.tenant_id, found.area].into_iter().flatten() {
            assert!(!identifier.is_empty() && identifier.len() <= LONGEST);
            assert!(identifier.bytes().all(|byte| byte.is_ascii_graphic()), "{identifier:?}");
        }
    });
}

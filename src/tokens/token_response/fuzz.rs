//! Token responses, from whatever responds at the token endpoint's address.

use bolero::{check, produce};

use super::*;
use crate::fuzz::json_object;

const KEYS: &[&str] = &[
    "access_token",
    "refresh_token",
    "id_token",
    "token_type",
    "expires_in",
    "scope",
    "error",
    "error_description",
];
const SECRET: &str = "s3cret+in/no=text";
const VALUES: &[&str] = &[
    "null",
    "7",
    "0",
    "-1",
    "3600.5",
    "1e300",
    "18446744073709551616",
    "\"3600\"",
    "\"\"",
    "\"Bearer\"",
    "\"a.b.c\"",
    // {"exp":1700000060,"tenantId":"t"}
    "\"e30.eyJleHAiOjE3MDAwMDAwNjAsInRlbmFudElkIjoidCJ9.c2ln\"",
    "\"line\\nend\"",
    "\"a b c\"",
    "\"invalid_client\"",
    "\"s3cret+in/no=text\"",
    "\"for s3cret%2Bin%2Fno%3Dtext\"",
    "{}",
    "[\"a\"]",
    "true",
];

#[test]
fn fuzz() {
    let mut redactor = Redactor::default();
    redactor.add(&Secret::new(SECRET.to_owned()));
    let requested = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let input = (produce::<u16>().with().bounds(200..=599), json_object(KEYS, VALUES));
    check!().with_generator(input).for_each(|(status, text)| {
        let response = RawResponse {
            status: *status,
            content_type: Some("application/json".to_owned()),
            content_encoding: None,
            location: Some(text.clone()),
            retry_after: None,
            body: Body::Whole(text.clone().into_bytes().into()),
        };
        match read(&response, requested, &redactor) {
            Ok(read) => {
                assert!((200..300).contains(status));
                let token = read.access_token.reveal();
                assert!(!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()), "{token:?}");
                assert!(read.lifetime > Duration::ZERO && read.lifetime <= LONGEST_LIFETIME);
                assert!(!format!("{:?} {:?}", read.scopes, read.claims).contains(SECRET));
            }
            Err(error) => {
                let shown = format!("{} {error:?}", error.cause);
                assert!(!shown.contains(SECRET), "{shown}");
                assert!(!shown.chars().any(char::is_control), "{shown}");
            }
        }
    });
}

use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use zeroize::Zeroizing;

/// A calendar moment to count from.
fn requested() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn response(status: u16, body: impl Into<Vec<u8>>) -> RawResponse {
    RawResponse {
        status,
        content_encoding: None,
        content_type: Some("application/json".to_owned()),
        location: None,
        retry_after: None,
        body: Body::Whole(Zeroizing::new(body.into())),
    }
}

fn outcome(status: u16, body: &str) -> Result<TokenResponse, Cause> {
    read(&response(status, body), requested(), &Redactor::default()).map_err(|error| error.cause)
}

/// The outcome of a good response with some fields replaced or added.
fn with(fields: Value) -> Result<TokenResponse, Cause> {
    let mut response = json!({ "access_token": "abc", "token_type": "Bearer", "expires_in": 60 });
    let (Value::Object(response), Value::Object(fields)) = (&mut response, fields) else { unreachable!() };
    response.extend(fields);
    outcome(200, &Value::Object(response.clone()).to_string())
}

fn lives(fields: Value) -> u64 {
    with(fields).unwrap().lifetime.as_secs()
}

fn jwt(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn is_unusable(outcome: &Result<TokenResponse, Cause>) -> bool {
    matches!(outcome, Err(Cause::Unusable(_)))
}

#[test]
fn a_good_response() {
    let obtained = with(json!({ "refresh_token": "r&1", "scope": "users:read  calls" })).unwrap();
    assert_eq!(obtained.access_token.reveal(), "abc");
    assert_eq!(obtained.refresh_token.unwrap().into_secret().reveal(), "r&1");
    assert_eq!(obtained.scopes.unwrap(), ["users:read", "calls"]);
    assert_eq!(obtained.lifetime, Duration::from_mins(1));
}

#[test]
fn what_may_be_missing() {
    let obtained = outcome(201, r#"{"access_token":"abc"}"#).unwrap();
    assert!(obtained.refresh_token.is_none());
    assert!(obtained.scopes.is_none());
    assert_eq!(obtained.lifetime, USUAL_LIFETIME);
    for no_refresh_token in [json!(""), json!(null), json!(7)] {
        assert!(with(json!({ "refresh_token": no_refresh_token })).unwrap().refresh_token.is_none());
    }
}

#[test]
fn the_token_type_is_bearer_in_any_case() {
    for kind in [json!("bearer"), json!("BEARER"), json!("BeArEr"), json!(null)] {
        assert!(with(json!({ "token_type": kind })).is_ok(), "{kind}");
    }
    for kind in [json!("mac"), json!("DPoP"), json!(""), json!(5), json!(["Bearer"])] {
        assert!(is_unusable(&with(json!({ "token_type": kind }))), "{kind}");
    }
}

#[test]
fn the_access_token_is_legal_in_a_field() {
    for token in ["a\r\nX-Evil: 1", "a b", "a\tb", "ü", "\u{7f}", "a\0", ""] {
        assert!(is_unusable(&with(json!({ "access_token": token }))), "{token:?}");
    }
    for token in [json!(null), json!(7), json!(["a"]), json!({ "a": 1 })] {
        assert!(is_unusable(&with(json!({ "access_token": token }))), "{token}");
    }
}

#[test]
fn lifetimes_as_stated() {
    assert_eq!(lives(json!({ "expires_in": 1 })), 1);
    assert_eq!(lives(json!({ "expires_in": "1799" })), 1799);
    assert_eq!(lives(json!({ "expires_in": 3599.0 })), 3599);
    assert_eq!(lives(json!({ "expires_in": 3599.9 })), 3599);
}

#[test]
fn unusable_lifetimes_count_as_an_hour() {
    for nonsense in [
        json!(null),
        json!(0),
        json!(-5),
        json!(0.5),
        json!(""),
        json!("0"),
        json!("-5"),
        json!("1h"),
        json!(" 60"),
        json!("1.5"),
        json!(true),
        json!([60]),
    ] {
        assert_eq!(lives(json!({ "expires_in": nonsense })), 3600, "{nonsense}");
    }
}

#[test]
fn huge_lifetimes_do_not_overflow() {
    for huge in [json!(u64::MAX), json!(1e300), json!("9".repeat(400))] {
        assert_eq!(with(json!({ "expires_in": huge })).unwrap().lifetime, LONGEST_LIFETIME, "{huge}");
    }
    let token = jwt(&json!({ "exp": u64::MAX }));
    assert_eq!(
        with(json!({ "expires_in": null, "access_token": token })).unwrap().lifetime,
        LONGEST_LIFETIME
    );
}

#[test]
fn the_tokens_own_exp_counts_where_expires_in_does_not() {
    let token = jwt(&json!({ "exp": 1_700_000_120 }));
    assert_eq!(lives(json!({ "access_token": token, "expires_in": 0 })), 120);
    assert_eq!(lives(json!({ "access_token": token, "expires_in": 60 })), 60, "expires_in comes first");
    let fraction = jwt(&json!({ "exp": 1_700_000_120.7 }));
    assert_eq!(lives(json!({ "access_token": fraction, "expires_in": null })), 120);
    let padded = format!("e30.{}.c2ln", URL_SAFE.encode(r#"{"exp": 1700000120}"#));
    assert_eq!(lives(json!({ "access_token": padded, "expires_in": null })), 120);
}

#[test]
fn an_exp_that_has_passed_or_cannot_be_read_counts_as_an_hour() {
    let claims = [json!({ "exp": 1_700_000_000 }), json!({ "exp": "1700000120" }), json!({}), json!([1])];
    let unreadable = ["a.b.c", "e30.eyJleHAiOjE3MDAwMDAxMjB9", "a.e30.c.d", "..", "opaque"];
    let tokens = claims.iter().map(jwt).chain(unreadable.map(str::to_owned));
    for token in tokens {
        assert_eq!(lives(json!({ "access_token": token, "expires_in": null })), 3600, "{token}");
    }
}

#[test]
fn a_response_without_a_token_is_unusable_and_says_what_came() {
    let mut page = response(200, "<html>Log in with s3cret</html>");
    page.content_type = Some("text/html; charset=utf-8".to_owned());
    let cause = read(&page, requested(), &Redactor::default()).unwrap_err().cause.to_string();
    assert!(cause.contains("text/html") && cause.contains("200"), "{cause}");
    assert!(!cause.contains("Log in"), "{cause}");

    for body in ["", "[]", r#"["abc","Bearer"]"#, "null", "\"abc\"", "{", r#"{"token":"abc"}"#] {
        assert!(is_unusable(&outcome(200, body)), "{body}");
    }
    assert!(is_unusable(&outcome(204, "")));
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert!(is_unusable(&outcome(200, &format!(r#"{{"access_token":{deep}}}"#))));
}

#[test]
fn a_response_that_did_not_come_whole() {
    let cut = |status, body| {
        let raw = RawResponse { body, ..response(status, "") };
        read(&raw, requested(), &Redactor::default()).unwrap_err().cause
    };
    assert!(matches!(cut(200, Body::TooLong), Cause::Unusable(_)));
    assert!(matches!(
        cut(200, Body::Late(Duration::from_secs(10))),
        Cause::TimedOut { stage: Stage::Reading, .. }
    ));
    assert!(matches!(cut(200, Body::BrokeOff), Cause::Closed { in_response: true }));
    assert!(matches!(cut(401, Body::TooLong), Cause::Refused { status: 401, error: None, .. }));
    assert!(matches!(cut(503, Body::Late(Duration::from_secs(10))), Cause::ServerError(503)));
}

#[test]
fn other_encodings_of_a_good_response_are_read() {
    let text = r#"{"access_token":"abc","token_type":"Bearer","expires_in":60,"scope":"\u00e4"}"#;
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    for body in [
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        [b"\xff\xfe", utf16.as_slice()].concat(),
        utf16,
        format!("\r\n {text} \r\n").into_bytes(),
        b"{\"access_token\":\"abc\",\"user\":\"M\xfcller\"}".to_vec(),
    ] {
        let obtained = read(&response(200, body), requested(), &Redactor::default()).unwrap();
        assert_eq!(obtained.access_token.reveal(), "abc");
    }
}

#[test]
fn a_refusal_is_known_by_its_status_or_by_its_error() {
    let refused = |status, body: &str| match outcome(status, body) {
        Err(Cause::Refused { status, error, description, .. }) => (status, error, description),
        other => panic!("{status} {body}: {other:?}"),
    };
    let invalid_client = r#"{"error":"invalid_client","error_description":"No such client"}"#;
    for status in [200, 400, 401, 403, 500, 503] {
        let (seen, error, description) = refused(status, invalid_client);
        assert_eq!((seen, error.as_deref()), (status, Some("invalid_client")));
        assert_eq!(description.as_deref(), Some("No such client"));
    }
    assert_eq!(refused(404, "<html>"), (404, None, None));
    assert_eq!(refused(400, r#"{"error":{"code":1}}"#), (400, None, None));
    assert_eq!(refused(403, r#"{"error":" "}"#), (403, None, None));
}

#[test]
fn temporary_failures() {
    assert_eq!(outcome(429, r#"{"error":"invalid_client"}"#).unwrap_err(), Cause::RateLimited);
    assert_eq!(outcome(503, "").unwrap_err(), Cause::ServerError(503));
    assert_eq!(outcome(500, r#"{"error":"server_error"}"#).unwrap_err(), Cause::ServerError(500));
    let limited = RawResponse { retry_after: Some(Duration::from_secs(9)), ..response(429, "") };
    assert_eq!(
        read(&limited, requested(), &Redactor::default()).unwrap_err().retry_after,
        Some(Duration::from_secs(9))
    );
}

#[test]
fn a_redirect_names_its_target_without_query() {
    let to = |location: &str| {
        let raw = RawResponse { location: Some(location.to_owned()), ..response(302, "") };
        let cause = read(&raw, requested(), &Redactor::default()).unwrap_err().cause;
        let Cause::Redirected { status: 302, to } = cause else { panic!("{cause:?}") };
        to
    };
    assert_eq!(to("https://u:p@login.example:8443/a?b=c#d").unwrap(), "https://login.example:8443/a");
    assert_eq!(to("/login?next=x").unwrap(), "/login");
    assert_eq!(to(""), None);
    assert!(matches!(outcome(304, ""), Err(Cause::Redirected { status: 304, to: None })));
}

#[test]
fn no_text_of_an_outcome_holds_a_secret() {
    let mut redactor = Redactor::default();
    redactor.add(&Secret::new("s3cret+x".to_owned()));
    let echoes = [
        response(400, r#"{"error":"s3cret+x","error_description":"bad s3cret+x and s3cret%2Bx"}"#),
        RawResponse { content_type: Some("text/s3cret+x".to_owned()), ..response(200, "?") },
        RawResponse { location: Some("https://a.example/s3cret+x?s3cret+x".to_owned()), ..response(302, "") },
        RawResponse { location: Some("/s3cret%2Bx".to_owned()), ..response(302, "") },
    ];
    for echo in echoes {
        let cause = read(&echo, requested(), &redactor).unwrap_err().cause;
        let text = format!("{cause} {cause:?}");
        assert!(text.contains("withheld") && !text.contains("s3cret"), "{text}");
    }
    let scopes = response(200, r#"{"access_token":"abc123","scope":"a s3cret+x xabc123x b"}"#);
    let obtained = read(&scopes, requested(), &redactor).unwrap();
    assert_eq!(obtained.scopes.as_deref().unwrap(), ["a", "b"]);
    assert!(!format!("{obtained:?}").contains("abc123"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(status in 100..600_u16, body in any::<Vec<u8>>()) {
        let _ = read(&response(status, body), requested(), &Redactor::default());
    }

    #[test]
    fn only_tokens_legal_in_a_field_are_taken(token in any::<String>()) {
        let legal = !token.is_empty() && token.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        prop_assert_eq!(with(json!({ "access_token": token })).is_ok(), legal);
    }

    #[test]
    fn lifetimes_are_positive_and_bounded(
        expires_in in prop_oneof![
            any::<i64>().prop_map(|n| json!(n)),
            any::<u64>().prop_map(|n| json!(n)),
            any::<f64>().prop_map(|n| json!(n)),
            "[0-9]{0,30}".prop_map(|text| json!(text)),
            any::<String>().prop_map(|text| json!(text)),
        ]
    ) {
        let lifetime = with(json!({ "expires_in": expires_in })).unwrap().lifetime;
        prop_assert!(lifetime >= Duration::from_secs(1) && lifetime <= LONGEST_LIFETIME);
    }
}

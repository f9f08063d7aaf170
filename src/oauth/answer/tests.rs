use std::time::UNIX_EPOCH;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A calendar moment to count from.
fn asked() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn reply(status: u16, content: impl Into<Vec<u8>>) -> Reply {
    Reply {
        grant: GrantType::ClientCredentials,
        status,
        content_type: Some("application/json".to_owned()),
        location: None,
        retry_after: None,
        content: Content::Whole(Zeroizing::new(content.into())),
    }
}

fn judged(status: u16, content: &str) -> Result<Obtained, Why> {
    judge(&reply(status, content), asked(), &[]).map_err(|failure| failure.why)
}

/// The verdict on a good answer with some fields replaced or added.
fn with(fields: Value) -> Result<Obtained, Why> {
    let mut answer = json!({ "access_token": "abc", "token_type": "Bearer", "expires_in": 60 });
    let (Value::Object(answer), Value::Object(fields)) = (&mut answer, fields) else { unreachable!() };
    answer.extend(fields);
    judged(200, &Value::Object(answer.clone()).to_string())
}

fn lives(fields: Value) -> u64 {
    with(fields).unwrap().lifetime.as_secs()
}

fn jwt(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn is_unusable(verdict: &Result<Obtained, Why>) -> bool {
    matches!(verdict, Err(Why::Unusable(_)))
}

#[test]
fn a_good_answer() {
    let obtained = with(json!({ "refresh_token": "r&1", "scope": "users:read  calls" })).unwrap();
    assert_eq!(obtained.access_token.reveal(), "abc");
    assert_eq!(obtained.refresh_token.unwrap().into_secret().reveal(), "r&1");
    assert_eq!(obtained.scopes.unwrap(), ["users:read", "calls"]);
    assert_eq!(obtained.lifetime, Duration::from_mins(1));
}

#[test]
fn what_may_be_missing() {
    let obtained = judged(201, r#"{"access_token":"abc"}"#).unwrap();
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
fn lifetimes_that_say_nothing_count_as_an_hour() {
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
fn what_is_no_token_answer_is_unusable_and_says_what_came() {
    let mut page = reply(200, "<html>Log in with s3cret</html>");
    page.content_type = Some("text/html; charset=utf-8".to_owned());
    let why = judge(&page, asked(), &[]).unwrap_err().why.to_string();
    assert!(why.contains("text/html") && why.contains("200"), "{why}");
    assert!(!why.contains("Log in"), "{why}");

    for content in ["", "[]", r#"["abc","Bearer"]"#, "null", "\"abc\"", "{", r#"{"token":"abc"}"#] {
        assert!(is_unusable(&judged(200, content)), "{content}");
    }
    assert!(is_unusable(&judged(204, "")));
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    assert!(is_unusable(&judged(200, &format!(r#"{{"access_token":{deep}}}"#))));
}

#[test]
fn an_answer_that_did_not_come_whole() {
    let cut = |status, content| {
        let reply = Reply { content, ..reply(status, "") };
        judge(&reply, asked(), &[]).unwrap_err().why
    };
    assert!(matches!(cut(200, Content::TooLong), Why::Unusable(_)));
    assert!(matches!(cut(200, Content::Late), Why::TimedOut));
    assert!(matches!(cut(200, Content::BrokeOff("reset".to_owned())), Why::Unreachable(_)));
    assert!(matches!(cut(401, Content::TooLong), Why::Refused { status: 401, error: None, .. }));
    assert!(matches!(cut(503, Content::Late), Why::Failed(503)));
}

#[test]
fn a_refusal_is_known_by_its_status_or_by_its_error() {
    let refused = |status, content: &str| match judged(status, content) {
        Err(Why::Refused { status, error, description, .. }) => (status, error, description),
        other => panic!("{status} {content}: {other:?}"),
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
fn passing_failures() {
    assert_eq!(judged(429, r#"{"error":"invalid_client"}"#).unwrap_err(), Why::RateLimited);
    assert_eq!(judged(503, "").unwrap_err(), Why::Failed(503));
    assert_eq!(judged(500, r#"{"error":"server_error"}"#).unwrap_err(), Why::Failed(500));
    let limited = Reply { retry_after: Some(Duration::from_secs(9)), ..reply(429, "") };
    assert_eq!(judge(&limited, asked(), &[]).unwrap_err().retry_after, Some(Duration::from_secs(9)));
}

#[test]
fn a_redirect_tells_where_to_but_no_query() {
    let to = |location: &str| {
        let reply = Reply { location: Some(location.to_owned()), ..reply(302, "") };
        let why = judge(&reply, asked(), &[]).unwrap_err().why;
        let Why::Redirected { status: 302, to } = why else { panic!("{why:?}") };
        to
    };
    assert_eq!(to("https://u:p@login.example:8443/a?b=c#d").unwrap(), "https://login.example:8443/a");
    assert_eq!(to("/login?next=x").unwrap(), "/login");
    assert_eq!(to(""), None);
    assert!(matches!(judged(304, ""), Err(Why::Redirected { status: 304, to: None })));
}

#[test]
fn no_text_of_a_verdict_holds_a_secret() {
    let secret = Secret::new("s3cret+x".to_owned());
    let echoes = [
        reply(400, r#"{"error":"s3cret+x","error_description":"bad s3cret+x and s3cret%2Bx"}"#),
        Reply { content_type: Some("text/s3cret+x".to_owned()), ..reply(200, "?") },
        Reply { location: Some("https://a.example/s3cret+x?s3cret+x".to_owned()), ..reply(302, "") },
        Reply { location: Some("/s3cret%2Bx".to_owned()), ..reply(302, "") },
    ];
    for echo in echoes {
        let why = judge(&echo, asked(), &[&secret]).unwrap_err().why;
        let told = format!("{why} {why:?}");
        assert!(told.contains("withheld") && !told.contains("s3cret"), "{told}");
    }
    let scopes = reply(200, r#"{"access_token":"abc123","scope":"a s3cret+x xabc123x b"}"#);
    let obtained = judge(&scopes, asked(), &[&secret]).unwrap();
    assert_eq!(obtained.scopes.as_deref().unwrap(), ["a", "b"]);
    assert!(!format!("{obtained:?}").contains("abc123"));
}

proptest! {
    #[test]
    fn any_bytes_are_judged_without_harm(status in 100..600_u16, content in any::<Vec<u8>>()) {
        let _ = judge(&reply(status, content), asked(), &[]);
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

//! Over real sockets: each way to log in, from settings to token.

use super::super::http_client::wire::{Server, text_response, token};
use super::tests::{client, endpoint_with, pairs};
use super::*;
use crate::secret::Secret;
use crate::tokens::{ClientAuth, Credentials, Grant, RefreshToken, SecretPlace, SecretSource};

/// `{"tenantId":"t-1","area":"na1"}` as a JWT.
const IDENTITY: &str = "e30.eyJ0ZW5hbnRJZCI6InQtMSIsImFyZWEiOiJuYTEifQ.c2ln";

fn key() -> Credentials {
    Credentials { id: "KEY=ID".to_owned(), secret: SecretSource::Value(Secret::new("k3y+/=".to_owned())) }
}

fn password(auth: ClientAuth) -> Grant {
    Grant::Password { client: client(), auth, key: key() }
}

fn refresh() -> TokenRequest {
    TokenRequest::Refresh(RefreshToken::new(Secret::new("r=1".to_owned())))
}

/// What a CXone endpoint responses to both grants.
fn cxone_response() -> Vec<u8> {
    let content = format!(
        r#"{{"access_token":"abc","token_type":"Bearer","refresh_token":"next","expires_in":3600,"id_token":"{IDENTITY}"}}"#
    );
    text_response("200 OK", "content-type: application/json\r\n", &content)
}

#[tokio::test]
async fn a_password_and_its_refresh_go_to_the_same_place_with_the_same_proof() {
    for (auth, proof) in [
        (ClientAuth::Basic, Some("Basic bXkrYXBwOnMzY3JldCUyNiUyQiUyNQ==")),
        (ClientAuth::BasicRaw, Some("Basic bXkgYXBwOnMzY3JldCYrJQ==")),
        (ClientAuth::Body, None),
    ] {
        let server = Server::plain(vec![cxone_response(), token("def")]).await;
        let endpoint = endpoint_with(&server, password(auth));
        let obtained = endpoint.request(TokenRequest::LogIn).await.unwrap();
        assert_eq!(obtained.access_token.reveal(), "abc");
        assert_eq!(obtained.refresh_token.unwrap().into_secret().reveal(), "next");
        assert_eq!(obtained.claims.tenant_id.as_deref(), Some("t-1"));
        assert_eq!(obtained.claims.area.as_deref(), Some("na1"));
        endpoint.request(refresh()).await.unwrap();

        let in_body = [("client_id", "my app"), ("client_secret", "s3cret&+%")];
        let in_body = if proof.is_none() { in_body.as_slice() } else { &[] };
        let log_in = [("grant_type", "password"), ("username", "KEY=ID"), ("password", "k3y+/=")];
        let renewal = [("grant_type", "refresh_token"), ("refresh_token", "r=1")];
        let scope = [("scope", "users calls:read")];
        let expected =
            [[log_in.as_slice(), in_body, &scope].concat(), [renewal.as_slice(), in_body].concat()];
        let seen = server.seen();
        for (seen, expected) in seen.iter().zip(expected) {
            assert_eq!(seen.lines[0], "POST /api/v2/oauth/token HTTP/1.1");
            assert_eq!(seen.field("authorization"), proof);
            assert_eq!(seen.field("content-type"), Some("application/x-www-form-urlencoded"));
            assert_eq!(pairs(&seen.form()), expected, "{auth:?}");
        }
        assert_eq!(seen.len(), 2);
    }
}

#[tokio::test]
async fn an_access_key_gets_a_token_and_no_refresh() {
    let server = Server::plain(vec![cxone_response(), cxone_response()]).await;
    let endpoint = endpoint_with(&server, Grant::AccessKey { key: key() });
    for _ in 0..2 {
        let obtained = endpoint.request(TokenRequest::LogIn).await.unwrap();
        assert_eq!(obtained.access_token.reveal(), "abc");
        assert_eq!(obtained.lifetime, std::time::Duration::from_hours(1));
        assert!(obtained.refresh_token.is_none(), "it is renewed by asking again");
        assert_eq!(obtained.claims.tenant_id.as_deref(), Some("t-1"));
    }
    for seen in server.seen() {
        assert_eq!(seen.field("content-type"), Some("application/json"));
        assert_eq!(seen.field("authorization"), None);
        assert_eq!(seen.body, r#"{"accessKeyId":"KEY=ID","accessKeySecret":"k3y+/="}"#);
    }
}

#[tokio::test]
async fn refusals_go_by_the_error_and_name_what_was_sent() {
    for (grant, status, content, expected, step) in [
        (
            password(ClientAuth::Basic),
            "401 Unauthorized",
            r#"{"error":"invalid_grant"}"#,
            "401 invalid_grant",
            "CXONE_ACCESS_KEY_ID",
        ),
        (
            password(ClientAuth::Basic),
            "400 Bad Request",
            r#"{"error":"invalid_client"}"#,
            "400 invalid_client",
            "CXONE_CLIENT_ID",
        ),
        (
            Grant::AccessKey { key: key() },
            "401 Unauthorized",
            r#"{"message":"no"}"#,
            "401",
            "CXONE_ACCESS_KEY_ID",
        ),
        (Grant::AccessKey { key: key() }, "404 Not Found", "", "404", "CXONE_AREA"),
    ] {
        let server = Server::plain(vec![text_response(status, "", content)]).await;
        let endpoint = endpoint_with(&server, grant);
        let error = endpoint.request(TokenRequest::LogIn).await.unwrap_err();
        assert_eq!(error.cause.to_string(), format!("refused the request: {expected}"));
        let hint = endpoint.account.peer(endpoint.grant_type(&TokenRequest::LogIn)).hint(&error.cause);
        assert!(error.cause.needs_fixing() && hint.contains(step), "{hint}");
    }
}

#[tokio::test]
async fn no_secret_is_repeated_in_an_error() {
    for (auth, echo) in [
        (ClientAuth::Basic, "bXkrYXBwOnMzY3JldCUyNiUyQiUyNQ=="),
        (ClientAuth::BasicRaw, "bXkgYXBwOnMzY3JldCYrJQ=="),
        (ClientAuth::Basic, "k3y+/="),
        (ClientAuth::Body, "k3y%2B%2F%3D"),
        (ClientAuth::Body, "s3cret%26%2B%25"),
    ] {
        let content = format!(r#"{{"error":"invalid_request","error_description":"you sent {echo}"}}"#);
        let server = Server::plain(vec![text_response("400 Bad Request", "", &content)]).await;
        let failure = endpoint_with(&server, password(auth)).request(TokenRequest::LogIn).await.unwrap_err();
        let shown = format!("{failure:?}");
        assert!(shown.contains("you sent [withheld]") && !shown.contains(echo), "{shown}");
    }
}

#[tokio::test]
async fn the_key_s_file_is_read_for_every_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let server = Server::plain(vec![token("one"), token("two")]).await;
    let secret = SecretSource::Read {
        place: SecretPlace::File(path.clone()),
        at_start: Secret::new("first".to_owned()),
    };
    let key = Credentials { id: "k".to_owned(), secret };
    let endpoint = endpoint_with(&server, Grant::AccessKey { key });
    endpoint.request(TokenRequest::LogIn).await.unwrap();
    std::fs::write(&path, "rotated\n").unwrap();
    endpoint.request(TokenRequest::LogIn).await.unwrap();
    let sent: Vec<String> = server.seen().into_iter().map(|seen| seen.body).collect();
    let json = |secret: &str| format!(r#"{{"accessKeyId":"k","accessKeySecret":"{secret}"}}"#);
    assert_eq!(sent, [json("first"), json("rotated")]);
}

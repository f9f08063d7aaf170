use proptest::prelude::*;

use super::*;
use crate::tokens::{Credentials, RefreshToken, SecretSource};

fn client(id: &str, secret: &str) -> Credentials {
    Credentials { id: id.to_owned(), secret: SecretSource::Value(Secret::new(secret.to_owned())) }
}

fn password(auth: ClientAuth) -> Grant {
    Grant::Password { client: client("my app", "s3cret&+%"), auth, key: client("KEY=ID", "key+secret/=") }
}

fn refresh() -> TokenRequest {
    TokenRequest::Refresh(RefreshToken::new(Secret::new("r=1".to_owned())))
}

async fn written(grant: &Grant, request: TokenRequest, scopes: &str) -> EncodedRequest {
    let writer = RequestWriter::new(grant.clone(), &Clock::System);
    writer.write(request, &scopes.parse().unwrap()).await
}

async fn text(grant: &Grant, request: TokenRequest, scopes: &str) -> String {
    String::from_utf8(written(grant, request, scopes).await.body.to_vec()).unwrap()
}

fn authorization(request: &EncodedRequest) -> &str {
    let value = request.authorization.as_ref().unwrap();
    assert!(value.is_sensitive());
    value.to_str().unwrap()
}

#[tokio::test]
async fn client_credentials_go_into_the_body() {
    let grant = Grant::ClientCredentials { client: client("my app", "s3cret&+%"), auth: ClientAuth::Body };
    let request = written(&grant, TokenRequest::LogIn, "a b").await;
    assert_eq!(request.content_type, "application/x-www-form-urlencoded");
    assert!(request.authorization.is_none());
    assert_eq!(
        text(&grant, TokenRequest::LogIn, "a b").await,
        "grant_type=client_credentials&client_id=my+app&client_secret=s3cret%26%2B%25&scope=a+b"
    );
    assert_eq!(
        text(&grant, refresh(), "a b").await,
        "grant_type=refresh_token&refresh_token=r%3D1&client_id=my+app&client_secret=s3cret%26%2B%25"
    );
}

#[tokio::test]
async fn a_password_is_an_access_key() {
    let log_in = "grant_type=password&username=KEY%3DID&password=key%2Bsecret%2F%3D";
    for auth in [ClientAuth::Basic, ClientAuth::BasicRaw] {
        assert_eq!(text(&password(auth), TokenRequest::LogIn, "").await, log_in);
        assert_eq!(text(&password(auth), TokenRequest::LogIn, "a b").await, format!("{log_in}&scope=a+b"));
        let renewed = text(&password(auth), refresh(), "a b").await;
        assert_eq!(renewed, "grant_type=refresh_token&refresh_token=r%3D1", "no scope, no key");
    }
    let client = "&client_id=my+app&client_secret=s3cret%26%2B%25";
    assert_eq!(text(&password(ClientAuth::Body), TokenRequest::LogIn, "").await, format!("{log_in}{client}"));
}

#[tokio::test]
async fn basic_encodes_first_unless_it_is_raw() {
    let decoded = |request: &EncodedRequest| {
        let encoded = authorization(request).strip_prefix("Basic ").unwrap();
        String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
    };
    for with in [|| TokenRequest::LogIn, refresh] {
        let request = written(&password(ClientAuth::Basic), with(), "").await;
        assert_eq!(decoded(&request), "my+app:s3cret%26%2B%25");
        let request = written(&password(ClientAuth::BasicRaw), with(), "").await;
        assert_eq!(decoded(&request), "my app:s3cret&+%");
        let request = written(&password(ClientAuth::Body), with(), "").await;
        assert!(request.authorization.is_none());
    }
}

#[tokio::test]
async fn an_access_key_alone_goes_as_json() {
    let grant = Grant::AccessKey { key: client("KEY\"ID", "key\\secret") };
    let request = written(&grant, TokenRequest::LogIn, "").await;
    assert_eq!(request.content_type, "application/json");
    assert!(request.authorization.is_none());
    assert_eq!(
        std::str::from_utf8(&request.body).unwrap(),
        r#"{"accessKeyId":"KEY\"ID","accessKeySecret":"key\\secret"}"#
    );
    assert!(!grant.can_refresh() && password(ClientAuth::Basic).can_refresh());
}

#[tokio::test]
async fn every_secret_is_withheld_from_text_that_repeats_it() {
    let request = written(&password(ClientAuth::Basic), TokenRequest::LogIn, "").await;
    let basic = authorization(&request).strip_prefix("Basic ").unwrap();
    for echo in ["key+secret/=", "key%2Bsecret%2F%3D", "s3cret&+%", "s3cret%26%2B%25", basic] {
        assert_eq!(request.redactor.redact(&format!("you sent {echo}.")), "you sent [withheld].");
    }
    let request = written(&password(ClientAuth::Body), refresh(), "").await;
    for echo in ["r=1", "s3cret&+%"] {
        assert_eq!(request.redactor.redact(&format!("'{echo}'")), "'[withheld]'");
    }
    assert!(!request.redactor.finds_in("key+secret/="), "a refresh does not send it");
    let grant = Grant::AccessKey { key: client("k", "a\\b\"cdef") };
    let request = written(&grant, TokenRequest::LogIn, "").await;
    assert_eq!(
        request.redactor.redact(r#"{"accessKeySecret":"a\\b\"cdef"}"#),
        r#"{"accessKeySecret":"[withheld]"}"#
    );
    assert!(!format!("{grant:?}").contains("cdef"));
}

proptest! {
    /// Whatever a person was given as identifier and secret, the endpoint reads the same.
    #[test]
    fn basic_can_be_read_back(id in "[ -~]{1,40}", secret in "\\PC{1,40}") {
        let grant = Grant::ClientCredentials { client: client(&id, &secret), auth: ClientAuth::Basic };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let request = runtime.block_on(written(&grant, TokenRequest::LogIn, ""));
        let encoded = authorization(&request).strip_prefix("Basic ").unwrap();
        let pair = STANDARD.decode(encoded).unwrap();
        let at = pair.iter().position(|byte| *byte == b':').unwrap();
        let read = |part: &[u8]| form_urlencoded::parse(part).next().unwrap().0.into_owned();
        prop_assert_eq!(read(&pair[..at]), id);
        prop_assert_eq!(read(&pair[at + 1..]), secret);
    }
}

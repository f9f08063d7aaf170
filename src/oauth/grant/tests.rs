use proptest::prelude::*;

use super::*;
use crate::oauth::token::RefreshToken;

fn client(id: &str, secret: &str) -> Credentials {
    Credentials::with_secret(id.to_owned(), Secret::new(secret.to_owned()))
}

fn password(auth: ClientAuth) -> Grant {
    Grant::Password { client: client("my app", "s3cret&+%"), auth, key: client("KEY=ID", "key+secret/=") }
}

fn refresh() -> Ask {
    Ask::Refresh(RefreshToken::new(Secret::new("r=1".to_owned())))
}

async fn text(grant: &Grant, ask: Ask, scopes: Option<&str>) -> String {
    String::from_utf8(grant.request(ask, scopes).await.content.to_vec()).unwrap()
}

fn authorization(request: &Request) -> &str {
    let value = request.authorization.as_ref().unwrap();
    assert!(value.is_sensitive());
    value.to_str().unwrap()
}

#[tokio::test]
async fn client_credentials_go_into_the_body() {
    let grant = Grant::ClientCredentials { client: client("my app", "s3cret&+%"), auth: ClientAuth::Body };
    let request = grant.request(Ask::LogIn, Some("a b")).await;
    assert_eq!(request.content_type, "application/x-www-form-urlencoded");
    assert!(request.authorization.is_none());
    assert_eq!(
        text(&grant, Ask::LogIn, Some("a b")).await,
        "grant_type=client_credentials&client_id=my+app&client_secret=s3cret%26%2B%25&scope=a+b"
    );
    assert_eq!(
        text(&grant, refresh(), Some("a b")).await,
        "grant_type=refresh_token&refresh_token=r%3D1&client_id=my+app&client_secret=s3cret%26%2B%25"
    );
}

#[tokio::test]
async fn a_password_is_an_access_key() {
    let log_in = "grant_type=password&username=KEY%3DID&password=key%2Bsecret%2F%3D";
    for auth in [ClientAuth::Basic, ClientAuth::BasicRaw] {
        assert_eq!(text(&password(auth), Ask::LogIn, None).await, log_in);
        assert_eq!(text(&password(auth), Ask::LogIn, Some("a b")).await, format!("{log_in}&scope=a+b"));
        let renewed = text(&password(auth), refresh(), Some("a b")).await;
        assert_eq!(renewed, "grant_type=refresh_token&refresh_token=r%3D1", "no scope, no key");
    }
    let client = "&client_id=my+app&client_secret=s3cret%26%2B%25";
    assert_eq!(text(&password(ClientAuth::Body), Ask::LogIn, None).await, format!("{log_in}{client}"));
}

#[tokio::test]
async fn basic_encodes_first_unless_it_is_raw() {
    let decoded = |request: &Request| {
        let encoded = authorization(request).strip_prefix("Basic ").unwrap();
        String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
    };
    for ask in [|| Ask::LogIn, refresh] {
        let request = password(ClientAuth::Basic).request(ask(), None).await;
        assert_eq!(decoded(&request), "my+app:s3cret%26%2B%25");
        let request = password(ClientAuth::BasicRaw).request(ask(), None).await;
        assert_eq!(decoded(&request), "my app:s3cret&+%");
        let request = password(ClientAuth::Body).request(ask(), None).await;
        assert!(request.authorization.is_none());
    }
}

#[tokio::test]
async fn an_access_key_alone_goes_as_json() {
    let grant = Grant::AccessKey { key: client("KEY\"ID", "key\\secret") };
    let request = grant.request(Ask::LogIn, None).await;
    assert_eq!(request.content_type, "application/json");
    assert!(request.authorization.is_none());
    assert_eq!(
        std::str::from_utf8(&request.content).unwrap(),
        r#"{"accessKeyId":"KEY\"ID","accessKeySecret":"key\\secret"}"#
    );
    assert!(!grant.can_refresh() && password(ClientAuth::Basic).can_refresh());
}

#[tokio::test]
async fn all_that_is_secret_is_known_as_such() {
    let texts = |request: &Request| {
        request.secrets.iter().map(|secret| secret.reveal().to_owned()).collect::<Vec<_>>()
    };
    let request = password(ClientAuth::Basic).request(Ask::LogIn, None).await;
    let basic = authorization(&request).strip_prefix("Basic ").unwrap();
    assert_eq!(texts(&request), ["key+secret/=", basic, "s3cret&+%"]);
    let request = password(ClientAuth::Body).request(refresh(), None).await;
    assert_eq!(texts(&request), ["r=1", "s3cret&+%"]);
    let grant = Grant::AccessKey { key: client("k", "key+secret/=") };
    assert_eq!(texts(&grant.request(Ask::LogIn, None).await), ["key+secret/="]);
    let odd = Grant::AccessKey { key: client("k", "a\\b\"") };
    assert_eq!(texts(&odd.request(Ask::LogIn, None).await), ["a\\\\b\\\"", "a\\b\""], "as JSON says it, too");
    assert!(!format!("{grant:?}").contains("secret/="));
}

#[test]
fn each_has_its_word() {
    let grants = [
        Grant::ClientCredentials { client: client("c", "s"), auth: ClientAuth::Body },
        password(ClientAuth::Basic),
        Grant::AccessKey { key: client("k", "s") },
    ];
    let words = grants.each_ref().map(|grant| grant.grant_type(&Ask::LogIn).as_str());
    assert_eq!(words, ["client_credentials", "password", "access_key"]);
    assert!(grants.iter().all(|grant| grant.grant_type(&refresh()).as_str() == "refresh_token"));
}

proptest! {
    /// Whatever a person was given as identifier and secret, the endpoint reads the same.
    #[test]
    fn basic_can_be_read_back(id in "[ -~]{1,40}", secret in "\\PC{1,40}") {
        let grant = Grant::ClientCredentials { client: client(&id, &secret), auth: ClientAuth::Basic };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let request = runtime.block_on(grant.request(Ask::LogIn, None));
        let encoded = authorization(&request).strip_prefix("Basic ").unwrap();
        let pair = STANDARD.decode(encoded).unwrap();
        let at = pair.iter().position(|byte| *byte == b':').unwrap();
        let read = |part: &[u8]| form_urlencoded::parse(part).next().unwrap().0.into_owned();
        prop_assert_eq!(read(&pair[..at]), id);
        prop_assert_eq!(read(&pair[at + 1..]), secret);
    }
}

//! Over real sockets: what is sent, and what the ways to fail look like.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;

use super::wire::{Server, answer, token};
use super::*;
use crate::metrics::TokenObserver;
use crate::oauth::credentials::Credentials;
use crate::oauth::grant::ClientAuth;
use crate::oauth::token::RefreshToken;
use crate::oauth::{State, fetch_once, keeper};

fn tls(roots: rustls::RootCertStore) -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn settings(token_url: &str) -> Settings {
    Settings {
        token_url: token_url.parse().unwrap(),
        scopes: Some("users calls:read".to_owned()),
        refresh_margin: Duration::from_mins(5),
        tls: tls(rustls::RootCertStore::empty()),
        forward_proxy: None,
    }
}

fn by_client(client: Credentials) -> Grant {
    Grant::ClientCredentials { client, auth: ClientAuth::Body }
}

pub(super) fn client() -> Credentials {
    Credentials::with_secret("my app".to_owned(), Secret::new("s3cret&+%".to_owned()))
}

fn endpoint_by(settings: Settings) -> Endpoint {
    Endpoint::new(settings, by_client(client()), Clock::System).unwrap()
}

fn endpoint(server: &Server) -> Endpoint {
    endpoint_by(settings(&format!("http://{}/api/v2/oauth/token", server.address)))
}

async fn fails(endpoint: &Endpoint) -> Failure {
    let failure = endpoint.ask(Ask::LogIn).await.unwrap_err();
    assert!(!format!("{failure:?}").contains("s3cret"), "{failure:?}");
    failure
}

/// The failure where the answer is this.
async fn fails_with(answer: Vec<u8>) -> Failure {
    let server = Server::plain(vec![answer]).await;
    fails(&endpoint(&server)).await
}

pub(super) fn endpoint_with(server: &Server, grant: Grant) -> Endpoint {
    let url = format!("http://{}/api/v2/oauth/token", server.address);
    Endpoint::new(settings(&url), grant, Clock::System).unwrap()
}

pub(super) fn pairs(form: &[(String, String)]) -> Vec<(&str, &str)> {
    form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn client_credentials_are_sent_as_promised() {
    let server = Server::plain(vec![token("abc")]).await;
    let obtained = endpoint(&server).ask(Ask::LogIn).await.unwrap();
    assert_eq!(obtained.access_token.reveal(), "abc");
    assert_eq!(obtained.lifetime, Duration::from_mins(30));
    let seen = server.seen().pop().unwrap();
    assert_eq!(seen.lines[0], "POST /api/v2/oauth/token HTTP/1.1");
    assert_eq!(seen.field("host"), Some(server.address.to_string().as_str()));
    assert_eq!(seen.field("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen.field("accept"), Some("application/json"));
    assert_eq!(seen.field("user-agent"), Some(USER_AGENT));
    assert_eq!(seen.field("authorization"), None);
    assert_eq!(seen.field("transfer-encoding"), None);
    assert_eq!(
        pairs(&seen.form()),
        [
            ("grant_type", "client_credentials"),
            ("client_id", "my app"),
            ("client_secret", "s3cret&+%"),
            ("scope", "users calls:read"),
        ]
    );
}

#[tokio::test]
async fn a_refresh_sends_the_refresh_token_and_no_scope() {
    let server = Server::plain(vec![token("abc")]).await;
    let ask = Ask::Refresh(RefreshToken::new(Secret::new("r=1".to_owned())));
    endpoint(&server).ask(ask).await.unwrap();
    assert_eq!(
        pairs(&server.seen()[0].form()),
        [
            ("grant_type", "refresh_token"),
            ("refresh_token", "r=1"),
            ("client_id", "my app"),
            ("client_secret", "s3cret&+%"),
        ]
    );
}

#[tokio::test]
async fn every_request_has_a_connection_of_its_own() {
    // The server keeps each connection open, so a client that pools would use the first one again
    // and hear nothing.
    let server = Server::plain(vec![token("one"), token("two")]).await;
    let endpoint = endpoint(&server);
    for expected in ["one", "two"] {
        let obtained = endpoint.ask(Ask::LogIn).await.unwrap();
        assert_eq!(obtained.access_token.reveal(), expected);
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = Server::plain(vec![token("stolen")]).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("location: http://{}/login?x=1\r\n", elsewhere.address);
        let failure = fails_with(answer(status, &location, "")).await;
        let Why::Redirected { to, .. } = failure.why else { panic!("{failure:?}") };
        assert_eq!(to.unwrap(), format!("http://{}/login", elsewhere.address));
    }
    assert!(elsewhere.seen().is_empty(), "credentials go to the configured address only");
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_it() {
    let mut garbage = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n".to_vec();
    garbage.resize(10_000_000, b'x');
    let failure = fails_with(garbage).await;
    assert!(matches!(&failure.why, Why::Unusable(what) if what.contains("64 KiB")), "{failure:?}");
}

#[tokio::test]
async fn refusals_and_pauses_arrive_whole() {
    let content = r#"{"error":"invalid_client","error_description":"s3cret&+% is wrong"}"#;
    let failure = fails_with(answer("401 Unauthorized", "", content)).await;
    assert_eq!(
        failure.why.to_string(),
        "the token endpoint refused the request (401 invalid_client): [withheld] is wrong"
    );
    let failure =
        fails_with(answer("429 Too Many Requests", "retry-after: 3\r\nretry-after: 7\r\n", "")).await;
    assert_eq!(failure, Failure { why: Why::RateLimited, retry_after: Some(Duration::from_secs(7)) });
}

#[tokio::test]
async fn answers_that_break_off_count_as_no_answer() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"access_token\":\"abc".to_vec();
    let server = Server::plain(vec![half]).await;
    let mut endpoint = endpoint(&server);
    endpoint.time_out = Duration::from_millis(300);
    assert_eq!(fails(&endpoint).await.why, Why::TimedOut, "it stalls");

    let silent = fails_with(Vec::new()).await;
    assert!(matches!(silent.why, Why::Unreachable(_)), "{silent:?}");

    let noise = fails_with(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec()).await;
    assert!(matches!(noise.why, Why::Unreachable(_)), "{noise:?}");
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let failure = fails(&endpoint_by(settings(&url))).await;
    assert!(matches!(&failure.why, Why::Unreachable(how) if how.contains("refused")), "{failure:?}");
}

fn certificate() -> (CertificateDer<'static>, rustls::ServerConfig) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (certificate, server)
}

#[tokio::test]
async fn over_tls_it_speaks_http_1_to_whom_it_trusts() {
    let (certificate, server) = certificate();
    let server = Server::secure(vec![token("abc")], server).await;
    let mut settings = settings(&format!("https://localhost:{}/token", server.address.port()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    settings.tls = tls(roots);
    settings.tls.alpn_protocols = vec![b"h2".to_vec()];
    endpoint_by(settings).ask(Ask::LogIn).await.unwrap();
    assert_eq!(server.seen()[0].lines[0], "POST /token HTTP/1.1");
}

#[tokio::test]
async fn an_untrusted_certificate_is_told_apart() {
    let (_, server) = certificate();
    let server = Server::secure(vec![token("abc")], server).await;
    let url = format!("https://localhost:{}/token", server.address.port());
    let failure = fails(&endpoint_by(settings(&url))).await;
    assert!(matches!(failure.why, Why::Untrusted(_)), "{failure:?}");
    assert!(failure.why.needs_mending() && failure.why.hint().contains("CXONE_CA_FILE"));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_untrusted() {
    let (certificate, server) = certificate();
    let server = Server::secure(vec![token("abc")], server).await;
    let mut settings = settings(&format!("https://127.0.0.1:{}/token", server.address.port()));
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    settings.tls = tls(roots);
    let failure = fails(&endpoint_by(settings)).await;
    assert!(matches!(failure.why, Why::Untrusted(_)), "{failure:?}");
}

#[tokio::test]
async fn tls_towards_a_plain_server_is_no_matter_of_trust() {
    let server = Server::plain(vec![answer("400 Bad Request", "", "")]).await;
    let url = format!("https://localhost:{}/token", server.address.port());
    let mut endpoint = endpoint_by(settings(&url));
    endpoint.time_out = Duration::from_millis(300);
    let failure = fails(&endpoint).await;
    assert!(matches!(failure.why, Why::TimedOut | Why::Unreachable(_)), "{failure:?}");
}

#[tokio::test]
async fn a_forward_proxy_gets_its_own_credentials_and_never_ours() {
    let proxy = Server::plain(vec![answer("407 Proxy Authentication Required", "", "")]).await;
    let mut settings = settings("https://auth.example/token");
    settings.forward_proxy = Some(format!("http://me:p%40ss@{}", proxy.address).parse().unwrap());
    assert!(!format!("{settings:?}").contains("p%40ss"));
    let endpoint = endpoint_by(settings);
    assert!(!format!("{endpoint:?}").contains("p%40ss"));
    let failure = fails(&endpoint).await;
    assert!(matches!(&failure.why, Why::Unreachable(how) if how.contains("proxy")), "{failure:?}");
    let seen = proxy.seen().pop().unwrap();
    assert_eq!(seen.lines[0], "CONNECT auth.example:443 HTTP/1.1");
    assert_eq!(seen.field("proxy-authorization"), Some("Basic bWU6cEBzcw=="));
    assert_eq!(seen.content, "");
}

#[tokio::test]
async fn the_secret_file_is_read_for_every_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let server = Server::plain(vec![token("one"), token("two"), token("three")]).await;
    let credentials =
        Credentials::with_secret_file("app".to_owned(), path.clone(), Secret::new("first".to_owned()));
    let url = format!("http://{}/", server.address);
    let endpoint = Endpoint::new(settings(&url), by_client(credentials), Clock::System).unwrap();
    endpoint.ask(Ask::LogIn).await.unwrap();
    std::fs::write(&path, "rotated\n").unwrap();
    endpoint.ask(Ask::LogIn).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    endpoint.ask(Ask::LogIn).await.unwrap();
    let sent: Vec<String> = server.seen().iter().map(|seen| seen.form()[2].1.clone()).collect();
    assert_eq!(sent, ["first", "rotated", "rotated"]);
}

struct Deaf;

impl TokenObserver for Deaf {
    fn token_request(&self, _: &'static str, _: &'static str) {}
    fn token_obtained(&self, _: SystemTime, _: SystemTime) {}
}

#[tokio::test]
async fn the_keeper_over_the_wire() {
    let refusal = answer("503 Service Unavailable", "", "");
    let server = Server::plain(vec![refusal, token("abc")]).await;
    let settings = settings(&format!("http://{}/", server.address));
    let (tokens, keeper) = keeper(settings, by_client(client()), Clock::System, Arc::new(Deaf)).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let exchange = async {
        let token = tokens.valid(&Clock::System, Instant::now() + Duration::from_secs(20)).await.unwrap();
        assert_eq!(token.authorization_bytes(), b"Bearer abc");
        assert_eq!(token.scopes(), ["users", "calls:read"]);
        assert_eq!(tokens.snapshot(Clock::System.now()).state, State::Valid);
        stop.send(()).unwrap();
    };
    tokio::join!(keeper.run(async { stopped.await.unwrap() }), exchange);
}

#[tokio::test]
async fn one_token_for_the_commands() {
    let refusal = answer("400 Bad Request", "", r#"{"error":"invalid_scope"}"#);
    let server = Server::plain(vec![token("abc"), refusal]).await;
    let endpoint = endpoint(&server);
    let token = fetch_once(&endpoint, &Clock::System).await.unwrap();
    assert_eq!((token.text().reveal(), token.lifetime()), ("abc", Duration::from_mins(30)));
    let unavailable = fetch_once(&endpoint, &Clock::System).await.unwrap_err();
    assert!(unavailable.why.hint().contains("CXONE_SCOPES"));
}

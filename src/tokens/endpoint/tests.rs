//! Over real sockets: what is sent, and what the ways to fail look like.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio::time::Instant;

use super::super::http_client::wire::{Server, compressed, network, response, text_response, tls, token};
use super::*;
use crate::cause::{ForwardProxyProblem, NameProblem, Stage};
use crate::certificate::CertificateProblem;
use crate::metrics::TokenObserver;
use crate::secret::Secret;
use crate::tokens::{
    ClientAuth, Credentials, Grant, RefreshToken, SecretPlace, SecretSource, State, log_in_once, new,
};

fn settings(token_url: &str, grant: Grant) -> Settings {
    Settings {
        token_url: token_url.parse().unwrap(),
        grant,
        scopes: "users calls:read".parse().unwrap(),
        refresh_margin: Duration::from_mins(5),
        origins: crate::cause::Origins::default(),
    }
}

fn by_client(client: Credentials) -> Grant {
    Grant::ClientCredentials { client, auth: ClientAuth::Body }
}

pub(super) fn client() -> Credentials {
    let secret = SecretSource::Value(Secret::new("s3cret&+%".to_owned()));
    Credentials { id: "my app".to_owned(), secret }
}

fn endpoint_by(token_url: &str, network: Network) -> Endpoint {
    Endpoint::new(settings(token_url, by_client(client())), network, Clock::System).unwrap()
}

fn url(server: &Server) -> String {
    format!("http://{}/api/v2/oauth/token", server.address)
}

fn endpoint(server: &Server) -> Endpoint {
    endpoint_by(&url(server), network())
}

async fn fails(endpoint: &Endpoint) -> RequestError {
    let error = endpoint.request(TokenRequest::LogIn).await.unwrap_err();
    assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
    error
}

/// The error where the response is this.
async fn fails_with(response: Vec<u8>) -> RequestError {
    let server = Server::plain(vec![response]).await;
    fails(&endpoint(&server)).await
}

pub(super) fn endpoint_with(server: &Server, grant: Grant) -> Endpoint {
    Endpoint::new(settings(&url(server), grant), network(), Clock::System).unwrap()
}

pub(super) fn pairs(form: &[(String, String)]) -> Vec<(&str, &str)> {
    form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn trusting(certificate: CertificateDer<'static>) -> Network {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    Network { tls: tls(roots), forward_proxy: None }
}

#[tokio::test]
async fn client_credentials_are_sent_as_promised() {
    let server = Server::plain(vec![token("abc")]).await;
    let obtained = endpoint(&server).request(TokenRequest::LogIn).await.unwrap();
    assert_eq!(obtained.access_token.reveal(), "abc");
    assert_eq!(obtained.lifetime, Duration::from_mins(30));
    let seen = server.seen().pop().unwrap();
    assert_eq!(seen.lines[0], "POST /api/v2/oauth/token HTTP/1.1");
    assert_eq!(seen.field("host"), Some(server.address.to_string().as_str()));
    assert_eq!(seen.field("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(seen.field("accept"), Some("application/json"));
    assert_eq!(seen.field("user-agent"), Some(concat!("cxone-proxy/", env!("CARGO_PKG_VERSION"))));
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
    let request = TokenRequest::Refresh(RefreshToken::new(Secret::new("r=1".to_owned())));
    endpoint(&server).request(request).await.unwrap();
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
        let obtained = endpoint.request(TokenRequest::LogIn).await.unwrap();
        assert_eq!(obtained.access_token.reveal(), expected);
    }
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let elsewhere = Server::plain(vec![token("stolen")]).await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("location: http://{}/login?x=1\r\n", elsewhere.address);
        let error = fails_with(text_response(status, &location, "")).await;
        let Cause::Redirected { to, .. } = error.cause else { panic!("{error:?}") };
        assert_eq!(to.unwrap(), format!("http://{}/login", elsewhere.address));
    }
    assert!(elsewhere.seen().is_empty(), "credentials go to the configured address only");
}

#[tokio::test]
async fn an_answer_without_an_end_is_not_read_to_it() {
    let mut garbage = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n".to_vec();
    garbage.resize(10_000_000, b'x');
    let error = fails_with(garbage).await;
    assert!(matches!(&error.cause, Cause::Unusable(what) if what.contains("64 KiB")), "{error:?}");
}

#[tokio::test]
async fn refusals_and_pauses_arrive_whole() {
    let body = r#"{"error":"invalid_client","error_description":"s3cret&+% is wrong"}"#;
    let error = fails_with(text_response("401 Unauthorized", "", body)).await;
    assert_eq!(error.cause.to_string(), "refused the request: 401 invalid_client \"[withheld] is wrong\"");
    let error =
        fails_with(text_response("429 Too Many Requests", "retry-after: 3\r\nretry-after: 7\r\n", "")).await;
    assert_eq!(error, RequestError { cause: Cause::RateLimited, retry_after: Some(Duration::from_secs(7)) });
}

#[tokio::test]
async fn a_response_that_breaks_off_counts_as_none() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"access_token\":\"abc".to_vec();
    let server = Server::plain(vec![half]).await;
    let mut endpoint = endpoint(&server);
    let after = Duration::from_millis(300);
    endpoint.client.set_time_out(after);
    assert_eq!(fails(&endpoint).await.cause, Cause::TimedOut { stage: Stage::Reading, after }, "it stalls");

    let silent = fails_with(Vec::new()).await;
    assert_eq!(silent.cause, Cause::Closed { in_response: false });

    let noise = fails_with(b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec()).await;
    assert_eq!(noise.cause, Cause::NotHttp);
}

#[tokio::test]
async fn an_endpoint_that_does_not_respond_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut endpoint = endpoint_by(&format!("http://{}/", listener.local_addr().unwrap()), network());
    let after = Duration::from_millis(200);
    endpoint.client.set_time_out(after);
    assert_eq!(fails(&endpoint).await.cause, Cause::TimedOut { stage: Stage::Waiting, after });
}

#[tokio::test]
async fn nobody_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = fails(&endpoint_by(&url, network())).await;
    assert!(matches!(&error.cause, Cause::Unreachable(how) if how.contains("refused")), "{error:?}");
    let error = fails(&endpoint_by("http://no-such-host.invalid/", network())).await;
    assert!(
        matches!(&error.cause, Cause::Name(NameProblem::Unknown | NameProblem::NoNameServer)),
        "{error:?}"
    );
}

/// The same token response in every content coding that is asked for.
#[tokio::test]
async fn compressed_responses_are_read() {
    const PLAIN: &str = r#"{"access_token":"abc","token_type":"Bearer"}"#;
    for coding in ["gzip", "deflate"] {
        let header = format!("content-encoding: {coding}\r\ncontent-type: application/json\r\n");
        let server = Server::plain(vec![response("200 OK", &header, &compressed(coding, PLAIN))]).await;
        let obtained = endpoint(&server).request(TokenRequest::LogIn).await.unwrap();
        assert_eq!(obtained.access_token.reveal(), "abc", "{coding}");
        let accepted = server.seen()[0].field("accept-encoding").unwrap().to_owned();
        assert!(accepted.contains(coding), "{accepted}");
    }
    let marked = format!("\u{feff}{PLAIN}");
    let server = Server::plain(vec![text_response("200 OK", "", &marked)]).await;
    assert!(endpoint(&server).request(TokenRequest::LogIn).await.is_ok(), "a byte order mark");
}

#[tokio::test]
async fn a_response_that_cannot_be_decoded_says_so() {
    for (coding, body, what) in [
        ("gzip", b"not gzip at all".to_vec(), "not what its content coding gzip says"),
        ("br", b"\x0b\x02\x80abc\x03".to_vec(), "content coding br"),
        ("identity", compressed("gzip", "{}"), "compressed by gzip"),
    ] {
        let header =
            if coding == "identity" { String::new() } else { format!("content-encoding: {coding}\r\n") };
        let error = fails_with(response("200 OK", &header, &body)).await;
        assert!(matches!(&error.cause, Cause::Unusable(text) if text.contains(what)), "{error:?}");
    }
}

/// A response that unpacks to more memory than it deserves.
#[tokio::test]
async fn a_compressed_response_is_bounded_by_what_it_unpacks_to() {
    let bomb = compressed("gzip", &"x".repeat(10_000_000));
    assert!(bomb.len() < 64 * 1024);
    let error = fails_with(response("200 OK", "content-encoding: gzip\r\n", &bomb)).await;
    assert!(matches!(&error.cause, Cause::Unusable(what) if what.contains("64 KiB")), "{error:?}");
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
async fn over_tls_it_speaks_http_1_to_whoever_it_trusts() {
    let (certificate, server) = certificate();
    let server = Server::secure(vec![token("abc")], server).await;
    let mut network = trusting(certificate);
    network.tls.alpn_protocols = vec![b"h2".to_vec()];
    let url = format!("https://localhost:{}/token", server.address.port());
    endpoint_by(&url, network).request(TokenRequest::LogIn).await.unwrap();
    assert_eq!(server.seen()[0].lines[0], "POST /token HTTP/1.1");
}

#[tokio::test]
async fn an_untrusted_certificate_is_distinguished() {
    let (_, server) = certificate();
    let server = Server::secure(vec![token("abc")], server).await;
    let url = format!("https://localhost:{}/token", server.address.port());
    let error = fails(&endpoint_by(&url, network())).await;
    assert_eq!(error.cause, Cause::Untrusted(CertificateProblem::UnknownIssuer { issuer: None }));
}

#[tokio::test]
async fn a_certificate_for_another_name_is_untrusted() {
    let (certificate, server) = certificate();
    let server = Server::secure(vec![token("abc")], server).await;
    let url = format!("https://127.0.0.1:{}/token", server.address.port());
    let error = fails(&endpoint_by(&url, trusting(certificate))).await;
    assert_eq!(
        error.cause.to_string(),
        "has a certificate that is not trusted: it does not belong to 127.0.0.1, but to localhost"
    );
}

#[tokio::test]
async fn tls_towards_a_plain_server_is_not_about_trust() {
    let server = Server::plain(vec![text_response("400 Bad Request", "", "")]).await;
    let url = format!("https://localhost:{}/token", server.address.port());
    let mut endpoint = endpoint_by(&url, network());
    endpoint.client.set_time_out(Duration::from_millis(300));
    let error = fails(&endpoint).await;
    assert!(matches!(error.cause, Cause::TimedOut { .. } | Cause::Unreachable(_)), "{error:?}");
}

async fn fails_through(proxy: &str) -> RequestError {
    let network = Network { forward_proxy: Some(proxy.parse().unwrap()), ..network() };
    assert!(!format!("{network:?}").contains("p%40ss"));
    let endpoint = endpoint_by("https://auth.example/token", network);
    assert!(!format!("{endpoint:?}").contains("p%40ss"));
    fails(&endpoint).await
}

#[tokio::test]
async fn a_forward_proxy_gets_its_own_credentials_and_never_ours() {
    let proxy = Server::plain(vec![text_response("407 Proxy Authentication Required", "", "")]).await;
    let error = fails_through(&format!("http://me:p%40ss@{}", proxy.address)).await;
    assert_eq!(error.cause, Cause::ForwardProxy(ForwardProxyProblem::Unauthenticated));
    let seen = proxy.seen().pop().unwrap();
    assert_eq!(seen.lines[0], "CONNECT auth.example:443 HTTP/1.1");
    assert_eq!(seen.field("proxy-authorization"), Some("Basic bWU6cEBzcw=="));
    assert_eq!(seen.body, "");
}

#[tokio::test]
async fn a_forward_proxy_that_refuses_or_is_down_is_named_and_the_endpoint_is_not() {
    let proxy = Server::plain(vec![text_response("403 Forbidden", "", "")]).await;
    let error = fails_through(&format!("http://{}", proxy.address)).await;
    assert_eq!(error.cause, Cause::ForwardProxy(ForwardProxyProblem::Refused(None)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = fails_through(&format!("http://{address}")).await;
    let Cause::ForwardProxy(ForwardProxyProblem::Unreachable(how)) = &error.cause else {
        panic!("{error:?}")
    };
    assert!(how.contains("refused"), "{how}");
}

#[tokio::test]
async fn the_secret_file_is_read_for_every_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secret");
    let server = Server::plain(vec![token("one"), token("two"), token("three")]).await;
    let secret = SecretSource::Read {
        place: SecretPlace::File(path.clone()),
        at_start: Secret::new("first".to_owned()),
    };
    let endpoint = endpoint_with(&server, by_client(Credentials { id: "app".to_owned(), secret }));
    endpoint.request(TokenRequest::LogIn).await.unwrap();
    std::fs::write(&path, "rotated\n").unwrap();
    endpoint.request(TokenRequest::LogIn).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    endpoint.request(TokenRequest::LogIn).await.unwrap();
    let sent: Vec<String> = server.seen().iter().map(|seen| seen.form()[2].1.clone()).collect();
    assert_eq!(sent, ["first", "rotated", "rotated"]);
}

struct Deaf;

impl TokenObserver for Deaf {
    fn token_request(&self, _: &'static str, _: &'static str, _: std::ops::Range<std::time::SystemTime>) {}
    fn token_obtained(&self, _: SystemTime, _: SystemTime) {}
}

#[tokio::test]
async fn the_refresh_task_over_the_network() {
    let refusal = text_response("503 Service Unavailable", "", "");
    let server = Server::plain(vec![refusal, token("abc")]).await;
    let settings = settings(&url(&server), by_client(client()));
    let (tokens, task) = new(settings, network(), Clock::System, Arc::new(Deaf), None).unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let request = async {
        let token = tokens.valid(Instant::now() + Duration::from_secs(20)).await.unwrap();
        assert_eq!(token.authorization(), "Bearer abc");
        assert_eq!(token.scopes(), ["users", "calls:read"]);
        assert_eq!(tokens.snapshot(Clock::System.now()).state, State::Valid);
        stop.send(()).unwrap();
    };
    tokio::join!(task.run(async { stopped.await.unwrap() }), request);
}

#[tokio::test]
async fn one_token_for_the_commands() {
    let refusal = text_response("400 Bad Request", "", r#"{"error":"invalid_scope"}"#);
    let server = Server::plain(vec![token("abc"), refusal]).await;
    let endpoint = endpoint(&server);
    let token = log_in_once(&endpoint, &Clock::System).await.unwrap();
    assert_eq!((token.text().reveal(), token.lifetime()), ("abc", Duration::from_mins(30)));
    let unavailable = log_in_once(&endpoint, &Clock::System).await.unwrap_err();
    assert!(unavailable.hint().contains("CXONE_SCOPES"));
}

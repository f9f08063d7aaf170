//! Over TLS, by ALPN.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{CREDENTIALS, assert_clean, broken, token_request};
use crate::{Action, Alpn, Ending, Endpoint, Fault, Region, Rule, Script, Settings, Tls};

async fn region(alpn: &[Alpn]) -> Region {
    let tls = Tls { alpn: alpn.to_vec(), ..Tls::default() };
    Region::start(Settings { tls: Some(tls), ..Settings::default() }).await.unwrap()
}

async fn connect(region: &Region, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(region.ca_pem().unwrap().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.to_vec()).collect();
    let stream = TcpStream::connect(region.address()).await.unwrap();
    let name = ServerName::from(region.address().ip());
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

async fn token(region: &Region) -> String {
    let mut stream = connect(region, &[b"http/1.1"]).await;
    let request = token_request(CREDENTIALS).replace("\r\nHost", "\r\nConnection: close\r\nHost");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str::<serde_json::Value>(body).unwrap()["access_token"].as_str().unwrap().to_owned()
}

/// A client of HTTP/2; its connection ends with the set.
async fn client(region: &Region) -> (SendRequest<Bytes>, JoinSet<()>) {
    let stream = connect(region, &[b"h2"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        // How it ended, the streams know.
        let _ = connection.await;
    });
    (client.ready().await.unwrap(), tasks)
}

fn request(region: &Region, method: &str, path: &str, token: &str) -> Request<()> {
    let uri = format!("{}{path}", region.base_url());
    let bearer = format!("Bearer {token}");
    Request::builder().method(method).uri(uri).header("authorization", bearer).body(()).unwrap()
}

async fn read(body: &mut h2::RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

#[tokio::test]
async fn serves_many_streams_at_once() {
    let region = region(&[Alpn::Http2, Alpn::Http1]).await;
    assert!(region.base_url().starts_with("https://127.0.0.1:"));
    let token = token(&region).await;
    let (mut client, _tasks) = client(&region).await;
    let mut responses = Vec::new();
    for path in ["/api/v2/long-poll?ms=100", "/api/v2/users/me", "/api/v2/large?bytes=300000"] {
        responses.push(client.send_request(request(&region, "GET", path, &token), true).unwrap().0);
    }
    let mut seen = Vec::new();
    for response in responses {
        let (head, mut body) = response.await.unwrap().into_parts();
        seen.push((head.status.as_u16(), read(&mut body).await.unwrap().len()));
    }
    assert_eq!(seen[0], (304, 0));
    assert_eq!(seen[1].0, 200);
    assert_eq!(seen[2], (200, 300_000));
    assert_clean(&region);
    assert!(region.journal().iter().skip(1).all(|entry| entry.protocol == "HTTP/2"));
}

#[tokio::test]
async fn echoes_bodies_and_trailers() {
    let region = region(&[Alpn::Http2]).await;
    let plain = self::region(&[Alpn::Http1]).await;
    assert_eq!(
        connect(&plain, &[b"h2", b"http/1.1"]).await.get_ref().1.alpn_protocol(),
        Some(&b"http/1.1"[..])
    );
    let (mut client, _tasks) = client(&region).await;
    let form = Request::post(region.token_url())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(())
        .unwrap();
    let (response, mut body) = client.send_request(form, false).unwrap();
    body.send_data(CREDENTIALS.into(), true).unwrap();
    let (_, mut body) = response.await.unwrap().into_parts();
    let said: serde_json::Value = serde_json::from_slice(&read(&mut body).await.unwrap()).unwrap();
    let token = said["access_token"].as_str().unwrap();
    assert_eq!(broken(&region), [Rule::FreshTokenConnection], "a token request comes by HTTP/1.1");

    let post = request(&region, "POST", "/api/v2/echo-body", token);
    let (response, mut sending) = client.send_request(post, false).unwrap();
    let (_, mut body) = response.await.unwrap().into_parts();
    sending.send_data("hello".into(), false).unwrap();
    assert_eq!(body.data().await.unwrap().unwrap(), "hello");
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-after", "all".parse().unwrap());
    sending.send_trailers(trailers.clone()).unwrap();
    assert_eq!(read(&mut body).await.unwrap(), b"");
    assert_eq!(body.trailers().await.unwrap(), Some(trailers));
}

#[tokio::test]
async fn resets_streams_and_drops_connections() {
    let region = region(&[Alpn::Http2, Alpn::Http1]).await;
    let token = token(&region).await;
    let (mut client, _tasks) = client(&region).await;
    let mut ask = |path: &str| client.send_request(request(&region, "GET", path, &token), true).unwrap().0;
    let polling = ask("/api/v2/long-poll?seconds=60");
    while region.journal().len() < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }

    let fault = |then| Script::of([Fault::new(then).at(Endpoint::Api).times(1)]);
    region.script(fault(Action::DropBefore { how: Ending::Reset }));
    assert!(ask("/api/v2/users/me").await.unwrap_err().is_reset());
    region.script(fault(Action::Truncate { after: 10, how: Ending::Reset }));
    let (_, mut body) = ask("/api/v2/large?bytes=100").await.unwrap().into_parts();
    assert!(read(&mut body).await.unwrap_err().is_reset());
    assert_eq!(ask("/api/v2/users/me").await.unwrap().status(), 200);

    region.script(fault(Action::DropBefore { how: Ending::Close }));
    assert!(!ask("/api/v2/users/me").await.unwrap_err().is_reset());
    assert!(polling.await.is_err(), "it went with its connection");
}

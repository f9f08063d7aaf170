//! A token endpoint that is a socket and a list of responses: one connection for each.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Network;

/// What the client sent on one connection: the header section's lines and the body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) lines: Vec<String>,
    pub(crate) body: String,
}

impl Seen {
    /// The value of the one line of this field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.lines.iter().filter_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice");
        value
    }

    /// The body's form fields in their order.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }
}

/// It ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Gives the first connection the first response, and so on; after the last it accepts no
    /// more. Every connection is kept open after its response, unless the response is empty.
    pub(crate) async fn plain(responses: Vec<Vec<u8>>) -> Self {
        Self::start(responses, None).await
    }

    /// The same over TLS.
    pub(crate) async fn secure(responses: Vec<Vec<u8>>, tls: rustls::ServerConfig) -> Self {
        Self::start(responses, Some(tokio_rustls::TlsAcceptor::from(Arc::new(tls)))).await
    }

    async fn start(responses: Vec<Vec<u8>>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let record = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for response in responses {
                let (stream, _) = listener.accept().await.unwrap();
                let (record, tls) = (Arc::clone(&record), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => converse(stream, &response, &record).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => converse(stream, &response, &record).await,
                            Err(_) => record.lock().unwrap().push(Seen::default()),
                        },
                    }
                });
            }
            drop(listener);
            std::future::pending::<()>().await;
        });
        Self { address, seen, tasks }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        assert!(!self.tasks.is_empty());
        self.seen.lock().unwrap().clone()
    }
}

async fn converse(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    response: &[u8],
    record: &Mutex<Vec<Seen>>,
) {
    let seen = read_request(&mut stream).await;
    record.lock().unwrap().push(seen);
    if response.is_empty() {
        return;
    }
    // A client that has read enough goes away in the middle.
    let _ = stream.write_all(response).await;
    let _ = stream.flush().await;
    let _ = stream.read(&mut [0; 1]).await;
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Seen {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return Seen::default();
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut seen = Seen { lines: head.lines().map(str::to_owned).collect(), body: String::new() };
    let length = seen.field("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the body broke off");
    }
    seen.body = String::from_utf8(bytes[end..].to_vec()).unwrap();
    seen
}

/// A whole response with this status, these header lines and this body.
pub(crate) fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// The same with a text.
pub(crate) fn text_response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    response(status, headers, body.as_bytes())
}

/// A token response.
pub(crate) fn token(text: &str) -> Vec<u8> {
    let body = format!(r#"{{"access_token":"{text}","token_type":"bearer","expires_in":"1800"}}"#);
    text_response("200 OK", "content-type: application/json\r\n", &body)
}

/// What Python's `gzip` or `zlib` makes of a text.
pub(crate) fn compressed(coding: &str, text: &str) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let module = if coding == "gzip" { "gzip" } else { "zlib" };
    let program =
        format!("import sys,{module}; sys.stdout.buffer.write({module}.compress(sys.stdin.buffer.read()))");
    let mut python = Command::new("python3")
        .args(["-c", &program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    python.wait_with_output().unwrap().stdout
}

/// A client's TLS settings that trust these roots.
pub(crate) fn tls(roots: rustls::RootCertStore) -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// Straight to the server, with no trust in any certificate.
pub(crate) fn network() -> Network {
    Network { tls: tls(rustls::RootCertStore::empty()), forward_proxy: None }
}

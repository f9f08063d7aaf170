//! A token endpoint that is a socket and a list of answers: one connection for each.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// What the client sent on one connection: the header section's lines and the content.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) lines: Vec<String>,
    pub(super) content: String,
}

impl Seen {
    /// The value of the one line of this field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.lines.iter().filter_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then_some(value.trim())
        });
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice");
        value
    }

    /// The content's form fields in their order.
    pub(super) fn form(&self) -> Vec<(String, String)> {
        url::form_urlencoded::parse(self.content.as_bytes()).into_owned().collect()
    }
}

/// It ends when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Answers the first connection with the first answer, and so on; after the last it accepts no
    /// more. Every connection is kept open after its answer, unless the answer is empty.
    pub(super) async fn plain(answers: Vec<Vec<u8>>) -> Self {
        Self::start(answers, None).await
    }

    /// The same over TLS.
    pub(super) async fn secure(answers: Vec<Vec<u8>>, tls: rustls::ServerConfig) -> Self {
        Self::start(answers, Some(tokio_rustls::TlsAcceptor::from(Arc::new(tls)))).await
    }

    async fn start(answers: Vec<Vec<u8>>, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let record = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            for answer in answers {
                let (stream, _) = listener.accept().await.unwrap();
                let (record, tls) = (Arc::clone(&record), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => converse(stream, &answer, &record).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => converse(stream, &answer, &record).await,
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

    pub(super) fn seen(&self) -> Vec<Seen> {
        assert!(!self.tasks.is_empty());
        self.seen.lock().unwrap().clone()
    }
}

async fn converse(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8], record: &Mutex<Vec<Seen>>) {
    let seen = read_request(&mut stream).await;
    record.lock().unwrap().push(seen);
    if answer.is_empty() {
        return;
    }
    // A client that has read enough goes away in the middle.
    let _ = stream.write_all(answer).await;
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
    let mut seen = Seen { lines: head.lines().map(str::to_owned).collect(), content: String::new() };
    let length = seen.field("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the content broke off");
    }
    seen.content = String::from_utf8(bytes[end..].to_vec()).unwrap();
    seen
}

/// A whole answer with this status and content.
pub(super) fn answer(status: &str, fields: &str, content: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{fields}\r\n{content}", content.len()).into_bytes()
}

/// A token answer.
pub(super) fn token(text: &str) -> Vec<u8> {
    let content = format!(r#"{{"access_token":"{text}","token_type":"bearer","expires_in":"1800"}}"#);
    answer("200 OK", "content-type: application/json\r\n", &content)
}

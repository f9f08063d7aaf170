//! Tokens of different credentials are never mixed, not once in a hundred thousand requests.
//!
//! The upstream sees every token beside the path that says whose it must be, and answers with the path's
//! owner, so that an answer to another's request would be noticed as well. Clients pipeline, and tokens are
//! revoked all the while.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::serve;

const REQUESTS: u64 = 100_000;
const CONNECTIONS: u64 = 8;
/// So many requests leave before the first answer is awaited.
const DEPTH: u64 = 50;
/// After so many requests each client's token is a bad one.
const REVOKED_AFTER: u64 = 10_000;

/// Paths below `/a` and `/c` belong to one client, those below `/b` to another.
const OWNERS: [(&str, &str); 3] = [("/a", "alpha"), ("/b", "beta"), ("/c", "alpha")];

fn owner(path: &str) -> &'static str {
    let found = OWNERS.iter().find(|(prefix, _)| path.starts_with(prefix));
    found.unwrap_or_else(|| panic!("nobody's path: {path}")).1
}

/// What the upstream has seen.
#[derive(Default)]
struct Seen {
    served: AtomicU64,
    mixed: AtomicU64,
    revoked: AtomicU64,
    token_requests: AtomicU64,
    /// The number of the good token of each client, 0 before the first.
    good: Mutex<std::collections::HashMap<String, u64>>,
}

impl Seen {
    /// The answer to a request with this token: its path's owner, or 401 where the token is no longer good.
    fn judge(&self, path: &str, token: &str) -> Result<&'static str, ()> {
        let owner = owner(path);
        let (name, number) = token.split_once('-').unwrap_or((token, ""));
        if name != owner {
            self.mixed.fetch_add(1, Ordering::Relaxed);
        }
        let mut good = self.good.lock().unwrap();
        let current = good.get_mut(name).unwrap();
        if number != current.to_string() {
            self.revoked.fetch_add(1, Ordering::Relaxed);
            return Err(());
        }
        if (self.served.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(REVOKED_AFTER) {
            *current += 1;
        }
        Ok(owner)
    }

    /// A token for the client that a form names.
    fn token(&self, form: &str) -> String {
        self.token_requests.fetch_add(1, Ordering::Relaxed);
        let name = form.split('&').find_map(|pair| pair.strip_prefix("client_id=")).unwrap();
        let mut good = self.good.lock().unwrap();
        format!("{name}-{}", good.entry(name.to_owned()).or_default())
    }

    fn answer(&self, head: &str, content: &str, out: &mut Vec<u8>) {
        let path = head.split(' ').nth(1).unwrap();
        let (status, body) = if path == "/token" {
            let token = self.token(content);
            (200, format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#))
        } else {
            let field = head.lines().find_map(|line| line.strip_prefix("Authorization: Bearer "));
            self.judge(path, field.unwrap()).map_or((401, String::new()), |owner| (200, owner.to_owned()))
        };
        let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        out.extend_from_slice(head.as_bytes());
    }
}

async fn listen(seen: Arc<Seen>) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(speak(stream, seen.clone()));
        }
    });
    (address, task)
}

async fn speak(mut stream: TcpStream, seen: Arc<Seen>) {
    let (mut ahead, mut out) = (Vec::new(), Vec::new());
    while stream.read_buf(&mut ahead).await.is_ok_and(|count| count > 0) {
        let mut at = 0;
        while let Some((head, content, length)) = message(&ahead[at..]) {
            seen.answer(head, content, &mut out);
            at += length;
        }
        ahead.drain(..at);
        if stream.write_all(&out).await.is_err() {
            return;
        }
        out.clear();
    }
}

/// The first message of these bytes, where it is whole: head, content, length of both.
fn message(bytes: &[u8]) -> Option<(&str, &str, usize)> {
    let text = std::str::from_utf8(bytes).unwrap();
    let (head, rest) = text.split_once("\r\n\r\n")?;
    let named = |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned);
    let length = head.lines().find_map(named).map_or(0, |length| length.parse().unwrap());
    Some((head, rest.get(..length)?, head.len() + 4 + length))
}

/// Sends its share of requests, in a mixture of paths that differs from connection to connection.
async fn send_share(to: SocketAddr, number: u64) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut ahead = Vec::new();
    let share = REQUESTS / CONNECTIONS;
    for batch in 0..share / DEPTH {
        let prefixes: Vec<_> = (0..DEPTH)
            .map(|place| OWNERS[usize::try_from((batch * 7 + place * place + number) % 3).unwrap()].0)
            .collect();
        let request = |prefix: &&str| format!("GET {prefix}/x HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let text = prefixes.iter().map(request).collect::<Vec<_>>().concat();
        stream.write_all(text.as_bytes()).await.unwrap();
        for prefix in prefixes {
            let length = loop {
                if let Some((head, content, length)) = message(&ahead) {
                    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                    assert_eq!(content, owner(prefix), "an answer to another's request");
                    break length;
                }
                assert!(stream.read_buf(&mut ahead).await.unwrap() > 0, "the connection ended");
            };
            ahead.drain(..length);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_never_mixed() {
    let seen = Arc::new(Seen::default());
    let (upstream, _task) = listen(seen.clone()).await;
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name);
    std::fs::write(path("secret"), "beta's").unwrap();
    let text = format!(
        "[[profile]]\nname = 'a'\npath_prefix = '/a'\n\
         [[profile]]\nname = 'b'\npath_prefix = '/b'\n\
         [profile.oauth]\nclient_id = 'beta'\nclient_secret_file = '{}'\n\
         [[profile]]\nname = 'c'\npath_prefix = '/c'\ncredentials = 'a'\n",
        path("secret").display()
    );
    std::fs::write(path("proxy.toml"), text).unwrap();
    let proxy = serve(&format!("http://{upstream}"))
        .variable("CXONE_CLIENT_ID", "alpha")
        .variable("CXONE_TOKEN_URL", format!("http://{upstream}/token"))
        .flag("config", path("proxy.toml"))
        .listening()
        .await;

    let mut clients = JoinSet::new();
    for number in 0..CONNECTIONS {
        clients.spawn(send_share(proxy.proxy_address(), number));
    }
    // Twenty times what it takes.
    timeout(std::time::Duration::from_mins(3), clients.join_all()).await.unwrap();

    assert_eq!(seen.mixed.load(Ordering::Relaxed), 0, "a token went where it must not");
    assert_eq!(seen.served.load(Ordering::Relaxed), REQUESTS);
    assert!(seen.revoked.load(Ordering::Relaxed) > 0, "renewals were under way meanwhile");
    // Two sets of credentials, and one renewal at most for each revocation.
    let token_requests = seen.token_requests.load(Ordering::Relaxed);
    assert!((3..=2 + REQUESTS / REVOKED_AFTER).contains(&token_requests), "{token_requests}");
}

/// The test above can fail: one request with another's token among many is noticed.
#[tokio::test]
async fn one_mixed_token_is_noticed() {
    let seen = Arc::new(Seen::default());
    let (upstream, _task) = listen(seen.clone()).await;
    let mut stream = TcpStream::connect(upstream).await.unwrap();
    let form = |name: &str| {
        let form = format!("client_id={name}");
        format!("POST /token HTTP/1.1\r\nContent-Length: {}\r\n\r\n{form}", form.len())
    };
    let ask =
        |path: &str, token: &str| format!("GET {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\n\r\n");
    let right = [ask("/a", "alpha-0"), ask("/b", "beta-0"), ask("/c", "alpha-0")].concat();
    let text = [form("alpha"), form("beta"), right.repeat(100), ask("/c", "beta-0"), right].concat();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2 + 304);
    assert_eq!(seen.mixed.load(Ordering::Relaxed), 1);
}

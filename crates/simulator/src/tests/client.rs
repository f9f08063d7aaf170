//! A client that sends exactly the given bytes, and reads responses without trusting them.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{Region, Rule, Settings};

/// Longer than anything here takes, short enough to fail a test that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn region() -> Region {
    Region::start(Settings::default()).await.unwrap()
}

/// Fails with the referee's own words.
pub(super) fn assert_clean(region: &Region) {
    assert_eq!(region.referee(), []);
}

/// The rules that were broken, each as often as it was.
pub(super) fn broken(region: &Region) -> Vec<Rule> {
    region.referee().into_iter().map(|violation| violation.rule).collect()
}

#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<(String, String)>,
}

impl Reply {
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.as_str()).collect()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub(super) struct Wire {
    pub(super) stream: TcpStream,
    ahead: Vec<u8>,
}

impl Wire {
    pub(super) async fn to(region: &Region) -> Self {
        Self { stream: TcpStream::connect(region.address()).await.unwrap(), ahead: Vec::new() }
    }

    pub(super) async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// More bytes; false at the connection's end, however it came.
    async fn more(&mut self) -> bool {
        self.ahead.reserve(16 * 1024);
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.ahead)).await.unwrap();
        read.unwrap_or(0) > 0
    }

    pub(super) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.ahead.drain(..end + 2).take(end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            if !self.more().await {
                return None;
            }
        }
    }

    async fn lines(&mut self) -> Option<Vec<(String, String)>> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else { return Some(lines) };
            lines.push((name.to_owned(), value.to_owned()));
        }
    }

    pub(super) async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < length {
            if !self.more().await {
                return None;
            }
        }
        Some(self.ahead.drain(..length).collect())
    }

    /// All that comes until the connection ends.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.ahead)
    }

    /// The head of a response.
    pub(super) async fn head(&mut self) -> Option<Reply> {
        let status = self.line().await?.split(' ').nth(1)?.parse().unwrap();
        Some(Reply { status, fields: self.lines().await?, body: vec![], trailers: vec![] })
    }

    /// A chunk of a chunked body; empty for the last.
    pub(super) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await?, 16).unwrap();
        if size == 0 {
            return Some(Vec::new());
        }
        let chunk = self.exactly(size).await?;
        assert_eq!(self.line().await?, "");
        Some(chunk)
    }

    /// A whole response to a request that was not a HEAD; `None` where it broke off.
    pub(super) async fn reply(&mut self) -> Option<Reply> {
        let mut reply = self.head().await?;
        if matches!(reply.status, 100..=199 | 204 | 304) {
            return Some(reply);
        }
        if let Some(length) = reply.first("content-length") {
            reply.body = self.exactly(length.parse().unwrap()).await?;
        } else if reply.first("transfer-encoding") == Some("chunked") {
            loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    break;
                }
                reply.body.extend_from_slice(&chunk);
            }
            reply.trailers = self.lines().await?;
        } else {
            reply.body = self.rest().await;
        }
        Some(reply)
    }

    pub(super) async fn ask(&mut self, text: impl AsRef<[u8]>) -> Option<Reply> {
        self.send(text).await;
        self.reply().await
    }
}

/// The text of a request; `fields` are whole lines, each with its end.
pub(super) fn request(method: &str, target: &str, fields: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{method} {target} HTTP/1.1\r\nHost: region\r\n{fields}{length}\r\n{body}")
}

/// The text of a token request.
pub(super) fn token_request(form: &str) -> String {
    let fields = "Content-Type: application/x-www-form-urlencoded\r\n";
    request("POST", "/api/v2/oauth/token", fields, form)
}

pub(super) const CREDENTIALS: &str =
    "grant_type=client_credentials&client_id=demo-client&client_secret=demo-secret";

/// One request on a connection of its own.
pub(super) async fn once(region: &Region, text: impl AsRef<[u8]>) -> Option<Reply> {
    Wire::to(region).await.ask(text).await
}

/// A fresh token.
pub(super) async fn token(region: &Region) -> String {
    let reply = once(region, token_request(CREDENTIALS)).await.unwrap();
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

/// A client that holds a token.
pub(super) struct Bearer<'r> {
    pub(super) region: &'r Region,
    pub(super) token: String,
}

impl<'r> Bearer<'r> {
    pub(super) async fn of(region: &'r Region) -> Self {
        Self { region, token: token(region).await }
    }

    pub(super) fn text(&self, method: &str, target: &str, fields: &str, body: &str) -> String {
        request(method, target, &format!("Authorization: Bearer {}\r\n{fields}", self.token), body)
    }

    pub(super) async fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, "", "").await.unwrap()
    }

    pub(super) async fn ask(&self, method: &str, target: &str, fields: &str, body: &str) -> Option<Reply> {
        once(self.region, self.text(method, target, fields, body)).await
    }
}

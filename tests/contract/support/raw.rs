//! One end of a connection that sends exactly the bytes it is given.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::in_time;
use super::message::Message;

/// A byte stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A message that did not come to its end.
#[derive(Debug)]
pub(crate) enum Incomplete {
    /// The connection was closed before anything of the message came.
    Nothing,
    /// The connection ended in the middle, by a close or a reset.
    Midway(Message),
}

/// One end of a connection.
pub(crate) struct RawConnection {
    stream: Box<dyn Stream>,
    ahead: BytesMut,
    /// The connection was reset rather than closed.
    pub(crate) was_reset: bool,
}

impl RawConnection {
    /// A new TCP connection.
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::over(in_time("a connection", TcpStream::connect(address)).await.unwrap())
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), ahead: BytesMut::new(), was_reset: false }
    }

    /// The stream and what has been read of it already.
    pub(crate) fn into_parts(self) -> (Box<dyn Stream>, BytesMut) {
        (self.stream, self.ahead)
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap();
    }

    /// Like [`RawConnection::send`], for a peer that may be gone.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        in_time("room to send", async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Sends one chunk.
    pub(crate) async fn send_chunk(&mut self, content: impl AsRef<[u8]>) {
        let content = content.as_ref();
        let head = format!("{:x}\r\n", content.len());
        self.send([head.as_bytes(), content, b"\r\n"].concat()).await;
    }

    /// Ends the sending side only.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// More bytes; false at the connection's end, however it came. Cancel safe.
    async fn more(&mut self) -> bool {
        in_time("bytes", self.more_at_last()).await
    }

    /// The same without a deadline.
    async fn more_at_last(&mut self) -> bool {
        self.ahead.reserve(64 * 1024);
        let read = self.stream.read_buf(&mut self.ahead).await;
        self.was_reset |= read.is_err();
        read.is_ok_and(|count| count > 0)
    }

    /// True where nothing arrives for so long, and the connection stays open.
    pub(crate) async fn is_quiet(&mut self, duration: Duration) -> bool {
        self.ahead.is_empty() && timeout(duration, self.more_at_last()).await.is_err()
    }

    /// The next byte, which stays to be read; `None` at the connection's end. Waits without a deadline.
    pub(crate) async fn first(&mut self) -> Option<u8> {
        if self.ahead.is_empty() {
            self.more_at_last().await;
        }
        self.ahead.first().copied()
    }

    /// A line without its end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.ahead.split_to(end + 2);
                return Some(line.iter().take(end).copied().map(char::from).collect());
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
            if line.is_empty() {
                return Some(lines);
            }
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field: {line:?}"));
            lines.push((name.to_owned(), value.to_owned()));
        }
    }

    /// The next bytes, so many of them, which stay to be read; `None` where the connection ends before. Cancel
    /// safe.
    pub(crate) async fn peek(&mut self, count: usize) -> Option<&[u8]> {
        while self.ahead.len() < count {
            if !self.more().await {
                return None;
            }
        }
        self.ahead.get(..count)
    }

    /// So many bytes, or fewer where the connection ends before.
    pub(crate) async fn up_to(&mut self, count: usize) -> Vec<u8> {
        while self.ahead.len() < count && self.more().await {}
        let count = count.min(self.ahead.len());
        self.ahead.split_to(count).to_vec()
    }

    /// What has come or comes next, at most `count` bytes; empty at the connection's end.
    pub(crate) async fn some(&mut self, count: usize) -> Vec<u8> {
        if self.ahead.is_empty() && !self.more().await {
            return Vec::new();
        }
        let count = count.min(self.ahead.len());
        self.ahead.split_to(count).to_vec()
    }

    /// All that comes until the connection ends.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await {}
        self.ahead.split().to_vec()
    }

    /// A head: start line and fields. `None` where the connection ends before or within it.
    pub(crate) async fn head(&mut self) -> Option<Message> {
        let start = self.line().await?;
        Some(Message { start, fields: self.lines().await?, ..Message::default() })
    }

    /// One chunk of a chunked body; empty for the last.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = self.line().await?;
        let size = usize::from_str_radix(&line, 16).unwrap_or_else(|_| panic!("no chunk size: {line:?}"));
        if size == 0 {
            return Some(Vec::new());
        }
        let chunk = self.up_to(size + 2).await;
        let content = chunk.strip_suffix(b"\r\n").filter(|content| content.len() == size)?;
        Some(content.to_vec())
    }

    /// A whole request.
    pub(crate) async fn request(&mut self) -> Result<Message, Incomplete> {
        let Some(head) = self.head().await else { return Err(Incomplete::Nothing) };
        if head.only("content-length").is_none() && head.only("transfer-encoding").is_none() {
            return Ok(head);
        }
        self.body(head).await
    }

    /// A whole response to a request that was not a HEAD. One that ends with the connection is
    /// whole where that was closed and not reset.
    pub(crate) async fn response(&mut self) -> Result<Message, Incomplete> {
        let Some(head) = self.head().await else { return Err(Incomplete::Nothing) };
        if matches!(head.status(), 100..=199 | 204 | 304) {
            return Ok(head);
        }
        self.body(head).await
    }

    async fn body(&mut self, mut message: Message) -> Result<Message, Incomplete> {
        if let Some(length) = message.only("content-length") {
            let length = length.parse().unwrap();
            message.body = self.up_to(length).await;
            return if message.body.len() == length { Ok(message) } else { Err(Incomplete::Midway(message)) };
        }
        if message.only("transfer-encoding") == Some("chunked") {
            loop {
                match self.chunk().await {
                    None => return Err(Incomplete::Midway(message)),
                    Some(chunk) if chunk.is_empty() => break,
                    Some(chunk) => message.body.extend_from_slice(&chunk),
                }
            }
            return match self.lines().await {
                Some(trailers) => Ok(Message { trailers, ..message }),
                None => Err(Incomplete::Midway(message)),
            };
        }
        message.body = self.rest().await;
        if self.was_reset { Err(Incomplete::Midway(message)) } else { Ok(message) }
    }

    /// Sends a request without a body and reads the status of the response.
    pub(crate) async fn head_of(&mut self, method: &str, target: &str) -> u16 {
        self.send(super::request(method, target, "", "")).await;
        self.head().await.unwrap().status()
    }

    /// Sends a request and reads the whole response to it.
    pub(crate) async fn fetch(&mut self, request: impl AsRef<[u8]>) -> Message {
        self.send(request).await;
        self.response().await.unwrap()
    }
}

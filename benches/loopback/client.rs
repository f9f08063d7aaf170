//! A client that keeps its connections and allocates nothing while it asks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use memchr::memmem;

use super::answers::decimal;

/// What real clients send beside the essentials.
pub(crate) const GET: &[u8] = b"GET /1k HTTP/1.1\r\nHost: localhost\r\nUser-Agent: legacy/1.0\r\n\
    Accept: application/json\r\nAccept-Encoding: gzip\r\n\r\n";

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

impl Client {
    /// Connects.
    pub(crate) fn new(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 2 * 1024 * 1024], filled: 0 })
    }

    /// Sends a request.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.stream.write_all(request)
    }

    /// Waits for one whole answer with a length, which must be a 200.
    pub(crate) fn receive(&mut self) -> io::Result<()> {
        let mut due = None;
        while due.is_none_or(|due| self.filled < due) {
            let count = self.stream.read(self.buffer.get_mut(self.filled..).unwrap_or_default())?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.filled += count;
            if due.is_none() {
                due = whole_length(self.buffer.get(..self.filled).unwrap_or_default());
            }
        }
        let whole = self.buffer.get(..self.filled).unwrap_or_default();
        self.filled = 0;
        if whole.starts_with(b"HTTP/1.1 200 ") {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(whole).into_owned()))
    }
}

/// How long the answer is that `bytes` begins with, once its head is there.
fn whole_length(bytes: &[u8]) -> Option<usize> {
    let end = memmem::find(bytes, b"\r\n\r\n")? + 4;
    let head = bytes.get(..end)?;
    let at = memmem::find(head, b"Content-Length: ").or_else(|| memmem::find(head, b"content-length: "))?;
    let length = decimal(head.get(at + 16..)?);
    Some(end + usize::try_from(length).ok()?)
}

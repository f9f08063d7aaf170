//! HTTP/1.1 by hand (RFC 9112): one connection, one request after the other.

use std::io::{self, Write as _};
use std::time::Duration;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::chunked::{Content, Step};
use super::{Broken, Framing, Head, Line, Protocol, Response, Socket, head};

/// The largest head of a request; far beyond what the proxy lets through.
const LARGEST_HEAD: usize = 256 * 1024;
/// Room for what one read may bring.
const READ_SIZE: usize = 16 * 1024;
/// A piece up to this size is copied next to its frame, which costs less than a second buffer to write.
const COPIED: usize = 8 * 1024;
/// The most that is taken in from a client while it is watched for leaving.
const WATCHED: usize = 256 * 1024;

/// A connection between two requests.
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    input: BytesMut,
    output: BytesMut,
}

/// Why there is no next request.
#[derive(Debug)]
pub(crate) enum NoHead {
    /// The client closed the connection, or it broke.
    Closed,
    /// What arrived is no request.
    Bad(&'static str),
}

impl Connection {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, input: BytesMut::with_capacity(READ_SIZE), output: BytesMut::new() }
    }

    /// Waits for the next request's head.
    pub(crate) async fn head(&mut self) -> Result<Head, NoHead> {
        loop {
            if !self.input.is_empty() {
                match head::parse(&self.input).map_err(NoHead::Bad)? {
                    Some(parsed) => {
                        let raw = self.input.split_to(parsed.length).freeze();
                        return if has_stray_line_end(&raw) {
                            Err(NoHead::Bad("a line that does not end in CR LF"))
                        } else {
                            Ok(Head::of_http1(raw, parsed))
                        };
                    }
                    None if self.input.len() > LARGEST_HEAD => {
                        return Err(NoHead::Bad("the head has no end"));
                    }
                    None => {}
                }
            }
            match self.read().await {
                Ok(0) | Err(_) => return Err(NoHead::Closed),
                Ok(_) => {}
            }
        }
    }

    /// Refuses what is no request.
    pub(crate) async fn refuse(&mut self, why: &str) -> io::Result<()> {
        let text = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{why}",
            why.len()
        );
        self.socket.write_all(text.as_bytes()).await?;
        self.socket.shutdown().await
    }

    /// Gives the connection to another protocol, with what has been read ahead.
    pub(crate) fn into_parts(self) -> (Socket, BytesMut) {
        (self.socket, self.input)
    }

    /// Closes the sending side and reads on for at most `patience`, so that a client that is still sending
    /// gets to see its response before the connection is torn down.
    pub(crate) async fn linger(&mut self, patience: Duration) {
        if self.socket.shutdown().await.is_err() {
            return;
        }
        let drain = async {
            loop {
                self.input.clear();
                match self.read().await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        let _ = tokio::time::timeout(patience, drain).await;
    }

    /// Resolves when the client has closed its side. Safe to cancel: what arrives is kept.
    pub(crate) async fn gone(&mut self) -> Broken {
        loop {
            if self.input.len() > WATCHED {
                return std::future::pending().await;
            }
            match self.read().await {
                Ok(0) => return Broken::gone(),
                Err(error) => return error.into(),
                Ok(_) => {}
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        self.input.reserve(READ_SIZE);
        self.socket.read_buf(&mut self.input).await
    }
}

/// True where a line of the head ends in LF alone: servers differ on it, so requests are smuggled with it.
fn has_stray_line_end(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head.get(at - 1) != Some(&b'\r'))
}

/// One request on a connection, and its response.
pub(crate) struct Stream<'c> {
    connection: &'c mut Connection,
    content: Content,
    /// The client waits for a 100 before it sends the body (RFC 9110 10.1.1).
    expects_continue: bool,
    head_request: bool,
    protocol: Protocol,
    /// The connection serves another request after this one.
    keep_alive: bool,
    /// How the response's body is delimited, once there is a response.
    framing: Option<Framing>,
    /// A pause before each byte of the head.
    pub(crate) drip: Option<Duration>,
}

impl<'c> Stream<'c> {
    /// Reads the head's framing.
    pub(crate) fn new(connection: &'c mut Connection, head: &Head) -> Result<Self, &'static str> {
        let mut options = head.values("connection").flat_map(|value| value.split(|&byte| byte == b','));
        let keep_alive = match head.protocol {
            Protocol::Http10 => options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"keep-alive")),
            Protocol::Http11 | Protocol::Http2 => {
                !options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
            }
        };
        Ok(Self {
            content: Content::of(head)?,
            connection,
            expects_continue: head.values("expect").any(|value| value.eq_ignore_ascii_case(b"100-continue")),
            head_request: head.method() == "HEAD",
            protocol: head.protocol,
            keep_alive,
            framing: None,
            drip: None,
        })
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        if std::mem::take(&mut self.expects_continue) && !self.content.has_ended() {
            self.connection.socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        loop {
            match self.content.decode(&mut self.connection.input).map_err(Broken::Bad)? {
                Step::Piece(piece) => return Ok(Some(piece)),
                Step::End => return Ok(None),
                Step::Starved => {
                    if self.connection.read().await? == 0 {
                        return Err(Broken::gone());
                    }
                }
            }
        }
    }

    pub(super) fn trailers(&self) -> &[Line] {
        self.content.trailers()
    }

    /// True where the connection can serve another request once this one's body has been read.
    pub(crate) fn may_go_on(&self) -> bool {
        self.keep_alive
    }

    /// True where it is too late for another response.
    pub(crate) fn has_begun(&self) -> bool {
        self.framing.is_some()
    }

    /// Makes this the connection's last response, which says so.
    pub(crate) fn close_after(&mut self) {
        self.keep_alive = false;
    }

    pub(super) async fn whole(&mut self, response: &Response, body: &Bytes) -> Result<(), Broken> {
        if self.drip.is_some() || body.len() > COPIED {
            self.begin(response).await?;
            self.send(body.clone()).await?;
            return self.finish(&[]).await;
        }
        self.write_head(response);
        if self.has_body() {
            if self.framing == Some(Framing::Chunked) && !body.is_empty() {
                self.write_chunk(body);
            } else {
                self.connection.output.extend_from_slice(body);
            }
            if self.framing == Some(Framing::Chunked) {
                self.connection.output.extend_from_slice(b"0\r\n\r\n");
            }
        }
        self.flush().await
    }

    pub(super) async fn begin(&mut self, response: &Response) -> Result<(), Broken> {
        self.write_head(response);
        self.flush().await
    }

    pub(super) async fn inform(&mut self, response: &Response) -> Result<(), Broken> {
        write_status(&mut self.connection.output, response);
        write_fields(&mut self.connection.output, response);
        self.connection.output.extend_from_slice(b"\r\n");
        self.flush().await
    }

    pub(super) async fn send(&mut self, piece: Bytes) -> Result<(), Broken> {
        if piece.is_empty() || !self.has_body() {
            return Ok(());
        }
        if self.framing != Some(Framing::Chunked) {
            self.connection.socket.write_all(&piece).await?;
        } else if piece.len() <= COPIED {
            self.write_chunk(&piece);
            self.flush().await?;
        } else {
            let size = format!("{:x}\r\n", piece.len());
            let mut frame = Buf::chain(size.as_bytes(), piece).chain(&b"\r\n"[..]);
            self.connection.socket.write_all_buf(&mut frame).await?;
        }
        self.connection.socket.flush().await?;
        Ok(())
    }

    pub(super) async fn finish(&mut self, trailers: &[Line]) -> Result<(), Broken> {
        if self.framing == Some(Framing::Chunked) && self.has_body() {
            let output = &mut self.connection.output;
            output.extend_from_slice(b"0\r\n");
            for (name, value) in trailers {
                write_line(output, name, value);
            }
            output.extend_from_slice(b"\r\n");
            self.flush().await?;
        }
        Ok(())
    }

    pub(super) async fn raw(&mut self, text: &[u8]) -> Result<(), Broken> {
        self.connection.socket.write_all(text).await?;
        self.connection.socket.flush().await?;
        Ok(())
    }

    pub(super) async fn gone(&mut self) -> Broken {
        self.connection.gone().await
    }

    fn has_body(&self) -> bool {
        !self.head_request && self.framing != Some(Framing::None)
    }

    fn write_head(&mut self, response: &Response) {
        let unframed = response.framing == Framing::Chunked && self.protocol == Protocol::Http10;
        let framing = if unframed { Framing::Close } else { response.framing };
        self.framing = Some(framing);
        let output = &mut self.connection.output;
        write_status(output, response);
        if response.status != 101 {
            output.extend_from_slice(b"Date: ");
            let now = crate::clock::Now::read().wall;
            let _ = write!(output.writer(), "{}", httpdate::HttpDate::from(now));
            output.extend_from_slice(b"\r\n");
        }
        write_fields(output, response);
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                write_line(output, "Content-Length", itoa::Buffer::new().format(length));
            }
            Framing::Chunked => write_line(output, "Transfer-Encoding", "chunked"),
            Framing::Close => self.keep_alive = false,
        }
        // A client that still waits for a 100 may send its body or not: what comes next would be ambiguous.
        self.keep_alive &= !self.expects_continue || self.content.has_ended();
        if !self.keep_alive {
            write_line(output, "Connection", "close");
        } else if self.protocol == Protocol::Http10 {
            write_line(output, "Connection", "keep-alive");
        }
        output.extend_from_slice(b"\r\n");
    }

    fn write_chunk(&mut self, piece: &[u8]) {
        let output = &mut self.connection.output;
        let _ = write!(output.writer(), "{:x}\r\n", piece.len());
        output.extend_from_slice(piece);
        output.extend_from_slice(b"\r\n");
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        let Connection { socket, output, .. } = &mut *self.connection;
        if let Some(pause) = self.drip {
            for byte in output.iter() {
                tokio::time::sleep(pause).await;
                socket.write_all(std::slice::from_ref(byte)).await?;
            }
        } else {
            socket.write_all(output).await?;
        }
        output.clear();
        socket.flush().await?;
        Ok(())
    }
}

fn write_status(output: &mut BytesMut, response: &Response) {
    output.extend_from_slice(b"HTTP/1.1 ");
    output.extend_from_slice(itoa::Buffer::new().format(response.status).as_bytes());
    output.extend_from_slice(b" ");
    let reason =
        http::StatusCode::from_u16(response.status).ok().and_then(|status| status.canonical_reason());
    output.extend_from_slice(reason.unwrap_or("Scripted").as_bytes());
    output.extend_from_slice(b"\r\n");
}

fn write_fields(output: &mut BytesMut, response: &Response) {
    for (name, value) in &response.fields {
        write_line(output, name, value);
    }
}

fn write_line(output: &mut BytesMut, name: &str, value: &str) {
    output.extend_from_slice(name.as_bytes());
    output.extend_from_slice(b": ");
    output.extend_from_slice(value.as_bytes());
    output.extend_from_slice(b"\r\n");
}

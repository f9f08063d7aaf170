//! The upstream over HTTP/1.1.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use super::answers::{Answers, Asked, PIECE, decimal, head};

/// An upstream on a free loopback port and a thread of its own, for as long as the process lives.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("upstream".to_owned()).spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener)?;
            accept(listener, Arc::default()).await
        })
    })?;
    Ok(address)
}

/// Accepts for ever.
#[expect(clippy::disallowed_methods, reason = "connections end with their peers, or with the process")]
pub(crate) async fn accept(listener: TcpListener, answers: Arc<Answers>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, answers.clone()));
    }
}

/// Serves one connection to its end. What goes wrong with it is the peer's to find out.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answers: Arc<Answers>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    while let Ok(Some(request)) = read_head(&mut stream, &mut buffer, &mut filled, &answers).await {
        if skip(&mut stream, &mut buffer, &mut filled, request.length).await.is_err()
            || answer(&mut stream, request.asked, &answers).await.is_err()
        {
            return;
        }
    }
}

struct Request {
    asked: Asked,
    /// Head and content.
    length: u64,
}

/// `None` where the peer is done.
async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut [u8],
    filled: &mut usize,
    answers: &Answers,
) -> io::Result<Option<Request>> {
    loop {
        let here = buffer.get(..*filled).unwrap_or_default();
        if let Some(end) = memmem::find(here, b"\r\n\r\n") {
            let head = here.get(..end + 2).unwrap_or_default();
            let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            let asked = Asked::by(path, answers.bearer.find(head).is_some());
            let length = end as u64 + 4 + content_length(head);
            return Ok(Some(Request { asked, length }));
        }
        let count = stream.read(buffer.get_mut(*filled..).unwrap_or_default()).await?;
        if count == 0 {
            return Ok(None);
        }
        *filled += count;
    }
}

/// Takes a request away, what is here of it and what is still to come.
async fn skip<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut [u8],
    filled: &mut usize,
    mut length: u64,
) -> io::Result<()> {
    while length > *filled as u64 {
        length -= *filled as u64;
        *filled = stream.read(buffer).await?;
        if *filled == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let taken = usize::try_from(length).unwrap_or(*filled);
    buffer.copy_within(taken..*filled, 0);
    *filled -= taken;
    Ok(())
}

async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, asked: Asked, answers: &Answers) -> io::Result<()> {
    if let Some(delay) = asked.delay() {
        tokio::time::sleep(delay).await;
    }
    if let Asked::Bytes(mut left) = asked {
        stream.write_all(head("200 OK", left).as_bytes()).await?;
        while left > 0 {
            let count = usize::try_from(left).map_or(PIECE.len(), |left| left.min(PIECE.len()));
            stream.write_all(PIECE.get(..count).unwrap_or_default()).await?;
            left -= count as u64;
        }
    } else {
        stream.write_all(&answers.to(asked).whole).await?;
    }
    stream.flush().await
}

fn content_length(head: &[u8]) -> u64 {
    if head.starts_with(b"GET ") {
        return 0;
    }
    let found = memmem::find(head, b"Content-Length: ").or_else(|| memmem::find(head, b"content-length: "));
    found.and_then(|at| head.get(at + 16..)).map_or(0, decimal)
}

//! The upstream of the measurements, as a process of its own.
//!
//! `upstream PLAIN_PORT TLS_PORT CA_FILE [h2]`, on 127.0.0.1 only. Writes the certificate that its
//! clients must trust to `CA_FILE`, then listens, and prints `ready`. With `h2` the TLS port offers
//! HTTP/2 as well.

#[path = "../loopback/mod.rs"]
mod loopback;

use std::error::Error;
use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use loopback::answers::{Answers, Asked, PIECE, TOKEN};
use loopback::http1;
use loopback::tls::Identity;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [plain_port, tls_port, ca_file, rest @ ..] = arguments.as_slice() else {
        return Err("usage: upstream PLAIN_PORT TLS_PORT CA_FILE [h2]".into());
    };
    let protocols: &[&[u8]] = match rest {
        [] => &[b"http/1.1"],
        [h2] if h2 == "h2" => &[b"h2", b"http/1.1"],
        _ => return Err(format!("unknown: {}; only h2 may follow", rest.join(" ")).into()),
    };
    let identity = Identity::new(protocols)?;
    let plain = TcpListener::bind(("127.0.0.1", plain_port.parse()?)).await?;
    let secure = TcpListener::bind(("127.0.0.1", tls_port.parse()?)).await?;
    std::fs::write(ca_file, identity.ca_pem)?;
    writeln!(io::stdout(), "ready")?;
    let answers = Arc::new(Answers::default());
    tokio::try_join!(
        http1::accept(plain, answers.clone()),
        accept_secure(secure, identity.acceptor, answers),
    )?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "connections end with their peers, or with the process")]
async fn accept_secure(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    answers: Arc<Answers>,
) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, answers) = (acceptor.clone(), answers.clone());
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                // What goes wrong with a connection is the peer's to find out.
                let _ = serve_http2(stream, answers).await;
            } else {
                http1::serve(stream, answers).await;
            }
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "streams end with their connection")]
async fn serve_http2<S>(stream: S, answers: Arc<Answers>) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut connection = h2::server::Builder::new()
        .initial_connection_window_size(8 * 1024 * 1024)
        .initial_window_size(1024 * 1024)
        .max_concurrent_streams(1000)
        .handshake(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let answers = answers.clone();
        tokio::spawn(async move {
            let _ = answer(request, respond, &answers).await;
        });
    }
    Ok(())
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    answers: &Answers,
) -> Result<(), h2::Error> {
    let authorized = request.headers().get_all(AUTHORIZATION).iter().any(|value| {
        value.as_bytes().strip_prefix(b"Bearer ").is_some_and(|token| token == TOKEN.as_bytes())
    });
    let asked = Asked::by(request.uri().path().as_bytes(), authorized);
    let mut content = request.into_body();
    while let Some(piece) = content.data().await {
        content.flow_control().release_capacity(piece?.len())?;
    }
    if let Some(delay) = asked.delay() {
        tokio::time::sleep(delay).await;
    }
    let ready = &answers.to(asked).content;
    let length = if let Asked::Bytes(length) = asked { length } else { ready.len() as u64 };
    let status = if asked == Asked::Refused { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
    let mut head = Response::new(());
    *head.status_mut() = status;
    head.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    head.headers_mut().insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    head.headers_mut().insert(CONTENT_LENGTH, length.into());
    let mut stream = respond.send_response(head, false)?;
    if let Asked::Bytes(length) = asked {
        send_pieces(&mut stream, length).await
    } else {
        stream.send_data(Bytes::copy_from_slice(ready), true)
    }
}

/// Sends `left` bytes as the peer makes room for them.
async fn send_pieces(stream: &mut SendStream<Bytes>, mut left: u64) -> Result<(), h2::Error> {
    let piece = Bytes::from_static(&PIECE);
    while left > 0 {
        let wanted = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
        stream.reserve_capacity(wanted);
        let Some(room) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else { return Ok(()) };
        let count = room?.min(wanted);
        left -= count as u64;
        stream.send_data(piece.slice(..count), left == 0)?;
    }
    Ok(())
}

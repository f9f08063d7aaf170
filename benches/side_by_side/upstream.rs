//! The cheapest upstream that still does its job: it answers 200 only to the right bearer, so that
//! a proxy that skips the work fails, and costs as little as possible, so that it is not what is
//! measured. It also is the token endpoint.
//!
//! `upstream PLAIN_PORT [TLS_PORT CERT.pem KEY.pem]`, on 127.0.0.1 only. Answers:
//! `/1k` 1 KiB of JSON, `/1m` 1 MiB, `/slow` 1 KiB after one second, everything else 2 bytes.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const TOKEN: &str = "bench-token-0123456789abcdefghijklmnopqrstuvwxyz-bench-token-0123456789abcdefghijklmnopqrstuvwxyz";

struct Answers {
    bearer: String,
    small: Vec<u8>,
    kilobyte: Vec<u8>,
    megabyte: Vec<u8>,
    token: Vec<u8>,
    refused: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        let json = |size: usize| {
            let mut body = String::from("{\"data\":\"");
            while body.len() < size - 2 {
                body.push('x');
            }
            body.push_str("\"}");
            body
        };
        let token = format!("{{\"access_token\":\"{TOKEN}\",\"token_type\":\"Bearer\",\"expires_in\":86400}}");
        Self {
            bearer: format!("Authorization: Bearer {TOKEN}\r\n"),
            small: answer("200 OK", "{}"),
            kilobyte: answer("200 OK", &json(1024)),
            megabyte: answer("200 OK", &json(1024 * 1024)),
            token: answer("200 OK", &token),
            refused: answer("401 Unauthorized", "{}"),
        }
    }
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n\
         X-Request-Id: 0f8fad5b-d9cb-469f-a165-70867728950e\r\nCache-Control: no-store\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    let [port, rest @ ..] = arguments.as_slice() else {
        return Err("usage: upstream PLAIN_PORT [TLS_PORT CERT KEY]".into());
    };
    let plain = TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    if let [tls_port, certificate, key] = rest {
        let certificates = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_file(key)?)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let secure = TcpListener::bind(("127.0.0.1", tls_port.parse()?)).await?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = secure.accept().await {
                let _ = stream.set_nodelay(true);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, answers).await;
                    }
                });
            }
        });
    }
    loop {
        let (stream, _) = plain.accept().await?;
        let _ = stream.set_nodelay(true);
        tokio::spawn(serve(stream, answers));
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, answers: &Answers) {
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        let Some(head) = find(&buffer[..filled], b"\r\n\r\n").map(|at| at + 4) else {
            match stream.read(&mut buffer[filled..]).await {
                Ok(count) if count > 0 => filled += count,
                _ => return,
            }
            continue;
        };
        let length = content_length(&buffer[..head]);
        let request = &buffer[..head];
        let reply = if request.starts_with(b"POST /api/v2/oauth/token ") || request.starts_with(b"POST /oauth") {
            &answers.token
        } else if find(request, answers.bearer.as_bytes()).is_none()
            && find(request, answers.bearer.to_lowercase().as_bytes()).is_none()
            && !has_bearer(request)
        {
            &answers.refused
        } else if find(request, b" /1k ").is_some() {
            &answers.kilobyte
        } else if find(request, b" /1m ").is_some() {
            &answers.megabyte
        } else if find(request, b" /slow ").is_some() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            &answers.kilobyte
        } else {
            &answers.small
        };
        // What belongs to this request goes: head and content, whether here already or not.
        let mut rest = head + length;
        while rest > filled {
            rest -= filled;
            match stream.read(&mut buffer).await {
                Ok(count) if count > 0 => filled = count,
                _ => return,
            }
        }
        buffer.copy_within(rest..filled, 0);
        filled -= rest;
        if stream.write_all(reply).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

/// `authorization: Bearer …` in another case of letters.
fn has_bearer(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    text.lines().any(|line| {
        line.split_once(": ").is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("authorization") && value.strip_prefix("Bearer ") == Some(TOKEN)
        })
    })
}

fn content_length(head: &[u8]) -> usize {
    let Some(at) = find(head, b"ontent-").and_then(|at| find(&head[at..], b"ength: ").map(|end| at + end + 7)) else {
        return 0;
    };
    head[at..].iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |sum, byte| sum * 10 + usize::from(byte - b'0'))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

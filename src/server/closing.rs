//! How a connection ends: with a document of our own where no request could be made, and so that the
//! client sees what was sent to it.

use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::client_io::ClientIo;
use super::signals::Signals;

/// How long, and for how many bytes, we listen to a client after a response that ended the connection:
/// closing at once would reset it, and the client might never see the response.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 512 * 1024;
/// How long a client may take to take a document of ours.
const TAKING: Duration = Duration::from_secs(5);
/// What hyper is given to read so that it writes a response.
const ANY_REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// Sends a document to a client of which no request could be read, and ends the connection. hyper
/// writes it, as the response to a request that nobody has sent.
pub(super) async fn refuse(mut io: ClientIo, signals: &Signals, response: Response<Full<Bytes>>) {
    signals.leave_http1();
    io.forget();
    io.put_back(Bytes::from_static(ANY_REQUEST));
    let respond = service_fn(|_: Request<Incoming>| {
        let response = response.clone();
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .auto_date_header(false)
        .title_case_headers(true)
        .keep_alive(false)
        // A client that has ended its side still reads.
        .half_close(true)
        .serve_connection(TokioIo::new(io), respond)
        .without_shutdown();
    if let Ok(Ok(parts)) = timeout(TAKING, connection).await {
        linger(parts.io.into_inner()).await;
    }
}

/// Ends our side and listens for a moment, so that the response reaches a client that is still
/// sending.
pub(super) async fn linger(mut io: ClientIo) {
    let stream = io.stream_mut();
    if stream.shutdown().await.is_err() {
        return;
    }
    let listen = async {
        let mut left = LINGER_BYTES;
        let mut buffer = vec![0; 8 * 1024];
        while left > 0 {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
    };
    let _ = timeout(LINGER, listen).await;
}

/// Keeps a connection open whose end the client would take for the end of a whole response. Returns
/// when the client leaves, after `patience`, or when the program ends.
pub(super) async fn hold(mut io: ClientIo, signals: &Signals, patience: Duration) {
    let stream = io.stream_mut();
    let leave = async {
        let mut buffer = [0; 64];
        while !matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {}
    };
    let mut leave = pin!(timeout(patience, leave));
    poll_fn(|cx| {
        // The drain wakes the connection's task, which is this one.
        if signals.is_draining() { Poll::Ready(()) } else { leave.as_mut().poll(cx).map(drop) }
    })
    .await;
}

//! Many requests at once, over both versions: no response reaches another request, and none is lost.

use http_body_util::StreamBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::*;

const SENDERS: usize = 40;
const REQUESTS: usize = 50;

/// Repeats target and body, by length or in chunks; now and then it ends the connection afterwards.
async fn echo(request: Request<Incoming>) -> Result<Response<RequestBody>, BoxError> {
    let target = request.uri().path().to_owned();
    let is_chunked = target.ends_with('3');
    let ends = target.ends_with("77");
    let is_http1 = request.version() == http::Version::HTTP_11;
    let body = request.into_body().collect().await?.to_bytes();
    let text = format!("{target}={}", String::from_utf8_lossy(&body));
    let body = if is_chunked {
        let pieces: Vec<_> = text.as_bytes().chunks(3).map(Bytes::copy_from_slice).collect();
        let pieces = pieces.into_iter().map(|piece| Ok(http_body::Frame::data(piece)));
        StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync()
    } else {
        Full::from(text).map_err(|never| match never {}).boxed_unsync()
    };
    let mut response = Response::new(body);
    if ends && is_http1 {
        response.headers_mut().insert("connection", "close".parse().unwrap());
    }
    Ok(response)
}

async fn serve(origin: Arc<Origin>, is_http2: bool) {
    loop {
        let tcp = origin.accept_tcp().await;
        let origin = origin.clone();
        tokio::spawn(async move {
            let io = TokioIo::new(origin.accepted(tcp).await.stream);
            if is_http2 {
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _ = builder.timer(TokioTimer::new()).serve_connection(io, service_fn(echo)).await;
            } else {
                let builder = hyper::server::conn::http1::Builder::new();
                let _ = builder.serve_connection(io, service_fn(echo)).await;
            }
        });
    }
}

/// One sender: most responses are read, some are left.
async fn send_many(upstream: Upstream<RequestBody>, sender: usize) {
    for number in 0..REQUESTS {
        let target = format!("/{sender}/{number}");
        let body = "x".repeat(number * 37 % 500);
        let (method, body) = if number % 2 == 0 { (Method::GET, String::new()) } else { (Method::PUT, body) };
        let expected = format!("{target}={body}");
        let sent = upstream.send(request(method, &target, body), SendOptions::default());
        let response = soon("the response", sent).await.unwrap();
        if number % 11 == 0 {
            drop(response);
        } else {
            assert_eq!(text(response).await, (200, expected));
        }
    }
}

async fn storm(protocol: &'static [u8]) {
    let origin = Arc::new(Origin::tls(&[protocol]).await);
    let serving = tokio::spawn(serve(origin.clone(), protocol == b"h2"));
    let upstream = origin.upstream();
    let senders: Vec<_> =
        (0..SENDERS).map(|sender| tokio::spawn(send_many(upstream.clone(), sender))).collect();
    for sender in senders {
        sender.await.unwrap();
    }
    serving.abort();
}

#[tokio::test]
async fn http_1_on_one_core() {
    storm(b"http/1.1").await;
}

#[tokio::test]
async fn http_2_on_one_core() {
    storm(b"h2").await;
}

/// Other programs run a runtime with many threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn both_on_many_threads() {
    tokio::join!(storm(b"http/1.1"), storm(b"h2"));
}

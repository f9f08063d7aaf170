//! HTTP/2 with prior knowledge on the same port.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::support::{SOON, Server, eventually, fed, limits, spawn};
use crate::server::{ClientError, Limits};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A PRIORITY frame for stream 1 (RFC 9113 section 6.3).
const PRIORITY: &[u8] = b"\0\0\x05\x02\0\0\0\0\x01\0\0\0\0\x10";

async fn client(server: &Server, window: u32) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = Builder::new()
        .initial_window_size(window)
        .initial_connection_window_size(window)
        .handshake(stream)
        .await
        .unwrap();
    spawn(async move {
        let _ = connection.await;
    });
    client
}

fn request(method: &str, target: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://a{target}")).body(()).unwrap()
}

async fn begin(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    is_whole: bool,
) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
    let mut client = timeout(SOON, client.clone().ready()).await.unwrap().unwrap();
    client.send_request(request, is_whole).unwrap()
}

async fn whole(response: h2::client::ResponseFuture) -> Result<(u16, String), h2::Error> {
    let response: Response<RecvStream> = timeout(SOON, response).await.expect("no response")?;
    let status = response.status().as_u16();
    let mut body = response.into_body();
    let mut all = Vec::new();
    while let Some(data) = timeout(SOON, body.data()).await.expect("the body hangs") {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        all.extend_from_slice(&data);
    }
    Ok((status, String::from_utf8_lossy(&all).into_owned()))
}

async fn get(client: &SendRequest<Bytes>, target: &str) -> (u16, String) {
    whole(begin(client, request("GET", target), true).await.0).await.unwrap()
}

#[tokio::test]
async fn both_versions_are_served_on_one_port() {
    let server = Server::start();
    let client = client(&server, 65_535).await;
    assert_eq!(get(&client, "/a?b").await, (200, "http://a/a?b".to_owned()));
    let (response, mut stream) = begin(&client, request("POST", "/echo"), false).await;
    stream.send_data("hel".into(), false).unwrap();
    stream.send_data("lo".into(), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.append("x-sum", "1".parse().unwrap());
    stream.send_trailers(trailers).unwrap();
    assert_eq!(whole(response).await.unwrap(), (200, "hello".to_owned()));
    let mut old = server.client().await;
    assert_eq!(old.ask(super::support::get("/a")).await.text(), "/a");
    assert_eq!(server.connections.open(), 2);
}

#[tokio::test]
async fn a_preface_that_comes_in_pieces_is_understood() {
    let server = Server::start();
    for cut in [1, 3, 23] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&PREFACE[..cut]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(&PREFACE[cut..]).await.unwrap();
        let mut frame = [0; 9];
        timeout(SOON, stream.read_exact(&mut frame)).await.unwrap().unwrap();
        assert_eq!(frame[3], 4, "the settings of the server");
    }
    // What only begins like one is HTTP/1.
    let mut client = server.client().await;
    client.send("P").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(client.ask("UT /<a> HTTP/1.1\r\nHost: a\r\n\r\n").await.text(), "/%3Ca%3E");
}

#[tokio::test]
async fn a_head_may_be_as_large_as_over_http_1() {
    let server = Server::with(Limits { header_size: 16 * 1024, ..limits() });
    let client = client(&server, 65_535).await;
    let with = |count: usize, length: usize| {
        let mut request = request("GET", "/fields");
        for number in 0..count {
            let value = format!("{number:0length$}").parse().unwrap();
            request.headers_mut().append("x", value);
        }
        request
    };
    let ask = async |request| whole(begin(&client, request, true).await.0).await;
    assert_eq!(ask(with(1000, 4)).await.unwrap(), (200, "1000".to_owned()));
    assert_eq!(ask(with(1, 16_000)).await.unwrap(), (200, "1".to_owned()));
    assert_eq!(ask(with(1025, 4)).await.unwrap().0, 431);
    assert_eq!(ask(with(1, 17_000)).await.unwrap(), (431, "HeadTooLarge".to_owned()));
    let long = request("GET", &format!("/{}", "x".repeat(17_000)));
    assert_eq!(ask(long).await.unwrap(), (414, "TargetTooLong".to_owned()));
    // Beyond what HTTP/2 decodes at all the stream ends; the others do not notice.
    assert!(!ask(with(4, 16_000)).await.is_ok_and(|(status, _)| status != 431));
    assert_eq!(get(&client, "/a").await.0, 200);
}

#[tokio::test]
async fn streams_do_not_wait_for_each_other_and_a_reset_cancels() {
    let server = Server::start();
    let client = client(&server, 65_535).await;
    let (slow, mut stream) = begin(&client, request("POST", "/echo"), false).await;
    server.scene.serving(1).await;
    for _ in 0..100 {
        assert_eq!(get(&client, "/a").await.0, 200);
    }
    stream.send_data("x".into(), false).unwrap();
    drop(slow);
    stream.send_reset(Reason::CANCEL);
    server.scene.serving(0).await;
    assert!(server.scene.bodies().iter().all(|body| *body == Err(ClientError::Gone)));
}

#[tokio::test]
async fn a_response_that_breaks_off_resets_its_stream() {
    let server = Server::start();
    let client = client(&server, 65_535).await;
    let (sender, body) = fed();
    *server.scene.next.lock().unwrap() = Some(body);
    let (response, _) = begin(&client, request("GET", "/fed"), true).await;
    sender.send(Ok("x".into())).unwrap();
    let mut body = timeout(SOON, response).await.unwrap().unwrap().into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "x");
    sender.send(Err("broken".into())).unwrap();
    assert!(timeout(SOON, body.data()).await.unwrap().unwrap().unwrap_err().is_reset());
    assert_eq!(get(&client, "/a").await.0, 200);
}

/// A body without end that counts what is taken of it.
fn endless(taken: Arc<AtomicUsize>) -> super::support::TestBody {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let pieces = futures_util::stream::repeat_with(move || {
        taken.fetch_add(piece.len(), Ordering::Relaxed);
        Ok(Frame::data(piece.clone()))
    });
    StreamBody::new(pieces).boxed_unsync()
}

#[tokio::test]
async fn a_client_that_reads_nothing_costs_bounded_memory() {
    let server = Server::start();
    let taken = Arc::new(AtomicUsize::new(0));
    // Every window is open, and the socket is never read.
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let settings =
        [&b"\0\0\x06\x04\0\0\0\0\0\0\x04\x7f\xff\xff\xff"[..], b"\0\0\x04\x08\0\0\0\0\0\x7f\0\0\0"];
    stream.write_all(&[&PREFACE[..24], &settings.concat()].concat()).await.unwrap();
    for number in 0..900_u32 {
        *server.scene.next.lock().unwrap() = Some(endless(taken.clone()));
        // GET, http, and `/fed` with no index; the stream's end and its header's.
        let block = b"\x82\x86\x04\x04/fed\x41\x01a";
        let mut frame = vec![0, 0, u8::try_from(block.len()).unwrap(), 1, 5];
        frame.extend((number * 2 + 1).to_be_bytes());
        frame.extend(block);
        stream.write_all(&frame).await.unwrap();
        let before = server.scene.targets().len();
        if number < 200 {
            eventually("the request's arrival", || server.scene.targets().len() > before).await;
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.scene.targets().len(), 200, "the limit of streams");
    let taken = taken.load(Ordering::Relaxed);
    // What the kernel has taken is not ours.
    assert!(taken < 32 * 1024 * 1024, "{} MiB", taken / 1024 / 1024);
    let mut good = server.client().await;
    assert_eq!(good.ask(super::support::get("/a")).await.status(), 200);
}

const SHORT: Duration = Duration::from_millis(400);

#[tokio::test]
async fn a_stream_that_stands_still_is_reset_and_no_other() {
    let server = Server::with(Limits { stall_timeout: Some(SHORT), ..limits() });
    let client = client(&server, 1000).await;
    let begun = Instant::now();
    // One whose client does not send, one whose client does not read, and one that waits for us.
    let (owing, _stream) = begin(&client, request("POST", "/echo"), false).await;
    let (unread, _) = begin(&client, request("GET", "/large"), true).await;
    let unread = timeout(SOON, unread).await.unwrap().unwrap();
    let (waiting, _) = begin(&client, request("GET", "/wait"), true).await;
    assert!(whole(owing).await.unwrap_err().is_reset());
    assert!(begun.elapsed() >= SHORT, "{:?}", begun.elapsed());
    let mut body = unread.into_body();
    let end = async {
        loop {
            match body.data().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        }
    };
    assert!(timeout(SOON, end).await.unwrap().is_reset());
    tokio::time::sleep(SHORT * 2).await;
    server.scene.go.notify_one();
    // The window of the connection is full of what nobody has read.
    let response = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
}

async fn silent(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(PREFACE).await.unwrap();
    let mut frame = [0; 9];
    timeout(SOON, stream.read_exact(&mut frame)).await.unwrap().unwrap();
    stream
}

async fn end_of(mut stream: TcpStream, chatter: &[u8]) -> Duration {
    let begun = Instant::now();
    let mut buffer = [0; 1024];
    let end = async {
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => if matches!(read, Ok(0) | Err(_)) { break },
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    let _ = stream.try_write(chatter);
                }
            }
        }
    };
    timeout(SOON, end).await.expect("it does not end");
    begun.elapsed()
}

#[tokio::test]
async fn priority_frames_do_not_outstay_the_time_outs() {
    let quick = Limits { header_timeout: SHORT, idle_timeout: SHORT, ..limits() };
    let server = Server::with(quick);
    for chatter in [&b""[..], PRIORITY] {
        let took = end_of(silent(&server).await, chatter).await;
        assert!(took >= SHORT * 7 / 8 && took < SHORT * 8, "{took:?}");
    }
    // Nor after a request.
    let client = client(&server, 65_535).await;
    assert_eq!(get(&client, "/a").await.0, 200);
    eventually("the end of the connection", || server.connections.open() == 0).await;
}

#[tokio::test]
async fn idle_clients_do_not_hold_a_drain_up() {
    let server = Server::start();
    let _good = client(&server, 65_535).await;
    let mute = silent(&server).await;
    let chattering = spawn(end_of(silent(&server).await, PRIORITY));
    let begun = Instant::now();
    server.drain();
    server.drained().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    chattering.await.unwrap();
    drop(mute);
}

#[tokio::test]
async fn open_streams_finish_in_a_drain() {
    let server = Server::start();
    let client = client(&server, 65_535).await;
    let (response, _) = begin(&client, request("GET", "/wait"), true).await;
    server.scene.serving(1).await;
    server.drain();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    server.scene.go.notify_one();
    assert_eq!(whole(response).await.unwrap(), (200, "waited".to_owned()));
    server.drained().await;
}

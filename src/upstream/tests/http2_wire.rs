//! HTTP/2 byte by byte, where the h2 crate would not do as a server what some servers do; and silence, on a
//! paused clock and without a network.

use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt as _;
use tokio::time::Instant;

use super::*;
use crate::upstream::http2;
use crate::upstream::wire::Wire;

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// `:status: 200` and one literal field.
fn response(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0x88, 0x00, u8::try_from(name.len()).unwrap()];
    block.extend(name.as_bytes());
    block.push(u8::try_from(value.len()).unwrap());
    block.extend(value.as_bytes());
    block
}

/// A server that has sent its SETTINGS and has got `count` requests without a body.
async fn begun(origin: &Origin, count: usize) -> Far {
    let mut far = origin.accept().await;
    far.send(frame(SETTINGS, 0, 0, &[])).await;
    let mut preface = [0; 24];
    soon("the preface", far.stream.read_exact(&mut preface)).await.unwrap();
    let mut seen = 0;
    while seen < count {
        let mut head = [0; 9];
        soon("a frame", far.stream.read_exact(&mut head)).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        soon("a frame", far.stream.read_exact(&mut payload)).await.unwrap();
        seen += usize::from(head[3] == HEADERS);
    }
    far
}

#[tokio::test]
async fn streams_above_the_last_one_that_go_away_names_were_not_processed() {
    for code in [0, 11] {
        let origin = Origin::tls(&[b"h2"]).await;
        let upstream = origin.upstream();
        let first = sending(&upstream, request(Method::DELETE, "/", ""));
        turns().await;
        let mut far = begun(&origin, 1).await;
        let second = sending(&upstream, request(Method::DELETE, "/", ""));
        let mut head = [0; 9];
        loop {
            soon("a frame", far.stream.read_exact(&mut head)).await.unwrap();
            let mut payload = vec![0; usize::from(head[2])];
            soon("a frame", far.stream.read_exact(&mut payload)).await.unwrap();
            if head[3] == HEADERS {
                break;
            }
        }
        far.send(go_away(1, code)).await;
        let error = second.error().await;
        assert_eq!((error.kind, error.delivered), (ErrorKind::Closed, Delivered::NotProcessed), "{code}");
        // The first may have been processed, and is lost with the connection.
        drop(far);
        let error = first.error().await;
        assert_eq!((error.kind, error.delivered), (ErrorKind::Closed, Delivered::Maybe), "{code}: {error:?}");
    }
}

#[tokio::test]
async fn fields_of_a_connection_in_a_response_are_named_as_a_violation() {
    for name in ["connection", "transfer-encoding", "keep-alive"] {
        let origin = Origin::tls(&[b"h2"]).await;
        let upstream = origin.upstream();
        let sent = sending(&upstream, get("/"));
        let mut far = begun(&origin, 1).await;
        far.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &response(name, "x"))).await;
        let error = sent.error().await;
        assert_eq!((error.kind, error.delivered), (ErrorKind::Malformed, Delivered::Maybe), "{name}");
    }
}

#[tokio::test]
async fn a_server_that_never_sends_its_settings_is_given_up() {
    let origin = Origin::tls(&[b"h2"]).await;
    let connect_timeout = Duration::from_millis(300);
    let upstream = Upstream::new(Settings { connect_timeout, ..origin.settings() }).unwrap();
    let sent = sending(&upstream, get("/"));
    let _far = origin.accept().await;
    let error = sent.error().await;
    assert_eq!(
        (error.kind, error.delivered),
        (ErrorKind::ConnectTimeout(crate::cause::Stage::Http2), Delivered::Nothing)
    );
    let sent = sending(&upstream, get("/"));
    drop(origin.accept().await);
    assert_eq!(sent.error().await.kind, ErrorKind::Closed);
}

type Server = h2::server::Connection<tokio::io::DuplexStream, Bytes>;

/// A connection without a network, its first stream's place, and the server that has to be driven.
async fn connected() -> (http2::Http2<RequestBody>, http2::Stream, Server) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (server, client) = tokio::join!(
        async {
            let mut server = h2::server::handshake(far).await.unwrap();
            let _ = tokio::time::timeout(Duration::from_millis(10), server.accept()).await;
            server
        },
        async { http2::start(TokioIo::new(near), Instant::now()).await.unwrap() }
    );
    let (connection, stream) = client;
    (connection, stream, server)
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_has_fallen_silent_is_found() {
    for idle in [0, 45] {
        let (mut client, _stream, mut server) = connected().await;
        // While it is idle it is not asked.
        let serving = async { while server.accept().await.is_some() {} };
        assert!(tokio::time::timeout(Duration::from_secs(idle), serving).await.is_err());
        let began = Instant::now();
        let sent = client.send(get("https://localhost/"), &Arc::new(Wire::default()));
        let Ok(Err(crate::upstream::http1::Unanswered::Failed(error))) =
            tokio::time::timeout(Duration::from_mins(5), sent).await
        else {
            panic!("it waits for ever");
        };
        assert!(began.elapsed() <= Duration::from_secs(41), "{:?}", began.elapsed());
        let error = SendError::over_http2(error, &Wire::default());
        assert_eq!((error.kind, error.delivered), (ErrorKind::Silent, Delivered::Maybe));
        assert!(!client.is_open());
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_only_takes_its_time_is_waited_for() {
    let (mut client, _stream, mut server) = connected().await;
    let sent = client.send(get("https://localhost/"), &Arc::new(Wire::default()));
    let serving = async {
        let mut kept = Vec::new();
        while let Some(accepted) = server.accept().await {
            kept.push(accepted.unwrap());
        }
    };
    tokio::select! {
        () = serving => panic!("the connection has ended"),
        raw = tokio::time::timeout(Duration::from_mins(10), sent) => assert!(raw.is_err(), "nobody answered"),
    }
    assert!(client.is_open());
}

//! A connection that is upgraded is somebody else's, and still ours to count and to end.

use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::support::{Client, Server, eventually, limits};
use crate::server::Limits;

const OPENING: &str = "GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Sends back what comes, up to the end; `!` asks for more than any socket holds.
pub(super) async fn run(upgrade: OnUpgrade) {
    let mut io = TokioIo::new(upgrade.await.unwrap());
    let mut buffer = [0; 1024];
    loop {
        match io.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) if buffer[..count].contains(&b'!') => {
                if io.write_all(&vec![b'x'; 20_000_000]).await.is_err() {
                    break;
                }
            }
            Ok(count) => io.write_all(&buffer[..count]).await.unwrap(),
        }
    }
    let _ = io.write_all(b"bye").await;
    let _ = io.shutdown().await;
}

async fn tunnel(server: &Server) -> Client {
    let mut client = server.client().await;
    client.send(OPENING).await;
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    client
}

#[tokio::test]
async fn bytes_pass_in_both_directions_unchanged() {
    let server = Server::start();
    let mut client = server.client().await;
    // Sent before the 101, and looking like a request.
    client.send(OPENING.replace("/tunnel", "/tunnel?wait")).await;
    server.scene.serving(1).await;
    client.send("GET /<#").await;
    assert!(client.is_quiet(Duration::from_millis(50)).await);
    server.scene.go.notify_one();
    assert!(client.head().await.starts_with("HTTP/1.1 101 "));
    assert_eq!(client.exactly(7).await, b"GET /<#");
    client.send("GET /<> HTTP").await;
    assert_eq!(client.exactly(12).await, b"GET /<> HTTP");
    assert_eq!(server.connections.open(), 1);
    // An end in one direction leaves the other one open.
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, b"bye");
    eventually("the end of the connection", || server.connections.open() == 0).await;
}

#[tokio::test]
async fn a_drain_closes_tunnels() {
    let server = Server::start();
    let mut client = tunnel(&server).await;
    let begun = Instant::now();
    server.drain();
    client.rest().await;
    server.drained().await;
    assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_tunnel_whose_client_takes_nothing_is_cut_off() {
    let stall_timeout = Some(Duration::from_millis(300));
    let server = Server::with(Limits { stall_timeout, ..limits() });
    let mut quiet = tunnel(&server).await;
    let mut client = tunnel(&server).await;
    client.send("!").await;
    eventually("the end of the tunnel", || server.connections.open() == 1).await;
    // One through which nothing passes stays.
    assert!(quiet.is_quiet(Duration::from_millis(900)).await);
    quiet.send("x").await;
    assert_eq!(quiet.exactly(1).await, b"x");
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_tunnel() {
    let server = Server::start();
    drop(tunnel(&server).await);
    eventually("the end of the connection", || server.connections.open() == 0).await;
}

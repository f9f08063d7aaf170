//! Open requests finish; nothing new begins.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::support::{Server, fed, get};

const PARKED: Duration = Duration::from_millis(2300);

#[tokio::test]
async fn a_request_in_progress_gets_its_response_and_the_connection_is_closed() {
    let server = Server::start();
    let mut client = server.client().await;
    client.send(get("/wait")).await;
    server.scene.serving(1).await;
    server.drain();
    assert!(client.is_quiet(Duration::from_millis(1500)).await);
    server.scene.go.notify_one();
    let reply = client.reply().await;
    assert_eq!((reply.text(), reply.field("Connection")), ("waited", Some("close")));
    assert!(client.rest().await.is_empty() && !client.was_reset);
    server.drained().await;
}

#[tokio::test]
async fn nobody_new_is_let_in() {
    let server = Server::start();
    let mut client = server.client().await;
    client.send(get("/wait")).await;
    server.scene.serving(1).await;
    server.drain();
    super::support::eventually("the end of the listener", || {
        std::net::TcpStream::connect(server.address).is_err()
    })
    .await;
    server.scene.go.notify_one();
    assert_eq!(client.reply().await.text(), "waited");
    server.drained().await;
}

#[tokio::test]
async fn a_head_that_has_begun_to_arrive_is_served() {
    let server = Server::start();
    let mut fresh = server.client().await;
    let mut reused = server.client().await;
    let mut parked = server.client().await;
    assert_eq!(parked.ask(get("/a")).await.status(), 200);
    tokio::time::sleep(PARKED).await;
    assert_eq!(reused.ask(get("/a")).await.status(), 200);
    let mut behind = server.client().await;
    assert_eq!(behind.ask(get("/a") + "GET /b HTTP/1.1\r\nHo").await.text(), "/a");
    for client in [&mut fresh, &mut reused, &mut parked] {
        client.send("GET /b HTTP/1.1\r\nHo").await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.drain();
    // Beyond the second that idle connections have.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for client in [&mut fresh, &mut reused, &mut parked, &mut behind] {
        let reply = client.ask("st: a\r\n\r\n").await;
        assert_eq!((reply.text(), reply.field("Connection")), ("/b", Some("close")));
        assert!(client.rest().await.is_empty());
    }
    server.drained().await;
}

#[tokio::test]
async fn a_recently_used_connection_has_a_second_for_a_request_on_its_way() {
    let server = Server::start();
    let mut used = server.client().await;
    let mut idle = server.client().await;
    assert_eq!(used.ask(get("/a")).await.field("Connection"), None);
    assert_eq!(idle.ask(get("/a")).await.field("Connection"), None);
    let begun = Instant::now();
    server.drain();
    assert!(used.is_quiet(Duration::from_millis(600)).await);
    assert_eq!(used.ask(get("/b")).await.field("Connection"), Some("close"));
    assert!(used.rest().await.is_empty());
    assert!(idle.rest().await.is_empty() && !idle.was_reset);
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    server.drained().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn connections_that_were_idle_for_longer_are_closed_at_once() {
    let server = Server::start();
    let mut used = server.client().await;
    assert_eq!(used.ask(get("/a")).await.status(), 200);
    let mut fresh = server.client().await;
    tokio::time::sleep(PARKED).await;
    let begun = Instant::now();
    server.drain();
    assert!(used.rest().await.is_empty() && fresh.rest().await.is_empty());
    server.drained().await;
    assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_the_kernel_has_completed_is_served() {
    let server = Server::start();
    // No turn for the server in between.
    let clients: Vec<_> = (0..5).map(|_| std::net::TcpStream::connect(server.address).unwrap()).collect();
    server.drain();
    for client in clients {
        client.set_nonblocking(true).unwrap();
        let mut client = super::support::Client::over(TcpStream::from_std(client).unwrap());
        let reply = client.ask(get("/a")).await;
        assert_eq!((reply.text(), reply.field("Connection")), ("/a", Some("close")));
    }
    server.drained().await;
}

#[tokio::test]
async fn a_response_that_does_not_end_is_cut_off() {
    let server = Server::start();
    let (sender, body) = fed();
    *server.scene.next.lock().unwrap() = Some(body);
    let mut client = server.client().await;
    client.send(get("/fed")).await;
    client.head().await;
    server.drain();
    sender.send(Ok("x".into())).unwrap();
    assert_eq!(client.exactly(6).await, b"1\r\nx\r\n");
    server.cut();
    server.drained().await;
}

//! How many connections there may be.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::support::{Client, Server, eventually, get, limits};
use crate::server::Limits;

fn with(connections: usize) -> Server {
    Server::with(Limits { connections, ..limits() })
}

async fn busy(server: &Server, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for number in 1..=count {
        let mut client = server.client().await;
        client.send(get("/wait")).await;
        server.scene.serving(number).await;
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn the_connection_that_was_idle_for_longest_gives_way() {
    let server = with(3);
    let mut first = server.client().await;
    assert_eq!(first.ask(get("/a")).await.status(), 200);
    let _busy = busy(&server, 1).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut second = server.client().await;
    assert_eq!(second.ask(get("/a")).await.status(), 200);
    let mut fourth = server.client().await;
    assert_eq!(fourth.ask(get("/b")).await.text(), "/b");
    assert!(first.rest().await.is_empty());
    assert_eq!(second.ask(get("/c")).await.text(), "/c", "it was used later");
    assert_eq!(server.connections.open(), 3);
}

#[tokio::test]
async fn where_none_is_idle_new_ones_wait() {
    let server = with(2);
    let mut clients = busy(&server, 2).await;
    let mut third = server.client().await;
    third.send(get("/third")).await;
    assert!(third.is_quiet(Duration::from_millis(500)).await);
    assert_eq!(server.connections.open(), 2);
    assert_eq!(server.scene.serving.load(Ordering::Relaxed), 2);
    drop(clients.pop());
    assert_eq!(third.reply().await.text(), "/third");
    // Those that become idle give way, too.
    let mut fourth = server.client().await;
    fourth.send(get("/fourth")).await;
    assert_eq!(fourth.reply().await.text(), "/fourth");
    assert!(third.rest().await.is_empty());
}

#[tokio::test]
async fn a_half_arrived_head_is_not_idle() {
    let server = with(1);
    let mut first = server.client().await;
    first.send("GET /first HTTP/1.1\r\n").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut second = server.client().await;
    second.send(get("/second")).await;
    assert!(second.is_quiet(Duration::from_millis(500)).await);
    assert_eq!(first.ask("Host: a\r\n\r\n").await.text(), "/first");
    assert_eq!(second.reply().await.text(), "/second");
}

#[tokio::test]
async fn connections_are_counted_until_they_are_closed() {
    let server = with(100);
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = server.client().await;
        assert_eq!(client.ask(get("/a")).await.status(), 200);
        clients.push(client);
    }
    assert_eq!(server.connections.open(), 10);
    clients.truncate(4);
    eventually("their ends", || server.connections.open() == 4).await;
}

#[tokio::test]
async fn unfinished_heads_have_a_budget_together() {
    let server = Server::start();
    let mut clients = Vec::new();
    // 16 MiB, without the first 8 KiB of each.
    for _ in 0..400 {
        let mut client = server.client().await;
        client.send(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(60_000))).await;
        clients.push(client);
    }
    let mut refused = 0;
    let mut first = None;
    for mut client in clients {
        if client.is_quiet(Duration::from_millis(1)).await {
            first = first.or(Some(client));
        } else {
            assert_eq!(client.reply().await.text(), "HeadTooLarge");
            refused += 1;
        }
    }
    assert!((60..200).contains(&refused), "{refused}");
    // The others have left, so there is room again.
    assert_eq!(first.unwrap().ask("\r\n\r\n").await.status(), 200);
    let mut large = server.client().await;
    let head = format!("GET /a HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(60_000));
    for _ in 0..3 {
        assert_eq!(large.ask(&head).await.text(), "/a");
    }
}

//! Restarts under load lose no request: connections that were used a moment ago have a second for one that is
//! already on its way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::{AT_ONCE, setup};
use crate::support::{Server, get, in_time, ok, serve, token_response};

const CLIENTS: usize = 24;
const RESTARTS: usize = 8;

/// What the clients have seen.
#[derive(Default)]
struct Tally {
    served: AtomicU64,
    lost: AtomicU64,
}

/// Asks on one connection until the proxy closes it, then on the next one. A request is lost where the connection
/// ends after it was sent and before anything of its response has come.
async fn ask(address: SocketAddr, tally: Arc<Tally>, stop: Arc<AtomicBool>) {
    // The pauses of a keep-alive client, in which the proxy may close the connection.
    let mut pauses = interval(Duration::from_millis(2));
    while !stop.load(Ordering::Relaxed) {
        // Nobody listens between two processes.
        let Ok(mut stream) = TcpStream::connect(address).await else {
            pauses.tick().await;
            continue;
        };
        loop {
            pauses.tick().await;
            if stop.load(Ordering::Relaxed) || is_closed(&stream) {
                break;
            }
            if stream.write_all(get("/x").as_bytes()).await.is_err() {
                tally.lost.fetch_add(1, Ordering::Relaxed);
                break;
            }
            let mut head = vec![0; 4096];
            if !in_time("a response", stream.read(&mut head)).await.is_ok_and(|count| count > 0) {
                tally.lost.fetch_add(1, Ordering::Relaxed);
                break;
            }
            tally.served.fetch_add(1, Ordering::Relaxed);
            if String::from_utf8_lossy(&head).to_ascii_lowercase().contains("connection: close") {
                break;
            }
        }
    }
}

/// True where the proxy's end has arrived already: a client that looks sends nothing more.
fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0];
    !matches!(stream.try_read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_lose_no_request_of_keep_alive_clients() {
    let upstream = Server::start(|request| match request.target() {
        "/token" => token_response(r#"{"access_token":"abc","token_type":"Bearer","expires_in":3600}"#),
        _ => ok("", "served"),
    })
    .await;
    // A port that each process in turn listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let launch = serve(&upstream.base_url())
        .variable("CXONE_TOKEN_URL", format!("{}/token", upstream.base_url()))
        .flag("listen", address.to_string());
    let (tally, stop) = (Arc::<Tally>::default(), Arc::<AtomicBool>::default());
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(ask(address, tally.clone(), stop.clone()));
    }
    for restart in 0..RESTARTS {
        let mut process = launch.listening().await;
        let before = tally.served.load(Ordering::Relaxed);
        crate::support::eventually("load", async || {
            (tally.served.load(Ordering::Relaxed) > before + 500).then_some(())
        })
        .await;
        process.signal(Signal::TERM);
        assert_eq!(process.ended().await.code(), Some(0), "restart {restart}");
    }
    stop.store(true, Ordering::Relaxed);
    in_time("the clients", clients.join_all()).await;
    let (served, lost) = (tally.served.load(Ordering::Relaxed), tally.lost.load(Ordering::Relaxed));
    assert_eq!(lost, 0, "of {served} requests over {RESTARTS} restarts");
}

#[tokio::test]
async fn a_connection_used_a_moment_ago_serves_one_request_more() {
    let mut setup = setup("1m").await;
    let mut client = setup.connect().await;
    assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200);
    setup.proxy.signal(Signal::TERM);
    setup.proxy.event("draining").await;
    let response = client.fetch(get("/api/v2/users/me")).await;
    assert_eq!((response.status(), response.only("connection")), (200, Some("close")));
    assert!(client.rest().await.is_empty());
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_connection_idle_for_longer_is_closed_at_once() {
    let mut setup = setup("1m").await;
    let mut client = setup.connect().await;
    assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200);
    assert!(client.is_quiet(Duration::from_millis(1200)).await);
    let begun = Instant::now();
    setup.proxy.signal(Signal::TERM);
    assert!(client.rest().await.is_empty());
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
}

/// Load balancers need a moment to notice that `/readyz` says 503.
#[tokio::test]
async fn during_the_drain_delay_everybody_is_served() {
    let launch =
        |launch: crate::support::Launch| launch.flag("drain-delay", "2s").flag("drain-timeout", "1m");
    let mut setup = crate::support::Setup::launched(launch).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    let begun = Instant::now();
    setup.proxy.signal(Signal::TERM);
    crate::support::eventually("unreadiness", async || {
        (setup.admin("/readyz").await.status() == 503).then_some(())
    })
    .await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200, "new connections are accepted");
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
    assert!(begun.elapsed() >= Duration::from_secs(2) && begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

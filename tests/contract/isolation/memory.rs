//! Memory has bounds over all connections and requests together: each attack leaves the program below 96 MiB, and
//! good clients are served meanwhile.

use cxone_simulator::Settings;

use super::{Swallowing, a_good_client_is_served, unread};
use crate::support::{Frame, FrameConnection, RawConnection, Server, Setup, field_block, ok, request};

/// In KiB.
const LIMIT: u64 = 96 * 1024;

fn is_within_the_limit(setup: &Setup) {
    let peak = setup.proxy.peak_memory_in_production();
    assert!(peak < LIMIT, "{peak} KiB");
}

async fn in_front_of(upstream: &Swallowing) -> Setup {
    let base_url = upstream.base_url.clone();
    Setup::launched(|launch| launch.api_at(base_url)).await
}

/// `SETTINGS_INITIAL_WINDOW_SIZE` (RFC 9113 section 6.5.2).
const SETTING_WINDOW: u16 = 4;
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

#[tokio::test]
async fn an_http_2_client_that_opens_its_windows_and_does_not_read() {
    let setup = Setup::of(Settings { journal: 0, ..Settings::default() }).await;
    let address = setup.proxy.proxy_address();
    let mut client = FrameConnection::client(address, &[(SETTING_WINDOW, LARGEST_WINDOW)]).await;
    let more = (LARGEST_WINDOW - 65_535).to_be_bytes();
    client.send(Frame::WINDOW_UPDATE, 0, 0, more).await;
    for number in 0..900 {
        // Streams beyond the proxy's limit are refused, and the connection may end with too many.
        let target = format!("/api/v2/large?bytes=10000000&{number}");
        if !client.try_get(2 * number + 1, &target).await {
            break;
        }
    }
    setup.proxy.idle().await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    is_within_the_limit(&setup);
}

/// A few bytes each stand for one large field that was sent once (RFC 7541 section 6.1).
#[tokio::test]
async fn fields_that_are_small_in_frames_and_large_in_memory() {
    let setup = Setup::new().await;
    let address = setup.proxy.proxy_address();
    for _ in 0..4 {
        let mut client = FrameConnection::client(address, &[]).await;
        for number in 0..50_u32 {
            let mut block = field_block(&[
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "localhost"),
                (":path", "/api/v2/users/me"),
            ]);
            if number == 0 {
                // Literal with incremental indexing: it becomes entry 62.
                block.push(0x40);
                block.extend_from_slice(&field_block(&[("x", &"y".repeat(3000))])[1..]);
            }
            block.resize(16_000, 0x80 | 0x3e);
            let flags = Frame::END_HEADERS | Frame::END_STREAM;
            if !client.try_send(Frame::HEADERS, flags, 2 * number + 1, block).await {
                break;
            }
        }
    }
    setup.proxy.idle().await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    is_within_the_limit(&setup);
}

#[tokio::test]
async fn header_sections_that_do_not_end() {
    let upstream = Swallowing::start(None).await;
    let setup = in_front_of(&upstream).await;
    let begun = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}", "x".repeat(60_000));
    let mut clients: Vec<RawConnection> = Vec::new();
    for _ in 0..1000 {
        let mut client = setup.connect().await;
        // The program may defend itself by closing some.
        let _ = client.try_send(&begun).await;
        clients.push(client);
    }
    setup.proxy.idle().await;
    a_good_client_is_served(&setup).await;
    is_within_the_limit(&setup);
}

/// All of them fit into `replay_buffer`, so only `replay_memory` bounds what is kept.
#[tokio::test]
async fn uploads_that_are_kept_to_be_sent_again() {
    const SIZE: usize = 1024 * 1024;
    let upstream = Swallowing::start(None).await;
    let setup = in_front_of(&upstream).await;
    let body = "x".repeat(SIZE);
    let mut clients = Vec::new();
    for number in 0..150 {
        let mut client = setup.connect().await;
        client.send(request("POST", &format!("/{number}"), "", &body)).await;
        clients.push(client);
    }
    setup.in_flight(150).await;
    setup.proxy.idle().await;
    a_good_client_is_served(&setup).await;
    is_within_the_limit(&setup);
}

/// Each is larger than all that the sockets on its way hold.
#[tokio::test]
async fn responses_that_nobody_reads() {
    let setup = Setup::of(Settings { journal: 0, ..Settings::default() }).await;
    let mut clients = Vec::new();
    for number in 0..500 {
        clients.push(unread(&setup, &format!("/api/v2/large?bytes=20000000&{number}")).await);
    }
    setup.in_flight(500).await;
    setup.proxy.idle().await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    is_within_the_limit(&setup);
}

#[tokio::test]
async fn json_that_is_held_back_for_its_links() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("proxy.toml");
    std::fs::write(&file, "[[profile]]\nname = 'one'\nrewrite_json_links = true\n").unwrap();
    let json = "1".repeat(1_000_000);
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let unfinished = format!("{head}{:x}\r\n{json}\r\n", json.len());
    let upstream = Swallowing::start(Some(unfinished.into_bytes())).await;
    let base_url = upstream.base_url.clone();
    let setup = Setup::launched(|launch| launch.api_at(base_url).flag("config", &file)).await;
    let mut clients = Vec::new();
    for _ in 0..150 {
        clients.push(unread(&setup, "/json").await);
    }
    setup.proxy.idle().await;
    a_good_client_is_served(&setup).await;
    is_within_the_limit(&setup);
}

/// A response whose links were rewritten counts until the client has taken it.
#[tokio::test]
async fn rewritten_json_that_nobody_reads() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("proxy.toml");
    std::fs::write(&file, "[[profile]]\nname = 'one'\nrewrite_json_links = true\n").unwrap();
    let upstream = Server::start(|request| {
        let origin = format!("http://{}", request.only("host").unwrap());
        let json = format!("{{\"_links\":\"{origin}/next\",\"rest\":\"{}\"}}", "1".repeat(1_000_000));
        ok("Content-Type: application/json\r\n", &json)
    })
    .await;
    let base_url = upstream.base_url();
    let launched = Setup::launched(|launch| {
        launch
            .api_at(base_url)
            .flag("config", &file)
            .flag("replay-buffer", "1MiB")
            .flag("replay-memory", "16MiB")
    });
    let setup = launched.await;
    let address = setup.proxy.proxy_address();
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = FrameConnection::client(address, &[]).await;
        for number in 0..100 {
            assert!(client.try_get(2 * number + 1, "/json").await);
        }
        clients.push(client);
    }
    setup.proxy.idle().await;
    assert_eq!(setup.get("/good").await.status(), 200);
    is_within_the_limit(&setup);
}

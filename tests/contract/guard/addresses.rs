//! Names and addresses that callers may use for the proxy.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use super::fetch;
use crate::support::{Launch, RawConnection, Setup, get};

const ME: &str = "GET /api/v2/users/me";

async fn status(setup: &Setup, host: &str) -> u16 {
    fetch(setup, ME, &format!("Host: {host}\r\n")).await.status()
}

#[tokio::test]
async fn one_trailing_dot_of_a_name_counts_on_neither_side() {
    let setup =
        Setup::launched(|launch: Launch| launch.flag("allowed-hosts", "proxy.example,dotted.example.")).await;
    for (host, expected) in [
        ("localhost.", 200),
        ("localhost.:8080", 200),
        ("proxy.example.", 200),
        ("PROXY.example.:80", 200),
        ("dotted.example", 200),
        ("dotted.example.", 200),
        ("proxy.example..", 421),
        ("localhost..", 421),
        (".", 421),
        (".proxy.example", 421),
    ] {
        assert_eq!(status(&setup, host).await, expected, "{host}");
    }
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Monitoring, kubelet and load balancers can use an address only.
#[tokio::test]
async fn the_address_at_which_a_connection_arrives_is_known() {
    let Some(outer) = outer_address() else {
        eprintln!("skipped: this machine has no address but loopback");
        return;
    };
    let setup = Setup::launched(|launch: Launch| {
        launch
            .flag("listen", "0.0.0.0:0")
            .flag("admin-listen", "0.0.0.0:0")
            .flag("allowed-hosts", "proxy.example")
    })
    .await;
    let at = |address: SocketAddr| SocketAddr::new(outer, address.port());
    for (listener, target) in
        [(at(setup.proxy.proxy_address()), "/api/v2/users/me"), (at(setup.proxy.admin_address()), "/livez")]
    {
        for (host, expected) in [
            (outer.to_string(), 200),
            (format!("{outer}:{}", listener.port()), 200),
            ("proxy.example".to_owned(), 200),
            ("192.0.2.1".to_owned(), 421),
            ("0.0.0.0".to_owned(), 421),
            (format!("0.0.0.0:{}", listener.port()), 421),
            ("[::]".to_owned(), 421),
            ("evil.example".to_owned(), 421),
        ] {
            let mut client = RawConnection::to(listener).await;
            let response = client.fetch(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert_eq!(response.status(), expected, "{target} {host}");
        }
    }
    // By loopback, the outer address is another name, and could be any machine's.
    let local = SocketAddr::from(([127, 0, 0, 1], setup.proxy.proxy_address().port()));
    let mut client = RawConnection::to(local).await;
    let response = client.fetch(format!("{ME} HTTP/1.1\r\nHost: {outer}\r\n\r\n")).await;
    assert_eq!(response.status(), 421);
}

#[tokio::test]
async fn the_unspecified_address_is_no_name_of_ours() {
    let setup = Setup::launched(|launch: Launch| {
        launch.flag("listen", "0.0.0.0:0").flag("allowed-hosts", "proxy.example")
    })
    .await;
    let address = SocketAddr::from(([127, 0, 0, 1], setup.proxy.proxy_address().port()));
    for host in ["0.0.0.0", &format!("0.0.0.0:{}", address.port()), "[::]", "[::]:80", "0"] {
        let mut client = RawConnection::to(address).await;
        let response = client.fetch(format!("{ME} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(response.status(), 421, "{host}");
    }
}

#[tokio::test]
async fn localhost_listens_on_both_loopback_addresses() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6 loopback");
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let setup = Setup::launched(|launch: Launch| launch.flag("listen", format!("localhost:{port}"))).await;
    for address in [format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        let mut client = RawConnection::to(address.parse().unwrap()).await;
        assert_eq!(client.fetch(get("/api/v2/users/me")).await.status(), 200, "{address}");
    }
    let event = setup.proxy.event("listening").await;
    let logged = event["proxy"].as_str().unwrap();
    assert!(logged.contains("127.0.0.1") && logged.contains("[::1]"), "{logged}");
}

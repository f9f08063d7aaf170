//! Names that a web page can point to this machine are refused (DNS rebinding), and the proxy is no open
//! proxy.

use super::{fetch, reached};
use crate::support::{Launch, Setup};

const ME: &str = "GET /api/v2/users/me";

async fn statuses(setup: &Setup, hosts: &[&str]) -> Vec<(String, u16)> {
    let mut statuses = Vec::new();
    for host in hosts {
        let status = fetch(setup, ME, &format!("Host: {host}\r\n")).await.status();
        statuses.push(((*host).to_owned(), status));
    }
    statuses
}

fn all(statuses: &[(String, u16)], expected: u16) {
    let others: Vec<_> = statuses.iter().filter(|(_, status)| *status != expected).collect();
    assert!(others.is_empty(), "not {expected}: {others:?}");
}

#[tokio::test]
async fn this_machine_is_known_by_its_own_names() {
    let setup = Setup::new().await;
    let own = [
        "localhost",
        "LOCALHOST:1",
        "localhost.",
        "localhost.:8080",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.8.9.10:8080",
        "[::1]",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]",
    ];
    all(&statuses(&setup, &own).await, 200);
    assert_eq!(reached(&setup), own.len());
}

#[tokio::test]
async fn other_names_are_misdirected() {
    let setup = Setup::new().await;
    let others = [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "evil-localhost",
        "127.0.0.1.evil.example",
        "2130706433",
        "0x7f000001",
        "127.1",
        "0.0.0.0",
        "192.0.2.1",
        "[2001:db8::1]",
        "::1",
        "localhost@evil.example",
        "",
    ];
    all(&statuses(&setup, &others).await, 421);
    assert_eq!(reached(&setup), 0);
}

#[tokio::test]
async fn over_http2_the_authority_counts_and_not_host() {
    let setup = Setup::new().await;
    let client = setup.http2().await;
    for (authority, expected) in [("localhost", 200), ("127.0.0.1:1", 200), ("evil.example", 421)] {
        let head = http::Request::builder().uri(format!("http://{authority}/api/v2/users/me"));
        // A `Host` beside it does not count.
        let head = head.header("host", if expected == 200 { "evil.example" } else { "localhost" });
        let response = client.fetch(head, b"", http::HeaderMap::new()).await.unwrap();
        assert_eq!(response.status, expected, "{authority}");
    }
}

#[tokio::test]
async fn allowed_hosts_are_known_as_well() {
    let setup = Setup::launched(|launch| launch.flag("allowed-hosts", "proxy.example,10.1.2.3")).await;
    let known = ["proxy.example", "PROXY.example:8080", "10.1.2.3:80", "localhost"];
    all(&statuses(&setup, &known).await, 200);
    all(&statuses(&setup, &["sub.proxy.example", "proxy.example.evil.example", "10.1.2.4"]).await, 421);
    let setup = Setup::launched(|launch| launch.flag("allowed-hosts", "*")).await;
    all(&statuses(&setup, &["evil.example", "10.1.2.3"]).await, 200);
}

#[tokio::test]
async fn a_listener_for_all_addresses_is_still_known_by_name_only() {
    let launch = |launch: Launch| launch.flag("listen", "0.0.0.0:0").flag("allowed-hosts", "proxy.example");
    let mut setup = Setup::launched(launch).await;
    let port = setup.proxy.proxy_address().port();
    for (host, expected) in [("proxy.example", 200), ("127.0.0.1", 200), ("192.0.2.1", 421)] {
        let mut client = crate::support::RawConnection::to(([127, 0, 0, 1], port).into()).await;
        let response = client.fetch(format!("{ME} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n")).await;
        assert_eq!(response.status(), expected, "{host}");
    }
    setup.proxy.signal(rustix::process::Signal::TERM);
    assert!(setup.proxy.ended().await.success());
}

#[tokio::test]
async fn exactly_one_host_is_needed() {
    let setup = Setup::new().await;
    for fields in ["", "Host: localhost\r\nHost: localhost\r\n", "Host: localhost\r\nHost: evil.example\r\n"]
    {
        assert_eq!(fetch(&setup, ME, fields).await.status(), 400, "{fields:?}");
    }
    let old = setup.fetch(format!("{ME} HTTP/1.0\r\n\r\n")).await;
    assert_eq!(old.status(), 200, "HTTP/1.0 may do without");
    assert_eq!(reached(&setup), 1);
}

#[tokio::test]
async fn it_is_never_an_open_proxy() {
    let setup = Setup::new().await;
    let proxy = setup.proxy.proxy_address();
    let region = setup.region.address();
    for (target, host, expected) in [
        (format!("http://{proxy}/api/v2/users/me"), "evil.example", 200),
        (format!("HTTP://localhost:{}/api/v2/users/me", proxy.port()), "localhost", 200),
        (format!("http://{region}/api/v2/users/me"), "localhost", 200),
        ("http://evil.example/api/v2/users/me".to_owned(), "localhost", 421),
        (format!("https://{region}/api/v2/users/me"), "localhost", 421),
        ("http://169.254.169.254/latest".to_owned(), "localhost", 421),
        ("ftp://localhost/".to_owned(), "localhost", 400),
        ("http://evil@localhost/".to_owned(), "localhost", 400),
        ("evil".to_owned(), "localhost", 400),
    ] {
        let response = fetch(&setup, &format!("GET {target}"), &format!("Host: {host}\r\n")).await;
        assert_eq!(response.status(), expected, "{target}");
    }
    for target in ["evil.example:443", "localhost:443", &region.to_string(), "/"] {
        let response = fetch(&setup, &format!("CONNECT {target}"), "Host: localhost\r\n").await;
        assert_eq!(response.status(), 405, "{target}");
        assert!(response.only("allow").is_some_and(|allow| !allow.contains("CONNECT")));
    }
    assert_eq!(fetch(&setup, "OPTIONS *", "Host: localhost\r\n").await.status(), 400);
    assert_eq!(reached(&setup), 3);
}

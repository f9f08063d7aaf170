//! `demo` works end to end, as its own text says.

use std::net::SocketAddr;

use rustix::process::Signal;

use crate::support::{Launch, RawConnection, get, request};

/// The address behind the first `http://` after `marker`.
fn address(text: &str, marker: &str) -> SocketAddr {
    let (_, rest) = text.split_once(marker).unwrap_or_else(|| panic!("no {marker:?}: {text}"));
    let (_, rest) = rest.split_once("http://").unwrap();
    rest.split(|c: char| c == '/' || c == ',' || c.is_whitespace()).next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn demo_is_a_region_with_a_proxy_in_front_of_it() {
    let launch = Launch::of("demo")
        .flag("listen", "127.0.0.1:0")
        .flag("admin-listen", "off")
        .flag("log-format", "json")
        // A demonstration needs no credentials, and ignores those that are set.
        .variable("CXONE_BASE_URL", "https://nowhere.invalid")
        .variable("CXONE_CLIENT_ID", "somebody");
    let mut process = launch.start();
    let text = process.output_until("Ctrl-C").await;
    let region = address(&text, "runs at");
    let proxy = address(&text, "curl -i");
    process.event("listening").await;
    assert_eq!(proxy, process.proxy_address());

    let me = RawConnection::to(proxy).await.fetch(get("/api/v2/users/me")).await;
    assert_eq!(me.status(), 200, "{}", me.text());
    let echo = RawConnection::to(proxy).await.fetch(get("//api/v2/echo/a%2Fb?x=1")).await;
    assert_eq!(echo.json()["target"], "//api/v2/echo/a%2Fb?x=1");

    // The lines to paste do what they say.
    let revoked = RawConnection::to(region).await.fetch(request("POST", "/_region/revoke", "", "")).await;
    assert!(revoked.status() < 300, "{}", revoked.start);
    assert_eq!(RawConnection::to(proxy).await.fetch(get("/api/v2/users/me")).await.status(), 200);
    let quota = r#"{"requests":2,"per_ms":1000}"#;
    let changed = RawConnection::to(region).await.fetch(request("POST", "/_region/quota", "", quota)).await;
    assert!(changed.status() < 300, "{} {}", changed.start, changed.text());
    for _ in 0..3 {
        assert_eq!(RawConnection::to(proxy).await.fetch(get("/api/v2/users/me")).await.status(), 200);
    }
    let mut events = RawConnection::to(proxy).await;
    events.send(get("/api/v2/events")).await;
    assert_eq!(events.head().await.unwrap().only("content-type"), Some("text/event-stream"));
    assert!(String::from_utf8(events.chunk().await.unwrap()).unwrap().starts_with("id: 1\n"));
    drop(events);

    process.signal(Signal::INT);
    assert_eq!(process.ended().await.code(), Some(0));
}

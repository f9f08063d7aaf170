//! Section 5: who may use it.

mod addresses;
mod hosts;
mod origins;

use crate::support::{Message, RawConnection, Setup};

/// Sends a request whose field lines are all given, each with its end.
async fn fetch(setup: &Setup, line: &str, fields: &str) -> Message {
    setup.fetch(format!("{line} HTTP/1.1\r\n{fields}\r\n")).await
}

/// How many requests have reached the API.
fn reached(setup: &Setup) -> usize {
    let journal = setup.region.journal();
    journal.iter().filter(|entry| entry.endpoint == cxone_simulator::Endpoint::Api).count()
}

#[tokio::test]
async fn the_same_guard_stands_before_the_admin_listener() {
    let setup = Setup::launched(|launch| launch.flag("allowed-origins", "https://app.example")).await;
    let admin = setup.proxy.admin_address();
    for (fields, expected) in [
        (format!("Host: {admin}\r\n"), 200),
        ("Host: evil.example\r\n".to_owned(), 421),
        ("Host: localhost\r\nOrigin: https://evil.example\r\n".to_owned(), 403),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n".to_owned(), 403),
        ("Host: localhost\r\nOrigin: https://app.example\r\n".to_owned(), 200),
        (String::new(), 400),
    ] {
        for page in ["/livez", "/readyz", "/status", "/metrics"] {
            let mut client = RawConnection::to(admin).await;
            let response = client.fetch(format!("GET {page} HTTP/1.1\r\n{fields}\r\n")).await;
            // Ready or not is another question.
            let status = if response.status() == 503 { 200 } else { response.status() };
            assert_eq!(status, expected, "{page} {fields}");
            let readable = fields.contains("app.example").then_some("https://app.example");
            assert_eq!(response.only("access-control-allow-origin"), readable, "{page} {fields}");
        }
    }
    for (target, expected) in
        [(format!("http://{admin}/livez"), 200), ("http://evil.example/livez".to_owned(), 421)]
    {
        let mut client = RawConnection::to(admin).await;
        let response = client.fetch(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(response.status(), expected, "{target}");
    }
}

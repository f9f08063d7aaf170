//! Section 5: Who may use it.

mod hosts;
mod origins;

use crate::support::{Message, Stage, Wire};

/// Sends a request whose field lines are all given, each with its end.
async fn ask(stage: &Stage, line: &str, fields: &str) -> Message {
    stage.ask(format!("{line} HTTP/1.1\r\n{fields}\r\n")).await
}

/// How many requests have reached the API.
fn reached(stage: &Stage) -> usize {
    let journal = stage.region.journal();
    journal.iter().filter(|entry| entry.endpoint == cxone_proxy::simulator::Endpoint::Api).count()
}

#[tokio::test]
async fn the_same_guard_stands_before_the_admin_listener() {
    let stage = Stage::launched(|launch| launch.flag("allowed-origins", "https://app.example")).await;
    let admin = stage.proxy.admin_address();
    for (fields, due) in [
        (format!("Host: {admin}\r\n"), 200),
        ("Host: evil.example\r\n".to_owned(), 421),
        ("Host: localhost\r\nOrigin: https://evil.example\r\n".to_owned(), 403),
        ("Host: localhost\r\nSec-Fetch-Site: cross-site\r\n".to_owned(), 403),
        ("Host: localhost\r\nOrigin: https://app.example\r\n".to_owned(), 200),
        (String::new(), 400),
    ] {
        for page in ["/livez", "/readyz", "/status", "/metrics"] {
            let mut wire = Wire::to(admin).await;
            let reply = wire.ask(format!("GET {page} HTTP/1.1\r\n{fields}\r\n")).await;
            // Ready or not is another question.
            let status = if reply.status() == 503 { 200 } else { reply.status() };
            assert_eq!(status, due, "{page} {fields}");
            let readable = fields.contains("app.example").then_some("https://app.example");
            assert_eq!(reply.only("access-control-allow-origin"), readable, "{page} {fields}");
        }
    }
    for (target, due) in
        [(format!("http://{admin}/livez"), 200), ("http://evil.example/livez".to_owned(), 421)]
    {
        let mut wire = Wire::to(admin).await;
        let reply = wire.ask(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        assert_eq!(reply.status(), due, "{target}");
    }
}

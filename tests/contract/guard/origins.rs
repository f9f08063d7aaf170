//! No web page may use the proxy unless its origin is allowed; then it may read the responses too.

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script};

use super::{fetch, reached};
use crate::support::{Message, Setup};

const ME: &str = "GET /api/v2/users/me";
const APP: &str = "https://app.example";

async fn allowing() -> Setup {
    Setup::launched(|launch| launch.flag("allowed-origins", format!("{APP},http://other.example:3000"))).await
}

async fn with(setup: &Setup, fields: &str) -> Message {
    fetch(setup, ME, &format!("Host: localhost:8080\r\n{fields}")).await
}

#[tokio::test]
async fn foreign_pages_are_refused() {
    let setup = allowing().await;
    for fields in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: \r\n",
        "Origin: http://app.example\r\n",
        "Origin: https://app.example:444\r\n",
        "Origin: https://app.example.evil.example\r\n",
        "Origin: http://localhost:8081\r\n",
        "Origin: https://localhost:8080\r\n",
        "Origin: https://app.example\r\nOrigin: https://app.example\r\n",
        "Origin: https://app.example, https://evil.example\r\n",
        // `Origin` alone counts.
        "Origin: https://evil.example\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: Cross-Site\r\nSec-Fetch-Mode: navigate\r\n",
    ] {
        let response = with(&setup, fields).await;
        assert_eq!(response.status(), 403, "{fields}");
        assert_eq!(response.only("content-type"), Some("application/problem+json"));
        assert_eq!(response.only("access-control-allow-origin"), None, "{fields}");
    }
    assert_eq!(reached(&setup), 0);
}

#[tokio::test]
async fn clients_that_are_not_foreign_pages_are_served() {
    let setup = allowing().await;
    for fields in [
        "",
        // The very origin that the client addressed.
        "Origin: http://localhost:8080\r\n",
        "Origin: http://LOCALHOST:8080\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
        // Node's `fetch` sends it alone.
        "Sec-Fetch-Mode: cors\r\n",
        // An allowed origin, which alone counts.
        "Origin: https://app.example\r\nSec-Fetch-Site: cross-site\r\n",
        "Origin: http://other.example:3000\r\n",
    ] {
        assert_eq!(with(&setup, fields).await.status(), 200, "{fields}");
    }
}

#[tokio::test]
async fn http2_and_websockets_follow_the_same_rules() {
    let setup = allowing().await;
    let client = setup.http2().await;
    for (origin, expected) in [(APP, 200), ("https://evil.example", 403)] {
        let head = client.request("GET", "/api/v2/users/me").header("origin", origin);
        assert_eq!(client.fetch(head, b"", http::HeaderMap::new()).await.unwrap().status, expected);
    }
    for (origin, expected) in [(APP, 101), ("https://evil.example", 403)] {
        let fields = format!(
            "Host: localhost\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        assert_eq!(fetch(&setup, "GET /api/v2/ws", &fields).await.status(), expected);
    }
}

#[tokio::test]
async fn an_allowed_page_gets_its_preflight_response_from_the_proxy() {
    let setup = allowing().await;
    let preflight = |origin: &str| {
        format!(
            "Host: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n\
             Access-Control-Request-Headers: content-type, x-request-id\r\n"
        )
    };
    let response = fetch(&setup, "OPTIONS /api/v2/users/me", &preflight(APP)).await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.only("access-control-allow-origin"), Some(APP));
    assert_eq!(response.only("access-control-allow-methods"), Some("PUT"));
    assert_eq!(response.only("access-control-allow-headers"), Some("content-type, x-request-id"));
    assert!(response.all("vary").join(",").contains("Origin"));
    let response = fetch(&setup, "OPTIONS /api/v2/users/me", &preflight("https://evil.example")).await;
    assert_eq!(response.status(), 403);
    assert_eq!(reached(&setup), 0);
    // An OPTIONS request that is no preflight is the upstream's.
    fetch(&setup, "OPTIONS /api/v2/echo", &format!("Host: localhost\r\nOrigin: {APP}\r\n")).await;
    assert_eq!(reached(&setup), 1);
}

#[tokio::test]
async fn an_allowed_page_may_read_every_response() {
    let setup = allowing().await;
    let origin = format!("Origin: {APP}\r\n");
    let readable = |response: &Message| {
        assert_eq!(response.only("access-control-allow-origin"), Some(APP), "{}", response.start);
        assert!(response.all("vary").join(",").contains("Origin"), "{}", response.start);
    };
    let response = with(&setup, &origin).await;
    assert_eq!(response.status(), 200);
    readable(&response);

    // The upstream's own field is replaced, except in responses to requests without an origin.
    let own = Canned::new(200).field("Access-Control-Allow-Origin", "*");
    setup.region.script(Script::of([Fault::new(Action::Status(own)).at(Endpoint::Api)]));
    readable(&with(&setup, &origin).await);
    assert_eq!(with(&setup, "").await.only("access-control-allow-origin"), Some("*"));

    // The proxy's own errors.
    let response = fetch(&setup, ME, &format!("Host: evil.example\r\n{origin}")).await;
    assert_eq!(response.status(), 421);
    readable(&response);
    setup.region.kill().await;
    let response = with(&setup, &origin).await;
    assert_eq!(response.status(), 502);
    readable(&response);
}

#[tokio::test]
async fn no_page_is_allowed_unless_it_is_configured() {
    let setup = Setup::new().await;
    let response = with(&setup, &format!("Origin: {APP}\r\n")).await;
    assert_eq!(response.status(), 403);
    assert_eq!(with(&setup, "").await.only("access-control-allow-origin"), None);
}

//! No web page may use the proxy, unless its origin is allowed; then it may read the answers too.

use cxone_proxy::simulator::{Action, Canned, Endpoint, Fault, Script};

use super::{ask, reached};
use crate::support::{Message, Stage};

const ME: &str = "GET /api/v2/users/me";
const APP: &str = "https://app.example";

async fn allowing() -> Stage {
    Stage::launched(|launch| launch.flag("allowed-origins", format!("{APP},http://other.example:3000"))).await
}

async fn with(stage: &Stage, fields: &str) -> Message {
    ask(stage, ME, &format!("Host: localhost:8080\r\n{fields}")).await
}

#[tokio::test]
async fn foreign_pages_are_refused() {
    let stage = allowing().await;
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
        // Judged by `Origin` alone.
        "Origin: https://evil.example\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: Cross-Site\r\nSec-Fetch-Mode: navigate\r\n",
    ] {
        let reply = with(&stage, fields).await;
        assert_eq!(reply.status(), 403, "{fields}");
        assert_eq!(reply.only("content-type"), Some("application/problem+json"));
        assert_eq!(reply.only("access-control-allow-origin"), None, "{fields}");
    }
    assert_eq!(reached(&stage), 0);
}

#[tokio::test]
async fn clients_that_are_no_foreign_page_are_served() {
    let stage = allowing().await;
    for fields in [
        "",
        // The very origin that the client addressed.
        "Origin: http://localhost:8080\r\n",
        "Origin: http://LOCALHOST:8080\r\nSec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
        // Node's `fetch` sends it alone.
        "Sec-Fetch-Mode: cors\r\n",
        // An allowed one, judged by that alone.
        "Origin: https://app.example\r\nSec-Fetch-Site: cross-site\r\n",
        "Origin: http://other.example:3000\r\n",
    ] {
        assert_eq!(with(&stage, fields).await.status(), 200, "{fields}");
    }
}

#[tokio::test]
async fn http2_and_websockets_are_judged_alike() {
    let stage = allowing().await;
    let client = stage.http2().await;
    for (origin, due) in [(APP, 200), ("https://evil.example", 403)] {
        let head = client.request("GET", "/api/v2/users/me").header("origin", origin);
        assert_eq!(client.ask(head, b"", http::HeaderMap::new()).await.unwrap().status, due);
    }
    for (origin, due) in [(APP, 101), ("https://evil.example", 403)] {
        let fields = format!(
            "Host: localhost\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        assert_eq!(ask(&stage, "GET /api/v2/ws", &fields).await.status(), due);
    }
}

#[tokio::test]
async fn an_allowed_page_gets_its_preflight_answered_here() {
    let stage = allowing().await;
    let preflight = |origin: &str| {
        format!(
            "Host: localhost\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\n\
             Access-Control-Request-Headers: content-type, x-request-id\r\n"
        )
    };
    let reply = ask(&stage, "OPTIONS /api/v2/users/me", &preflight(APP)).await;
    assert_eq!(reply.status(), 204);
    assert_eq!(reply.only("access-control-allow-origin"), Some(APP));
    assert_eq!(reply.only("access-control-allow-methods"), Some("PUT"));
    assert_eq!(reply.only("access-control-allow-headers"), Some("content-type, x-request-id"));
    assert!(reply.all("vary").join(",").contains("Origin"));
    let reply = ask(&stage, "OPTIONS /api/v2/users/me", &preflight("https://evil.example")).await;
    assert_eq!(reply.status(), 403);
    assert_eq!(reached(&stage), 0);
    // An OPTIONS request that is no preflight is the upstream's.
    ask(&stage, "OPTIONS /api/v2/echo", &format!("Host: localhost\r\nOrigin: {APP}\r\n")).await;
    assert_eq!(reached(&stage), 1);
}

#[tokio::test]
async fn an_allowed_page_may_read_every_answer() {
    let stage = allowing().await;
    let origin = format!("Origin: {APP}\r\n");
    let readable = |reply: &Message| {
        assert_eq!(reply.only("access-control-allow-origin"), Some(APP), "{}", reply.start);
        assert!(reply.all("vary").join(",").contains("Origin"), "{}", reply.start);
    };
    let reply = with(&stage, &origin).await;
    assert_eq!(reply.status(), 200);
    readable(&reply);

    // The upstream's own word is replaced, but for those who did not ask with an origin.
    let own = Canned::new(200).field("Access-Control-Allow-Origin", "*");
    stage.region.script(Script::of([Fault::new(Action::Status(own)).at(Endpoint::Api)]));
    readable(&with(&stage, &origin).await);
    assert_eq!(with(&stage, "").await.only("access-control-allow-origin"), Some("*"));

    // The proxy's own errors.
    let reply = ask(&stage, ME, &format!("Host: evil.example\r\n{origin}")).await;
    assert_eq!(reply.status(), 421);
    readable(&reply);
    stage.region.kill().await;
    let reply = with(&stage, &origin).await;
    assert_eq!(reply.status(), 502);
    readable(&reply);
}

#[tokio::test]
async fn no_page_is_allowed_unless_it_is_configured() {
    let stage = Stage::new().await;
    let reply = with(&stage, &format!("Origin: {APP}\r\n")).await;
    assert_eq!(reply.status(), 403);
    assert_eq!(with(&stage, "").await.only("access-control-allow-origin"), None);
}

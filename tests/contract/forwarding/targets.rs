//! Method, path and query reach the upstream byte for byte, after the base URL's path prefix.

use crate::support::{Stage, get};

#[tokio::test]
async fn targets_arrive_byte_for_byte() {
    let stage = Stage::new().await;
    let mut wire = stage.wire().await;
    let long = format!("/api/v2/echo?{}", "x".repeat(60 * 1024));
    for target in [
        "/api/v2/echo",
        "//api///v2//echo",
        "/api/v2/echo/a%2Fb%2fc",
        "/api/v2/echo/MiXeD?Q=CaSe&q=case&q=again",
        "/api/v2/echo/{id}|a^b`c\"d<e>",
        "/api/v2/echo/../echo/./x;v=1",
        "/api/v2/echo?",
        "/api/v2/echo??&&==",
        "/api/v2/echo?a=%zz&b=%",
        "/api/v2/echo/#fragment",
        "/api/v2/echo?url=http://a/b?c",
        &long,
    ] {
        let reply = wire.ask(get(target)).await;
        assert_eq!(reply.status(), 200, "{target}");
        assert_eq!(reply.json()["target"], target);
    }
}

//! Method, path and query reach the upstream byte for byte, after the base URL's path prefix.

use cxone_proxy::simulator::Settings;

use crate::support::{Stage, Upstream, get, request};

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

#[tokio::test]
async fn raw_utf_8_in_a_target_arrives_as_it_is() {
    let stage = Stage::new().await;
    let reply = stage.get("/api/v2/echo/é?q=ü→").await;
    let target = reply.json()["target"].as_str().unwrap().to_owned();
    // The region shows each byte as the character of the same number.
    let bytes: Vec<u8> = target.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect();
    assert_eq!(String::from_utf8(bytes).unwrap(), "/api/v2/echo/é?q=ü→");
}

#[tokio::test]
async fn the_base_url_s_path_prefix_comes_first() {
    let settings = Settings { path_prefix: "/tenant-7".to_owned(), ..Settings::default() };
    // One trailing slash of the base URL is dropped.
    let stage = Stage::with(settings, |launch| {
        let base_url = launch.value("CXONE_BASE_URL").unwrap().to_str().unwrap().to_owned();
        launch.variable("CXONE_BASE_URL", base_url + "/")
    })
    .await;
    for (target, arrives) in
        [("/api/v2/echo?a", "/tenant-7/api/v2/echo?a"), ("//api/v2/echo", "/tenant-7//api/v2/echo")]
    {
        assert_eq!(stage.get(target).await.json()["target"], arrives);
    }
}

#[tokio::test]
async fn any_method_passes_and_keeps_its_case() {
    let stage = Stage::new().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get", "M-SEARCH"] {
        let reply = stage.ask(request(method, "/api/v2/echo", "", "")).await;
        assert_eq!(reply.json()["method"], method);
    }
}

#[tokio::test]
async fn a_root_target_and_a_query_alone_are_not_changed() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    for target in ["/", "/?", "//", "/?a"] {
        let mut client = stage.wire().await;
        client.send(get(target)).await;
        let mut far = upstream.accept().await;
        assert_eq!(far.request().await.unwrap().target(), target);
        far.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.reply().await.unwrap().status(), 204);
    }
}

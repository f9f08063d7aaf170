//! Method, path and query reach the upstream byte for byte, after the base URL's path prefix.

use cxone_simulator::{Alpn, Endpoint, Settings, Tls};
use serde_json::Value;

use crate::support::{Setup, Upstream, get, request};

#[tokio::test]
async fn targets_arrive_byte_for_byte() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    let long = format!("/api/v2/echo?{}", "x".repeat(60 * 1024));
    for target in [
        "/api/v2/echo",
        "//api///v2//echo",
        "/api/v2/echo/a%2Fb%2fc",
        "/api/v2/echo/MiXeD?Q=CaSe&q=case&q=again",
        "/api/v2/echo/../echo/./x;v=1",
        "/api/v2/echo?",
        "/api/v2/echo??&&==",
        "/api/v2/echo?a=%zz&b=%",
        "/api/v2/echo/!$&'()*+,;=:@-._~",
        "/api/v2/echo?url=http://a/b?c",
        &long,
    ] {
        let response = client.fetch(get(target)).await;
        assert_eq!(response.status(), 200, "{target}");
        assert_eq!(response.json()["target"], target);
    }
}

/// Bytes that RFC 3986 does not allow, but that old clients send.
const ODD: &str = "\"<>`^{|}\\";

/// The same target with every odd byte percent-encoded. Each of these bytes may arrive in this form, or as it was
/// sent.
fn encoded(target: &str) -> String {
    let byte = |byte: u8| {
        let is_odd = !byte.is_ascii() || ODD.as_bytes().contains(&byte);
        if is_odd { format!("%{byte:02X}") } else { char::from(byte).to_string() }
    };
    target.bytes().map(byte).collect()
}

/// The target that arrived, as bytes: the region shows each byte as the character of the same number.
fn arrived(echo: &Value) -> String {
    let target = echo["target"].as_str().unwrap();
    String::from_utf8(target.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()).unwrap()
}

#[tokio::test]
async fn bytes_that_no_target_may_have_are_served_unchanged_or_percent_encoded() {
    let http2 = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
    for tls in [None, Some(Tls::default()), Some(http2)] {
        let setup = Setup::of(Settings { tls, ..Settings::default() }).await;
        let mut client = setup.connect().await;
        for target in [
            "/api/v2/echo/{id}|a^b`c\"d<e>",
            "/api/v2/echo?filter={\"a\":[1,2],\"b\":\"<>\"}",
            "/api/v2/echo/a\\b?c\\d",
            "/api/v2/echo/é?q=ü→",
            "/api/v2/echo/[1]?[2]",
        ] {
            let response = client.fetch(get(target)).await;
            assert_eq!(response.status(), 200, "{target}");
            let arrived = arrived(&response.json());
            // Byte by byte, as hyper carries some of them and not others.
            assert_eq!(encoded(&arrived), encoded(target), "{target} arrived as {arrived}");
        }
        assert_eq!(setup.region.referee(), []);
    }
}

#[tokio::test]
async fn a_fragment_in_a_target_is_400() {
    let setup = Setup::new().await;
    for target in ["/api/v2/echo/#fragment", "/api/v2/echo?q#", "/#", "#"] {
        assert_eq!(setup.get(target).await.status(), 400, "{target}");
    }
    let api = setup.region.journal().into_iter().filter(|entry| entry.endpoint == Endpoint::Api);
    assert_eq!(api.count(), 0, "nothing was cut off and served");
}

#[tokio::test]
async fn the_base_url_s_path_prefix_comes_first() {
    let settings = Settings { path_prefix: "/tenant-7".to_owned(), ..Settings::default() };
    // One trailing slash of the base URL is dropped.
    let setup = Setup::with(settings, |launch| {
        let base_url = launch.value("CXONE_BASE_URL").unwrap().to_str().unwrap().to_owned();
        launch.variable("CXONE_BASE_URL", base_url + "/")
    })
    .await;
    for (target, arrives) in
        [("/api/v2/echo?a", "/tenant-7/api/v2/echo?a"), ("//api/v2/echo", "/tenant-7//api/v2/echo")]
    {
        assert_eq!(setup.get(target).await.json()["target"], arrives);
    }
}

#[tokio::test]
async fn any_method_passes_and_keeps_its_case() {
    let setup = Setup::new().await;
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "get", "M-SEARCH"] {
        let response = setup.fetch(request(method, "/api/v2/echo", "", "")).await;
        assert_eq!(response.json()["method"], method);
    }
}

#[tokio::test]
async fn a_root_target_and_a_query_alone_are_not_changed() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for target in ["/", "/?", "//", "/?a"] {
        let mut client = setup.connect().await;
        client.send(get(target)).await;
        let mut connection = upstream.accept().await;
        assert_eq!(connection.request().await.unwrap().target(), target);
        connection.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        assert_eq!(client.response().await.unwrap().status(), 204);
    }
}

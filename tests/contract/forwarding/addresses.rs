//! Addresses in requests and responses: absolute form, `CONNECT`, `Location`, cookies.

use cxone_simulator::Settings;

use crate::support::{Launch, Message, Setup, Upstream};

/// Sends a request line and `Host` to a program in front of a region with the prefix `/tenant-7`.
async fn asked(setup: &Setup, request_line: &str, host: &str) -> Message {
    setup.fetch(format!("{request_line} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
}

async fn prefixed() -> Setup {
    Setup::of(Settings { path_prefix: "/tenant-7".to_owned(), ..Settings::default() }).await
}

#[tokio::test]
async fn in_absolute_form_the_authority_of_the_target_counts_instead_of_host() {
    let setup = prefixed().await;
    let proxy = setup.proxy.proxy_address();
    let upstream = setup.region.address();
    for authority in [proxy.to_string(), "LocalHost".to_owned(), upstream.to_string()] {
        let response = asked(&setup, &format!("GET http://{authority}/api/v2/echo?q"), "evil.example").await;
        assert_eq!(response.status(), 200, "{authority}");
        assert_eq!(response.json()["target"], "/tenant-7/api/v2/echo?q", "{authority}");
    }
    for (target, expected) in [
        ("http://evil.example/api/v2/echo".to_owned(), 421),
        ("http://evil.example/".to_owned(), 421),
        (format!("https://{upstream}/api/v2/echo"), 421),
        (format!("http://127.0.0.1.evil.example:{}/api/v2/echo", upstream.port()), 421),
    ] {
        let response = asked(&setup, &format!("GET {target}"), "localhost").await;
        assert_eq!(response.status(), expected, "{target}");
    }
    // This is no port, so the request is malformed, or it is for another host.
    let odd = asked(&setup, &format!("GET http://{proxy}.evil.example/"), "localhost").await;
    assert!(matches!(odd.status(), 400 | 421), "{}", odd.start);
    assert_eq!(setup.region.journal().iter().filter(|entry| entry.grant.is_none()).count(), 3);
}

#[tokio::test]
async fn an_absolute_target_s_path_counts_after_the_prefix_like_any_other() {
    let setup = prefixed().await;
    let target = format!("GET http://{}/tenant-7/api/v2/echo", setup.region.address());
    asked(&setup, &target, "localhost").await;
    let targets: Vec<_> = setup.region.journal().into_iter().map(|entry| entry.target).collect();
    assert!(targets.contains(&"/tenant-7/tenant-7/api/v2/echo".to_owned()), "{targets:?}");
}

#[tokio::test]
async fn connect_is_405_and_options_asterisk_400() {
    let setup = Setup::new().await;
    let upstream = setup.region.address();
    for target in [upstream.to_string(), "localhost:443".to_owned(), "evil.example:443".to_owned()] {
        let response = asked(&setup, &format!("CONNECT {target}"), &target).await;
        assert_eq!(response.status(), 405, "{target}");
        assert_eq!(response.only("Proxy-Status"), Some("cxone-proxy; error=http_request_denied"));
    }
    assert_eq!(asked(&setup, "OPTIONS *", "localhost").await.status(), 400);

    let http2 = setup.http2().await;
    let connect = http::Request::builder().method("CONNECT").uri(upstream.to_string());
    assert_eq!(http2.fetch(connect, b"", http::HeaderMap::new()).await.unwrap().status, 405);
    let options = http2.request("OPTIONS", "").uri("*").header("host", "localhost");
    assert_eq!(http2.fetch(options, b"", http::HeaderMap::new()).await.unwrap().status, 400);
    assert_eq!(setup.region.journal().iter().filter(|entry| entry.grant.is_none()).count(), 0);
}

#[tokio::test]
async fn locations_at_the_upstream_become_locations_at_the_proxy() {
    let setup = prefixed().await;
    let proxy = setup.proxy.proxy_address();
    let at = async |query: &str, host: &str| {
        let response = asked(&setup, &format!("GET /api/v2/redirect?{query}"), host).await;
        assert_eq!(response.status(), 302);
        assert_eq!(response.only("Location"), response.only("Content-Location"));
        response.only("Location").unwrap().to_owned()
    };
    // The origin is the one that the client used.
    for host in [proxy.to_string(), format!("localhost:{}", proxy.port())] {
        assert_eq!(at("to=/a//b%3Fc", &host).await, format!("http://{host}/a//b?c"));
    }
    assert_eq!(at("form=path&to=/x", "localhost").await, "/x");
    let scheme = at("form=scheme&to=/x", "localhost").await;
    assert_eq!(scheme, format!("https://{}/tenant-7/x", setup.region.address()));
    assert_eq!(at("form=foreign&to=/x", "localhost").await, "https://elsewhere.example/x");
}

#[tokio::test]
async fn locations_beside_the_prefix_are_left_alone() {
    let upstream = Upstream::start().await;
    let base_url = format!("{}/tenant-7", upstream.base_url());
    let setup = upstream.setup(|launch| launch.variable("CXONE_BASE_URL", &base_url)).await;
    let mut client = setup.connect().await;
    let mut connection = None;
    for (location, expected) in [
        ("/tenant-7/a", "/a"),
        ("/tenant-7", "/"),
        ("/tenant-7?q", "/?q"),
        ("/tenant-77/a", "/tenant-77/a"),
        ("/other", "/other"),
        ("relative", "relative"),
        ("?q", "?q"),
        ("BASE/tenant-7/a", "http://localhost/a"),
        ("BASE/tenant-7", "http://localhost"),
        ("BASE/other", "BASE/other"),
        ("//HOST/tenant-7/a", "http://localhost/a"),
    ] {
        let fill = |text: &str| {
            text.replace("BASE", &upstream.base_url()).replace("HOST", &upstream.address().to_string())
        };
        client.send(crate::support::get("/")).await;
        let connection = match &mut connection {
            None => connection.insert(upstream.accept().await),
            Some(connection) => connection,
        };
        connection.request().await.unwrap();
        let location = fill(location);
        connection
            .send(format!("HTTP/1.1 201 Created\r\nContent-Length: 0\r\nLocation: {location}\r\n\r\n"))
            .await;
        let relayed = client.response().await.unwrap();
        assert_eq!(relayed.only("Location"), Some(fill(expected).as_str()), "{location}");
    }
}

#[tokio::test]
async fn cookies_are_made_such_that_a_client_of_a_plain_listener_keeps_them() {
    let setup = Setup::new().await;
    let response = setup.get("/api/v2/cookies").await;
    let cookies = response.all("Set-Cookie");
    assert_eq!(
        cookies,
        [
            "plain=1; Path=/",
            "domain=2; Path=/api; HttpOnly",
            "secure=3; Path=/",
            "__Host-strict=4; Secure; Path=/",
            "foreign=5; Domain=elsewhere.example; Path=/",
        ]
    );
}

#[tokio::test]
async fn cookie_attributes_are_known_in_any_case_and_values_are_never_touched() {
    let upstream = Upstream::start().await;
    let port = upstream.address().port();
    // The host has a name, so that a cookie's domain can cover it.
    let setup = upstream
        .setup(|launch: Launch| launch.variable("CXONE_BASE_URL", format!("http://localhost:{port}")));
    let setup = setup.await;
    let mut client = setup.connect().await;
    client.send(crate::support::get("/")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection
        .send(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\
         Set-Cookie: a=\"Secure; x\"; DOMAIN=.localhost ;secure;SameSite=none; Max-Age=1\r\n\
         Set-Cookie: b=Domain=localhost; SameSite=Lax; Secure\r\n\
         Set-Cookie: __Secure-c=1; Secure; Domain=localhost\r\n\
         Set-Cookie: d=1; Domain=notlocalhost\r\n\r\n",
        )
        .await;
    let relayed = client.response().await.unwrap();
    let cookies: Vec<_> =
        relayed.all("Set-Cookie").into_iter().map(|cookie| cookie.replace("; ", ";")).collect();
    assert_eq!(
        cookies,
        [
            "a=\"Secure;x\";Max-Age=1",
            "b=Domain=localhost;SameSite=Lax",
            "__Secure-c=1;Secure;Domain=localhost",
            "d=1;Domain=notlocalhost",
        ]
    );
}

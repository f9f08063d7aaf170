//! An upstream over TLS: HTTP/1.1 and HTTP/2 by ALPN, trust, and the forward proxy.

use cxone_simulator::{
    Action, Alpn, Canned, Endpoint, Fault, Quota, Region, Rest, Script, Settings, Tls, pattern,
};
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, join, sink, split};

use crate::support::{ForwardProxy, Launch, RawConnection, Setup, get, request, serve};

fn over(alpn: &[Alpn]) -> Settings {
    Settings { tls: Some(Tls { alpn: alpn.to_vec(), ..Tls::default() }), ..Settings::default() }
}

/// What the API is spoken to in; token requests need HTTP/1.1 in any case.
const BOTH: [(&[Alpn], &str); 2] = [(&[Alpn::Http1], "HTTP/1.1"), (&[Alpn::Http2, Alpn::Http1], "HTTP/2")];

#[tokio::test]
async fn alpn_decides_what_is_spoken() {
    for (alpn, protocol) in BOTH {
        let setup = Setup::of(over(alpn)).await;
        let mut client = setup.connect().await;
        for _ in 0..2 {
            let fields = "X-A: 1\r\nx-b: 2\r\nX-A: 3\r\nTE: trailers\r\nConnection: X-Gone\r\nX-Gone: 1\r\n";
            let response = client.fetch(request("PUT", "//api/v2/echo/a%2Fb?c=;d", fields, "hello")).await;
            assert_eq!((response.status(), response.only("Content-Type")), (200, Some("application/json")));
            let echo = response.json();
            assert_eq!((&echo["protocol"], &echo["method"]), (&protocol.into(), &"PUT".into()));
            assert_eq!(echo["target"], "//api/v2/echo/a%2Fb?c=;d");
            assert_eq!(echo["body"]["bytes"], 5);
            let fields = echo["fields"].to_string().to_ascii_lowercase();
            for line in ["[\"x-a\",\"1\"]", "[\"x-b\",\"2\"]", "[\"x-a\",\"3\"]", "[\"te\",\"trailers\"]"] {
                assert!(fields.contains(line), "{line}: {fields}");
            }
            assert!(!fields.contains("x-gone"), "{fields}");
        }
        assert_eq!(setup.proxy.events().iter().filter(|event| event["level"] == "ERROR").count(), 0);
    }
}

#[tokio::test]
async fn large_bodies_pass_over_tls_in_both_directions() {
    for (alpn, protocol) in BOTH {
        let setup = Setup::of(over(alpn)).await;
        let body: Vec<u8> = pattern(0, 65_000).iter().copied().cycle().take(2_000_000).collect();
        let mut client = setup.connect().await;
        let head = "POST /api/v2/echo-body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n";
        client.send(head).await;
        let (read, mut write) = split(client.into_parts().0);
        let sent = body.clone();
        let sending = tokio::spawn(async move {
            write.write_all(&sent).await.unwrap();
            write
        });
        let response = RawConnection::over(join(read, sink())).response().await.unwrap();
        assert_eq!(response.only("Content-Length"), Some("2000000"), "{protocol}");
        assert!(response.body == body, "the body was changed over {protocol}");
        sending.await.unwrap();
    }
}

#[tokio::test]
async fn announced_trailers_pass_over_tls_in_both_directions() {
    for (alpn, protocol) in BOTH {
        let setup = Setup::of(over(alpn)).await;
        let mut client = setup.connect().await;
        let response = client
            .fetch(
                "POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
                 Trailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\
                 Authorization: Basic YTpi\r\n\r\n",
            )
            .await;
        let arrived = response.json()["trailers"].to_string().to_ascii_lowercase();
        assert_eq!(arrived, r#"[["x-sum","1"],["x-sum","2"]]"#, "{protocol}");
        let response = client.fetch(request("GET", "/api/v2/trailers", "TE: trailers\r\n", "")).await;
        let expected = [("x-checksum", "onetwo"), ("x-repeated", "first"), ("x-repeated", "second")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(response.lower_case_trailers(), expected, "{protocol}");
    }
}

#[tokio::test]
async fn a_401_in_the_middle_of_an_upload_over_tls_renews_the_token() {
    for (alpn, protocol) in BOTH {
        let setup = Setup::of(over(alpn)).await;
        let answer = Canned::new(401).field("WWW-Authenticate", "Bearer").body("no");
        let fault = Fault::new(Action::EarlyResponse { response: answer, read: 100_000, rest: Rest::Linger });
        setup.region.script(Script::of([fault.at(Endpoint::Api).times(1)]));
        let mut client = setup.connect().await;
        client.send("POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: 1\r\n").await;
        client.send("Transfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..20 {
            client.send_chunk("x".repeat(10_000)).await;
        }
        client.send("0\r\nX-Sum: 1\r\n\r\n").await;
        let response = client.response().await.unwrap();
        assert_eq!((response.status(), &response.json()["bytes"]), (200, &200_000.into()), "{protocol}");
        assert_eq!(setup.region.token_requests(), 2, "{protocol}");
    }
}

#[tokio::test]
async fn a_429_over_tls_is_waited_for() {
    for (alpn, protocol) in BOTH {
        let quota = Quota::new(1, Duration::from_secs(1));
        let setup = Setup::of(Settings { quotas: vec![quota], ..over(alpn) }).await;
        for number in 0..2 {
            let fields = format!("X-Request-Id: {number}\r\n");
            let response = setup.fetch(request("POST", "/api/v2/upload", &fields, "hello")).await;
            assert_eq!((response.status(), &response.json()["bytes"]), (200, &5.into()), "{protocol}");
        }
    }
}

#[tokio::test]
async fn two_hundred_first_requests_need_few_http_2_connections() {
    let setup = Setup::of(over(&[Alpn::Http2, Alpn::Http1])).await;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..200 {
        let mut client = setup.connect().await;
        asking.spawn(async move { client.fetch(get(&format!("/api/v2/users/{number}"))).await.status() });
    }
    while let Some(status) = asking.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    let api: std::collections::HashSet<_> = setup
        .region
        .journal()
        .into_iter()
        .filter(|entry| entry.endpoint == Endpoint::Api)
        .map(|entry| entry.connection)
        .collect();
    // One for each of the program's cores, and one more where the region's limit of streams is met.
    assert!(api.len() <= 2 * std::thread::available_parallelism().unwrap().get(), "{}", api.len());
}

#[tokio::test]
async fn an_untrusted_certificate_is_502_and_nothing_is_sent() {
    let untrusted = Region::start(over(&[Alpn::Http1])).await.unwrap();
    let tokens = Setup::new().await;
    let program = serve(&untrusted.base_url()).variable("CXONE_TOKEN_URL", tokens.region.token_url());
    let proxy = program.listening().await;
    let response = RawConnection::to(proxy.proxy_address()).await.fetch(get("/api/v2/users/me")).await;
    assert_eq!(response.status(), 502);
    assert!(response.json()["hint"].as_str().unwrap().contains("CXONE_CA_FILE"), "{}", response.text());
    assert!(untrusted.journal().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_502() {
    let tls = Tls { names: vec!["other.example".to_owned()], ..Tls::default() };
    let tokens = Setup::new().await;
    let token_url = tokens.region.token_url();
    let settings = Settings { tls: Some(tls), ..Settings::default() };
    let setup = Setup::with(settings, |launch| launch.variable("CXONE_TOKEN_URL", token_url)).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 502);
    assert!(setup.region.journal().is_empty());
}

/// A region that is called `api.example`, and can be reached through `forward_proxy` only.
async fn behind(
    forward_proxy: impl AsyncFnOnce(&Region) -> ForwardProxy,
    user_info: &str,
) -> (Region, ForwardProxy, crate::support::Process) {
    let tls = Tls { names: vec!["api.example".to_owned()], alpn: vec![Alpn::Http2, Alpn::Http1] };
    let region = Region::start(Settings { tls: Some(tls), ..Settings::default() }).await.unwrap();
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("ca.pem");
    std::fs::write(&path, region.ca_pem().unwrap()).unwrap();
    let forward_proxy = forward_proxy(&region).await;
    let launch = serve("https://api.example")
        .flag("ca-file", &path)
        .variable("HTTPS_PROXY", forward_proxy.url(user_info));
    let process = launch.listening().await;
    (region, forward_proxy, process)
}

#[tokio::test]
async fn https_proxy_is_used_for_the_api_and_for_the_token_endpoint() {
    for (user_info, expected) in [("", None), ("me:p%40ss@", Some("Basic bWU6cEBzcw=="))] {
        let (region, forward_proxy, proxy) =
            behind(async |region| ForwardProxy::start(region.address(), None).await, user_info).await;
        let response = RawConnection::to(proxy.proxy_address()).await.fetch(get("/api/v2/echo")).await;
        assert_eq!((response.status(), &response.json()["protocol"]), (200, &"HTTP/2".into()));
        let seen = forward_proxy.requests();
        assert_eq!(seen.len(), 2, "{seen:?}");
        for head in seen {
            assert_eq!(head.start, "CONNECT api.example:443 HTTP/1.1");
            assert_eq!(head.only("Proxy-Authorization"), expected);
        }
        let arrived = response.text().to_ascii_lowercase();
        assert!(!arrived.contains("proxy-authorization"), "{arrived}");
        assert_eq!(region.referee(), []);
    }
}

#[tokio::test]
async fn a_refusal_by_the_forward_proxy_is_502_and_names_it() {
    let tokens = Setup::new().await;
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
    let forward_proxy = ForwardProxy::start(tokens.region.address(), Some(refusal)).await;
    let program = serve("https://api.example")
        .variable("CXONE_TOKEN_URL", tokens.region.token_url())
        .variable("https_proxy", forward_proxy.url(""));
    let proxy = program.listening().await;
    let response = RawConnection::to(proxy.proxy_address()).await.fetch(get("/api/v2/users/me")).await;
    assert_eq!(response.status(), 502);
    assert!(
        response.text().contains("407") && response.text().contains("https_proxy"),
        "{}",
        response.text()
    );
    assert_eq!(response.only("Proxy-Authenticate"), None);
}

#[tokio::test]
async fn no_proxy_and_loopback_are_reached_without_the_forward_proxy() {
    let tokens = Setup::new().await;
    let forward_proxy = ForwardProxy::start(tokens.region.address(), None).await;
    let through = |launch: Launch| launch.variable("HTTPS_PROXY", forward_proxy.url(""));

    // Loopback never goes to a proxy, whatever the variables say.
    let local = Setup::with(over(&[Alpn::Http1]), through).await;
    assert_eq!(local.get("/api/v2/users/7").await.status(), 200);

    // No host has this address of RFC 5737; the test is whether the forward proxy was asked.
    let program = through(serve("https://192.0.2.1"))
        .variable("NO_PROXY", "other.example,192.0.2.0/24")
        .variable("CXONE_TOKEN_URL", tokens.region.token_url())
        .flag("connect-timeout", "200ms");
    let proxy = program.listening().await;
    let response = RawConnection::to(proxy.proxy_address()).await.fetch(get("/api/v2/users/me")).await;
    assert!(matches!(response.status(), 502 | 504), "{}", response.start);
    assert_eq!(forward_proxy.requests().len(), 0);
}

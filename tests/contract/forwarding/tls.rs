//! An upstream over TLS: HTTP/1.1 and HTTP/2 by ALPN, whom to trust, and the way through a proxy.

use cxone_proxy::simulator::{
    Action, Alpn, Canned, Endpoint, Fault, Quota, Region, Rest, RetryAfterForm, Script, Settings, Tls,
    pattern,
};
use std::time::Duration;
use tokio::io::{AsyncWriteExt as _, join, sink, split};

use crate::support::{Launch, Stage, Tunnels, Wire, get, request, serve};

fn over(alpn: &[Alpn]) -> Settings {
    Settings { tls: Some(Tls { alpn: alpn.to_vec(), ..Tls::default() }), ..Settings::default() }
}

/// What the API is spoken to in; token requests need HTTP/1.1 in any case.
const BOTH: [(&[Alpn], &str); 2] = [(&[Alpn::Http1], "HTTP/1.1"), (&[Alpn::Http2, Alpn::Http1], "HTTP/2")];

#[tokio::test]
async fn alpn_decides_what_is_spoken() {
    for (alpn, protocol) in BOTH {
        let stage = Stage::of(over(alpn)).await;
        let mut client = stage.wire().await;
        for _ in 0..2 {
            let fields = "X-A: 1\r\nx-b: 2\r\nX-A: 3\r\nTE: trailers\r\nConnection: X-Gone\r\nX-Gone: 1\r\n";
            let reply = client.ask(request("PUT", "//api/v2/echo/a%2Fb?{|}", fields, "hello")).await;
            assert_eq!((reply.status(), reply.only("Content-Type")), (200, Some("application/json")));
            let echo = reply.json();
            assert_eq!((&echo["protocol"], &echo["method"]), (&protocol.into(), &"PUT".into()));
            assert_eq!(echo["target"], "//api/v2/echo/a%2Fb?{|}");
            assert_eq!(echo["body"]["bytes"], 5);
            let fields = echo["fields"].to_string().to_ascii_lowercase();
            for line in ["[\"x-a\",\"1\"]", "[\"x-b\",\"2\"]", "[\"x-a\",\"3\"]", "[\"te\",\"trailers\"]"] {
                assert!(fields.contains(line), "{line}: {fields}");
            }
            assert!(!fields.contains("x-gone"), "{fields}");
        }
        assert_eq!(stage.proxy.events().iter().filter(|event| event["level"] == "ERROR").count(), 0);
    }
}

#[tokio::test]
async fn a_target_that_http_2_cannot_carry_goes_over_http_1_1() {
    let stage = Stage::of(over(&[Alpn::Http2, Alpn::Http1])).await;
    let reply = stage.get("/api/v2/echo/#fragment").await;
    assert_eq!(reply.json()["protocol"], "HTTP/1.1");
    assert_eq!(reply.json()["target"], "/api/v2/echo/#fragment");
    let reply = stage.get("/api/v2/echo/é").await;
    assert_eq!(reply.json()["target"], "/api/v2/echo/\u{c3}\u{a9}");
}

#[tokio::test]
async fn large_bodies_pass_over_tls_in_both_directions() {
    for (alpn, protocol) in BOTH {
        let stage = Stage::of(over(alpn)).await;
        let body: Vec<u8> = pattern(0, 65_000).iter().copied().cycle().take(2_000_000).collect();
        let mut client = stage.wire().await;
        let head = "POST /api/v2/echo-body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n";
        client.send(head).await;
        let (read, mut write) = split(client.into_parts().0);
        let sent = body.clone();
        let sending = tokio::spawn(async move {
            write.write_all(&sent).await.unwrap();
            write
        });
        let reply = Wire::over(join(read, sink())).reply().await.unwrap();
        assert_eq!(reply.only("Content-Length"), Some("2000000"), "{protocol}");
        assert!(reply.body == body, "the body was changed over {protocol}");
        sending.await.unwrap();
    }
}

#[tokio::test]
async fn trailers_pass_over_tls_in_both_directions() {
    for (alpn, protocol) in BOTH {
        let stage = Stage::of(over(alpn)).await;
        let reply = stage
            .ask(
                "POST /api/v2/echo-body HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\nAuthorization: Basic YTpi\r\n\r\n",
            )
            .await;
        assert_eq!(reply.text(), "hello", "{protocol}");
        let trailers: Vec<_> =
            reply.trailers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
        assert_eq!(trailers, [("x-sum".to_owned(), "1"), ("x-sum".to_owned(), "2")], "{protocol}");
    }
}

#[tokio::test]
async fn a_401_in_the_middle_of_an_upload_over_tls_is_mended() {
    for (alpn, protocol) in BOTH {
        let stage = Stage::of(over(alpn)).await;
        let answer = Canned::new(401).field("WWW-Authenticate", "Bearer").body("no");
        let fault = Fault::new(Action::EarlyAnswer { answer, read: 100_000, rest: Rest::Linger });
        stage.region.script(Script::of([fault.at(Endpoint::Api).times(1)]));
        let mut client = stage.wire().await;
        client.send("POST /api/v2/upload HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: 1\r\n").await;
        client.send("Transfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..20 {
            client.send_chunk("x".repeat(10_000)).await;
        }
        client.send("0\r\nX-Sum: 1\r\n\r\n").await;
        let reply = client.reply().await.unwrap();
        assert_eq!((reply.status(), &reply.json()["bytes"]), (200, &200_000.into()), "{protocol}");
        assert_eq!(stage.region.token_requests(), 2, "{protocol}");
    }
}

#[tokio::test]
async fn a_429_over_tls_is_waited_for() {
    for (alpn, protocol) in BOTH {
        let quota = Quota { requests: 1, per: Duration::from_secs(1), retry_after: RetryAfterForm::Seconds };
        let stage = Stage::of(Settings { quota: Some(quota), ..over(alpn) }).await;
        for number in 0..2 {
            let fields = format!("X-Request-Id: {number}\r\n");
            let reply = stage.ask(request("POST", "/api/v2/upload", &fields, "hello")).await;
            assert_eq!((reply.status(), &reply.json()["bytes"]), (200, &5.into()), "{protocol}");
        }
    }
}

#[tokio::test]
async fn two_hundred_first_requests_need_few_http_2_connections() {
    let stage = Stage::of(over(&[Alpn::Http2, Alpn::Http1])).await;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..200 {
        let mut client = stage.wire().await;
        asking.spawn(async move { client.ask(get(&format!("/api/v2/users/{number}"))).await.status() });
    }
    while let Some(status) = asking.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    let api: std::collections::HashSet<_> = stage
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
    let tokens = Stage::new().await;
    let program = serve(&untrusted.base_url()).variable("CXONE_TOKEN_URL", tokens.region.token_url());
    let proxy = program.listening().await;
    let reply = Wire::to(proxy.proxy_address()).await.ask(get("/api/v2/users/me")).await;
    assert_eq!(reply.status(), 502);
    assert!(reply.json()["hint"].as_str().unwrap().contains("CXONE_CA_FILE"), "{}", reply.text());
    assert!(untrusted.journal().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_502() {
    let tls = Tls { names: vec!["other.example".to_owned()], ..Tls::default() };
    let tokens = Stage::new().await;
    let token_url = tokens.region.token_url();
    let settings = Settings { tls: Some(tls), ..Settings::default() };
    let stage = Stage::with(settings, |launch| launch.variable("CXONE_TOKEN_URL", token_url)).await;
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 502);
    assert!(stage.region.journal().is_empty());
}

/// A region that is called `api.example`, and can be reached through `tunnels` only.
async fn behind(
    tunnels: impl AsyncFnOnce(&Region) -> Tunnels,
    user_info: &str,
) -> (Region, Tunnels, crate::support::Process) {
    let tls = Tls { names: vec!["api.example".to_owned()], alpn: vec![Alpn::Http2, Alpn::Http1] };
    let region = Region::start(Settings { tls: Some(tls), ..Settings::default() }).await.unwrap();
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("ca.pem");
    std::fs::write(&path, region.ca_pem().unwrap()).unwrap();
    let tunnels = tunnels(&region).await;
    let launch =
        serve("https://api.example").flag("ca-file", &path).variable("HTTPS_PROXY", tunnels.url(user_info));
    let process = launch.listening().await;
    (region, tunnels, process)
}

#[tokio::test]
async fn https_proxy_is_used_for_the_api_and_for_the_token_endpoint() {
    for (user_info, due) in [("", None), ("me:p%40ss@", Some("Basic bWU6cEBzcw=="))] {
        let (region, tunnels, proxy) =
            behind(async |region| Tunnels::start(region.address(), None).await, user_info).await;
        let reply = Wire::to(proxy.proxy_address()).await.ask(get("/api/v2/echo")).await;
        assert_eq!((reply.status(), &reply.json()["protocol"]), (200, &"HTTP/2".into()));
        let seen = tunnels.seen();
        assert_eq!(seen.len(), 2, "{seen:?}");
        for head in seen {
            assert_eq!(head.start, "CONNECT api.example:443 HTTP/1.1");
            assert_eq!(head.only("Proxy-Authorization"), due);
        }
        let arrived = reply.text().to_ascii_lowercase();
        assert!(!arrived.contains("proxy-authorization"), "{arrived}");
        assert_eq!(region.referee(), []);
    }
}

#[tokio::test]
async fn a_forward_proxy_that_refuses_is_told_apart_from_the_upstream() {
    let tokens = Stage::new().await;
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n";
    let tunnels = Tunnels::start(tokens.region.address(), Some(refusal)).await;
    let program = serve("https://api.example")
        .variable("CXONE_TOKEN_URL", tokens.region.token_url())
        .variable("https_proxy", tunnels.url(""));
    let proxy = program.listening().await;
    let reply = Wire::to(proxy.proxy_address()).await.ask(get("/api/v2/users/me")).await;
    assert_eq!(reply.status(), 502);
    assert!(reply.text().contains("407") && reply.text().contains("HTTPS_PROXY"), "{}", reply.text());
    assert_eq!(reply.only("Proxy-Authenticate"), None);
}

#[tokio::test]
async fn no_proxy_and_loopback_are_reached_without_the_forward_proxy() {
    let tokens = Stage::new().await;
    let tunnels = Tunnels::start(tokens.region.address(), None).await;
    let through = |launch: Launch| launch.variable("HTTPS_PROXY", tunnels.url(""));

    // Loopback never goes to a proxy, whatever the variables say.
    let local = Stage::with(over(&[Alpn::Http1]), through).await;
    assert_eq!(local.get("/api/v2/users/7").await.status(), 200);

    // Nobody answers at this address of RFC 5737, so nothing but the way that was tried is seen.
    let program = through(serve("https://192.0.2.1"))
        .variable("NO_PROXY", "other.example,192.0.2.0/24")
        .variable("CXONE_TOKEN_URL", tokens.region.token_url())
        .flag("connect-timeout", "200ms");
    let proxy = program.listening().await;
    let reply = Wire::to(proxy.proxy_address()).await.ask(get("/api/v2/users/me")).await;
    assert!(matches!(reply.status(), 502 | 504), "{}", reply.start);
    assert_eq!(tunnels.seen().len(), 0);
}

//! `HTTPS_PROXY` and `NO_PROXY` in all their usual forms.

use std::net::SocketAddr;

use cxone_simulator::{Alpn, Region, Settings, Tls};
use tempfile::TempDir;

use crate::support::{ForwardProxy, Launch, Process, RawConnection, eventually, get, serve};

/// Where nothing is: for forward proxies that are not to be asked.
fn nowhere() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

async fn get_through(process: &Process) -> crate::support::Message {
    RawConnection::to(process.proxy_address()).await.fetch(get("/api/v2/users/me")).await
}

/// Whether the forward proxy is asked for the API at this authority, under this `NO_PROXY`.
async fn is_asked(authority: &str, no_proxy: &str) -> bool {
    let tokens = Region::start(Settings::default()).await.unwrap();
    let forward_proxy = ForwardProxy::start(nowhere(), Some("HTTP/1.1 403 Forbidden\r\n\r\n")).await;
    let process = serve(&format!("https://{authority}"))
        .variable("CXONE_TOKEN_URL", tokens.token_url())
        .variable("HTTPS_PROXY", forward_proxy.url(""))
        .variable("NO_PROXY", no_proxy)
        .flag("connect-timeout", "200ms")
        .listening()
        .await;
    let response = get_through(&process).await;
    assert!(matches!(response.status(), 502 | 504), "{}", response.start);
    !forward_proxy.requests().is_empty()
}

#[tokio::test]
async fn every_form_of_no_proxy_is_understood() {
    // Names of RFC 6761 that never resolve, and addresses of RFC 5737 at which no host is.
    for (authority, no_proxy, asked) in [
        ("api.example.invalid", "", true),
        ("api.example.invalid", "api.example.invalid", false),
        ("api.example.invalid", "API.Example.Invalid", false),
        ("api.example.invalid", "example.invalid", false),
        ("api.example.invalid", ".example.invalid", false),
        ("api.example.invalid", "*.example.invalid", false),
        ("notexample.invalid", "*.example.invalid", true),
        ("api.example.invalid", "other.invalid, *.example.invalid ,third.invalid", false),
        ("api.example.invalid:8443", "api.example.invalid:8443", false),
        ("api.example.invalid:8443", "*.example.invalid:8443", false),
        ("api.example.invalid:8443", "api.example.invalid:443", true),
        ("api.example.invalid", "api.example.invalid:443", false),
        ("api.example.invalid", "api.example.invalid:8443", true),
        ("192.0.2.1", "192.0.2.1", false),
        ("192.0.2.1", "192.0.2.0/24", false),
        ("192.0.2.1", "198.51.100.0/24", true),
        ("192.0.2.1:8443", "192.0.2.1:8443", false),
        ("api.example.invalid", "*", false),
    ] {
        assert_eq!(is_asked(authority, no_proxy).await, asked, "{authority} with NO_PROXY={no_proxy}");
    }
}

#[tokio::test]
async fn an_entry_of_no_known_form_is_a_warning_at_start() {
    for (entry, is_known) in [
        ("a*.example", false),
        ("https://a.example", false),
        ("10.0.0.0/33", false),
        ("*.a.example", true),
        ("a.example:443", true),
        ("10.0.0.0/8", true),
    ] {
        let process = serve("https://api.example.invalid")
            .variable("HTTPS_PROXY", "http://127.0.0.1:9")
            .variable("NO_PROXY", format!("known.example,{entry}"))
            .listening()
            .await;
        let warning = || {
            process.events().into_iter().find(|event| {
                event["level"] == "WARN"
                    && event.to_string().contains("NO_PROXY")
                    && event.to_string().contains(entry)
            })
        };
        if is_known {
            assert!(warning().is_none(), "{entry}: {:#?}", process.events());
        } else {
            eventually(&format!("a warning about {entry}"), async || warning()).await;
        }
    }
}

/// A region that is called `api.example`, with its certificate, and `serve` for it through a forward proxy that
/// answers `CONNECT` like this.
async fn behind(established: &'static str, tls: Tls) -> (Region, ForwardProxy, Launch, TempDir) {
    let region = Region::start(Settings { tls: Some(tls), ..Settings::default() }).await.unwrap();
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("ca.pem");
    std::fs::write(&path, region.ca_pem().unwrap()).unwrap();
    let forward_proxy = ForwardProxy::that_says(region.address(), established).await;
    let launch =
        serve("https://api.example").flag("ca-file", &path).variable("HTTPS_PROXY", forward_proxy.url(""));
    (region, forward_proxy, launch, files)
}

#[tokio::test]
async fn every_valid_answer_to_connect_is_understood_for_the_api_and_the_token_endpoint() {
    for established in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nProxy-Agent: old/1\r\n\r\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 200 \r\n\r\n",
        // The framing fields of success are ignored (RFC 9110 section 9.3.6).
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nProxy-Connection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx-lower:no blank\r\nX-Empty:\r\n\r\n",
    ] {
        let names = vec!["api.example".to_owned()];
        let tls = Tls { names, alpn: vec![Alpn::Http2, Alpn::Http1] };
        let (region, forward_proxy, launch, _files) = behind(established, tls).await;
        let process = launch.listening().await;
        let response = get_through(&process).await;
        assert_eq!(response.status(), 200, "{established:?}: {}", response.text());
        assert_eq!(forward_proxy.requests().len(), 2, "{established:?}: token endpoint and API");
        assert_eq!(region.referee(), []);
    }
}

#[tokio::test]
async fn any_2xx_to_connect_is_success_and_informational_responses_may_come_first_for_the_api() {
    for established in
        ["HTTP/1.1 201 Created\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"]
    {
        let names = vec!["api.example".to_owned()];
        let tls = Tls { names, alpn: vec![Alpn::Http2, Alpn::Http1] };
        let (region, forward_proxy, launch, _files) = behind(established, tls).await;
        // The token endpoint's client knows 200 alone.
        let tokens = Region::start(Settings::default()).await.unwrap();
        let process = launch.variable("CXONE_TOKEN_URL", tokens.token_url()).listening().await;
        let response = get_through(&process).await;
        // The API is another region, which does not know the token.
        assert_eq!(response.status(), 401, "{established:?}: {}", response.text());
        assert!(!forward_proxy.requests().is_empty(), "{established:?}");
        assert_eq!(region.referee(), []);
    }
}

//! 502: the upstream cannot be reached, broke off or spoke no HTTP.

use cxone_simulator::{Action, Ending, Endpoint, Fault, Malformation, Region, Script, Settings, Tls};
use tokio::net::TcpStream;

use super::problem;
use crate::support::{Setup, Upstream, eventually, get, request, serve};

async fn scripted(action: Action) -> Setup {
    let setup = Setup::new().await;
    // The token is there: what follows is about the API.
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup.region.script(Script::of([Fault::new(action).at(Endpoint::Api)]));
    setup
}

#[tokio::test]
async fn an_upstream_where_nobody_listens() {
    let setup = scripted(Action::Delay { ms: 0 }).await;
    setup.region.kill().await;
    // A program that another test starts holds this one's sockets open until it runs.
    eventually("the end of the region's listener", async || {
        TcpStream::connect(setup.region.address()).await.is_err().then_some(())
    })
    .await;
    let hint = problem(&setup.get("/api/v2/users/me").await, 502, "destination_unavailable");
    assert!(hint.contains("CXONE_BASE_URL"), "{hint}");
    setup.region.restart().await.unwrap();
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200, "it recovers by itself");
}

#[tokio::test]
async fn an_upstream_whose_name_does_not_resolve() {
    let setup = Setup::launched(|launch| launch.api_at("https://upstream.invalid")).await;
    let response = setup.get("/api/v2/users/me").await;
    problem(&response, 502, "dns_error");
}

#[tokio::test]
async fn an_upstream_that_breaks_off_before_its_response() {
    for action in [
        Action::DropBefore { how: Ending::Close },
        Action::DropBefore { how: Ending::Reset },
        Action::DropAfter { how: Ending::Close },
        Action::DropAfter { how: Ending::Reset },
    ] {
        let setup = scripted(action).await;
        for method in ["GET", "POST"] {
            let response = setup.fetch(request(method, "/api/v2/echo", "", "x")).await;
            problem(&response, 502, "connection_terminated");
        }
        // A POST is never delivered twice.
        let journal = setup.region.journal();
        assert_eq!(
            journal.iter().filter(|entry| entry.method == "POST" && entry.endpoint == Endpoint::Api).count(),
            1
        );
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_no_http() {
    for what in [
        Malformation::Garbage,
        Malformation::StatusLine,
        Malformation::Version,
        Malformation::ControlCharacter,
        Malformation::TwoLengths,
        Malformation::BadLength,
        Malformation::UnknownCoding,
    ] {
        let setup = scripted(Action::Malformed { what }).await;
        let response = setup.fetch(request("POST", "/api/v2/echo", "", "x")).await;
        problem(&response, 502, "http_protocol_error");
    }
    let setup = scripted(Action::Malformed { what: Malformation::EndlessHead }).await;
    problem(&setup.get("/api/v2/echo").await, 502, "http_response_header_section_size");
}

#[tokio::test]
async fn a_response_with_a_length_and_chunks_is_passed_on_with_chunks_alone() {
    let setup = scripted(Action::Malformed { what: Malformation::LengthAndChunked }).await;
    let response = setup.get("/api/v2/users/me").await;
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    assert_eq!(response.only("content-length"), None);
    assert_eq!(response.only("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn a_response_that_breaks_off_is_aborted_and_not_ended() {
    for action in [
        Action::Truncate { after: 100, how: Ending::Close },
        Action::Truncate { after: 100, how: Ending::Reset },
        Action::Malformed { what: Malformation::BadChunkSize },
        Action::Malformed { what: Malformation::LongChunk },
    ] {
        let setup = scripted(action.clone()).await;
        let mut client = setup.connect().await;
        client.send(get("/api/v2/stream?chunks=2&size=1000")).await;
        assert_eq!(client.head().await.map(|head| head.status()), Some(200), "{action:?}");
        loop {
            match client.chunk().await {
                None => break,
                Some(chunk) => assert!(!chunk.is_empty(), "{action:?}: it looks complete"),
            }
        }
        // It is in the log, in whatever words.
        eventually("a warning", async || {
            setup
                .proxy
                .events()
                .into_iter()
                .find(|event| event["level"] == "WARN" && !event["error"].is_null())
        })
        .await;
    }
}

#[tokio::test]
async fn an_unrequested_switch_of_protocols() {
    let setup = scripted(Action::Unasked101 {}).await;
    problem(&setup.get("/api/v2/users/me").await, 502, "http_upgrade_failed");
}

#[tokio::test]
async fn an_upstream_whose_certificate_is_not_trusted() {
    let tokens = Region::start(Settings::default()).await.unwrap();
    let api = Region::start(Settings { tls: Some(Tls::default()), ..Settings::default() }).await.unwrap();
    let proxy = serve(&api.base_url()).variable("CXONE_TOKEN_URL", tokens.token_url()).listening().await;
    let mut client = crate::support::RawConnection::to(proxy.proxy_address()).await;
    let response = client.fetch(get("/api/v2/users/me")).await;
    let hint = problem(&response, 502, "tls_certificate_error");
    assert!(hint.contains("CXONE_CA_FILE"), "{hint}");
    assert!(api.journal().is_empty());
}

#[tokio::test]
async fn an_upstream_that_is_no_tls_server() {
    let upstream = Upstream::start().await;
    let address = upstream.address();
    let setup =
        upstream.setup(|launch| launch.variable("CXONE_BASE_URL", format!("https://{address}"))).await;
    let mut client = setup.connect().await;
    client.send(get("/api/v2/users/me")).await;
    let mut connection = upstream.accept().await;
    connection.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    problem(&client.response().await.unwrap(), 502, "tls_protocol_error");
}

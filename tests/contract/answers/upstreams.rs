//! 502: the upstream cannot be reached, broke off or spoke no HTTP.

use cxone_proxy::simulator::{Action, Ending, Endpoint, Fault, Malformation, Region, Script, Settings, Tls};
use tokio::net::TcpStream;

use super::problem;
use crate::support::{Stage, Upstream, eventually, get, request, serve};

async fn scripted(action: Action) -> Stage {
    let stage = Stage::new().await;
    // The token is there: what follows is about the API.
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 200);
    stage.region.script(Script::of([Fault::new(action).at(Endpoint::Api)]));
    stage
}

#[tokio::test]
async fn an_upstream_where_nobody_listens() {
    let stage = scripted(Action::Delay { ms: 0 }).await;
    stage.region.kill().await;
    // A program that another test starts holds this one's sockets open until it runs.
    eventually("the end of the region's listener", async || {
        TcpStream::connect(stage.region.address()).await.is_err().then_some(())
    })
    .await;
    let hint = problem(&stage.get("/api/v2/users/me").await, 502, "destination_unavailable");
    assert!(hint.contains("CXONE_BASE_URL"), "{hint}");
    stage.region.restart().await.unwrap();
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 200, "it recovers by itself");
}

#[tokio::test]
async fn an_upstream_whose_name_does_not_resolve() {
    let stage = Stage::launched(|launch| {
        let token_url = format!("{}/api/v2/oauth/token", launch.value("CXONE_BASE_URL").unwrap().display());
        launch.variable("CXONE_TOKEN_URL", token_url).variable("CXONE_BASE_URL", "https://upstream.invalid")
    })
    .await;
    let reply = stage.get("/api/v2/users/me").await;
    problem(&reply, 502, "dns_error");
}

#[tokio::test]
async fn an_upstream_that_breaks_off_before_its_answer() {
    for action in [
        Action::DropBefore { how: Ending::Close },
        Action::DropBefore { how: Ending::Reset },
        Action::DropAfter { how: Ending::Close },
        Action::DropAfter { how: Ending::Reset },
    ] {
        let stage = scripted(action).await;
        for method in ["GET", "POST"] {
            let reply = stage.ask(request(method, "/api/v2/echo", "", "x")).await;
            problem(&reply, 502, "connection_terminated");
        }
        // A POST is never delivered twice.
        let journal = stage.region.journal();
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
        Malformation::FoldedField,
        Malformation::SpaceBeforeColon,
        Malformation::ControlCharacter,
        Malformation::TwoLengths,
        Malformation::BadLength,
        Malformation::UnknownCoding,
    ] {
        let stage = scripted(Action::Malformed { what }).await;
        let reply = stage.ask(request("POST", "/api/v2/echo", "", "x")).await;
        problem(&reply, 502, "http_protocol_error");
    }
    let stage = scripted(Action::Malformed { what: Malformation::EndlessHead }).await;
    problem(&stage.get("/api/v2/echo").await, 502, "http_response_header_section_size");
}

#[tokio::test]
async fn of_a_length_and_chunks_in_an_answer_the_chunks_count_and_the_length_goes() {
    let stage = scripted(Action::Malformed { what: Malformation::LengthAndChunked }).await;
    let reply = stage.get("/api/v2/users/me").await;
    assert_eq!((reply.status(), reply.text().as_str()), (200, "ok"));
    assert_eq!(reply.only("content-length"), None);
    assert_eq!(reply.only("transfer-encoding"), Some("chunked"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_abort_and_not_an_end() {
    for action in [
        Action::Truncate { after: 100, how: Ending::Close },
        Action::Truncate { after: 100, how: Ending::Reset },
        Action::Malformed { what: Malformation::BadChunkSize },
        Action::Malformed { what: Malformation::LongChunk },
    ] {
        let stage = scripted(action.clone()).await;
        let mut client = stage.wire().await;
        client.send(get("/api/v2/stream?chunks=2&size=1000")).await;
        assert_eq!(client.head().await.map(|head| head.status()), Some(200), "{action:?}");
        loop {
            match client.chunk().await {
                None => break,
                Some(chunk) => assert!(!chunk.is_empty(), "{action:?}: it looks complete"),
            }
        }
        stage.proxy.event("answer broken off").await;
    }
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for() {
    let stage = scripted(Action::Unasked101 {}).await;
    problem(&stage.get("/api/v2/users/me").await, 502, "http_upgrade_failed");
}

#[tokio::test]
async fn an_upstream_whose_certificate_is_not_trusted() {
    let tokens = Region::start(Settings::default()).await.unwrap();
    let api = Region::start(Settings { tls: Some(Tls::default()), ..Settings::default() }).await.unwrap();
    let proxy = serve(&api.base_url()).variable("CXONE_TOKEN_URL", tokens.token_url()).listening().await;
    let mut client = crate::support::Wire::to(proxy.proxy_address()).await;
    let reply = client.ask(get("/api/v2/users/me")).await;
    let hint = problem(&reply, 502, "tls_certificate_error");
    assert!(hint.contains("CXONE_CA_FILE"), "{hint}");
    assert!(api.journal().is_empty());
}

#[tokio::test]
async fn an_upstream_that_is_no_tls_server() {
    let upstream = Upstream::start().await;
    let address = upstream.address();
    let stage =
        upstream.stage(|launch| launch.variable("CXONE_BASE_URL", format!("https://{address}"))).await;
    let mut client = stage.wire().await;
    client.send(get("/api/v2/users/me")).await;
    let mut far = upstream.accept().await;
    far.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    problem(&client.reply().await.unwrap(), 502, "tls_protocol_error");
}

//! An upstream that breaks off makes the client's response break off; it never ends early as if complete.

use cxone_simulator::{Action, Ending, Endpoint, Fault, Malformation, Script};

use crate::support::{Incomplete, Setup, Upstream, eventually, get, request};

/// A region whose responses break off.
async fn breaking_off(after: u64, how: Ending) -> Setup {
    let setup = Setup::new().await;
    setup.region.script(Script::of([Fault::new(Action::Truncate { after, how }).at(Endpoint::Api)]));
    setup
}

const LENGTH: &str = "/api/v2/large?bytes=300000";
const CHUNKED: &str = "/api/v2/large?bytes=300000&framing=chunked";

#[tokio::test]
async fn a_truncated_answer_never_looks_complete_to_an_http_1_1_client() {
    for how in [Ending::Close, Ending::Reset] {
        for after in [0, 100, 299_999] {
            let setup = breaking_off(after, how).await;
            for target in [LENGTH, CHUNKED] {
                let mut client = setup.connect().await;
                client.send(get(target)).await;
                // A reset may overtake all that was sent before, and so may an end before the body.
                let may_be_unseen = after == 0 || matches!(how, Ending::Reset);
                match client.response().await {
                    Err(Incomplete::Midway(response)) => assert_eq!(response.status(), 200),
                    Ok(response) if may_be_unseen => assert_eq!(response.status(), 502, "{how:?} {after}"),
                    other => panic!("{how:?} {after} {target}: {other:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_truncated_answer_never_looks_complete_to_an_http_1_0_client() {
    for (target, after) in [(LENGTH, 100), (CHUNKED, 100), (CHUNKED, 299_999)] {
        let setup = breaking_off(after, Ending::Close).await;
        let mut client = setup.connect().await;
        client.send(format!("GET {target} HTTP/1.0\r\n\r\n")).await;
        let response = client.response().await;
        assert!(matches!(response, Err(Incomplete::Midway(_))), "{target} {after}: {response:?}");
    }
}

#[tokio::test]
async fn a_truncated_answer_never_looks_complete_to_an_http_2_client() {
    for how in [Ending::Close, Ending::Reset] {
        for (target, after) in [(LENGTH, 100), (CHUNKED, 100), (CHUNKED, 299_999)] {
            let setup = breaking_off(after, how).await;
            let answer = setup.http2().await.get(target).await;
            assert!(answer.as_ref().is_err_and(h2::Error::is_reset), "{how:?} {target} {after}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_chunked_response_without_its_last_chunk_or_the_end_of_its_trailers_is_not_complete() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for tail in ["", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "3\r\nabc\r\n0", "0\r\n", "0\r\nX-Sum: 1\r\n"] {
        let mut client = setup.connect().await;
        client.send(get("/")).await;
        let mut connection = upstream.accept().await;
        connection.request().await.unwrap();
        connection
            .send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n{tail}"))
            .await;
        drop(connection);
        let response = client.response().await;
        assert!(matches!(response, Err(Incomplete::Midway(_))), "{tail:?}: {response:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_response_head_is_502() {
    let setup = Setup::new().await;
    for how in [Ending::Close, Ending::Reset] {
        setup.region.script(Script::of([Fault::new(Action::DropBefore { how }).at(Endpoint::Api)]));
        let response = setup.get("/api/v2/users/me").await;
        assert_eq!(response.status(), 502, "{how:?}");
        assert!(response.only("Proxy-Status").unwrap().starts_with("cxone-proxy; error="));
    }
}

#[tokio::test]
async fn a_response_that_is_not_http_is_502_or_breaks_off() {
    let setup = Setup::new().await;
    for what in [
        Malformation::Garbage,
        Malformation::StatusLine,
        Malformation::Version,
        Malformation::ControlCharacter,
        Malformation::TwoLengths,
        Malformation::BadLength,
        Malformation::UnknownCoding,
        Malformation::EndlessHead,
    ] {
        setup.region.script(Script::of([Fault::new(Action::Malformed { what }).at(Endpoint::Api)]));
        let response = setup.get("/api/v2/users/me").await;
        assert_eq!(response.status(), 502, "{what:?}: {}", response.text());
        assert!(!response.json()["hint"].as_str().unwrap().is_empty());
    }
    for what in [Malformation::BadChunkSize, Malformation::LongChunk] {
        setup.region.script(Script::of([Fault::new(Action::Malformed { what }).at(Endpoint::Api)]));
        let mut client = setup.connect().await;
        client.send(get("/api/v2/users/me")).await;
        match client.response().await {
            Err(Incomplete::Midway(response)) => assert_eq!(response.status(), 200, "{what:?}"),
            Err(Incomplete::Nothing) => panic!("{what:?}: no response at all"),
            Ok(response) => assert_eq!(response.status(), 502, "{what:?}"),
        }
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502_with_a_hint() {
    let setup = Setup::new().await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup.region.kill().await;
    let response = setup.get("/api/v2/users/me").await;
    assert_eq!(response.status(), 502);
    assert_eq!(response.only("Content-Type"), Some("application/problem+json"));
    let problem = response.json();
    for key in ["type", "title", "detail", "hint"] {
        assert!(problem[key].as_str().is_some_and(|text| !text.is_empty()), "{key} is missing: {problem}");
    }
    assert_eq!(problem["status"], 502);
    eventually("the region's port", async || setup.region.restart().await.ok()).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
}

#[tokio::test]
async fn a_client_s_connection_goes_on_after_a_502() {
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    for how in [Ending::Close, Ending::Reset] {
        let fault = Fault::new(Action::DropBefore { how }).at(Endpoint::Api).times(1);
        setup.region.script(Script::of([fault]));
        assert_eq!(client.fetch(request("POST", "/api/v2/echo", "", "hello")).await.status(), 502);
        assert_eq!(client.fetch(get("/api/v2/users/7")).await.status(), 200);
    }
}

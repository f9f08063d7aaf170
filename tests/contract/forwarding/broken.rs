//! An upstream that breaks off makes the client's answer break off, never end early as if complete.

use cxone_proxy::simulator::{Action, Ending, Endpoint, Fault, Malformation, Script};

use crate::support::{Cut, Stage, Upstream, eventually, get, request};

/// A region whose answers break off.
async fn breaking_off(after: u64, how: Ending) -> Stage {
    let stage = Stage::new().await;
    stage.region.script(Script::of([Fault::new(Action::Truncate { after, how }).at(Endpoint::Api)]));
    stage
}

const LENGTH: &str = "/api/v2/large?bytes=300000";
const CHUNKED: &str = "/api/v2/large?bytes=300000&framing=chunked";

#[tokio::test]
async fn a_truncated_answer_never_looks_complete_to_an_http_1_1_client() {
    for how in [Ending::Close, Ending::Reset] {
        for after in [0, 100, 299_999] {
            let stage = breaking_off(after, how).await;
            for target in [LENGTH, CHUNKED] {
                let mut client = stage.wire().await;
                client.send(get(target)).await;
                match client.reply().await {
                    Err(Cut::Midway(reply)) => assert_eq!(reply.status(), 200),
                    // Nothing of the body was there: it may be told as an error instead.
                    Ok(reply) if after == 0 => assert_eq!(reply.status(), 502),
                    other => assert!(
                        after == 0 || matches!(how, Ending::Reset),
                        "{how:?} {after} {target}: {other:?}"
                    ),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_truncated_answer_never_looks_complete_to_an_http_1_0_client() {
    for (target, after) in [(LENGTH, 100), (CHUNKED, 100), (CHUNKED, 299_999)] {
        let stage = breaking_off(after, Ending::Close).await;
        let mut client = stage.wire().await;
        client.send(format!("GET {target} HTTP/1.0\r\n\r\n")).await;
        let reply = client.reply().await;
        assert!(matches!(reply, Err(Cut::Midway(_))), "{target} {after}: {reply:?}");
    }
}

#[tokio::test]
async fn a_truncated_answer_never_looks_complete_to_an_http_2_client() {
    for how in [Ending::Close, Ending::Reset] {
        for (target, after) in [(LENGTH, 100), (CHUNKED, 100), (CHUNKED, 299_999)] {
            let stage = breaking_off(after, how).await;
            let answer = stage.http2().await.get(target).await;
            assert!(answer.as_ref().is_err_and(h2::Error::is_reset), "{how:?} {target} {after}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_chunked_answer_without_its_last_chunk_or_its_trailers_end_is_not_complete() {
    let upstream = Upstream::start().await;
    let stage = upstream.stage(|launch| launch).await;
    for tail in ["", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "3\r\nabc\r\n0", "0\r\n", "0\r\nX-Sum: 1\r\n"] {
        let mut client = stage.wire().await;
        client.send(get("/")).await;
        let mut far = upstream.accept().await;
        far.request().await.unwrap();
        far.send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n{tail}")).await;
        drop(far);
        let reply = client.reply().await;
        assert!(matches!(reply, Err(Cut::Midway(_))), "{tail:?}: {reply:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_s_head_is_502() {
    let stage = Stage::new().await;
    for how in [Ending::Close, Ending::Reset] {
        stage.region.script(Script::of([Fault::new(Action::DropBefore { how }).at(Endpoint::Api)]));
        let reply = stage.get("/api/v2/users/me").await;
        assert_eq!(reply.status(), 502, "{how:?}");
        assert!(reply.only("Proxy-Status").unwrap().starts_with("cxone-proxy; error="));
    }
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_502_or_breaks_off() {
    let stage = Stage::new().await;
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
        Malformation::EndlessHead,
    ] {
        stage.region.script(Script::of([Fault::new(Action::Malformed { what }).at(Endpoint::Api)]));
        let reply = stage.get("/api/v2/users/me").await;
        assert_eq!(reply.status(), 502, "{what:?}: {}", reply.text());
        assert!(!reply.json()["hint"].as_str().unwrap().is_empty());
    }
    for what in [Malformation::BadChunkSize, Malformation::LongChunk] {
        stage.region.script(Script::of([Fault::new(Action::Malformed { what }).at(Endpoint::Api)]));
        let mut client = stage.wire().await;
        client.send(get("/api/v2/users/me")).await;
        match client.reply().await {
            Err(_) => {}
            Ok(reply) => assert_eq!(reply.status(), 502, "{what:?}"),
        }
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_502_with_a_hint() {
    let stage = Stage::new().await;
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 200);
    stage.region.kill().await;
    let reply = stage.get("/api/v2/users/me").await;
    assert_eq!(reply.status(), 502);
    assert_eq!(reply.only("Content-Type"), Some("application/problem+json"));
    let problem = reply.json();
    for key in ["type", "title", "status", "detail", "hint"] {
        assert!(!problem[key].is_null(), "{key} is missing: {problem}");
    }
    eventually("the region's port", async || stage.region.restart().await.ok()).await;
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 200);
}

#[tokio::test]
async fn a_client_s_connection_goes_on_after_a_502() {
    let stage = Stage::new().await;
    let mut client = stage.wire().await;
    for how in [Ending::Close, Ending::Reset] {
        let fault = Fault::new(Action::DropBefore { how }).at(Endpoint::Api).times(1);
        stage.region.script(Script::of([fault]));
        assert_eq!(client.ask(request("POST", "/api/v2/echo", "", "hello")).await.status(), 502);
        assert_eq!(client.ask(get("/api/v2/users/7")).await.status(), 200);
    }
}

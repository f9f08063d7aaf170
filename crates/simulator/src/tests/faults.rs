use std::time::Duration;

use super::client::{Bearer, CREDENTIALS, Wire, assert_clean, once, region, token_request};
use crate::clock::Now;
use crate::{Action, Canned, Ending, Endpoint, Fault, Malformation, Outcome, Region, Rest, Rule, Script};

fn api(then: Action) -> Script {
    Script::of([Fault::new(then).at(Endpoint::Api)])
}

/// A region with this script for its API, and a client of it.
async fn scripted(region: &Region, then: Action) -> Bearer<'_> {
    region.script(api(then));
    Bearer::of(region).await
}

fn last(region: &Region) -> (Option<u16>, Option<Outcome>) {
    let entry = region.journal().pop().unwrap();
    (entry.status, entry.outcome)
}

#[tokio::test]
async fn choose_their_requests() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let status = |status| Action::Status(Canned::new(status));
    region.script(Script::of([
        Fault::new(status(500)).method("POST").path("/api/v2/echo"),
        Fault::new(status(503)).at(Endpoint::Token).times(1),
        Fault::new(status(502)).path("/api/v2/users").skip(1).times(2),
    ]));
    assert_eq!(bearer.ask("POST", "/api/v2/echo/x", "", "").await.unwrap().status, 500);
    assert_eq!(bearer.get("/api/v2/echo/x").await.status, 200);
    assert_eq!(once(&region, token_request(CREDENTIALS)).await.unwrap().status, 503);
    assert_eq!(once(&region, token_request(CREDENTIALS)).await.unwrap().status, 200);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(bearer.get("/api/v2/users/1").await.status);
    }
    assert_eq!(statuses, [200, 502, 502, 200]);
    region.script(Script::default());
    assert_eq!(bearer.ask("POST", "/api/v2/echo/x", "", "").await.unwrap().status, 200);
}

#[tokio::test]
async fn happen_at_random_to_some_of_a_hundred() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let fault = |percent| Fault::new(Action::Status(Canned::new(429))).at(Endpoint::Api).percent(percent);
    for (percent, least, most) in [(0, 0, 0), (50, 1, 199), (100, 200, 200)] {
        region.script(Script::of([fault(percent)]));
        let mut rejected = 0;
        let mut wire = Wire::to(&region).await;
        for _ in 0..200 {
            let reply = wire.ask(bearer.text("GET", "/api/v2/users/me", "", "")).await.unwrap();
            rejected += u32::from(reply.status == 429);
        }
        assert!((least..=most).contains(&rejected), "{percent} %: {rejected}");
    }
}

#[tokio::test]
async fn delay_the_response() {
    let region = region().await;
    let bearer = scripted(&region, Action::Delay { ms: 150 }).await;
    let start = Now::read().steady;
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200);
    assert!(start.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn drop_the_connection_before_or_after_the_request_is_carried_out() {
    let region = region().await;
    let bearer = scripted(&region, Action::DropBefore { how: Ending::Close }).await;
    assert!(bearer.ask("POST", "/api/v2/upload", "", "lost").await.is_none());
    assert_eq!(last(&region), (None, Some(Outcome::BrokenOff)));

    region.script(api(Action::DropAfter { how: Ending::Close }));
    assert!(bearer.ask("POST", "/api/v2/upload", "", "kept").await.is_none());
    assert_eq!(last(&region), (Some(200), Some(Outcome::BrokenOff)));
    assert_eq!(region.journal().last().unwrap().body_bytes, 4);
}

#[tokio::test]
async fn reset_or_stall_the_connection() {
    let region = region().await;
    let bearer = scripted(&region, Action::DropBefore { how: Ending::Reset }).await;
    let mut wire = Wire::to(&region).await;
    wire.send(bearer.text("GET", "/api/v2/users/me", "", "")).await;
    let mut byte = [0];
    let error = tokio::io::AsyncReadExt::read(&mut wire.stream, &mut byte).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    region.script(api(Action::DropBefore { how: Ending::Stall }));
    let mut wire = Wire::to(&region).await;
    wire.send(bearer.text("GET", "/api/v2/users/me", "", "")).await;
    assert!(tokio::time::timeout(Duration::from_millis(100), wire.line()).await.is_err());
}

#[tokio::test]
async fn lose_token_responses_but_count_what_was_done() {
    let region = region().await;
    let drop_once = |then| Script::of([Fault::new(then).at(Endpoint::Token).times(1)]);
    region.script(drop_once(Action::DropAfter { how: Ending::Close }));
    assert!(once(&region, token_request(CREDENTIALS)).await.is_none());
    let entry = region.journal().pop().unwrap();
    assert_eq!((entry.token, entry.status), (Some(1), Some(200)), "given out, and lost");

    let said = once(&region, token_request(CREDENTIALS)).await.unwrap().json();
    let refresh = said["refresh_token"].as_str().unwrap();
    let form = format!(
        "grant_type=refresh_token&refresh_token={refresh}&client_id=demo-client&client_secret=demo-secret"
    );
    region.script(drop_once(Action::DropBefore { how: Ending::Close }));
    assert!(once(&region, token_request(&form)).await.is_none());
    assert_clean(&region);
    assert_eq!(once(&region, token_request(&form)).await.unwrap().status, 200, "nothing had been done");
    assert_eq!(region.referee().first().map(|violation| violation.rule), Some(Rule::RefreshTokenOnce));
}

#[tokio::test]
async fn answer_what_the_script_says() {
    let region = region().await;
    let canned = Canned { repeat: 3, ..Canned::new(520).field("X-From", "script").body("odd ") };
    let bearer = scripted(&region, Action::Status(canned)).await;
    let reply = bearer.ask("POST", "/api/v2/upload", "", "ignored").await.unwrap();
    assert_eq!((reply.status, reply.first("x-from")), (520, Some("script")));
    assert_eq!(reply.body, b"odd odd odd ");
}

#[tokio::test]
async fn answer_while_the_upload_is_under_way() {
    let region = region().await;
    let early = |rest| Action::EarlyResponse { response: Canned::new(413), read: 4, rest };
    for (rest, connection) in
        [(Rest::Read, None), (Rest::Linger, Some("close")), (Rest::Close, Some("close"))]
    {
        region.script(Script::of([Fault::new(early(rest)).at(Endpoint::Api).times(1)]));
        let bearer = Bearer::of(&region).await;
        let mut wire = Wire::to(&region).await;
        let text = bearer.text("POST", "/api/v2/upload", "", &"x".repeat(100));
        let (first, second) = text.split_at(text.len() - 50);
        let reply = wire.ask(first).await.unwrap();
        assert_eq!((reply.status, reply.first("connection")), (413, connection));
        if rest == Rest::Read {
            wire.send(second).await;
            let again = wire.ask(bearer.text("POST", "/api/v2/upload", "", "more")).await.unwrap();
            assert_eq!(again.json()["bytes"], 4);
        } else {
            assert_eq!(wire.rest().await, b"", "{rest:?}");
        }
    }
}

#[tokio::test]
async fn cut_responses_short_whatever_their_framing() {
    let region = region().await;
    let bearer = scripted(&region, Action::Truncate { after: 10, how: Ending::Close }).await;
    for target in ["/api/v2/users/me", "/api/v2/large?bytes=100", "/api/v2/large?bytes=100&framing=chunked"] {
        let mut wire = Wire::to(&region).await;
        wire.send(bearer.text("GET", target, "", "")).await;
        let head = wire.head().await.unwrap();
        assert_eq!(head.status, 200, "{target}");
        let rest = wire.rest().await;
        let expected = if head.first("content-length").is_some() { 10 } else { "a\r\n\r\n".len() + 10 };
        assert_eq!(rest.len(), expected, "{target}");
        assert_eq!(last(&region), (Some(200), Some(Outcome::BrokenOff)));
    }
    region.script(api(Action::Truncate { after: 1_000_000, how: Ending::Close }));
    assert!(bearer.ask("GET", "/api/v2/trailers", "", "").await.is_none(), "the last chunk is missing");
}

#[tokio::test]
async fn send_what_is_not_http() {
    let region = region().await;
    let all = [
        Malformation::Garbage,
        Malformation::StatusLine,
        Malformation::Version,
        Malformation::FoldedField,
        Malformation::SpaceBeforeColon,
        Malformation::ControlCharacter,
        Malformation::TwoLengths,
        Malformation::BadLength,
        Malformation::LengthAndChunked,
        Malformation::BadChunkSize,
        Malformation::LongChunk,
        Malformation::UnknownCoding,
        Malformation::EndlessHead,
    ];
    let mut seen = std::collections::HashSet::new();
    for what in all {
        let bearer = scripted(&region, Action::Malformed { what }).await;
        let mut wire = Wire::to(&region).await;
        wire.send(bearer.text("GET", "/api/v2/users/me", "", "")).await;
        let text = wire.rest().await;
        assert!(!text.is_empty(), "{what:?}");
        assert!(seen.insert(text), "{what:?} is like another");
    }
    let bearer = scripted(&region, Action::Raw { text: "220 smtp.example\r\n".into() }).await;
    let mut wire = Wire::to(&region).await;
    wire.send(bearer.text("GET", "/api/v2/users/me", "", "")).await;
    assert_eq!(wire.rest().await, b"220 smtp.example\r\n");
    region.script(api(Action::Unasked101 {}));
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 101);
}

#[tokio::test]
async fn change_how_an_answer_comes() {
    let region = region().await;
    let bearer = scripted(&region, Action::CloseDelimited {}).await;
    let reply = bearer.get("/api/v2/users/me").await;
    assert_eq!((reply.first("content-length"), reply.first("connection")), (None, Some("close")));
    assert_eq!(reply.json()["id"], "demo-client");

    region.script(api(Action::SlowHead { ms: 1 }));
    let start = Now::read().steady;
    assert_eq!(bearer.get("/api/v2/users/me").await.json()["id"], "demo-client");
    assert!(start.elapsed() > Duration::from_millis(100), "a head has more than a hundred bytes");

    let fields = vec![("Link".to_owned(), "</style>".to_owned())];
    region.script(api(Action::Informational { status: 103, fields }));
    let mut wire = Wire::to(&region).await;
    let hint = wire.ask(bearer.text("GET", "/api/v2/users/me", "", "")).await.unwrap();
    assert_eq!((hint.status, hint.first("link")), (103, Some("</style>")));
    assert_eq!(wire.reply().await.unwrap().status, 200);
}

#[tokio::test]
async fn close_idle_connections_and_revoke_tokens() {
    let region = region().await;
    let bearer = scripted(&region, Action::CloseIdle { ms: 20 }).await;
    let mut wire = Wire::to(&region).await;
    let reply = wire.ask(bearer.text("GET", "/api/v2/users/me", "", "")).await.unwrap();
    assert_eq!((reply.status, reply.first("connection")), (200, None));
    assert_eq!(wire.rest().await, b"");

    region.script(Script::of([Fault::new(Action::Revoke {}).at(Endpoint::Api).times(1)]));
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 401);
    assert_eq!(Bearer::of(&region).await.get("/api/v2/users/me").await.status, 200);
}

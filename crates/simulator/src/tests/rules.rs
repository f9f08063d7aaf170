//! A bad client, and what the referee says of it.

use std::time::Duration;

use super::client::{Bearer, CREDENTIALS, Wire, assert_clean, broken, once, region, request, token_request};
use crate::{
    Action, Canned, Ending, Endpoint, Expiry, Fault, Quota, Region, RetryAfterForm, Rule, Script, Settings,
};

#[tokio::test]
async fn two_token_requests_at_once() {
    let region = region().await;
    region.script(Script::of([Fault::new(Action::Delay { ms: 200 }).at(Endpoint::Token).times(1)]));
    let slow = once(&region, token_request(CREDENTIALS));
    let fast = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        once(&region, token_request(CREDENTIALS)).await
    };
    let (slow, fast) = tokio::join!(slow, fast);
    assert_eq!((slow.unwrap().status, fast.unwrap().status), (200, 200));
    assert_eq!(broken(&region), [Rule::OneTokenRequestAtOnce]);
}

#[tokio::test]
async fn one_token_request_after_the_other_is_fine() {
    let region = region().await;
    for _ in 0..50 {
        assert_eq!(once(&region, token_request(CREDENTIALS)).await.unwrap().status, 200);
    }
    region.script(Script::of([Fault::new(Action::Delay { ms: 60_000 }).at(Endpoint::Token).times(1)]));
    let mut wire = Wire::to(&region).await;
    wire.send(token_request(CREDENTIALS)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    drop(wire);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(once(&region, token_request(CREDENTIALS)).await.unwrap().status, 200);
    assert_clean(&region);
}

#[tokio::test]
async fn a_token_request_on_a_pooled_connection() {
    let region = region().await;
    let mut wire = Wire::to(&region).await;
    wire.ask(token_request(CREDENTIALS)).await.unwrap();
    assert_clean(&region);
    wire.ask(token_request(CREDENTIALS)).await.unwrap();
    assert_eq!(broken(&region), [Rule::FreshTokenConnection]);
}

#[tokio::test]
async fn coming_again_too_early() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let quota = Quota::new(0, Duration::from_millis(900));
    for form in [RetryAfterForm::Seconds, RetryAfterForm::Date] {
        region.quotas([quota.clone().retry_after(form)]);
        let id = format!("X-Request-Id: early-{form:?}\r\n");
        for expected in [429, 429] {
            let reply = bearer.ask("GET", "/api/v2/users/me", &id, "").await.unwrap();
            assert_eq!(reply.status, expected);
        }
        assert_eq!(broken(&region).pop(), Some(Rule::RetryAfter), "{form:?}");
    }
    let count = broken(&region).len();
    region.quotas([quota]);
    let other = bearer.ask("GET", "/api/v2/users/me", "X-Request-Id: another\r\n", "").await.unwrap();
    assert_eq!(other.status, 429);
    tokio::time::sleep(Duration::from_secs(1)).await;
    bearer.ask("GET", "/api/v2/users/me", "X-Request-Id: another\r\n", "").await.unwrap();
    assert_eq!(broken(&region).len(), count, "a client that waits breaks no rule");
}

#[tokio::test]
async fn asking_for_a_token_too_early() {
    let region = region().await;
    let busy = Canned::new(503).field("Retry-After", "30");
    region.script(Script::of([Fault::new(Action::Status(busy)).at(Endpoint::Token).times(1)]));
    assert_eq!(once(&region, token_request(CREDENTIALS)).await.unwrap().status, 503);
    assert_clean(&region);
    assert_eq!(once(&region, token_request(CREDENTIALS)).await.unwrap().status, 200);
    assert_eq!(broken(&region), [Rule::RetryAfter]);
}

#[tokio::test]
async fn fields_that_belong_to_one_connection() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let bad = [
        "Connection: X-Secret\r\n",
        "Connection: close\r\nConnection: x-second-line\r\n",
        "Connection: upgrade\r\n",
        "Keep-Alive: timeout=5\r\n",
        "Proxy-Connection: keep-alive\r\n",
        "Proxy-Authorization: Basic eDp5\r\n",
        "TE: gzip\r\n",
        "Upgrade: h2c\r\n",
        "HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    ];
    for (seen, fields) in bad.iter().enumerate() {
        bearer.ask("GET", "/api/v2/users/me", fields, "").await.unwrap();
        assert_eq!(broken(&region).len(), seen + 1, "{fields:?}");
    }
    assert!(broken(&region).iter().all(|rule| *rule == Rule::ConnectionSpecificField));
    let good = [
        "Connection: keep-alive\r\n",
        "Connection: close\r\n",
        "Connection: TE\r\nTE: trailers\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
    ];
    for fields in good {
        bearer.ask("GET", "/api/v2/users/me", fields, "").await.unwrap();
        assert_eq!(broken(&region).len(), bad.len(), "{fields:?}");
    }
}

#[tokio::test]
async fn delivering_twice_what_must_not_be() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let post = async |id: &str, status: u16| {
        let target = format!("/api/v2/status/{status}");
        bearer.ask("POST", &target, &format!("X-Request-Id: {id}\r\n"), "order").await
    };
    for retryable in [401, 429, 503] {
        let id = format!("again-after-{retryable}");
        post(&id, retryable).await.unwrap();
        post(&id, 200).await.unwrap();
    }
    assert_clean(&region);
    for (seen, done) in [200, 201, 400, 500].into_iter().enumerate() {
        let id = format!("twice-{done}");
        post(&id, done).await.unwrap();
        post(&id, done).await.unwrap();
        assert_eq!(broken(&region).len(), seen + 1, "{done}");
    }
    for how in [Action::DropBefore { how: Ending::Close }, Action::DropAfter { how: Ending::Close }] {
        let id = format!("lost-{how:?}");
        let count = broken(&region).len();
        region.script(Script::of([Fault::new(how).at(Endpoint::Api).times(1)]));
        assert!(post(&id, 200).await.is_none());
        post(&id, 200).await.unwrap();
        assert_eq!(broken(&region).len(), count + 1, "{id}");
    }
    assert!(broken(&region).iter().all(|rule| *rule == Rule::SentAgain));
    let count = broken(&region).len();
    for _ in 0..2 {
        bearer.ask("GET", "/api/v2/users/me", "X-Request-Id: safe\r\n", "").await.unwrap();
    }
    assert_eq!(broken(&region).len(), count, "a GET may be repeated");
}

#[tokio::test]
async fn sending_a_token_long_after_its_end() {
    let lifetime = Duration::from_millis(100);
    let settings = Settings { token_lifetime: lifetime, expiry: Expiry::Exact, ..Settings::default() };
    let region = Region::start(settings).await.unwrap();
    let bearer = Bearer::of(&region).await;
    tokio::time::sleep(lifetime).await;
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 401);
    assert_clean(&region);
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 401);
    assert_eq!(broken(&region), [Rule::ExpiredToken]);
}

#[tokio::test]
async fn anything_but_one_bearer_token() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let authorizations = [
        String::new(),
        "Authorization: Basic eDp5\r\n".to_owned(),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer a b\r\n".to_owned(),
        format!("Authorization: Bearer {0}\r\nAuthorization: Bearer {0}\r\n", bearer.token),
        format!("Authorization: Bearer {0}, Bearer {0}\r\n", bearer.token),
    ];
    for (seen, fields) in authorizations.iter().enumerate() {
        let reply = once(&region, request("GET", "/api/v2/users/me", fields, "")).await.unwrap();
        assert_eq!(reply.status, 401, "{fields:?}");
        assert_eq!(broken(&region).len(), seen + 1, "{fields:?}");
    }
    let mut text = bearer.text("POST", "/api/v2/echo", "Transfer-Encoding: chunked\r\n", "");
    text.push_str("0\r\nAuthorization: Bearer stolen\r\n\r\n");
    assert_eq!(once(&region, text).await.unwrap().status, 200);
    assert_eq!(broken(&region), [Rule::OneBearer; 7]);
    let text = format!("{:?}", region.referee());
    assert!(!text.contains(&bearer.token) && !text.contains("stolen"), "{text}");
}

#[tokio::test]
async fn any_number_of_hosts_but_one() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let text = bearer.text("GET", "/api/v2/users/me", "", "");
    once(&region, text.replace("Host: region\r\n", "")).await.unwrap();
    once(&region, text.replace("Host: region\r\n", "Host: region\r\nHost: region\r\n")).await.unwrap();
    assert_eq!(broken(&region), [Rule::OneHost; 2]);
}

#[tokio::test]
async fn nothing_when_the_referee_is_off() {
    let settings = Settings { referee: false, journal: 0, ..Settings::default() };
    let region = Region::start(settings).await.unwrap();
    let bearer = Bearer::of(&region).await;
    bearer.ask("GET", "/api/v2/users/me", "Keep-Alive: 5\r\nX-Request-Id: 1\r\n", "").await.unwrap();
    once(&region, request("GET", "/api/v2/users/me", "", "")).await.unwrap();
    assert_clean(&region);
    assert!(region.journal().is_empty());
    assert_eq!(region.token_requests(), 1);
}

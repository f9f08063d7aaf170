use super::client::{Bearer, Wire, assert_clean, broken, once, region};
use crate::Rule;

#[tokio::test]
async fn serves_many_requests_on_one_connection() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let mut wire = Wire::to(&region).await;
    let me = bearer.text("GET", "/api/v2/users/me", "", "");
    wire.send(me.repeat(3)).await;
    for _ in 0..3 {
        assert_eq!(wire.reply().await.unwrap().status, 200);
    }
    let ordinals: Vec<_> = region.journal().iter().map(|entry| entry.ordinal).collect();
    assert_eq!(ordinals, [1, 1, 2, 3], "a token request, then three on one connection");
    let last = bearer.text("GET", "/api/v2/users/me", "Connection: close\r\n", "");
    assert_eq!(wire.ask(last).await.unwrap().first("connection"), Some("close"));
    assert_eq!(wire.rest().await, b"");
    assert_clean(&region);
}

#[tokio::test]
async fn refuses_before_the_body_is_there_and_goes_on_after_it() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    region.revoke_all();
    let mut wire = Wire::to(&region).await;
    let text = bearer.text("POST", "/api/v2/upload", "", "a body that comes late");
    let (head, body) = text.split_at(text.len() - 10);
    assert_eq!(wire.ask(head).await.unwrap().status, 401);
    wire.send(body).await;
    let renewed = Bearer::of(&region).await;
    let reply = wire.ask(renewed.text("POST", "/api/v2/upload", "", "again")).await.unwrap();
    assert_eq!((reply.status, &reply.json()["bytes"]), (200, &5.into()));
}

#[tokio::test]
async fn asks_for_the_body_that_waits_for_it() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let mut wire = Wire::to(&region).await;
    let text = bearer.text("POST", "/api/v2/upload", "Expect: 100-continue\r\n", "wanted");
    let (head, body) = text.split_at(text.len() - 6);
    assert_eq!(wire.ask(head).await.unwrap().status, 100);
    assert_eq!(wire.ask(body).await.unwrap().json()["bytes"], 6);

    region.revoke_all();
    let refused = wire.ask(head).await.unwrap();
    assert_eq!((refused.status, refused.first("connection")), (401, Some("close")));
}

#[tokio::test]
async fn speaks_to_clients_of_http_1_0() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let old =
        |fields: &str| bearer.text("GET", "/api/v2/trailers", fields, "").replace("HTTP/1.1", "HTTP/1.0");
    let reply = once(&region, old("")).await.unwrap();
    assert_eq!((reply.first("transfer-encoding"), reply.body.as_slice()), (None, &b"one two"[..]));
    let mut wire = Wire::to(&region).await;
    let me = bearer.text("GET", "/api/v2/users/me", "Connection: keep-alive\r\n", "").replace("1.1", "1.0");
    assert_eq!(wire.ask(&me).await.unwrap().first("connection"), Some("keep-alive"));
    assert_eq!(wire.ask(&me).await.unwrap().status, 200);
}

#[tokio::test]
async fn refuses_and_reports_what_could_smuggle_a_request() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: \r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "X-Folded: a\r\n b\r\n",
        "X-Spaced : a\r\n",
        "X-Bare: a\n",
    ];
    for (seen, fields) in heads.iter().enumerate() {
        let reply = bearer.ask("POST", "/api/v2/upload", fields, "").await.unwrap();
        assert_eq!(reply.status, 400, "{fields:?}");
        assert_eq!(broken(&region).len(), seen + 1, "{fields:?}");
    }
    let bodies =
        ["5 \r\nhello", "0x5\r\nhello\r\n", "5\nhello\r\n", "5\r\nhello!\r\n", "0\r\nno colon\r\n\r\n"];
    for body in bodies {
        let mut text = bearer.text("POST", "/api/v2/upload", "Transfer-Encoding: chunked\r\n", "");
        text.push_str(body);
        if body.starts_with("5 ") {
            text.push_str("\r\n0\r\n\r\n");
            assert_eq!(once(&region, text).await.unwrap().status, 200, "white space at the end is allowed");
        } else {
            assert_eq!(once(&region, text).await.unwrap().status, 400, "{body:?}");
        }
    }
    assert!(broken(&region).iter().all(|rule| *rule == Rule::Framing));
}

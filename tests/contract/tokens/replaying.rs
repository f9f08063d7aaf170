//! A request is sent again while no more than `replay_buffer` of its body has been sent.

use cxone_proxy::simulator::{Action, Canned, Endpoint, Fault, Rest, Script, pattern};
use serde_json::json;

use super::attempts;
use crate::support::{Stage, Wire, eventually, get, request};

const SMALL_BUFFER: usize = 64 * 1024;

async fn with_small_buffer() -> Stage {
    let stage = Stage::launched(|launch| launch.flag("replay-buffer", "64KiB")).await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    stage
}

/// The next attempt at the API meets this.
fn once(action: Action) -> Script {
    Script::of([Fault::new(action).at(Endpoint::Api).times(1)])
}

fn refusal(status: u16) -> Canned {
    Canned::new(status).field("Retry-After", "0").body("refused")
}

async fn send_chunked(client: &mut Wire, target: &str, pieces: &[&[u8]]) {
    client.send(format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n")).await;
    client.send("X-Request-Id: a\r\n\r\n").await;
    for piece in pieces {
        client.send_chunk(piece).await;
    }
    client.send("0\r\nX-Sum: 1\r\n\r\n").await;
}

#[tokio::test]
async fn small_bodies_are_sent_again_whole_after_401_and_429() {
    for status in [401, 429] {
        let stage = Stage::new().await;
        stage.region.script(once(Action::Status(refusal(status))));
        let reply = stage.ask(request("POST", "/api/v2/echo-body", "X-Request-Id: b\r\n", "hello")).await;
        assert_eq!((reply.status(), reply.text()), (200, "hello".to_owned()), "{status}");
        assert_eq!(attempts(&stage.region).len(), 2);

        stage.region.script(once(Action::Status(refusal(status))));
        let mut client = stage.wire().await;
        send_chunked(&mut client, "/api/v2/echo-body", &[b"one ", b"two"]).await;
        let reply = client.reply().await.unwrap();
        assert_eq!((reply.status(), reply.text()), (200, "one two".to_owned()), "{status}");
        assert_eq!(reply.trailers, [("X-Sum".to_owned(), "1".to_owned())], "{status}");
        assert_eq!(attempts(&stage.region).len(), 4);
    }
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_an_upload_is_followed_by_the_whole_body() {
    for status in [401, 429] {
        for rest in [Rest::Read, Rest::Linger, Rest::Close] {
            let stage = with_small_buffer().await;
            let answer = refusal(status);
            stage.region.script(once(Action::EarlyAnswer { answer, read: 100, rest }));
            let mut client = stage.wire().await;
            // Far more than the buffer holds, but only little of it before the refusal.
            let body: Vec<u8> = pattern(0, 65_000).iter().copied().cycle().take(300_000).collect();
            client
                .send("POST /api/v2/echo-body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n")
                .await;
            client.send("X-Request-Id: a\r\n\r\n").await;
            client.send(&body[..1000]).await;
            eventually("the second attempt", async || (attempts(&stage.region).len() == 3).then_some(()))
                .await;
            client.send(&body[1000..]).await;
            let reply = client.reply().await.unwrap();
            assert_eq!(reply.status(), 200, "{status} {rest:?}");
            assert!(reply.body == body, "the body was changed after {status} {rest:?}");
        }
    }
}

#[tokio::test]
async fn a_body_of_just_the_buffer_s_size_is_sent_again_and_one_byte_more_is_not() {
    let stage = with_small_buffer().await;
    for status in [401, 429] {
        for (size, due) in [(SMALL_BUFFER, 200), (SMALL_BUFFER + 1, status)] {
            stage.region.script(once(Action::Status(refusal(status))));
            let reply = stage.ask(request("POST", "/api/v2/upload", "", &"x".repeat(size))).await;
            assert_eq!(reply.status(), due, "{status} {size}");
            if due == 200 {
                assert_eq!(reply.json()["bytes"], json!(size));
            }
        }
    }
}

#[tokio::test]
async fn a_body_too_large_to_replay_meets_the_refusal_itself_and_the_next_request_succeeds() {
    for status in [401, 429] {
        let stage = with_small_buffer().await;
        if status == 401 {
            stage.region.revoke_all();
        }
        stage.region.script(once(Action::Status(refusal(status))));
        let mut client = stage.wire().await;
        let reply = client.ask(request("POST", "/api/v2/upload", "", &"x".repeat(500_000))).await;
        assert_eq!((reply.status(), reply.text()), (status, "refused".to_owned()));
        let due =
            format!("cxone-proxy; received-status={status}; details=\"request body too large to replay\"");
        assert_eq!(reply.only("Proxy-Status"), Some(due.as_str()));
        let body = "y".repeat(500_000);
        if status == 401 {
            eventually("the renewal", async || (stage.region.token_requests() == 2).then_some(())).await;
            stage.proxy.event("token obtained").await;
            eventually("the new token", async || {
                let obtained =
                    stage.proxy.events().iter().filter(|event| event["message"] == "token obtained").count();
                (obtained == 2).then_some(())
            })
            .await;
        }
        assert_eq!(client.ask(request("POST", "/api/v2/upload", "", &body)).await.status(), 200);
    }
}

#[tokio::test]
async fn a_body_larger_than_the_buffer_still_streams() {
    let stage = with_small_buffer().await;
    let reply = stage.ask(request("POST", "/api/v2/upload", "", &"x".repeat(5_000_000))).await;
    assert_eq!((reply.status(), &reply.json()["bytes"]), (200, &json!(5_000_000)));
    assert_eq!(stage.ask(get("/api/v2/users/7")).await.status(), 200);
}

#[tokio::test]
async fn requests_over_http_2_are_sent_again_as_well() {
    let stage = Stage::new().await;
    let http2 = stage.http2().await;
    for status in [401, 429] {
        stage.region.script(once(Action::Status(refusal(status))));
        let mut trailers = http::HeaderMap::new();
        trailers.append("x-sum", http::HeaderValue::from_static("1"));
        let head = http2.request("POST", "/api/v2/echo-body").header("x-request-id", status.to_string());
        let answer = http2.ask(head, b"hello", trailers).await.unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello"[..]), "{status}");
        assert_eq!(answer.trailers.unwrap().len(), 1);
    }
}

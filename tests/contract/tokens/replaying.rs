//! A request is sent again while no more than `replay_buffer` of its body has been sent.

use cxone_simulator::{Action, Canned, Endpoint, Fault, Rest, Script, pattern};
use serde_json::json;

use super::attempts;
use crate::support::{RawConnection, Setup, eventually, get, request};

const SMALL_BUFFER: usize = 64 * 1024;

async fn with_small_buffer() -> Setup {
    let setup = Setup::launched(|launch| launch.flag("replay-buffer", "64KiB")).await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    setup
}

/// The next attempt at the API meets this.
fn once(action: Action) -> Script {
    Script::of([Fault::new(action).at(Endpoint::Api).times(1)])
}

fn refusal(status: u16) -> Canned {
    Canned::new(status).field("Retry-After", "0").body("refused")
}

async fn send_chunked(client: &mut RawConnection, target: &str, pieces: &[&[u8]]) {
    client.send(format!("POST {target} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n")).await;
    client.send("Trailer: X-Sum\r\nX-Request-Id: a\r\n\r\n").await;
    for piece in pieces {
        client.send_chunk(piece).await;
    }
    client.send("0\r\nX-Sum: 1\r\n\r\n").await;
}

#[tokio::test]
async fn small_bodies_are_sent_again_whole_after_401_and_429() {
    for status in [401, 429] {
        let setup = Setup::new().await;
        setup.region.script(once(Action::Status(refusal(status))));
        let response =
            setup.fetch(request("POST", "/api/v2/echo-body", "X-Request-Id: b\r\n", "hello")).await;
        assert_eq!((response.status(), response.text()), (200, "hello".to_owned()), "{status}");
        assert_eq!(attempts(&setup.region).len(), 2);

        setup.region.script(once(Action::Status(refusal(status))));
        let mut client = setup.connect().await;
        send_chunked(&mut client, "/api/v2/upload", &[b"one ", b"two"]).await;
        let response = client.response().await.unwrap();
        assert_eq!((response.status(), &response.json()["bytes"]), (200, &json!(7)), "{status}");
        let trailers = response.json()["trailers"].to_string().to_ascii_lowercase();
        assert_eq!(trailers, r#"[["x-sum","1"]]"#, "{status}");
        assert_eq!(attempts(&setup.region).len(), 4);
    }
}

#[tokio::test]
async fn a_refusal_in_the_middle_of_an_upload_is_followed_by_the_whole_body() {
    for status in [401, 429] {
        for rest in [Rest::Read, Rest::Linger, Rest::Close] {
            let setup = with_small_buffer().await;
            let answer = refusal(status);
            setup.region.script(once(Action::EarlyResponse { response: answer, read: 100, rest }));
            let mut client = setup.connect().await;
            // Far more than the buffer holds, but only little of it before the refusal.
            let body: Vec<u8> = pattern(0, 65_000).iter().copied().cycle().take(300_000).collect();
            client
                .send("POST /api/v2/echo-body HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n")
                .await;
            client.send("X-Request-Id: a\r\n\r\n").await;
            client.send(&body[..1000]).await;
            eventually("the second attempt", async || (attempts(&setup.region).len() == 3).then_some(()))
                .await;
            client.send(&body[1000..]).await;
            let response = client.response().await.unwrap();
            assert_eq!(response.status(), 200, "{status} {rest:?}");
            assert!(response.body == body, "the body was changed after {status} {rest:?}");
        }
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_buffer_size_is_sent_again_and_one_byte_more_is_not() {
    let setup = with_small_buffer().await;
    for status in [401, 429] {
        for (size, expected) in [(SMALL_BUFFER, 200), (SMALL_BUFFER + 1, status)] {
            setup.region.script(once(Action::Status(refusal(status))));
            let response = setup.fetch(request("POST", "/api/v2/upload", "", &"x".repeat(size))).await;
            assert_eq!(response.status(), expected, "{status} {size}");
            if expected == 200 {
                assert_eq!(response.json()["bytes"], json!(size));
            }
        }
    }
}

#[tokio::test]
async fn a_body_too_large_to_replay_meets_the_refusal_itself_and_the_next_request_succeeds() {
    for status in [401, 429] {
        let setup = with_small_buffer().await;
        if status == 401 {
            setup.region.revoke_all();
        }
        setup.region.script(once(Action::Status(refusal(status))));
        let mut client = setup.connect().await;
        let response = client.fetch(request("POST", "/api/v2/upload", "", &"x".repeat(500_000))).await;
        assert_eq!((response.status(), response.text()), (status, "refused".to_owned()));
        let expected =
            format!("cxone-proxy; received-status={status}; details=\"request body too large to replay\"");
        assert_eq!(response.only("Proxy-Status"), Some(expected.as_str()));
        let body = "y".repeat(500_000);
        if status == 401 {
            eventually("the new token", async || {
                (setup.status().await["token"]["generation"] == 2).then_some(())
            })
            .await;
        }
        assert_eq!(client.fetch(request("POST", "/api/v2/upload", "", &body)).await.status(), 200);
    }
}

#[tokio::test]
async fn a_body_larger_than_the_buffer_still_streams() {
    let setup = with_small_buffer().await;
    let response = setup.fetch(request("POST", "/api/v2/upload", "", &"x".repeat(5_000_000))).await;
    assert_eq!((response.status(), &response.json()["bytes"]), (200, &json!(5_000_000)));
    assert_eq!(setup.fetch(get("/api/v2/users/7")).await.status(), 200);
}

#[tokio::test]
async fn requests_over_http_2_are_sent_again_as_well() {
    let setup = Setup::new().await;
    let http2 = setup.http2().await;
    for status in [401, 429] {
        setup.region.script(once(Action::Status(refusal(status))));
        let mut trailers = http::HeaderMap::new();
        trailers.append("x-sum", http::HeaderValue::from_static("1"));
        let head = http2.request("POST", "/api/v2/upload").header("trailer", "x-sum");
        let head = head.header("x-request-id", status.to_string());
        let answer = http2.fetch(head, b"hello", trailers).await.unwrap();
        assert_eq!((answer.status, &answer.json()["bytes"]), (200, &json!(5)), "{status}");
        let trailers = answer.json()["trailers"].to_string().to_ascii_lowercase();
        assert_eq!(trailers, r#"[["x-sum","1"]]"#, "{status}");
    }
}

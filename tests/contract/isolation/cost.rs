//! No message costs more processor time than its size accounts for.

use std::time::Duration;

use super::Swallowing;
use crate::support::{Setup, Upstream, get};

/// A generous bound for a debug build. What was quadratic took half a second and eight in a release build.
const CHEAP: Duration = Duration::from_secs(2);

/// The processor time that the program needs for this work.
async fn cost(setup: &Setup, work: impl Future<Output = ()>) -> Duration {
    setup.proxy.idle().await;
    let before = setup.proxy.cpu_time();
    work.await;
    setup.proxy.idle().await;
    setup.proxy.cpu_time().saturating_sub(before)
}

/// `Connection` with so many members, on one line or on one line each, and so many other short lines.
fn fields(members: usize, lines: usize) -> [String; 2] {
    let others = "b:\r\n".repeat(lines);
    [
        format!("Connection: {}a\r\n{others}", "a,".repeat(members)),
        format!("{}{others}", "Connection: a\r\n".repeat(members / 7)),
    ]
}

#[tokio::test]
async fn a_request_with_many_connection_options_and_many_lines_is_cheap() {
    let upstream = Swallowing::start(None).await;
    let base_url = upstream.base_url.clone();
    let setup = Setup::launched(|launch| launch.api_at(base_url)).await;
    for fields in fields(15_000, 8_000) {
        let spent = cost(&setup, async {
            let response =
                setup.fetch(format!("GET /good HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")).await;
            // So many lines may be too many.
            assert!(matches!(response.status(), 200 | 431), "{}", response.start);
        })
        .await;
        assert!(spent < CHEAP, "{spent:?} for {} bytes", fields.len());
    }
}

#[tokio::test]
async fn a_response_with_many_connection_options_and_many_lines_is_cheap() {
    for fields in fields(60_000, 30_000) {
        let upstream = Upstream::start().await;
        let setup = upstream.setup(|launch| launch).await;
        let spent = cost(&setup, async {
            let mut client = setup.connect().await;
            client.send(get("/")).await;
            let mut connection = upstream.accept().await;
            connection.request().await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok");
            let _ = connection.try_send(head).await;
            let response = client.response().await.unwrap();
            assert!(matches!(response.status(), 200 | 502), "{}", response.start);
        })
        .await;
        assert!(spent < CHEAP, "{spent:?} for {} bytes", fields.len());
    }
}

#[tokio::test]
async fn trailers_that_arrive_byte_by_byte_cost_no_more_than_their_number_accounts_for() {
    let upstream = Swallowing::start(None).await;
    let base_url = upstream.base_url.clone();
    let setup = Setup::launched(|launch| launch.api_at(base_url)).await;
    let dripped = async |count: usize| {
        cost(&setup, async {
            let mut client = setup.connect().await;
            client
                .send(
                    "POST /up HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Long: ",
                )
                .await;
            for _ in 0..count {
                client.send("x").await;
            }
        })
        .await
    };
    // The first run pays for what is set up once.
    dripped(100).await;
    // The kernel joins bytes that wait for a busy proxy, and so a machine with other work to do makes single figures
    // smaller. A scan from the start each time would fail in every round.
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let (few, many) = (dripped(3_500).await, dripped(14_000).await);
        // Four times as many; a scan from the start each time would make it sixteen.
        if many < few * 8 {
            return;
        }
        rounds.push((few, many));
    }
    panic!("for 3,500 and 14,000: {rounds:?}");
}

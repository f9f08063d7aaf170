//! Connections between two ends in one process, on a paused clock.

use h2::server::SendResponse;
use tokio::io::DuplexStream;

use super::*;

type Server = h2::server::Connection<DuplexStream, Bytes>;

/// A peer that accepts a stream; what it does with its connection then is the test's business.
async fn connected() -> (Http2Connection, ResponseFuture, Server, SendResponse<Bytes>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut server, client) = tokio::join!(
        async {
            let mut server = h2::server::handshake(far).await.unwrap();
            // The settings go to and fro while it is driven.
            let _ = timeout(Duration::from_millis(10), server.accept()).await;
            server
        },
        async { handshake(near).await.unwrap() }
    );
    let mut send = client.send.clone().ready().await.unwrap();
    client.state.streams.fetch_add(1, Ordering::Relaxed);
    let request = Request::get("https://localhost/").body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let (_, answer) = server.accept().await.unwrap().unwrap();
    (client, response, server, answer)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_died_without_a_word_keeps_nobody_waiting() {
    let (client, response, _unheard, _unanswered) = connected().await;
    let began = Instant::now();
    assert!(timeout(Duration::from_mins(5), response).await.expect("it ends by itself").is_err());
    assert!(began.elapsed() <= PING_EVERY + PING_PATIENCE + Duration::from_secs(1));
    assert!(!client.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_only_takes_its_time_is_waited_for() {
    let (client, response, mut slow, _unanswered) = connected().await;
    let serving = async { while slow.accept().await.is_some() {} };
    tokio::select! {
        () = serving => panic!("the connection has ended"),
        answer = timeout(Duration::from_mins(5), response) => assert!(answer.is_err(), "nobody answered"),
    }
    assert!(client.is_open());
}

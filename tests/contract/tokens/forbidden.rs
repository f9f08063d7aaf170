//! The upstream's 403: it passes, and the log says what the token may do.

use crate::support::{Upstream, eventually, get};

/// An API that repeats the token, and a program that asks again and again.
#[tokio::test]
async fn a_missing_scope_is_said_once_and_without_the_token() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let mut client = setup.connect().await;
    let mut connection = None;
    let mut token = String::new();
    for _ in 0..20 {
        client.send(get("/secret")).await;
        let connection = match &mut connection {
            None => connection.insert(upstream.accept().await),
            Some(connection) => connection,
        };
        let arrived = connection.request().await.unwrap();
        token = arrived.only("authorization").unwrap().strip_prefix("Bearer ").unwrap().to_owned();
        connection
            .send(format!(
                "HTTP/1.1 403 Forbidden\r\nicstatusdescription: no permission for {token}\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
        assert_eq!(client.response().await.unwrap().status(), 403);
    }
    eventually("the line", async || setup.proxy.warning_about("lacks a scope")).await;
    setup.proxy.idle().await;
    let log = setup.proxy.log();
    assert_eq!(log.iter().filter(|line| line.contains("lacks a scope")).count(), 1, "{log:#?}");
    assert!(!log.iter().any(|line| line.contains(&token)), "{log:#?}");
}

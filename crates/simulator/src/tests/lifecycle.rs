use tokio::net::TcpStream;

use super::client::{Bearer, CREDENTIALS, Wire, assert_clean, once, region, token_request};
use crate::{Client, Endpoint, Region, Settings};

#[tokio::test]
async fn killed_it_is_gone_and_started_again_it_remembers() {
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let mut idle = Wire::to(&region).await;
    assert_eq!(idle.ask(bearer.text("GET", "/api/v2/users/me", "", "")).await.unwrap().status, 200);
    let mut polling = Wire::to(&region).await;
    polling.send(bearer.text("GET", "/api/v2/long-poll?seconds=60", "", "")).await;

    region.kill().await;
    assert_eq!(idle.rest().await, b"");
    assert_eq!(polling.rest().await, b"");
    assert!(TcpStream::connect(region.address()).await.is_err());
    region.kill().await;

    region.restart().await.unwrap();
    region.restart().await.unwrap();
    assert_eq!(bearer.get("/api/v2/users/me").await.status, 200, "the token is still good");
    assert_eq!(region.token_requests(), 1);
    let address = region.address();
    region.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn regions_do_not_know_each_other_s_clients() {
    let other =
        Settings { clients: vec![Client::new("other", "secret", &["users:read"])], ..Settings::default() };
    let region = Region::start(other).await.unwrap();
    assert_eq!(once(&region, token_request(CREDENTIALS)).await.unwrap().status, 401);
    let form = "grant_type=client_credentials&client_id=other&client_secret=secret";
    assert_eq!(once(&region, token_request(form)).await.unwrap().status, 200);
    let text = format!("{:?}", Settings::default());
    assert!(text.contains("demo-client") && !text.contains("demo-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_no_violation_of_a_good_client_under_load() {
    const CLIENTS: u64 = 8;
    const REQUESTS: u64 = 100;
    let region = region().await;
    let bearer = Bearer::of(&region).await;
    let renewing = async {
        for _ in 0..REQUESTS {
            assert_eq!(once(&region, token_request(CREDENTIALS)).await.unwrap().status, 200);
        }
    };
    let clients = (0..CLIENTS).map(async |client| {
        let mut wire = Wire::to(&region).await;
        for number in 0..REQUESTS {
            let id = format!("X-Request-Id: {client}-{number}\r\n");
            for status in [429, 200] {
                let target = format!("/api/v2/status/{status}?retry_after=0");
                let reply = wire.ask(bearer.text("POST", &target, &id, "order")).await.unwrap();
                assert_eq!(reply.status, status);
            }
        }
    });
    tokio::join!(renewing, futures_util::future::join_all(clients));
    assert_clean(&region);
    let api = region.journal().iter().filter(|entry| entry.endpoint == Endpoint::Api).count() as u64;
    assert_eq!(api, CLIENTS * REQUESTS * 2);
}

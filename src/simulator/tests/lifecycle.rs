use tokio::net::TcpStream;

use super::client::{Bearer, CREDENTIALS, Wire, once, region, token_request};
use crate::simulator::{Client, Region, Settings};

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
    let shown = format!("{:?}", Settings::default());
    assert!(shown.contains("demo-client") && !shown.contains("demo-secret"));
}

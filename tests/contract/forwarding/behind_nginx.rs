//! A real nginx before the proxy, by the file of `deploy/`.

use crate::support::{Message, Nginx, Server, Setup, get, ok, request};

async fn behind_nginx() -> Option<(Nginx, Setup, Server)> {
    let upstream = Server::start(respond).await;
    let base_url = upstream.base_url();
    let setup = Setup::launched(|launch| launch.api_at(base_url)).await;
    let text = include_str!("../../../deploy/nginx.conf");
    let nginx =
        Nginx::start(&text.replace("127.0.0.1:8080;", &format!("{};", setup.proxy.proxy_address()))).await?;
    Some((nginx, setup, upstream))
}

fn respond(request: &Message) -> Vec<u8> {
    let origin = format!("http://{}", request.only("host").unwrap());
    let fields = format!("Location: {origin}/next\r\nSet-Cookie: a=b; Secure\r\n");
    ok(&fields, request.body.len().to_string())
}

#[tokio::test]
async fn requests_pass_unchanged_and_addresses_lead_back_to_nginx() {
    let Some((nginx, _setup, upstream)) = behind_nginx().await else { return };
    let mut client = nginx.connect().await;
    let target = "/api//v2/%7eusers/./x%2Fy?z=%20&;";
    let long = "v".repeat(40_000);
    let fields = format!("X_Under_Score: 1\r\nX-Long: {long}\r\nAuthorization: Basic bG9nOmlu\r\n");
    let host = format!("Host: {}", nginx.address);
    let response = client.fetch(request("GET", target, &fields, "").replace("Host: localhost", &host)).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(response.only("location"), Some(format!("http://{}/next", nginx.address).as_str()));
    assert_eq!(response.only("set-cookie"), Some("a=b"));
    let seen = upstream.requests().pop().unwrap();
    assert_eq!(seen.target(), target);
    assert_eq!((seen.only("x_under_score"), seen.only("x-long")), (Some("1"), Some(long.as_str())));
    assert!(seen.only("authorization").unwrap().starts_with("Bearer "), "a log-in at nginx stays there");
}

#[tokio::test]
async fn a_large_upload_passes() {
    let Some((nginx, _setup, _upstream)) = behind_nginx().await else { return };
    let response = nginx.connect().await.fetch(request("POST", "/upload", "", &"x".repeat(3_000_000))).await;
    assert_eq!((response.status(), response.text().as_str()), (200, "3000000"));
}

#[tokio::test]
async fn the_guard_still_judges_the_name_that_the_client_used() {
    let Some((nginx, _setup, upstream)) = behind_nginx().await else { return };
    let response = nginx.connect().await.fetch(get("/").replace("localhost", "evil.example")).await;
    assert_eq!(response.status(), 421, "{}", response.text());
    assert_eq!(upstream.requests().len(), 0);
}

#[tokio::test]
async fn a_websocket_passes() {
    let setup = Setup::new().await;
    let text = include_str!("../../../deploy/nginx.conf");
    let text = text.replace("127.0.0.1:8080;", &format!("{};", setup.proxy.proxy_address()));
    let Some(nginx) = Nginx::start(&text).await else { return };
    super::upgrades::converse(nginx.address).await;
}

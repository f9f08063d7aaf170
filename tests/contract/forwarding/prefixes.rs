//! Taking the base URL's prefix off an address never makes another host's address of it.

use url::Url;

use crate::support::{RawConnection, Setup, Upstream};

/// An upstream below `/v1` with links rewritten, and a program in front of it.
async fn below_v1() -> (Upstream, Setup, tempfile::TempDir) {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("proxy.toml");
    std::fs::write(&file, "[[profile]]\nname = 'one'\nrewrite_json_links = true\n").unwrap();
    let upstream = Upstream::start().await;
    let base_url = format!("{}/v1", upstream.base_url());
    let setup =
        upstream.setup(|launch| launch.variable("CXONE_BASE_URL", base_url).flag("config", &file)).await;
    (upstream, setup, files)
}

/// Where a client goes that follows `reference` from a page of the proxy, as browsers resolve it.
fn followed(reference: &str) -> Url {
    Url::parse("http://localhost/page").unwrap().join(reference).unwrap()
}

/// The response to a GET, where the upstream says this.
async fn relayed(
    client: &mut RawConnection,
    upstream: &mut RawConnection,
    response: &str,
) -> crate::support::Message {
    client.send(crate::support::get("/page")).await;
    upstream.request().await.unwrap();
    upstream.send(response).await;
    client.response().await.unwrap()
}

#[tokio::test]
async fn a_second_slash_behind_the_prefix_names_no_host() {
    let (upstream, setup, _files) = below_v1().await;
    let mut client = setup.connect().await;
    client.send(crate::support::get("/first")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection.send(crate::support::ok("", "first")).await;
    client.response().await.unwrap();
    let base = upstream.base_url();
    for address in [
        "/v1//evil.example/x",
        "/v1///evil.example/x",
        "/v1/\\evil.example/x",
        "/v1\\/evil.example/x",
        "/v1/\t/evil.example/x",
        "/v1/ /evil.example/x",
        "/v1//evil.example:80/x?q#f",
        &format!("{base}/v1//evil.example/x"),
        &format!("{base}/v1/\\evil.example/x"),
        &format!("{}//evil.example/x", base.trim_start_matches("http:").to_owned() + "/v1"),
    ] {
        let json = serde_json::json!({ "_links": { "next": address } }).to_string();
        let response = relayed(
            &mut client,
            &mut connection,
            &format!(
                "HTTP/1.1 201 Created\r\nLocation: {address}\r\nContent-Location: {address}\r\n\
                 Link: <{address}>; rel=\"next\"\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{json}",
                json.len()
            ),
        )
        .await;
        let link =
            response.only("link").unwrap().strip_prefix('<').unwrap().split('>').next().unwrap().to_owned();
        let json = response.json()["_links"]["next"].as_str().unwrap().to_owned();
        for (name, reference) in [
            ("Location", response.only("location").unwrap().to_owned()),
            ("Content-Location", response.only("content-location").unwrap().to_owned()),
            ("Link", link),
            ("_links", json),
        ] {
            let host = followed(&reference).host_str().unwrap().to_owned();
            let own = host == "localhost" || host == "127.0.0.1";
            assert!(own, "{name}: {address:?} became {reference:?}, which names {host}");
        }
    }
}

/// What needs no care still loses the prefix.
#[tokio::test]
async fn other_references_lose_the_prefix() {
    let (upstream, setup, _files) = below_v1().await;
    let mut client = setup.connect().await;
    client.send(crate::support::get("/first")).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    connection.send(crate::support::ok("", "first")).await;
    client.response().await.unwrap();
    for (address, expected) in
        [("/v1/x//y", "/x//y"), ("/v1", "/"), ("/v1?q", "/?q"), ("/v1#f", "/#f"), ("/v12", "/v12")]
    {
        let response = format!("HTTP/1.1 302 Found\r\nLocation: {address}\r\nContent-Length: 0\r\n\r\n");
        let response = relayed(&mut client, &mut connection, &response).await;
        assert_eq!(response.only("location"), Some(expected), "{address}");
    }
}

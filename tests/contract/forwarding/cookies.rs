//! Cookies come back to the upstream that set them, and go to no other one.

use crate::support::{RawConnection, Setup, Upstream, get};

/// The `Set-Cookie` lines that a client gets for those of the upstream, without blanks.
async fn relayed(setup: &Setup, upstream: &Upstream, target: &str, cookies: &[&str]) -> Vec<String> {
    let mut client: RawConnection = setup.connect().await;
    client.send(get(target)).await;
    let mut connection = upstream.accept().await;
    connection.request().await.unwrap();
    let lines = cookies.iter().map(|cookie| format!("Set-Cookie: {cookie}\r\n")).collect::<Vec<_>>().concat();
    connection
        .send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n{lines}\r\n"))
        .await;
    let response = client.response().await.unwrap();
    response.all("Set-Cookie").into_iter().map(|cookie| cookie.replace("; ", ";")).collect()
}

#[tokio::test]
async fn a_path_below_the_base_url_s_prefix_is_moved_as_locations_are() {
    let upstream = Upstream::start().await;
    let base_url = format!("{}/tenant-7", upstream.base_url());
    let setup = upstream.setup(|launch| launch.variable("CXONE_BASE_URL", base_url)).await;
    let cookies = relayed(
        &setup,
        &upstream,
        "/",
        &[
            "a=1; Path=/tenant-7/api; HttpOnly",
            "b=2; path=/tenant-7",
            "c=3; PATH=/tenant-7/",
            "d=4; Path=/",
            "e=5",
            "f=6; Path=relative",
            "g=Path=/tenant-7; Path=/tenant-7/x",
        ],
    )
    .await;
    let lower: Vec<_> =
        cookies.iter().map(|cookie| cookie.replace("PATH", "Path").replace("path", "Path")).collect();
    assert_eq!(
        lower,
        [
            "a=1;Path=/api;HttpOnly",
            "b=2;Path=/",
            "c=3;Path=/",
            "d=4;Path=/",
            "e=5",
            "f=6;Path=relative",
            "g=Path=/tenant-7;Path=/x",
        ]
    );
}

/// Two profiles, one of them at a path that is stripped.
async fn with_a_stripped_path(upstream: &Upstream) -> (Setup, tempfile::TempDir) {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("proxy.toml");
    let text = format!(
        "[[profile]]\nname = 'api'\n[[profile]]\nname = 'digital'\npath_prefix = '/digital'\n\
         strip_prefix = true\ncredentials = 'api'\n[profile.upstream]\nbase_url = '{}'\n",
        upstream.base_url()
    );
    std::fs::write(&file, text).unwrap();
    (Setup::launched(|launch| launch.flag("config", &file)).await, files)
}

#[tokio::test]
async fn a_profile_s_path_is_put_before_the_path_of_its_cookies() {
    let upstream = Upstream::start().await;
    let (setup, _files) = with_a_stripped_path(&upstream).await;
    let cookies =
        relayed(&setup, &upstream, "/digital/x", &["a=1; Path=/api", "b=2; Path=/", "c=3; Path=/a/b/"]).await;
    // Paths of all profiles begin with `/`, so a cookie for `/` would go to the other upstream as well.
    assert_eq!(cookies[0], "a=1;Path=/digital/api");
    assert!(matches!(cookies[1].as_str(), "b=2;Path=/digital" | "b=2;Path=/digital/"), "{cookies:?}");
    assert_eq!(cookies[2], "c=3;Path=/digital/a/b/");
}

/// Browsers take neither of these without `Secure`, so they would drop the cookie.
#[tokio::test]
async fn what_needs_secure_goes_with_it_on_a_plain_listener() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    let cookies = relayed(
        &setup,
        &upstream,
        "/",
        &[
            "a=1; Secure; SameSite=None; Partitioned; Path=/",
            "b=2; samesite=NONE; secure; PARTITIONED",
            "c=3; SameSite=Lax; Secure",
            "d=4; SameSite=Strict; Secure; Max-Age=1",
            "e=Partitioned; Secure",
        ],
    )
    .await;
    let expected =
        ["a=1;Path=/", "b=2", "c=3;SameSite=Lax", "d=4;SameSite=Strict;Max-Age=1", "e=Partitioned"];
    assert_eq!(cookies, expected);
}

//! Secrets come from a variable or a file, and are never shown.

use cxone_simulator::{Region, Settings};
use tempfile::TempDir;

use super::offline;
use crate::support::{CLIENT_ID, CLIENT_SECRET, Launch, Setup, Upstream, eventually, get, request};

#[tokio::test]
async fn a_secret_file_may_end_in_one_line_end() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("secret");
    let region = Region::start(Settings::default()).await.unwrap();
    let launch = Launch::of("token")
        .variable("CXONE_BASE_URL", region.base_url())
        .variable("CXONE_CLIENT_ID", CLIENT_ID)
        .variable("CXONE_CLIENT_SECRET_FILE", &path);
    for (end, status) in [("", 0), ("\n", 0), ("\r\n", 0), ("\n\n", 2), (" ", 2), ("\n ", 2)] {
        std::fs::write(&path, format!("{CLIENT_SECRET}{end}")).unwrap();
        let (ended, _, log) = launch.run().await;
        assert_eq!(ended.code(), Some(status), "{end:?}: {log}");
        if status == 2 {
            assert!(log.contains("CXONE_CLIENT_SECRET_FILE") && log.contains("white space"), "{log}");
            assert!(!log.contains(CLIENT_SECRET), "{log}");
        }
    }
    std::fs::remove_file(&path).unwrap();
    let (ended, _, log) = launch.run().await;
    assert_eq!(ended.code(), Some(2), "{log}");
    assert!(log.contains(path.to_str().unwrap()), "{log}");
}

#[tokio::test]
async fn a_secret_file_is_read_again_and_the_last_good_secret_is_kept() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("secret");
    std::fs::write(&path, CLIENT_SECRET).unwrap();
    let settings = Settings { issue_refresh_tokens: false, ..Settings::default() };
    let setup = Setup::with(settings, |launch| {
        launch.without_variable("CXONE_CLIENT_SECRET").variable("CXONE_CLIENT_SECRET_FILE", &path)
    })
    .await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    let warns = || setup.proxy.warning_about("last good").is_some();
    assert!(!warns());
    std::fs::remove_file(&path).unwrap();
    setup.region.revoke_all();
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    eventually("the warning", async || warns().then_some(())).await;
    std::fs::write(&path, "an0ther-secret").unwrap();
    setup.region.revoke_all();
    let refused = setup.get("/api/v2/users/me").await;
    assert_eq!(refused.status(), 502, "{}", refused.text());
    assert!(!refused.text().contains("an0ther-secret"));
    assert!(!setup.proxy.log().iter().any(|line| line.contains("an0ther-secret")));
    std::fs::write(&path, CLIENT_SECRET).unwrap();
    eventually("the right secret", async || {
        (setup.get("/api/v2/users/me").await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn white_space_around_the_secret_is_an_error_that_says_so() {
    for secret in [" s3cr3t-value", "s3cr3t-value\n", "\ts3cr3t-value"] {
        let (status, _, log) = offline().variable("CXONE_CLIENT_SECRET", secret).run().await;
        assert_eq!(status.code(), Some(2));
        assert!(log.contains("CXONE_CLIENT_SECRET") && log.contains("white space"), "{log}");
        assert!(!log.contains("s3cr3t-value"), "{log}");
    }
}

#[tokio::test]
async fn neither_secret_nor_token_is_ever_shown() {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch.flag("log", "trace")).await;
    let mut client = setup.connect().await;
    let mut tokens = Vec::new();
    let mut shown = Vec::new();
    // A good response, a refusal with its renewal, an error, a response that is not HTTP.
    let answers = ["200 OK", "401 Unauthorized", "500 Internal Server Error"];
    client.send(get("/a")).await;
    let mut connection = upstream.accept().await;
    for answer in answers {
        let attempt = connection.request().await.unwrap();
        tokens.push(attempt.only("authorization").unwrap().to_owned());
        connection.send(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n")).await;
        if !answer.starts_with("401") {
            let response = client.response().await.unwrap();
            shown.push(format!("{:?} {}", response.fields, response.text()));
            client.send(request("POST", "/b", "", "x")).await;
        }
    }
    connection.request().await.unwrap();
    connection.send("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n").await;
    let response = client.response().await.unwrap();
    assert_eq!(response.status(), 502);
    shown.push(format!("{:?} {}", response.fields, response.text()));
    for page in ["/status", "/metrics", "/readyz"] {
        shown.push(setup.admin(page).await.text());
    }
    shown.extend(setup.proxy.log());

    assert!(shown.len() > 20, "the log should be full: {shown:#?}");
    assert_ne!(tokens[0], tokens[2], "one renewal");
    for line in &shown {
        assert!(!line.contains(CLIENT_SECRET), "{line}");
        for token in &tokens {
            let token = token.strip_prefix("Bearer ").unwrap();
            let signature = token.rsplit('.').next().unwrap();
            assert!(!line.contains(token) && !line.contains(signature), "{line}");
        }
    }
}

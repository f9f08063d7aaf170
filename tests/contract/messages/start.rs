//! A program that does not start, and a reload that changes nothing.

use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Due, Scene};
use crate::support::{CLIENT_SECRET, Launch, Setup, eventually, serve};

/// A start that fails: standard error is for a person.
async fn fails(due: Due<'_>, launch: impl FnOnce(Launch) -> Launch) -> Scene {
    let (status, _, complaint) = launch(serve("http://127.0.0.1:9").flag("log-format", "text")).run().await;
    assert!(matches!(status.code(), Some(1 | 2)), "{status}");
    Scene::checked(due, Some(complaint), None)
}

pub(super) async fn scenes() -> Vec<Scene> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let files = TempDir::new().unwrap();
    let path = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let secret = path("secret", "\"quoted\"");
    let config = path("proxy.toml", "[retry]\nmax_wait = 30\nrate_limit_retry = 3\n");
    let not_pem = path("ca.pem", "no certificate");
    let mut scenes = vec![
        fails(
            Due { title: "The port is taken", line: &["is in use", "CXONE_PROXY_LISTEN"], answer: &[] },
            |launch| launch.flag("listen", &address),
        )
        .await,
        fails(
            Due {
                title: "The directory of a socket is missing",
                line: &["directory", "listen"],
                answer: &[],
            },
            |launch| launch.flag("listen", "unix:/no/where/proxy.sock"),
        )
        .await,
        fails(
            Due { title: "The secret is missing", line: &["CXONE_CLIENT_SECRET"], answer: &[] },
            |launch| launch.without_variable("CXONE_CLIENT_SECRET"),
        )
        .await,
        fails(
            Due {
                title: "The secret stands in quotation marks",
                line: &["quotation marks", "CXONE_CLIENT_SECRET_FILE"],
                answer: &[],
            },
            |launch| {
                launch.without_variable("CXONE_CLIENT_SECRET").variable("CXONE_CLIENT_SECRET_FILE", &secret)
            },
        )
        .await,
        fails(
            Due {
                title: "Mistakes in the configuration file",
                line: &["proxy.toml:2", "10s", "rate_limit_retries"],
                answer: &[],
            },
            |launch| launch.flag("config", &config),
        )
        .await,
        fails(
            Due { title: "An unknown variable", line: &["CXONE_REGOIN", "CXONE_REGION"], answer: &[] },
            |launch| launch.variable("CXONE_REGOIN", "eu"),
        )
        .await,
        fails(
            Due {
                title: "Open to other machines without allowed hosts",
                line: &["CXONE_PROXY_ALLOWED_HOSTS"],
                answer: &[],
            },
            |launch| launch.flag("listen", "0.0.0.0:0"),
        )
        .await,
        fails(
            Due {
                title: "A bundle of authorities without a certificate",
                line: &["ca.pem", "CXONE_CA_FILE"],
                answer: &[],
            },
            |launch| launch.variable("CXONE_CA_FILE", &not_pem),
        )
        .await,
    ];
    scenes.push(reload_refused().await);
    scenes.push(secret_gone().await);
    scenes
}

async fn reload_refused() -> Scene {
    let files = TempDir::new().unwrap();
    let path = files.path().join("proxy.toml");
    std::fs::write(&path, "").unwrap();
    let setup = Setup::launched(|launch| launch.flag("config", &path)).await;
    std::fs::write(&path, "threads = 0\n").unwrap();
    setup.proxy.signal(Signal::HUP);
    let line = ["not reloaded", "threads", "proxy.toml:1"];
    Scene::of(Due { title: "A reload with a mistake", line: &line, answer: &[] }, &setup.proxy, None).await
}

async fn secret_gone() -> Scene {
    let files = TempDir::new().unwrap();
    let path = files.path().join("secret");
    std::fs::write(&path, CLIENT_SECRET).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let setup = Setup::launched(|launch| {
        launch
            .without_variable("CXONE_CLIENT_SECRET")
            .variable("CXONE_CLIENT_SECRET_FILE", &path)
            .flag("watch", "false")
    })
    .await;
    setup.token_state("valid").await;
    std::fs::remove_file(&path).unwrap();
    eventually("a renewal", async || {
        setup.region.revoke_all();
        setup.get("/api/v2/users/me").await;
        setup.proxy.warning_about("gives no secret")
    })
    .await;
    let line = ["secret", "last good secret", "Check the file"];
    Scene::of(Due { title: "The secret file is gone", line: &line, answer: &[] }, &setup.proxy, None).await
}

//! What clients do wrong, and what they are not allowed.

use tempfile::TempDir;

use super::{Due, Scene};
use crate::support::{Launch, Setup, get, request};

const ME: &str = "/api/v2/users/me";

/// One request to a program that is started as `launch` says. Refusals of single requests are lines of the access log,
/// not warnings.
async fn sends(due: Due<'_>, launch: impl FnOnce(Launch) -> Launch, request: String) -> Scene {
    let setup = Setup::launched(launch).await;
    let answer = setup.fetch(request).await;
    Scene::of(due, &setup.proxy, Some(&answer)).await
}

pub(super) async fn scenes() -> Vec<Scene> {
    let own = |launch: Launch| launch;
    let files = TempDir::new().unwrap();
    let clients = files.path().join("clients.toml");
    std::fs::write(&clients, "[[client]]\nname = \"crm\"\nuid = 1\n").unwrap();
    let mut scenes = vec![
        sends(
            Due {
                title: "A name that is not ours",
                line: &["evil.example", "CXONE_PROXY_ALLOWED_HOSTS"],
                answer: &["421", "CXONE_PROXY_ALLOWED_HOSTS"],
            },
            own,
            get(ME).replace("localhost", "evil.example"),
        )
        .await,
        sends(
            Due {
                title: "A web page of another origin",
                line: &["https://evil.example", "CXONE_PROXY_ALLOWED_ORIGINS"],
                answer: &["403", "CXONE_PROXY_ALLOWED_ORIGINS"],
            },
            own,
            request("GET", ME, "Origin: https://evil.example\r\n", ""),
        )
        .await,
        sends(
            Due { title: "A path that is denied", line: &[], answer: &["403", "access.deny"] },
            |launch| launch.flag("deny", "* /api/v2/users*"),
            get(ME),
        )
        .await,
        sends(
            Due { title: "Nobody that the clients file knows", line: &[], answer: &["401", "X-Proxy-Key"] },
            |launch| launch.flag("clients", &clients),
            get(ME),
        )
        .await,
        sends(Due { title: "TRACE", line: &[], answer: &["405"] }, own, request("TRACE", ME, "", "")).await,
        sends(
            Due { title: "A header section that is too large", line: &[], answer: &["431"] },
            own,
            request("GET", ME, &format!("X-Large: {}\r\n", "x".repeat(70_000)), ""),
        )
        .await,
    ];
    let setup = Setup::launched(|launch| launch.flag("budget", "1/1h")).await;
    assert_eq!(setup.get(ME).await.status(), 200);
    let answer = setup.get(ME).await;
    let due = Due { title: "The budget is used up", line: &[], answer: &["429", "budget"] };
    scenes.push(Scene::of(due, &setup.proxy, Some(&answer)).await);
    let setup = Setup::new().await;
    let mut client = setup.connect().await;
    client.send([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, b'\r', b'\n', b'\r', b'\n']).await;
    let answer = client.response().await.unwrap();
    let line = ["127.0.0.1:", "http://", "CXONE_PROXY_TLS_CERT"];
    let due = Due { title: "TLS to the plain listener", line: &line, answer: &["400", "http://"] };
    scenes.push(Scene::of(due, &setup.proxy, Some(&answer)).await);
    scenes
}

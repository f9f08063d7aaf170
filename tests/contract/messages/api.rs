//! The API, where there is a token.

use std::time::Duration;

use cxone_simulator::{Action, Canned, Ending, Endpoint, Fault, Malformation, Region, Script, Settings, Tls};

use super::{Due, Scene};
use crate::support::{Launch, Setup, Upstream, get, request};

const PATH: &str = "/api/v2/contacts/7?secret=1";
/// What the line of a failed request has.
const REQUEST: &str = "GET /api/v2/contacts/7 ";

/// An API that does this.
async fn does(due: Due<'_>, action: Action, launch: impl FnOnce(Launch) -> Launch) -> Scene {
    let setup = Setup::launched(launch).await;
    setup.region.script(Script::of([Fault::new(action).at(Endpoint::Api)]));
    let answer = setup.get(PATH).await;
    let is_own = answer.only("Content-Type") == Some("application/problem+json");
    Scene::of(due, &setup.proxy, is_own.then_some(&answer)).await
}

/// An API at this address.
async fn at(due: Due<'_>, base_url: &str, launch: impl FnOnce(Launch) -> Launch) -> Scene {
    let setup = Setup::launched(|own| launch(own.api_at(base_url))).await;
    let answer = setup.get(PATH).await;
    Scene::of(due, &setup.proxy, Some(&answer)).await
}

fn status(status: u16) -> Canned {
    Canned::new(status).body("{}")
}

pub(super) async fn scenes() -> Vec<Scene> {
    let own = |launch: Launch| launch;
    let mut scenes = vec![
        at(
            Due {
                title: "Nobody listens at the API",
                line: &[REQUEST, "127.0.0.1:9", "CXONE_BASE_URL", "was not carried out"],
                answer: &["502", "CXONE_BASE_URL"],
            },
            "http://127.0.0.1:9",
            own,
        )
        .await,
        at(
            Due {
                title: "The API's name is not known",
                line: &[REQUEST, "api.invalid", "CXONE_BASE_URL"],
                answer: &["502"],
            },
            "https://api.invalid",
            own,
        )
        .await,
        does(
            Due {
                title: "The API breaks off before its response",
                line: &[REQUEST, "may have been carried out"],
                answer: &["502", "may have been carried out"],
            },
            Action::DropAfter { how: Ending::Close },
            own,
        )
        .await,
        does(
            Due { title: "The API's response is not HTTP", line: &[REQUEST, "HTTP"], answer: &["502"] },
            Action::Malformed { what: Malformation::Garbage },
            own,
        )
        .await,
        does(
            Due {
                title: "The API takes too long",
                line: &[REQUEST, "--response-timeout"],
                answer: &["504", "--response-timeout"],
            },
            Action::Delay { ms: 3000 },
            |launch| launch.flag("response-timeout", "200ms"),
        )
        .await,
        does(
            Due {
                title: "The API's rate limit reaches a client",
                line: &["429", REQUEST.trim_end(), "CXONE_PROXY_RATE_LIMIT_RETRIES"],
                answer: &[],
            },
            Action::Status(status(429)),
            |launch| launch.flag("pace", "off").flag("rate-limit-retries", "1"),
        )
        .await,
        does(
            Due {
                title: "The token lacks a scope",
                line: &["scope", "403", REQUEST.trim_end()],
                answer: &[],
            },
            Action::Status(status(403).field("icstatusdescription", "missing scope")),
            own,
        )
        .await,
    ];
    let tls = Region::start(Settings { tls: Some(Tls::default()), ..Settings::default() }).await.unwrap();
    scenes.push(
        at(
            Due {
                title: "The API's certificate comes from an unknown authority",
                line: &[REQUEST, "certificate", "CXONE_CA_FILE"],
                answer: &["502", "CXONE_CA_FILE"],
            },
            &tls.base_url(),
            own,
        )
        .await,
    );
    scenes.push(broken_off().await);
    scenes.push(fresh_tokens_rejected().await);
    scenes.push(own_log_in().await);
    scenes.push(hanging().await);
    scenes
}

async fn broken_off() -> Scene {
    let setup = Setup::new().await;
    let action = Action::Truncate { after: 100_000, how: Ending::Close };
    setup.region.script(Script::of([Fault::new(action).at(Endpoint::Api)]));
    let mut client = setup.connect().await;
    client.send(get("/api/v2/large?bytes=200000")).await;
    assert!(client.response().await.is_err());
    let line = ["GET /api/v2/large of", "bytes", "127.0.0.1:", "carried out"];
    Scene::of(Due { title: "A response breaks off", line: &line, answer: &[] }, &setup.proxy, None).await
}

async fn fresh_tokens_rejected() -> Scene {
    let setup = Setup::new().await;
    setup.region.script(Script::of([Fault::new(Action::Status(status(401))).at(Endpoint::Api)]));
    let mut client = setup.connect().await;
    for number in 0.. {
        if setup.proxy.warning_about("rejects fresh tokens").is_some() {
            break;
        }
        assert_eq!(client.fetch(get(&format!("/api/v2/users/{number}"))).await.status(), 401);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let line = ["401", "CXONE_BASE_URL", "tenant"];
    Scene::of(Due { title: "The API rejects fresh tokens too", line: &line, answer: &[] }, &setup.proxy, None)
        .await
}

async fn own_log_in() -> Scene {
    let setup = Setup::new().await;
    setup.region.script(Script::of([Fault::new(Action::Status(status(401))).at(Endpoint::Api)]));
    setup.fetch(request("POST", "/tenant/auth/token", "", "grant_type=password")).await;
    let line = ["POST /tenant/auth/token", "401", "Take it out"];
    Scene::of(Due { title: "A client logs in by itself", line: &line, answer: &[] }, &setup.proxy, None).await
}

async fn hanging() -> Scene {
    let upstream = Upstream::start().await;
    let setup = upstream.setup(|launch| launch).await;
    for _ in 0..3 {
        let mut client = setup.connect().await;
        client.send(get(PATH)).await;
        let mut connection = upstream.accept().await;
        connection.request().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1050)).await;
        drop(client);
        connection.rest().await;
    }
    let line = ["GET /api/v2/contacts/7", "CXONE_PROXY_RESPONSE_TIMEOUT", "may have been carried out"];
    Scene::of(
        Due { title: "The API hangs until clients leave", line: &line, answer: &[] },
        &setup.proxy,
        None,
    )
    .await
}

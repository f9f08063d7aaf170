//! The token endpoint, and the way to it.

use cxone_simulator::{Action, Canned, Ending, Endpoint, Fault, Region, Script, Settings, Tls};
use rcgen::date_time_ymd;
use tokio::net::TcpListener;

use super::{Due, Scene};
use crate::support::{
    CLIENT_ID, Certificate, ForwardProxy, Launch, Process, RawConnection, Setup, get, serve,
};

async fn asked(process: &Process) -> crate::support::Message {
    RawConnection::to(process.proxy_address()).await.fetch(get("/api/v2/users/me")).await
}

/// A token endpoint that does this.
async fn does(due: Due<'_>, action: Action) -> Scene {
    let script = Script::of([Fault::new(action).at(Endpoint::Token)]);
    let settings = Settings { script, ..Settings::default() };
    let setup = Setup::with(settings, |launch| launch.flag("max-wait", "1s")).await;
    let answer = setup.get("/api/v2/users/me").await;
    Scene::of(due, &setup.proxy, Some(&answer)).await
}

/// A token endpoint at this address, which is reached as `launch` says.
async fn at(due: Due<'_>, token_url: &str, launch: impl FnOnce(Launch) -> Launch) -> Scene {
    let program = serve("http://127.0.0.1:9").variable("CXONE_TOKEN_URL", token_url).flag("max-wait", "1s");
    let process = launch(program).listening().await;
    let answer = asked(&process).await;
    Scene::of(due, &process, Some(&answer)).await
}

async fn certificate(due: Due<'_>, certificate: Certificate, trusted: bool) -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/token", listener.local_addr().unwrap().port());
    let acceptor = certificate.acceptor(&["http/1.1"]);
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    let path = certificate.path();
    let scene = at(due, &url, |launch| if trusted { launch.flag("ca-file", path) } else { launch }).await;
    serving.abort();
    scene
}

async fn forward_proxy(due: Due<'_>, refusal: Option<&'static str>) -> Scene {
    let region = Region::start(Settings::default()).await.unwrap();
    let proxy = match refusal {
        Some(refusal) => Some(ForwardProxy::start(region.address(), Some(refusal)).await),
        None => None,
    };
    let url = proxy.as_ref().map_or("http://127.0.0.1:9".to_owned(), |proxy| proxy.url(""));
    at(due, "https://tokens.example/token", |launch| launch.variable("HTTPS_PROXY", url)).await
}

fn answer(status: u16, body: &str) -> Action {
    Action::Status(Canned::new(status).field("Content-Type", "application/json").body(body))
}

pub(super) async fn scenes() -> Vec<Scene> {
    let mut scenes = refused().await;
    scenes.extend(in_trouble().await);
    scenes.extend(unreachable().await);
    scenes.extend(untrusted().await);
    scenes.extend(forward_proxies().await);
    scenes
}

async fn refused() -> Vec<Scene> {
    let secret = ["CXONE_CLIENT_SECRET"];
    let unknown = r#"{"error":"invalid_client","error_description":"Client not found in tenant"}"#;
    vec![
        does(
            Due {
                title: "The token endpoint does not know the client",
                line: &[
                    "/api/v2/oauth/token",
                    CLIENT_ID,
                    "400 invalid_client",
                    "Client not found in tenant",
                    "CXONE_CLIENT_ID",
                    "Next try",
                ],
                answer: &["502", "CXONE_CLIENT_ID", "Next try"],
            },
            answer(400, unknown),
        )
        .await,
        does(
            Due {
                title: "The token endpoint refuses the secret",
                line: &["401", "CXONE_CLIENT_SECRET"],
                answer: &secret,
            },
            answer(401, r#"{"error":"invalid_client"}"#),
        )
        .await,
        does(
            Due {
                title: "A scope is not the client's",
                line: &["invalid_scope", "CXONE_SCOPES"],
                answer: &["CXONE_SCOPES"],
            },
            answer(400, r#"{"error":"invalid_scope"}"#),
        )
        .await,
        does(
            Due {
                title: "The token endpoint's address is wrong",
                line: &["404", "CXONE_TOKEN_URL"],
                answer: &["CXONE_TOKEN_URL"],
            },
            answer(404, ""),
        )
        .await,
        does(
            Due {
                title: "A sign-in page in place of a token",
                line: &["text/html", "CXONE_TOKEN_URL"],
                answer: &["502"],
            },
            Action::Status(Canned::new(200).field("Content-Type", "text/html").body("<html>Sign in</html>")),
        )
        .await,
        does(
            Due {
                title: "The token endpoint redirects",
                line: &["302", "Redirects are not followed"],
                answer: &["502"],
            },
            Action::Status(Canned::new(302).field("Location", "https://sign-in.example/login?x=1")),
        )
        .await,
    ]
}

async fn in_trouble() -> Vec<Scene> {
    vec![
        does(
            Due {
                title: "The token endpoint has an error of its own",
                line: &["500", "Next try"],
                answer: &["503"],
            },
            answer(500, ""),
        )
        .await,
        does(
            Due {
                title: "The token endpoint is asked too often",
                line: &["429", "Next try"],
                answer: &["503"],
            },
            Action::Status(Canned::new(429).field("Retry-After", "60")),
        )
        .await,
        does(
            Due {
                title: "The token endpoint breaks off",
                line: &["closed the connection", "Next try"],
                answer: &["503"],
            },
            Action::DropBefore { how: Ending::Reset },
        )
        .await,
    ]
}

async fn unreachable() -> Vec<Scene> {
    let nobody = ["127.0.0.1:", "CXONE_TOKEN_URL", "Next try"];
    let mut scenes = Vec::new();
    scenes.push(
        at(
            Due { title: "Nobody listens at the token endpoint", line: &nobody, answer: &["503"] },
            "http://127.0.0.1:9/token",
            |launch| launch,
        )
        .await,
    );
    scenes.push(
        at(
            Due {
                title: "The token endpoint's name is not known",
                line: &["tokens.invalid", "name"],
                answer: &["503"],
            },
            "https://tokens.invalid/token",
            |launch| launch,
        )
        .await,
    );
    scenes
}

async fn untrusted() -> Vec<Scene> {
    let mut scenes = Vec::new();
    let tls = Region::start(Settings { tls: Some(Tls::default()), ..Settings::default() }).await.unwrap();
    scenes.push(
        at(
            Due {
                title: "The token endpoint's certificate comes from an unknown authority",
                line: &["certificate", "CXONE_CA_FILE"],
                answer: &["502", "CXONE_CA_FILE"],
            },
            &tls.token_url(),
            |launch| launch,
        )
        .await,
    );
    scenes.push(
        certificate(
            Due {
                title: "The token endpoint's certificate is self-signed",
                line: &["self-signed", "CXONE_CA_FILE"],
                answer: &["502"],
            },
            Certificate::of(&["localhost"]),
            false,
        )
        .await,
    );
    scenes.push(
        certificate(
            Due {
                title: "The token endpoint's certificate is for another name",
                line: &["other.example", "localhost"],
                answer: &["502"],
            },
            Certificate::of(&["other.example"]),
            true,
        )
        .await,
    );
    for (title, from, until, word) in [
        ("The token endpoint's certificate has expired", 2019, 2020, "expired"),
        ("The token endpoint's certificate is not valid yet", 2100, 2101, "valid"),
    ] {
        let own = Certificate::with(&["localhost"], |parameters| {
            parameters.not_before = date_time_ymd(from, 1, 1);
            parameters.not_after = date_time_ymd(until, 1, 1);
        });
        scenes.push(certificate(Due { title, line: &[word, "-01-01"], answer: &["502"] }, own, true).await);
    }
    scenes
}

async fn forward_proxies() -> Vec<Scene> {
    let mut scenes = Vec::new();
    for (title, refusal, word) in [
        (
            "The forward proxy wants a log-in",
            Some("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
            "407",
        ),
        ("The forward proxy forbids the way", Some("HTTP/1.1 403 Forbidden\r\n\r\n"), "refused"),
        ("The forward proxy is down", None, "127.0.0.1:9"),
    ] {
        scenes.push(
            forward_proxy(Due { title, line: &[word, "HTTPS_PROXY"], answer: &["HTTPS_PROXY"] }, refusal)
                .await,
        );
    }
    scenes
}

//! The tenant's API is found after log-in, and again on a schedule: tenants fail over to other areas.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cxone_simulator::{Action, Canned, Endpoint, Fault, Region, Script, Settings};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempts;
use crate::support::{Launch, RawConnection, Server, Setup, eventually, get, request};

/// A program that knows a region's token endpoint and the document that names its API.
fn discovering(program: Launch) -> Launch {
    let base_url = program.value("CXONE_BASE_URL").unwrap().to_str().unwrap().to_owned();
    program
        .without_variable("CXONE_BASE_URL")
        .variable("CXONE_TOKEN_URL", format!("{base_url}/api/v2/oauth/token"))
        .variable("CXONE_DISCOVER", "true")
        .variable("CXONE_DISCOVERY_URL", format!("{base_url}/.well-known/cxone-configuration"))
        .variable("CXONE_PROXY_DISCOVER_INTERVAL", "1s")
}

async fn discovered() -> Setup {
    Setup::launched(discovering).await
}

/// Starts a program for whose discovery requests a region does this from the beginning.
async fn answered(action: Action, launch: impl FnOnce(Launch) -> Launch) -> Setup {
    let script = Script::of([Fault::new(action).at(Endpoint::Discovery)]);
    Setup::with(Settings { script, ..Settings::default() }, |program| launch(discovering(program))).await
}

fn asked(region: &Region) -> usize {
    region.journal().iter().filter(|entry| entry.endpoint == Endpoint::Discovery).count()
}

async fn base_url(setup: &Setup) -> Value {
    setup.admin("/status").await.json()["upstream"]["base_url"].clone()
}

#[tokio::test]
async fn requests_wait_until_the_api_is_found() {
    let setup = answered(Action::Delay { ms: 500 }, |program| program).await;
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let mut client = setup.connect().await;
        asking.spawn(async move { client.fetch(get("/api/v2/users/7")).await.status() });
    }
    assert_eq!(base_url(&setup).await, Value::Null);
    let undiscovered = setup.admin("/readyz").await;
    assert_eq!(undiscovered.status(), 503);
    assert!(asking.join_all().await.iter().all(|status| *status == 200));
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(base_url(&setup).await, setup.region.base_url());
    assert_eq!(setup.admin("/readyz").await.status(), 200);
    let question =
        setup.region.journal().into_iter().find(|entry| entry.endpoint == Endpoint::Discovery).unwrap();
    assert_eq!(
        question.target,
        "/.well-known/cxone-configuration?tenantId=11e85da0-0000-4000-8000-0242ac110003"
    );
    assert_eq!(question.token, None, "discovery needs no token");
    let found = |event: &Value| event["level"] == "INFO" && event["upstream"] == setup.region.base_url();
    eventually("the discovery in the log", async || setup.proxy.events().into_iter().find(found)).await;
}

#[tokio::test]
async fn requests_get_503_until_discovery_succeeds() {
    for action in [
        Action::Status(Canned::new(500)),
        Action::Status(Canned::new(302).field("Location", "https://elsewhere.example/")),
        Action::Status(Canned::new(200).body("{\"area\":\"na1\"}")),
        Action::Status(Canned::new(200).body("<html>")),
        Action::DropAfter { how: cxone_simulator::Ending::Close },
    ] {
        let setup = answered(action.clone(), |program| program.flag("max-wait", "300ms")).await;
        let response = setup.get("/api/v2/users/7").await;
        assert_eq!(response.status(), 503, "{action:?}");
        assert_eq!(response.only("Proxy-Status"), Some("cxone-proxy; error=destination_unavailable"));
        assert!(response.only("Retry-After").unwrap().parse::<u64>().unwrap() > 0);
        let problem = response.json();
        assert_eq!(problem["type"], "urn:cxone-proxy:problem:undiscovered");
        assert!(problem["hint"].as_str().unwrap().contains("CXONE_BASE_URL"), "{problem}");
        let readiness = setup.admin("/readyz").await;
        assert_eq!(readiness.status(), 503);
        let text = readiness.text();
        assert!(text.starts_with("not ready (undiscovered): ") && text.contains("\nhint: "), "{text}");
        eventually("a warning", async || setup.proxy.warning_about("the tenant's API was not found")).await;

        setup.region.script(Script::default());
        eventually("recovery", async || (setup.admin("/readyz").await.status() == 200).then_some(())).await;
        assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    }
}

#[tokio::test]
async fn a_refused_token_is_reported_before_a_failed_discovery() {
    let setup =
        Setup::launched(|program| discovering(program).variable("CXONE_CLIENT_SECRET", "wrong")).await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 502);
    assert!(setup.admin("/readyz").await.text().starts_with("not ready (refused)"));
    assert_eq!(asked(&setup.region), 0);
}

#[tokio::test]
async fn what_was_found_stays_in_force_while_asking_fails() {
    let setup = discovered().await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    setup.region.script(Script::of([Fault::new(Action::Status(Canned::new(500))).at(Endpoint::Discovery)]));
    let before = asked(&setup.region);
    eventually("two more questions", async || (asked(&setup.region) >= before + 2).then_some(())).await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    assert_eq!(setup.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn failing_over_under_load_loses_no_request() {
    let long = || Settings { journal: 200_000, ..Settings::default() };
    let setup = Setup::with(long(), discovering).await;
    let second = setup.region.start_beside(long()).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let (mut client, done) = (setup.connect().await, done.clone());
        clients.spawn(async move {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let id = format!("X-Request-Id: {number} {count}\r\n");
                let (method, target, body) = if count % 2 == 0 {
                    ("GET", "/api/v2/users/7", "")
                } else {
                    ("POST", "/api/v2/echo", "hello")
                };
                let response = client.fetch(request(method, target, &id, body)).await;
                assert_eq!(response.status(), 200, "{}", response.text());
                if method == "POST" {
                    assert_eq!(response.json()["body"]["bytes"], 5);
                }
                count += 1;
            }
            count
        });
    }
    eventually("load on the first area", async || (attempts(&setup.region).len() >= 100).then_some(())).await;
    setup.region.set_api_endpoint(&second.base_url());
    let load = async |least| {
        eventually("load on the second area", async || (attempts(&second).len() >= least).then_some(()))
            .await;
    };
    load(100).await;
    // Nothing goes to the first area any more, so its API may go.
    let settled = attempts(&setup.region).len();
    setup.region.script(Script::of([
        Fault::new(Action::DropBefore { how: cxone_simulator::Ending::Reset }).at(Endpoint::Api)
    ]));
    load(attempts(&second).len() + 100).await;
    done.store(true, Ordering::Relaxed);
    let total: usize = clients.join_all().await.into_iter().sum();
    // The exchanges that had begun were the first area's to the end.
    assert!(attempts(&setup.region).len() <= settled + 8);
    let counted = setup.admin("/status").await.json()["requests"]["total"].as_u64().unwrap();
    assert_eq!(counted, u64::try_from(total).unwrap());
    assert_eq!(base_url(&setup).await, second.base_url());
    assert_eq!(second.referee(), []);
    assert_eq!(setup.region.token_requests(), 1);
}

#[tokio::test]
async fn what_has_begun_stays_where_it_is() {
    let setup = discovered().await;
    let second = setup.region.start_beside(Settings::default()).await.unwrap();
    let mut client = setup.connect().await;
    client.send(get("/api/v2/long-poll?ms=3000")).await;
    eventually("the poll", async || (attempts(&setup.region).len() == 1).then_some(())).await;
    setup.region.set_api_endpoint(&second.base_url());
    eventually("the move", async || (base_url(&setup).await == second.base_url()).then_some(())).await;
    assert_eq!(setup.get("/api/v2/users/7").await.status(), 200);
    assert_eq!((attempts(&setup.region).len(), attempts(&second).len()), (1, 1));
    assert_eq!(client.response().await.unwrap().status(), 304);
}

/// A server whose address is not configured anywhere: it closes each connection at the end of a request.
async fn decoy() -> Server {
    Server::start(|_| Vec::new()).await
}

#[tokio::test]
async fn an_address_that_a_token_must_not_go_to_is_not_believed() {
    let decoy = decoy().await;
    let port = decoy.address().port();
    for address in [
        // All of these would reach the decoy.
        format!("http://0.0.0.0:{port}"),
        format!("http://user@127.0.0.1:{port}"),
        format!("http://127.0.0.1:{port}/?x"),
        format!("ws://127.0.0.1:{port}"),
        format!("//127.0.0.1:{port}"),
    ] {
        let document = serde_json::json!({ "api_endpoint": address }).to_string();
        let canned = Action::Status(Canned::new(200).body(&document));
        let setup = answered(canned, |program| program.flag("max-wait", "300ms")).await;
        assert_eq!(setup.get("/api/v2/users/7").await.status(), 503, "{address}");
        eventually("the reason", async || setup.proxy.warning_about("its api_endpoint")).await;
        assert_eq!(base_url(&setup).await, Value::Null, "{address}");
    }
    assert_eq!(decoy.accepted(), 0);
}

#[tokio::test]
async fn a_token_goes_to_no_origin_that_is_neither_configured_nor_found() {
    let decoy = decoy().await;
    let away = format!("http://{}/api/v2/users/me", decoy.address());
    let elsewhere = || Canned::new(307).field("Location", &away).field("Refresh", &format!("0; {away}"));
    let fault = |endpoint| Fault::new(Action::Status(elsewhere())).at(endpoint).times(1);
    let script = Script::of([fault(Endpoint::Discovery), fault(Endpoint::Api)]);
    let setup = Setup::with(Settings { script, ..Settings::default() }, discovering).await;
    let redirected = setup.get("/api/v2/users/me").await;
    assert_eq!((redirected.status(), redirected.only("Location")), (307, Some(away.as_str())));
    for (target, host) in [
        (away.clone(), "localhost".to_owned()),
        ("/api/v2/users/me".to_owned(), format!("decoy.example:{}", decoy.address().port())),
        (format!("/{away}"), "localhost".to_owned()),
        (format!("/@{}/", decoy.address()), "localhost".to_owned()),
    ] {
        let mut client = RawConnection::to(setup.proxy.proxy_address()).await;
        let text =
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nForwarded: host={}\r\n\r\n", decoy.address());
        client.fetch(text).await;
    }
    assert_eq!(decoy.accepted(), 0);
    // Over TLS it is asked for its name first, and has none.
    setup.region.set_api_endpoint(&format!("https://{}", decoy.address()));
    eventually("the move", async || {
        (base_url(&setup).await == format!("https://{}", decoy.address())).then_some(())
    })
    .await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 502);
    assert!(decoy.accepted() > 0, "it was asked for TLS");
    assert!(decoy.requests().is_empty(), "{:?}", decoy.requests());
}

#[tokio::test]
async fn in_absolute_form_the_found_origin_is_known() {
    let setup = discovered().await;
    let second = setup.region.start_beside(Settings::default()).await.unwrap();
    setup.region.set_api_endpoint(&second.base_url());
    eventually("the move", async || (base_url(&setup).await == second.base_url()).then_some(())).await;
    let mut client = setup.connect().await;
    let target = format!("{}/api/v2/users/me", second.base_url());
    let response = client.fetch(format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n")).await;
    assert_eq!((response.status(), attempts(&second).len()), (200, 1));
}

#[tokio::test]
async fn a_token_without_a_tenant_is_named_as_the_reason() {
    let settings = Settings { tenants: Vec::new(), ..Settings::default() };
    let setup = Setup::with(settings, |program| discovering(program).flag("max-wait", "200ms")).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 503);
    eventually("the reason", async || setup.proxy.warning_about("names no tenant")).await;
}

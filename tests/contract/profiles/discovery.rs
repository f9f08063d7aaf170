//! The tenant's API is found after log-in, and again on a schedule: tenants fail over to other areas.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cxone_proxy::simulator::{Action, Canned, Endpoint, Fault, Region, Script, Settings};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::attempts;
use crate::support::{Launch, Stage, Wire, eventually, get, request};

/// A program that knows a region by name alone: where its tokens come from, and whom to ask for the API.
fn discovering(program: Launch) -> Launch {
    let base_url = program.value("CXONE_BASE_URL").unwrap().to_str().unwrap().to_owned();
    program
        .without_variable("CXONE_BASE_URL")
        .variable("CXONE_TOKEN_URL", format!("{base_url}/api/v2/oauth/token"))
        .variable("CXONE_DISCOVER", "true")
        .variable("CXONE_DISCOVERY_URL", format!("{base_url}/.well-known/cxone-configuration"))
        .variable("CXONE_PROXY_DISCOVER_INTERVAL", "1s")
}

async fn discovered() -> Stage {
    Stage::launched(discovering).await
}

/// Starts a program whose region answers discovery so from the beginning.
async fn answered(action: Action, launch: impl FnOnce(Launch) -> Launch) -> Stage {
    let script = Script::of([Fault::new(action).at(Endpoint::Discovery)]);
    Stage::with(Settings { script, ..Settings::default() }, |program| launch(discovering(program))).await
}

fn asked(region: &Region) -> usize {
    region.journal().iter().filter(|entry| entry.endpoint == Endpoint::Discovery).count()
}

async fn base_url(stage: &Stage) -> Value {
    stage.admin("/status").await.json()["upstream"]["base_url"].clone()
}

#[tokio::test]
async fn requests_wait_until_the_api_is_found() {
    let stage = answered(Action::Delay { ms: 500 }, |program| program).await;
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let mut client = stage.wire().await;
        asking.spawn(async move { client.ask(get("/api/v2/users/7")).await.status() });
    }
    assert_eq!(base_url(&stage).await, Value::Null);
    let undiscovered = stage.admin("/readyz").await;
    assert_eq!(undiscovered.status(), 503);
    assert!(asking.join_all().await.iter().all(|status| *status == 200));
    assert!(began.elapsed() >= Duration::from_millis(400));
    assert_eq!(base_url(&stage).await, stage.region.base_url());
    assert_eq!(stage.admin("/readyz").await.status(), 200);
    let question =
        stage.region.journal().into_iter().find(|entry| entry.endpoint == Endpoint::Discovery).unwrap();
    assert_eq!(
        question.target,
        "/.well-known/cxone-configuration?tenantId=11e85da0-0000-4000-8000-0242ac110003"
    );
    assert_eq!(question.token, None, "whoever answers needs no token");
    stage.proxy.event("the tenant's API was found").await;
}

#[tokio::test]
async fn without_an_answer_there_is_a_503_until_there_is_one() {
    for action in [
        Action::Status(Canned::new(500)),
        Action::Status(Canned::new(302).field("Location", "https://elsewhere.example/")),
        Action::Status(Canned::new(200).body("{\"area\":\"na1\"}")),
        Action::Status(Canned::new(200).body("<html>")),
        Action::DropAfter { how: cxone_proxy::simulator::Ending::Close },
    ] {
        let stage = answered(action.clone(), |program| program.flag("max-wait", "300ms")).await;
        let reply = stage.get("/api/v2/users/7").await;
        assert_eq!(reply.status(), 503, "{action:?}");
        assert_eq!(reply.only("Proxy-Status"), Some("cxone-proxy; error=destination_unavailable"));
        assert!(reply.only("Retry-After").unwrap().parse::<u64>().unwrap() > 0);
        let problem = reply.json();
        assert_eq!(problem["type"], "urn:cxone-proxy:problem:undiscovered");
        assert!(problem["hint"].as_str().unwrap().contains("CXONE_BASE_URL"), "{problem}");
        let readiness = stage.admin("/readyz").await;
        assert_eq!(readiness.status(), 503);
        let text = readiness.text();
        assert!(text.starts_with("not ready (undiscovered): ") && text.contains("\nhint: "), "{text}");
        stage.proxy.event("the tenant's API was not found").await;

        stage.region.script(Script::default());
        eventually("recovery", async || (stage.admin("/readyz").await.status() == 200).then_some(())).await;
        assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    }
}

#[tokio::test]
async fn a_token_that_is_refused_is_told_before_a_tenant_that_is_not_found() {
    let stage =
        Stage::launched(|program| discovering(program).variable("CXONE_CLIENT_SECRET", "wrong")).await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 502);
    assert!(stage.admin("/readyz").await.text().starts_with("not ready (refused)"));
    assert_eq!(asked(&stage.region), 0);
}

#[tokio::test]
async fn what_was_found_stays_in_force_while_asking_fails() {
    let stage = discovered().await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    stage.region.script(Script::of([Fault::new(Action::Status(Canned::new(500))).at(Endpoint::Discovery)]));
    let before = asked(&stage.region);
    eventually("two more questions", async || (asked(&stage.region) >= before + 2).then_some(())).await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    assert_eq!(stage.admin("/readyz").await.status(), 200);
}

#[tokio::test]
async fn failing_over_under_load_loses_no_request() {
    let stage = discovered().await;
    let second = stage.region.start_beside(Settings::default()).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for number in 0..8 {
        let (mut client, done) = (stage.wire().await, done.clone());
        clients.spawn(async move {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let id = format!("X-Request-Id: {number} {count}\r\n");
                let (method, target, body) = if count % 2 == 0 {
                    ("GET", "/api/v2/users/7", "")
                } else {
                    ("POST", "/api/v2/echo", "hello")
                };
                let reply = client.ask(request(method, target, &id, body)).await;
                assert_eq!(reply.status(), 200, "{}", reply.text());
                if method == "POST" {
                    assert_eq!(reply.json()["body"]["bytes"], 5);
                }
                count += 1;
                sleep(Duration::from_millis(2)).await;
            }
            count
        });
    }
    sleep(Duration::from_millis(300)).await;
    stage.region.set_api_endpoint(&second.base_url());
    eventually("the second area", async || (attempts(&second).len() >= 100).then_some(())).await;
    // Nothing goes to the first area any more, so its API may go.
    let settled = attempts(&stage.region).len();
    stage
        .region
        .script(Script::of([
            Fault::new(Action::DropBefore { how: cxone_proxy::simulator::Ending::Reset }).at(Endpoint::Api)
        ]));
    sleep(Duration::from_millis(300)).await;
    done.store(true, Ordering::Relaxed);
    let total: usize = clients.join_all().await.into_iter().sum();
    // The exchanges that had begun were the first area's to the end.
    assert!(attempts(&stage.region).len() <= settled + 8);
    let counted = stage.admin("/status").await.json()["requests"]["total"].as_u64().unwrap();
    assert_eq!(counted, u64::try_from(total).unwrap());
    assert_eq!(base_url(&stage).await, second.base_url());
    assert_eq!(second.referee(), []);
    assert_eq!(stage.region.token_requests(), 1);
}

#[tokio::test]
async fn what_has_begun_stays_where_it_is() {
    let stage = discovered().await;
    let second = stage.region.start_beside(Settings::default()).await.unwrap();
    let mut client = stage.wire().await;
    client.send(get("/api/v2/long-poll?ms=3000")).await;
    eventually("the poll", async || (attempts(&stage.region).len() == 1).then_some(())).await;
    stage.region.set_api_endpoint(&second.base_url());
    eventually("the move", async || (base_url(&stage).await == second.base_url()).then_some(())).await;
    assert_eq!(stage.get("/api/v2/users/7").await.status(), 200);
    assert_eq!((attempts(&stage.region).len(), attempts(&second).len()), (1, 1));
    assert_eq!(client.reply().await.unwrap().status(), 304);
}

/// A server that nobody named: it takes everything and answers nothing.
struct Decoy {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<u8>>>,
    _task: JoinSet<()>,
}

impl Decoy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let (noting, mut task) = (taken.clone(), JoinSet::new());
        task.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Room for a whole request, of which the connection's end is the answer.
                let mut bytes = vec![b'.'; 64 * 1024];
                let count = stream.read(&mut bytes).await.unwrap_or_default();
                noting.lock().unwrap().extend_from_slice(&bytes[..count.max(1)]);
            }
        });
        Self { address, taken, _task: task }
    }

    fn taken(&self) -> String {
        String::from_utf8_lossy(&self.taken.lock().unwrap()).into_owned()
    }
}

#[tokio::test]
async fn an_address_that_a_token_must_not_go_to_is_not_believed() {
    let decoy = Decoy::start().await;
    let port = decoy.address.port();
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
        let stage = answered(canned, |program| program.flag("max-wait", "300ms")).await;
        assert_eq!(stage.get("/api/v2/users/7").await.status(), 503, "{address}");
        let event = stage.proxy.event("the tenant's API was not found").await;
        assert!(event["error"].as_str().unwrap().contains("its api_endpoint"), "{address}: {event}");
        assert_eq!(base_url(&stage).await, Value::Null, "{address}");
    }
    assert_eq!(decoy.taken(), "");
}

#[tokio::test]
async fn a_token_goes_to_no_origin_that_is_neither_configured_nor_found() {
    let decoy = Decoy::start().await;
    let away = format!("http://{}/api/v2/users/me", decoy.address);
    let elsewhere = || Canned::new(307).field("Location", &away).field("Refresh", &format!("0; {away}"));
    let fault = |endpoint| Fault::new(Action::Status(elsewhere())).at(endpoint).times(1);
    let script = Script::of([fault(Endpoint::Discovery), fault(Endpoint::Api)]);
    let stage = Stage::with(Settings { script, ..Settings::default() }, discovering).await;
    let redirected = stage.get("/api/v2/users/me").await;
    assert_eq!((redirected.status(), redirected.only("Location")), (307, Some(away.as_str())));
    for (target, host) in [
        (away.clone(), "localhost".to_owned()),
        ("/api/v2/users/me".to_owned(), format!("decoy.example:{}", decoy.address.port())),
        (format!("/{away}"), "localhost".to_owned()),
        (format!("/@{}/", decoy.address), "localhost".to_owned()),
    ] {
        let mut client = Wire::to(stage.proxy.proxy_address()).await;
        let text =
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nForwarded: host={}\r\n\r\n", decoy.address);
        client.ask(text).await;
    }
    assert_eq!(decoy.taken(), "");
    // Over TLS it is asked for its name first, and has none.
    stage.region.set_api_endpoint(&format!("https://{}", decoy.address));
    eventually("the move", async || {
        (base_url(&stage).await == format!("https://{}", decoy.address)).then_some(())
    })
    .await;
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 502);
    eventually("the call", async || (!decoy.taken().is_empty()).then_some(())).await;
    assert!(!decoy.taken().contains("Bearer") && !decoy.taken().contains("HTTP/1.1"), "{}", decoy.taken());
}

#[tokio::test]
async fn in_absolute_form_the_found_origin_is_known() {
    let stage = discovered().await;
    let second = stage.region.start_beside(Settings::default()).await.unwrap();
    stage.region.set_api_endpoint(&second.base_url());
    eventually("the move", async || (base_url(&stage).await == second.base_url()).then_some(())).await;
    let mut client = stage.wire().await;
    let target = format!("{}/api/v2/users/me", second.base_url());
    let reply = client.ask(format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n")).await;
    assert_eq!((reply.status(), attempts(&second).len()), (200, 1));
}

#[tokio::test]
async fn a_token_without_a_tenant_is_told_as_the_reason() {
    let settings = Settings { tenants: Vec::new(), ..Settings::default() };
    let stage = Stage::with(settings, |program| discovering(program).flag("max-wait", "200ms")).await;
    assert_eq!(stage.get("/api/v2/users/me").await.status(), 503);
    let event = stage.proxy.event("the tenant's API was not found").await;
    assert!(event["error"].as_str().unwrap().contains("names no tenant"), "{event}");
}

//! Section 12: Envoy's external authorization over gRPC, by itself and with a real Envoy.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Stdio;

use cxone_simulator::Endpoint;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Request as Asked};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{AttributeContext, CheckRequest, CheckResponse};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tonic::transport::Channel;

use crate::support::{Launch, RawConnection, Setup, eventually, request};

const ME: &str = "/api/v2/users/me";
/// The SHA-256 of `key`.
const KEY: &str = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

async fn source(launch: impl FnOnce(Launch) -> Launch) -> (Setup, SocketAddr) {
    let setup = Setup::launched(|own| launch(own.flag("auth-listen", "127.0.0.1:0"))).await;
    let address = setup.proxy.event("listening").await["auth"].as_str().unwrap().parse().unwrap();
    (setup, address)
}

/// Connects as Envoy does: with the name of a cluster as authority.
async fn client(address: SocketAddr) -> AuthorizationClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let endpoint = endpoint.origin("http://cxone_token".parse().unwrap());
    AuthorizationClient::new(endpoint.connect().await.unwrap())
}

fn asked(method: &str, path: &str, fields: &[(&str, &str)]) -> CheckRequest {
    let pseudo = [(":method", method), (":path", path), (":authority", "anything")];
    let headers = pseudo.iter().chain(fields).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let http = HttpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: headers.collect::<HashMap<_, _>>(),
        ..HttpRequest::default()
    };
    let request = Some(Asked { http: Some(http), ..Asked::default() });
    CheckRequest { attributes: Some(AttributeContext { request, ..AttributeContext::default() }) }
}

/// The type of the problem, or the value of `Authorization`.
fn outcome(response: CheckResponse) -> Result<String, (i32, String)> {
    match response.http_response.unwrap() {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(response.status.unwrap().code, 0);
            assert_eq!(ok.headers_to_remove, ["x-proxy-key"]);
            let field = ok.headers.into_iter().next().unwrap().header.unwrap();
            assert_eq!(field.key, "authorization");
            Ok(field.value)
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_ne!(response.status.unwrap().code, 0);
            let problem: Value = serde_json::from_str(&denied.body).unwrap();
            let name = problem["type"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
            Err((denied.status.unwrap().code, name))
        }
        HttpResponse::ErrorResponse(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn envoy_gets_the_token_after_the_rules() {
    let (setup, address) = source(|launch| launch.flag("deny", "* /api/v2/users*")).await;
    let mut client = client(address).await;
    let response =
        client.check(asked("GET", "/api/v2/echo?x=/api/v2/users", &[])).await.unwrap().into_inner();
    let metadata = response.dynamic_metadata.clone().unwrap();
    assert!(format!("{:?}", metadata.fields["x-token-generation"]).contains('1'));
    let token = outcome(response).unwrap();
    assert!(token.starts_with("Bearer ") && token.len() > 20);
    for (question, expected) in [
        (asked("GET", ME, &[]), (403, "access-denied")),
        (asked("DELETE", "/api/v2/%75sers/1", &[]), (403, "access-denied")),
        (asked("GET", "/api/v2/x/../users", &[]), (403, "ambiguous-path")),
        (asked("GET", "users", &[]), (403, "original-request-unclear")),
        (asked("GE T", "/api/v2/echo", &[]), (403, "original-request-unclear")),
        (CheckRequest::default(), (403, "original-request-unclear")),
    ] {
        let (status, problem) = outcome(client.check(question).await.unwrap().into_inner()).unwrap_err();
        assert_eq!((status, problem.as_str()), expected);
    }
    assert!(setup.region.journal().iter().all(|entry| entry.endpoint != Endpoint::Api));
    // Over HTTP/1.1 there is no such page.
    let mut plain = RawConnection::to(address).await;
    let path = "/envoy.service.auth.v3.Authorization/Check";
    assert_eq!(plain.fetch(request("POST", path, "", "")).await.status(), 404);
}

#[tokio::test]
async fn a_key_is_the_client_s_or_envoy_s_own() {
    let files = TempDir::new().unwrap();
    let clients = files.path().join("clients.toml");
    std::fs::write(&clients, format!("[[client]]\nname = \"one\"\nkey_sha256 = \"{KEY}\"\n")).unwrap();
    let (_setup, address) = source(|launch| launch.flag("clients", &clients)).await;
    let mut client = client(address).await;
    let keyed = asked("GET", ME, &[("x-proxy-key", "key")]);
    let basic = asked("GET", ME, &[("authorization", "Basic dXNlcjprZXk=")]);
    let wrong = asked("GET", ME, &[("x-proxy-key", "other")]);
    for (question, passes) in
        [(keyed.clone(), true), (basic, true), (wrong.clone(), false), (asked("GET", ME, &[]), false)]
    {
        let outcome = outcome(client.check(question).await.unwrap().into_inner());
        match outcome {
            Ok(_) => assert!(passes),
            Err(denied) => {
                assert!(!passes);
                assert_eq!(denied, (401, "client-unknown".to_owned()));
            }
        }
    }
    // Both challenges reach the client.
    let response = client.check(asked("GET", ME, &[])).await.unwrap().into_inner();
    let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else { panic!("it passes") };
    let challenges = denied.headers.into_iter().filter_map(|own| Some((own.append_action, own.header?)));
    let challenges: Vec<_> = challenges.filter(|(_, field)| field.key == "www-authenticate").collect();
    let actions: Vec<_> = challenges.iter().map(|(action, _)| *action).collect();
    assert_eq!(
        actions,
        [HeaderAppendAction::OverwriteIfExistsOrAdd as i32, HeaderAppendAction::AppendIfExistsOrAdd as i32]
    );
    assert!(challenges[0].1.value.starts_with("Basic"), "{challenges:?}");
    // Envoy's own key goes before that of its client.
    for (question, key, passes) in [(wrong, "key", true), (keyed, "other", false)] {
        let mut question = tonic::Request::new(question);
        question.metadata_mut().insert("x-proxy-key", key.parse().unwrap());
        assert_eq!(outcome(client.check(question).await.unwrap().into_inner()).is_ok(), passes);
    }
}

/// The file of `deploy/`, with the addresses of this test.
fn envoy_yaml(listen: SocketAddr, tokens: SocketAddr, api: SocketAddr) -> String {
    let text = include_str!("../../deploy/envoy-ext-authz.yaml");
    let (before, tls) = text.split_once("      # TLS to the API: begin").unwrap();
    let (_, after) = tls.split_once("# TLS to the API: end\n").unwrap();
    let text = format!("{before}{after}");
    text.replace("port_value: 8888", &format!("port_value: {}", listen.port()))
        .replace("port_value: 8082", &format!("port_value: {}", tokens.port()))
        .replace(
            "address: api.cxone.com, port_value: 443",
            &format!("address: 127.0.0.1, port_value: {}", api.port()),
        )
        .replace("api.cxone.com", "localhost")
}

#[tokio::test]
async fn a_real_envoy_gets_its_tokens_here() {
    let (setup, tokens) = source(|launch| launch.flag("deny", "* /api/v2/queues*")).await;
    let files = TempDir::new().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let conf = files.path().join("envoy.yaml");
    std::fs::write(&conf, envoy_yaml(free, tokens, setup.region.address())).unwrap();
    let envoy = Command::new("envoy")
        .arg("-c")
        .arg(&conf)
        .args(["--concurrency", "1", "--disable-hot-restart", "-l", "error"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(envoy) = envoy else {
        assert!(std::env::var("ENVOY_TESTS").is_err(), "ENVOY_TESTS is set, and there is no envoy");
        return;
    };
    eventually("envoy", async || TcpStream::connect(free).await.ok()).await;
    let mut client = RawConnection::to(free).await;
    for (method, target, status) in
        [("GET", ME, 200), ("POST", "/api/v2/echo", 200), ("GET", "/api/v2/queues/1", 403)]
    {
        let answer = client.fetch(request(method, target, "", "")).await;
        assert_eq!(answer.status(), status, "{method} {target}: {}", answer.text());
        if status == 403 {
            assert_eq!(answer.only("content-type"), Some("application/problem+json"));
            assert!(answer.text().contains("access-denied"), "{}", answer.text());
        }
    }
    // A 401 is passed on and reported: soon there is a new token.
    setup.region.revoke_all();
    assert_eq!(client.fetch(request("GET", ME, "", "")).await.status(), 401);
    eventually("a new token", async || {
        (client.fetch(request("GET", ME, "", "")).await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(setup.region.token_requests(), 2);
    drop(envoy);
}

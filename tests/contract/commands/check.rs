//! `check` stage by stage: where it fails, what it says then, and what it never says.

use cxone_simulator::{AccessKey, Action, Canned, Endpoint, Fault, Region, Script, Settings, Tls};
use serde_json::Value;
use tempfile::TempDir;

use super::with_region;
use crate::support::{CLIENT_SECRET, ForwardProxy, Launch};

/// The exit status and the report of `check --json`; no secret is in the report, the text or the log.
async fn examined(launch: &Launch, secrets: &[&str]) -> (Option<i32>, Value) {
    let (status, json, log) = launch.clone().argument("--json").run().await;
    let (_, text, _) = launch.run().await;
    for output in [&json, &text, &log] {
        for secret in secrets.iter().chain(&[CLIENT_SECRET, "eyJ"]) {
            assert!(!output.contains(secret), "{secret}: {output}");
        }
    }
    assert_eq!(json.lines().count(), 1, "{json}");
    (status.code(), serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}{log}")))
}

/// The first stage of this name.
fn stage<'v>(report: &'v Value, name: &str) -> &'v Value {
    let found = report["stages"].as_array().unwrap().iter().find(|stage| stage["name"] == name);
    found.unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

fn outcomes(report: &Value) -> Vec<String> {
    let stages = report["stages"].as_array().unwrap();
    stages.iter().map(|s| format!("{} {}", s["name"], s["outcome"]).replace('"', "")).collect()
}

fn hint<'v>(report: &'v Value, name: &str) -> &'v str {
    stage(report, name)["hint"].as_str().unwrap_or_else(|| panic!("no hint: {report:#}"))
}

/// A region over TLS, `check` for it, and the directory of its certificate.
async fn over_tls(names: &[&str]) -> (Region, Launch, TempDir) {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let tls = Some(Tls { names, ..Tls::default() });
    let region = Region::start(Settings { tls, ..Settings::default() }).await.unwrap();
    let files = TempDir::new().unwrap();
    let path = files.path().join("ca.pem");
    std::fs::write(&path, region.ca_pem().unwrap()).unwrap();
    let launch = Launch::of("check")
        .variable("CXONE_BASE_URL", region.base_url())
        .variable("CXONE_CLIENT_ID", "demo-client")
        .variable("CXONE_CLIENT_SECRET", CLIENT_SECRET)
        .variable("CXONE_CA_FILE", &path);
    (region, launch, files)
}

#[tokio::test]
async fn every_stage_says_what_it_found() {
    let (region, launch, _files) = over_tls(&["localhost", "127.0.0.1"]).await;
    let (status, report) = examined(&launch.flag("path", "/api/v2/users/me?k=pr1vate"), &["pr1vate"]).await;
    assert_eq!((status, &report["ready"]), (Some(0), &true.into()), "{report:#}");
    let expected = [
        "configuration ok",
        "name_resolution ok",
        "connection ok",
        "tls ok",
        "clock ok",
        "log_in ok",
        "token ok",
        "discovery skipped",
        "request ok",
    ];
    assert_eq!(outcomes(&report), expected);
    let tls = &stage(&report, "tls")["facts"];
    assert!(tls["issuer"].as_str().unwrap().contains("Simulated region CA"), "{tls}");
    assert!(tls["subject"].as_str().unwrap().contains("Simulated region"), "{tls}");
    assert!(tls["expires"].as_str().unwrap().ends_with('Z'), "{tls}");
    let skew = stage(&report, "clock")["facts"]["skew_seconds"].as_i64().unwrap();
    assert!(skew.abs() < 60, "{skew}");
    let token = &stage(&report, "token")["facts"];
    assert_eq!(token["lifetime_seconds"], 3600);
    assert_eq!(token["scopes"], serde_json::json!(["users:read", "contacts:read"]));
    assert_eq!((&token["area"], token["tenant"].is_string()), (&"na1".into(), true));
    assert_eq!(stage(&report, "request")["facts"]["status"], 200);
    assert_eq!(region.referee(), []);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_shown_with_its_issuer() {
    let (_region, launch, _files) = over_tls(&["127.0.0.1"]).await;
    let (status, report) = examined(&launch.without_variable("CXONE_CA_FILE"), &[]).await;
    assert_eq!((status, &report["ready"]), (Some(1), &false.into()));
    let issuer = &stage(&report, "tls")["facts"]["issuer"];
    assert!(issuer.as_str().unwrap().contains("Simulated region CA"), "{report:#}");
    assert!(hint(&report, "tls").contains("CXONE_CA_FILE"), "{report:#}");
    assert_eq!(stage(&report, "log_in")["outcome"], "skipped");

    let (_region, launch, _files) = over_tls(&["other.example"]).await;
    let (status, report) = examined(&launch, &[]).await;
    assert_eq!(status, Some(1));
    let detail = stage(&report, "tls")["detail"].as_str().unwrap();
    assert!(detail.contains("does not belong to 127.0.0.1"), "{detail}");
}

#[tokio::test]
async fn unknown_names_and_closed_ports_are_distinguished() {
    let (region, launch) = with_region("check").await;
    let unknown = launch.clone().variable("CXONE_BASE_URL", "https://api.nowhere.invalid");
    let (status, report) = examined(&unknown, &[]).await;
    assert_eq!(status, Some(1));
    assert_eq!(stage(&report, "name_resolution")["outcome"], "failed");
    assert_eq!(
        outcomes(&report)[2..],
        [
            "connection skipped",
            "tls skipped",
            "clock skipped",
            "log_in skipped",
            "token skipped",
            "discovery skipped"
        ]
    );
    region.kill().await;
    let (status, report) = examined(&launch, &[]).await;
    assert_eq!((status, &stage(&report, "connection")["outcome"]), (Some(1), &"failed".into()));
    assert!(hint(&report, "connection").contains("firewall"));
}

#[tokio::test]
async fn the_forward_proxy_on_the_way_is_named_without_its_password() {
    let (region, launch, _files) = over_tls(&["api.example"]).await;
    let launch = launch.variable("CXONE_BASE_URL", "https://api.example");
    let forward_proxy = ForwardProxy::start(region.address(), None).await;
    let through = launch.clone().variable("HTTPS_PROXY", forward_proxy.url("me:pr0xy-secret@"));
    let secrets = ["pr0xy-secret", "bWU6cHIweHktc2VjcmV0"];
    let (status, report) = examined(&through, &secrets).await;
    assert_eq!(status, Some(0), "{report:#}");
    let facts = &stage(&report, "connection")["facts"];
    assert!(forward_proxy.url("").ends_with(facts["forward_proxy"].as_str().unwrap()), "{facts}");

    let refusing = ForwardProxy::start(region.address(), Some("HTTP/1.1 407 No\r\n\r\n")).await;
    let (status, report) =
        examined(&launch.variable("HTTPS_PROXY", refusing.url("me:pr0xy-secret@")), &secrets).await;
    assert_eq!(status, Some(1));
    let detail = stage(&report, "connection")["detail"].as_str().unwrap();
    assert!(detail.contains("407") && hint(&report, "connection").contains("HTTPS_PROXY"), "{detail}");
}

#[tokio::test]
async fn a_wrong_clock_is_reported_and_prevents_nothing() {
    let (region, launch) = with_region("check").await;
    let text = "HTTP/1.1 404 Not Found\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\nContent-Length: 0\r\n\r\n"
        .to_owned();
    region.script(Script::of([Fault::new(Action::Raw { text }).method("HEAD").times(2)]));
    let (status, report) = examined(&launch, &[]).await;
    assert_eq!((status, &report["ready"]), (Some(0), &true.into()), "{report:#}");
    let clock = stage(&report, "clock");
    assert_eq!(clock["outcome"], "failed");
    assert!(clock["facts"]["skew_seconds"].as_i64().unwrap() > 100_000_000, "{clock}");
}

#[tokio::test]
async fn refusals_are_explained() {
    for (error, description, expected) in [
        ("invalid_client", "", "Check CXONE_CLIENT_ID and CXONE_CLIENT_SECRET"),
        ("unauthorized_client", "", "Allow the client credentials grant"),
        ("unsupported_grant_type", "", "Allow the client credentials grant"),
        ("invalid_grant", "", "this client is still active"),
        ("invalid_scope", "", "Request in CXONE_SCOPES only scopes"),
        ("invalid_client", "client is disabled", "Activate client app in CXone"),
    ] {
        let (region, launch) = with_region("check").await;
        let body = serde_json::json!({ "error": error, "error_description": format!("{description} {CLIENT_SECRET}") });
        let answer = Canned::new(400).body(&body.to_string());
        region.script(Script::of([Fault::new(Action::Status(answer)).at(Endpoint::Token).times(2)]));
        let (status, report) = examined(&launch, &[]).await;
        assert_eq!(status, Some(1), "{report:#}");
        let detail = stage(&report, "log_in")["detail"].as_str().unwrap();
        assert!(detail.contains(error) && detail.contains("refused client app"), "{detail}");
        assert!(hint(&report, "log_in").contains(expected), "{report:#}");
        assert_eq!(stage(&report, "token")["outcome"], "skipped");
    }
}

#[tokio::test]
async fn an_access_key_in_the_place_of_a_client_is_recognised() {
    let key = "YIBB5YYUSVFXEMUVKH5RIWQZ2D3O2Y4FJ2LJCSAHKLVH5YE5EYZA====";
    let access_keys = vec![AccessKey::new(key, "k3y-secret", &["users:read"])];
    let region = Region::start(Settings { access_keys, ..Settings::default() }).await.unwrap();
    let launch = Launch::of("check").variable("CXONE_BASE_URL", region.base_url());
    let mistaken =
        launch.clone().variable("CXONE_CLIENT_ID", key).variable("CXONE_CLIENT_SECRET", "k3y-secret");
    let (status, report) = examined(&mistaken, &["k3y-secret"]).await;
    assert_eq!(status, Some(1));
    assert!(hint(&report, "log_in").contains("CXONE_ACCESS_KEY_ID"), "{report:#}");

    let right = launch
        .variable("CXONE_GRANT", "access_key")
        .variable("CXONE_TOKEN_URL", region.access_key_url())
        .variable("CXONE_ACCESS_KEY_ID", key)
        .variable("CXONE_ACCESS_KEY_SECRET", "k3y-secret");
    let (status, report) = examined(&right, &["k3y-secret"]).await;
    assert_eq!(status, Some(0), "{report:#}");
    assert_eq!(stage(&report, "configuration")["facts"]["access_key"], key);

    let wrong_door = right.variable("CXONE_TOKEN_URL", region.token_url());
    let (status, report) = examined(&wrong_door, &["k3y-secret"]).await;
    assert_eq!(status, Some(1));
    assert!(hint(&report, "log_in").contains("CXONE_GRANT is access_key"), "{report:#}");
}

#[tokio::test]
async fn a_path_that_is_refused_is_explained_and_ends_it_with_1() {
    let (region, launch) = with_region("check").await;
    let (status, report) = examined(&launch.clone().flag("path", "/api/v2/reports"), &[]).await;
    assert_eq!((status, &report["ready"]), (Some(1), &false.into()));
    let detail = stage(&report, "request")["detail"].as_str().unwrap();
    assert!(detail.contains("reports:read") && detail.contains("users:read contacts:read"), "{detail}");

    let (status, report) = examined(&launch.clone().flag("path", "/api/v2/nowhere"), &[]).await;
    assert_eq!(status, Some(1));
    assert!(stage(&report, "request")["detail"].as_str().unwrap().contains("(404)"), "{report:#}");

    let refusal = Fault::new(Action::Status(Canned::new(401))).path("/api/v2/users").times(2);
    region.script(Script::of([refusal]));
    let (status, report) = examined(&launch.flag("path", "/api/v2/users/me"), &[]).await;
    assert_eq!(status, Some(1));
    assert!(hint(&report, "request").contains("CXONE_TOKEN_URL"), "{report:#}");
    assert_eq!(region.referee(), []);
}

#[tokio::test]
async fn the_api_is_found_by_the_token() {
    let (region, launch) = with_region("check").await;
    let launch = launch
        .without_variable("CXONE_BASE_URL")
        .variable("CXONE_TOKEN_URL", region.token_url())
        .variable("CXONE_DISCOVER", "true")
        .variable("CXONE_DISCOVERY_URL", format!("{}/.well-known/cxone-configuration", region.origin()))
        .flag("path", "/api/v2/users/me");
    let (status, report) = examined(&launch, &[]).await;
    assert_eq!(status, Some(0), "{report:#}");
    assert_eq!(stage(&report, "discovery")["facts"]["upstream"], region.base_url());
    assert_eq!(stage(&report, "request")["outcome"], "ok");

    let nowhere = format!("{}/.well-known/elsewhere", region.origin());
    let (status, report) = examined(&launch.variable("CXONE_DISCOVERY_URL", nowhere), &[]).await;
    assert_eq!((status, &stage(&report, "discovery")["outcome"]), (Some(1), &"failed".into()), "{report:#}");
    assert_eq!(stage(&report, "request")["outcome"], "skipped");
}

#[tokio::test]
async fn profiles_are_examined_each_and_shared_credentials_once() {
    let (region, launch) = with_region("check").await;
    let files = TempDir::new().unwrap();
    let path = files.path().join("proxy.toml");
    let text =
        "[[profile]]\nname = \"api\"\n\n[[profile]]\nname = \"digital\"\nhost = \"digital.localhost\"\n";
    std::fs::write(&path, text).unwrap();
    let launch = launch.flag("config", &path).flag("path", "/api/v2/users/me");
    let (status, report) = examined(&launch, &[]).await;
    assert_eq!(status, Some(0), "{report:#}");
    assert_eq!(region.token_requests(), 2, "one for each of the two runs");
    let of = |profile: &str, name: &str| {
        let stages = report["stages"].as_array().unwrap().iter();
        let mut found = stages.filter(|stage| stage["profile"] == profile && stage["name"] == name);
        found.next().unwrap_or_else(|| panic!("{profile} {name}: {report:#}"))["outcome"].clone()
    };
    assert_eq!((of("api", "log_in"), of("digital", "log_in")), ("ok".into(), "skipped".into()));
    assert_eq!((of("api", "request"), of("digital", "request")), ("ok".into(), "ok".into()));
    let (_, text, _) = launch.run().await;
    assert!(text.contains("profile api\n") && text.contains("profile digital\n"), "{text}");
    assert_eq!(region.referee(), []);
}

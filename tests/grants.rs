//! Each way to log in, from the command line to the API: `serve`, `check`, `token` and `demo`, against a
//! simulated region that serves TLS with a certificate authority of its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use cxone_proxy::simulator::{Alpn, Region, Settings, Tls};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// Longer than anything here takes, short enough to fail a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);
const WAYS: [&str; 3] = ["client_credentials", "password", "access_key"];
const CLIENT: [(&str, &str); 2] =
    [("CXONE_CLIENT_ID", "demo-client"), ("CXONE_CLIENT_SECRET", "demo-secret")];
const KEY: [(&str, &str); 2] =
    [("CXONE_ACCESS_KEY_ID", "demo-access-key"), ("CXONE_ACCESS_KEY_SECRET", "demo-access-key-secret")];

/// A region that serves TLS, and its certificate in a file.
struct Stage {
    region: Region,
    files: TempDir,
}

impl Stage {
    async fn new() -> Self {
        let tls = Tls { alpn: vec![Alpn::Http2, Alpn::Http1], ..Tls::default() };
        let region = Region::start(Settings { tls: Some(tls), ..Settings::default() }).await.unwrap();
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("ca.pem"), region.ca_pem().unwrap()).unwrap();
        Self { region, files }
    }

    fn ca_file(&self) -> PathBuf {
        self.files.path().join("ca.pem")
    }

    /// The program with all that this grant needs, and nothing of our own environment.
    fn command(&self, name: &str, grant: &str) -> Command {
        let mut command = program(name);
        command
            .env("CXONE_BASE_URL", self.region.base_url())
            .env("CXONE_CA_FILE", self.ca_file())
            .env("CXONE_GRANT", grant);
        match grant {
            "password" => command.envs(CLIENT).envs(KEY).env("CXONE_TOKEN_URL", self.region.password_url()),
            "access_key" => command.envs(KEY).env("CXONE_TOKEN_URL", self.region.access_key_url()),
            _ => command.envs(CLIENT),
        };
        command
    }

    fn serve(&self, grant: &str) -> Command {
        let mut command = self.command("serve", grant);
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"]);
        command
    }

    /// With what tokens were asked for, in order.
    fn asked(&self) -> Vec<String> {
        self.region.journal().into_iter().filter_map(|entry| entry.grant).collect()
    }

    fn assert_clean(&self) {
        assert_eq!(self.region.referee(), []);
    }
}

fn program(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxone-proxy"));
    command.arg(name).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(mut command: Command) -> Output {
    timeout(PATIENCE, command.output()).await.unwrap().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A program that listens; it is killed when this is dropped.
struct Proxy {
    address: SocketAddr,
    admin: SocketAddr,
    _child: Child,
    /// A program whose standard error nobody holds any more cannot log.
    _log: Lines<BufReader<ChildStderr>>,
}

impl Proxy {
    async fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        loop {
            let line = timeout(PATIENCE, log.next_line()).await.unwrap().unwrap().unwrap();
            let Ok(event) = serde_json::from_str::<Value>(&line) else { panic!("{line}") };
            if event["message"] == "listening" {
                let address = |field: &str| event[field].as_str().unwrap().parse().unwrap();
                let (address, admin) = (address("proxy"), address("admin"));
                return Self { address, admin, _child: child, _log: log };
            }
        }
    }

    /// Status and body of a GET at the proxy.
    async fn get(&self, target: &str) -> (u16, String) {
        get(self.address, target).await
    }
}

async fn get(address: SocketAddr, target: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// How many token requests with this word brought a token.
fn counted(metrics: &str, word: &str) -> Option<usize> {
    let sample = metrics.lines().find(|line| {
        line.starts_with("cxone_proxy_token_requests_total{")
            && line.contains(&format!("grant=\"{word}\""))
            && line.contains("outcome=\"ok\"")
    })?;
    sample.rsplit(' ').next()?.parse().ok()
}

/// Who the API says that a grant's token is for.
fn subject(grant: &str) -> &'static str {
    if grant == "client_credentials" { "demo-client" } else { "demo-access-key" }
}

#[tokio::test]
async fn serve_attaches_and_renews_a_token_of_each_grant() {
    for grant in WAYS {
        let stage = Stage::new().await;
        let proxy = Proxy::start(stage.serve(grant)).await;
        for renewals in 0..3 {
            if renewals > 0 {
                stage.region.revoke_all();
            }
            let (status, body) = proxy.get("/api/v2/users/me").await;
            assert_eq!(status, 200, "{grant}: {body}");
            let user: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(user["id"], subject(grant));
        }
        let renewal = if grant == "access_key" { grant } else { "refresh_token" };
        assert_eq!(stage.asked(), [grant, renewal, renewal]);
        let (_, metrics) = get(proxy.admin, "/metrics").await;
        for word in [grant, renewal] {
            let count = stage.asked().iter().filter(|asked| *asked == word).count();
            assert_eq!(counted(&metrics, word), Some(count), "{grant}: {word}\n{metrics}");
        }
        stage.assert_clean();
    }
}

#[tokio::test]
async fn a_lost_refresh_token_is_made_up_for_by_logging_in() {
    let stage = Stage::new().await;
    let proxy = Proxy::start(stage.serve("password")).await;
    assert_eq!(proxy.get("/api/v2/users/me").await.0, 200);
    stage.region.revoke_refresh_tokens();
    stage.region.revoke_all();
    assert_eq!(proxy.get("/api/v2/users/me").await.0, 200);
    assert_eq!(stage.asked(), ["password", "refresh_token", "password"]);
    stage.assert_clean();
}

#[tokio::test]
async fn token_prints_one_that_the_api_takes() {
    let stage = Stage::new().await;
    for grant in WAYS {
        let output = run(stage.command("token", grant)).await;
        assert!(output.status.success(), "{grant}: {}", text(&output.stderr));
        let token = text(&output.stdout).strip_suffix('\n').unwrap();
        assert_eq!(token.split('.').count(), 3, "{grant}: {token}");
    }
    assert_eq!(stage.asked(), WAYS);
    stage.assert_clean();
}

#[tokio::test]
async fn check_says_as_whom() {
    let stage = Stage::new().await;
    for grant in WAYS {
        let output = run(stage.command("check", grant)).await;
        let report = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{grant}: {report}");
        assert_eq!(report.contains("demo-client"), grant != "access_key", "{report}");
        assert_eq!(report.contains("demo-access-key"), grant != "client_credentials", "{report}");
        assert!(!report.contains("demo-secret") && !report.contains("demo-access-key-secret"), "{report}");
    }
    stage.assert_clean();
}

#[tokio::test]
async fn check_says_which_credentials_are_wrong() {
    let stage = Stage::new().await;
    for (grant, variable, hint) in [
        ("client_credentials", "CXONE_CLIENT_SECRET", "CXONE_CLIENT_SECRET"),
        ("password", "CXONE_CLIENT_SECRET", "CXONE_CLIENT_ID"),
        ("password", "CXONE_ACCESS_KEY_SECRET", "CXONE_ACCESS_KEY_ID"),
        ("access_key", "CXONE_ACCESS_KEY_SECRET", "CXONE_ACCESS_KEY_ID"),
    ] {
        let mut command = stage.command("check", grant);
        command.env(variable, "guessed-wrong");
        let output = run(command).await;
        let report = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{grant} {variable}: {report}");
        assert!(report.contains(hint) && !report.contains("guessed-wrong"), "{grant} {variable}: {report}");
    }
}

#[tokio::test]
async fn what_a_grant_lacks_or_does_not_use_is_a_configuration_error() {
    let stage = Stage::new().await;
    for (grant, variable, value, complaint) in [
        ("password", "CXONE_ACCESS_KEY_ID", "", "oauth.access_key_id is not set anywhere"),
        ("access_key", "CXONE_TOKEN_URL", "", "oauth.area is not set anywhere"),
        ("access_key", "CXONE_CLIENT_ID", "app", "the grant `access_key`"),
        ("client_credentials", "CXONE_AREA", "na1", "the grant `client_credentials`"),
    ] {
        for name in ["serve", "check", "token"] {
            let mut command = stage.command(name, grant);
            command.env(variable, value);
            let output = run(command).await;
            let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(2), "{name} {grant} {variable}: {said}");
            assert!(said.contains(complaint), "{name} {grant} {variable}: {said}");
        }
    }
    assert_eq!(stage.region.token_requests(), 0);
}

#[tokio::test]
async fn nothing_is_sent_to_an_endpoint_that_is_not_trusted() {
    let stage = Stage::new().await;
    for grant in WAYS {
        let mut command = stage.command("token", grant);
        command.env_remove("CXONE_CA_FILE");
        let output = run(command).await;
        assert_eq!(output.status.code(), Some(1), "{grant}");
        assert!(text(&output.stderr).contains("CXONE_CA_FILE"), "{grant}: {}", text(&output.stderr));
    }
    assert_eq!(stage.region.token_requests(), 0);
}

#[tokio::test]
async fn demo_shows_each_grant() {
    for grant in WAYS {
        let mut command = program("demo");
        command.args(["--grant", grant, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        command.args(["--log-format", "json"]);
        let proxy = Proxy::start(command).await;
        let (status, body) = proxy.get("/api/v2/users/me").await;
        assert_eq!(status, 200, "{grant}: {body}");
        assert!(body.contains(subject(grant)), "{grant}: {body}");
        let (_, metrics) = get(proxy.admin, "/metrics").await;
        assert_eq!(counted(&metrics, grant), Some(1), "{metrics}");
    }
    let mut command = program("demo");
    command.args(["--grant", "implicit"]);
    let output = run(command).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("oauth.grant from flag --grant: `implicit`"));
}

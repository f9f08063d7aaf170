//! Secret files that cannot be read at once, or hold more than the secret; secrets that errors repeat.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cxone_simulator::{Action, Canned, Client, Endpoint, Fault, Script, Settings};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{CLIENT_SECRET, Launch, Setup, eventually};

fn with_file(launch: Launch, path: &Path) -> Launch {
    launch.without_variable("CXONE_CLIENT_SECRET").variable("CXONE_CLIENT_SECRET_FILE", path)
}

/// Reading from a pipe waits for a writer, as a network file system waits for its server.
fn replace_by_a_pipe(path: &Path) {
    std::fs::remove_file(path).unwrap();
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[tokio::test]
async fn a_secret_file_that_hangs_blocks_neither_requests_nor_the_end() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("secret");
    std::fs::write(&path, CLIENT_SECRET).unwrap();
    let settings = Settings { issue_refresh_tokens: false, ..Settings::default() };
    let mut setup =
        Setup::with(settings, |launch| with_file(launch, &path).flag("drain-timeout", "1m")).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    replace_by_a_pipe(&path);
    let mut threads = Vec::new();
    for _ in 0..6 {
        setup.region.revoke_all();
        // The last good secret is used.
        let response = setup.get("/api/v2/users/me").await;
        assert_eq!(response.status(), 200, "{}", response.text());
        threads.push(setup.proxy.threads());
    }
    // Not one more for each renewal.
    assert!(threads[5] <= threads[1] + 1, "{threads:?}");
    assert!(setup.proxy.warning_about("last good").is_some(), "{:#?}", setup.proxy.log());
    let begun = Instant::now();
    setup.proxy.signal(Signal::TERM);
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_mark_or_quotation_marks_around_a_secret_are_an_error_that_says_so() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("secret");
    for (content, named) in [
        (format!("\u{feff}{CLIENT_SECRET}"), "byte order mark"),
        (format!("\u{feff}{CLIENT_SECRET}\n"), "byte order mark"),
        (format!("\"{CLIENT_SECRET}\""), "quotation marks"),
        (format!("'{CLIENT_SECRET}'\n"), "quotation marks"),
    ] {
        std::fs::write(&path, &content).unwrap();
        let token = Launch::of("token")
            .variable("CXONE_BASE_URL", "http://127.0.0.1:9")
            .variable("CXONE_CLIENT_ID", "app");
        let by_file = token.clone().variable("CXONE_CLIENT_SECRET_FILE", &path);
        let by_variable = token.variable("CXONE_CLIENT_SECRET", content.trim_end());
        for launch in [by_file, by_variable] {
            let (status, _, log) = launch.run().await;
            assert_eq!(status.code(), Some(2), "{content:?}: {log}");
            assert!(log.contains("CXONE_CLIENT_SECRET") && log.contains(named), "{content:?}: {log}");
            assert!(!log.contains(CLIENT_SECRET), "{log}");
        }
    }
}

/// A file that becomes invalid while the program runs changes nothing.
#[tokio::test]
async fn a_mark_that_appears_later_leaves_the_last_good_secret_in_use() {
    let files = TempDir::new().unwrap();
    let path = files.path().join("secret");
    std::fs::write(&path, CLIENT_SECRET).unwrap();
    let settings = Settings { issue_refresh_tokens: false, ..Settings::default() };
    let setup = Setup::with(settings, |launch| with_file(launch, &path)).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    std::fs::write(&path, format!("\u{feff}{CLIENT_SECRET}")).unwrap();
    setup.region.revoke_all();
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    eventually("a word in the log", async || setup.proxy.warning_about("last good")).await;
}

/// All that a client, an operator and the admin pages get to see of a refusal.
async fn shown(secret: &str, refusal: Canned) -> String {
    let clients = vec![Client::new("app-7", secret, &[])];
    let script = Script::of([Fault::new(Action::Status(refusal)).at(Endpoint::Token)]);
    let setup = Setup::with(Settings { clients, script, ..Settings::default() }, |launch| {
        launch
            .variable("CXONE_CLIENT_ID", "app-7")
            .variable("CXONE_CLIENT_SECRET", secret)
            .flag("log", "trace")
    })
    .await;
    let response = setup.get("/api/v2/users/me").await;
    assert_eq!(response.status(), 502);
    let mut all = vec![format!("{:?}{}", response.fields, response.text())];
    for page in ["/status", "/readyz", "/metrics"] {
        all.push(setup.admin(page).await.text());
    }
    all.extend(setup.proxy.log());
    all.join("\n")
}

#[tokio::test]
async fn a_secret_that_an_error_repeats_is_shown_in_no_encoding() {
    let secret = "s3cr3t+/=&<é>\"x";
    let percent: String =
        secret
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
    let plus = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
    let html = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let json = serde_json::to_string(secret).unwrap().trim_matches('"').to_owned();
    let basic = STANDARD.encode(format!("app-7:{secret}"));
    let alone = STANDARD.encode(secret);
    for encoding in [secret, &percent, &percent.to_ascii_lowercase(), &plus, &html, &json, &basic, &alone] {
        let body = serde_json::json!({ "error": "invalid_client", "error_description": format!("got <{encoding}> from you") });
        let shown = shown(secret, Canned::new(401).body(&body.to_string())).await;
        // As it is, and as JSON shows it.
        let escaped = serde_json::to_string(encoding).unwrap();
        for form in [encoding, escaped.trim_matches('"')] {
            assert!(!shown.contains(form), "{encoding} is in\n{shown}");
        }
    }
}

#[tokio::test]
async fn a_secret_that_is_an_ordinary_word_is_not_cut_out_of_explanations() {
    for (secret, explanation) in
        [("secret", "the secret is wrong for this client"), ("password", "no password was accepted")]
    {
        let body = serde_json::json!({ "error": "invalid_client", "error_description": explanation });
        let shown = shown(secret, Canned::new(401).body(&body.to_string())).await;
        assert!(shown.contains(explanation), "{secret}: {shown}");
        // The program's own words are whole too.
        assert!(shown.contains("CXONE_CLIENT_SECRET"), "{shown}");
    }
}

//! Section 11: another configuration for a running process.

mod credentials;
mod hanging;
mod load;
mod profiles;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Launch, Message, Metrics, RawConnection, Setup, eventually, get, request};

const ME: &str = "/api/v2/users/me";

/// A proxy with a configuration file, which can be replaced.
struct Reloading {
    setup: Setup,
    files: TempDir,
}

impl Reloading {
    async fn of(text: &str) -> Self {
        Self::launched(text, |launch| launch).await
    }

    /// Nothing but SIGHUP reloads it, unless `launch` says otherwise.
    async fn launched(text: &str, launch: impl FnOnce(Launch) -> Launch) -> Self {
        let files = TempDir::new().unwrap();
        let path = files.path().join("proxy.toml");
        std::fs::write(&path, text).unwrap();
        let setup = Setup::launched(|own| launch(own.flag("config", &path).flag("watch", "false"))).await;
        Self { setup, files }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn write(&self, text: &str) {
        replace(&self.path("proxy.toml"), text);
    }

    /// Reloads this text, and waits for the end of that. Returns what `/status` says of it.
    async fn reload(&self, text: &str) -> Value {
        self.write(text);
        let before = attempts(&self.setup.status().await["reload"]);
        self.setup.proxy.signal(Signal::HUP);
        self.after(before).await
    }

    /// Waits for another attempt than `before`.
    async fn after(&self, before: u64) -> Value {
        eventually("a reload", async || {
            let state = self.setup.status().await["reload"].clone();
            (attempts(&state) > before).then_some(state)
        })
        .await
    }

    async fn status_of(&self, method: &str, target: &str, fields: &str) -> u16 {
        self.setup.fetch(request(method, target, fields, "")).await.status()
    }
}

fn attempts(state: &Value) -> u64 {
    state["succeeded"].as_u64().unwrap() + state["failed"].as_u64().unwrap()
}

/// Replaces a file as editors do.
fn replace(path: &Path, text: &str) {
    let next = path.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, path).unwrap();
}

#[tokio::test]
async fn a_new_configuration_holds_for_the_next_request_and_the_token_stays() {
    let own = Reloading::of("").await;
    let mut client = own.setup.connect().await;
    assert_eq!(client.fetch(get(ME)).await.status(), 200);
    let state = own.reload("[access]\ndeny = [\"* /api/v2/users*\"]\n").await;
    assert_eq!(
        (&state["succeeded"], &state["failed"], &state["last_error"]),
        (&1.into(), &0.into(), &Value::Null)
    );
    assert!(state["last_success"].is_string() && state["needs_restart"].as_array().unwrap().is_empty());
    // On the connection that was there before.
    assert_eq!(client.fetch(get(ME)).await.status(), 403);
    assert_eq!(client.fetch(get("/api/v2/echo")).await.status(), 200);
    assert_eq!(own.setup.region.token_requests(), 1);
    let line = own.setup.proxy.event("reloaded").await;
    assert_eq!((&line["changed"], &line["level"]), (&"access.deny".into(), &"INFO".into()));
    own.reload("").await;
    assert_eq!(client.fetch(get(ME)).await.status(), 200);
    let metrics: Metrics = own.setup.metrics().await;
    assert_eq!(metrics.count("cxone_proxy_reloads_total", &[("outcome", "success")]), 2);
    assert_eq!(metrics.count("cxone_proxy_reloads_total", &[("outcome", "failure")]), 0);
    assert_eq!(metrics.count("cxone_proxy_requests_total", &[("status", "200")]), 3, "counts go on");
    // One for the token, and one for all requests.
    assert_eq!(own.setup.region.connections(), 2, "upstream connections are kept");
}

#[tokio::test]
async fn an_invalid_file_changes_nothing_and_is_said_everywhere() {
    let own = Reloading::of("[access]\ndeny = [\"* /api/v2/users*\"]\n").await;
    for (text, expected) in [
        ("[access]\ndeny = [\"users\"]\n", "has no method before its path"),
        ("[access\n", "proxy.toml:1"),
        ("nothing = 1\nthreads = 0\n", "unknown key nothing"),
    ] {
        let state = own.reload(text).await;
        let error = state["last_error"].as_str().unwrap();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        assert!(state["last_failure"].is_string(), "{state}");
        assert_eq!(own.status_of("GET", ME, "").await, 403, "the old rule holds");
    }
    let metrics: Metrics = own.setup.metrics().await;
    assert_eq!(metrics.count("cxone_proxy_reloads_total", &[("outcome", "failure")]), 3);
    let line = own.setup.proxy.events().into_iter().rfind(|event| event["level"] == "ERROR").unwrap();
    assert!(line["message"].as_str().unwrap().starts_with("not reloaded"), "{line}");
    assert!(line["error"].as_str().unwrap().contains("unknown key nothing"), "{line}");
    std::fs::remove_file(own.path("proxy.toml")).unwrap();
    own.setup.proxy.signal(Signal::HUP);
    assert!(own.after(3).await["last_error"].as_str().unwrap().contains("the file does not exist"));
    let state = own.reload("").await;
    assert_eq!(
        (&state["succeeded"], &state["failed"], &state["last_error"]),
        (&1.into(), &4.into(), &Value::Null)
    );
    assert_eq!(own.status_of("GET", ME, "").await, 200);
}

#[tokio::test]
async fn a_changed_file_is_noticed_without_a_signal() {
    let own = Reloading::launched("", |launch| launch.flag("watch", "true")).await;
    own.write("[access]\nread_only = true\n");
    assert_eq!(own.after(0).await["succeeded"], 1);
    assert_eq!(own.status_of("POST", "/api/v2/echo", "").await, 403);
    // Written in place, and the mistake as well.
    std::fs::write(own.path("proxy.toml"), "oops").unwrap();
    assert_eq!(own.after(1).await["failed"], 1);
    std::fs::write(own.path("proxy.toml"), "").unwrap();
    assert_eq!(own.after(2).await["succeeded"], 2);
    assert_eq!(own.status_of("POST", "/api/v2/echo", "").await, 200);
}

#[tokio::test]
async fn kubernetes_swap_of_a_link_is_noticed() {
    let volume = TempDir::new().unwrap();
    let write = |version: &str, text: &str| {
        let directory = volume.path().join(version);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("proxy.toml"), text).unwrap();
    };
    write("..1", "");
    write("..2", "[access]\nread_only = true\n");
    symlink("..1", volume.path().join("..data")).unwrap();
    symlink("..data/proxy.toml", volume.path().join("proxy.toml")).unwrap();
    let setup = Setup::launched(|launch| launch.flag("config", volume.path().join("proxy.toml"))).await;
    assert_eq!(setup.fetch(request("POST", "/api/v2/echo", "", "")).await.status(), 200);
    symlink("..2", volume.path().join("..tmp")).unwrap();
    std::fs::rename(volume.path().join("..tmp"), volume.path().join("..data")).unwrap();
    setup.proxy.event("reloaded").await;
    assert_eq!(setup.fetch(request("POST", "/api/v2/echo", "", "")).await.status(), 403);
}

#[tokio::test]
async fn without_watching_only_the_signal_counts() {
    let own = Reloading::of("").await;
    own.write("[access]\nread_only = true\n");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(own.status_of("POST", "/api/v2/echo", "").await, 200);
    assert_eq!(attempts(&own.setup.status().await["reload"]), 0);
}

#[tokio::test]
async fn what_needs_a_restart_is_said_until_it_is_undone() {
    let own = Reloading::launched("listen = \"127.0.0.1:0\"\nthreads = 2\n", |launch| {
        launch.without_variable("none")
    })
    .await;
    let state = own.reload("listen = \"127.0.0.1:0\"\nthreads = 3\n[access]\nread_only = true\n").await;
    assert_eq!(state["needs_restart"], serde_json::json!(["threads"]));
    assert_eq!(own.status_of("POST", "/api/v2/echo", "").await, 403, "the rest holds");
    let line =
        own.setup.proxy.event("the new values of threads need a restart; until then the old ones hold").await;
    assert_eq!(line["level"], "WARN");
    let state = own.reload("threads = 2\n").await;
    assert_eq!(state["needs_restart"], serde_json::json!([]));
}

#[tokio::test]
async fn limits_hold_for_new_connections_and_the_log_for_all() {
    let own = Reloading::of("").await;
    let mut before = own.setup.connect().await;
    assert_eq!(before.fetch(get(ME)).await.status(), 200);
    let large = format!("X-Large: {}\r\n", "x".repeat(20 * 1024));
    assert_eq!(own.status_of("GET", ME, &large).await, 200);
    own.reload("[limits]\nheader_size = \"16KiB\"\n[log]\nfilter = \"warn\"\n").await;
    assert_eq!(own.status_of("GET", ME, &large).await, 431);
    assert_eq!(before.fetch(request("GET", ME, &large, "")).await.status(), 200, "as it began");
    let lines = |name: &str| own.setup.proxy.events().iter().filter(|event| event["message"] == name).count();
    let reloaded = lines("reloaded");
    own.reload("[log]\nfilter = \"warn\"\n").await;
    own.reload("").await;
    eventually("the line at level info", async || (lines("reloaded") == reloaded + 1).then_some(())).await;
}

#[tokio::test]
async fn who_may_use_the_proxy_can_be_changed() {
    let own = Reloading::of("").await;
    let ask = async |host: &str| -> Message {
        let mut client: RawConnection = own.setup.connect().await;
        client.fetch(format!("GET {ME} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    };
    assert_eq!(ask("proxy.example").await.status(), 421);
    own.reload("[guard]\nallowed_hosts = [\"proxy.example\"]\n").await;
    assert_eq!(ask("proxy.example").await.status(), 200);
    std::fs::write(own.path("clients.toml"), "[[client]]\nname = \"a\"\nuid = 1\n").unwrap();
    own.reload(&format!("clients_file = '{}'\n", own.path("clients.toml").display())).await;
    assert_eq!(ask("localhost").await.status(), 401);
}

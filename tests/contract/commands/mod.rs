//! Section 1: commands.

mod check;
mod demo;
mod dry_run;
mod logging;
mod results;
mod terminal;

use std::net::TcpListener;

use cxone_simulator::{Client, Region, Settings};
use rustix::process::Signal;

use crate::support::{CLIENT_SECRET, Launch, RawConnection, get, serve};

const ALL: [&str; 5] = ["serve", "check", "token", "demo", "simulate"];

#[tokio::test]
async fn help_and_version_are_results() {
    for command in ALL {
        for flag in ["--help", "--version"] {
            let (status, output, log) = Launch::of(command).argument(flag).run().await;
            assert_eq!(status.code(), Some(0), "{command} {flag}");
            assert!(log.is_empty(), "{command} {flag}: {log}");
            let expected = if flag == "--help" { "Usage: cxone-proxy" } else { env!("CARGO_PKG_VERSION") };
            assert!(output.contains(expected), "{command} {flag}: {output}");
        }
    }
    let (status, output, _) = Launch::of("--version").run().await;
    assert_eq!((status.code(), output.trim()), (Some(0), concat!("cxone-proxy ", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn an_unknown_command_or_flag_ends_it_with_2() {
    let unknown = ALL.map(|command| Launch::of(command).argument("--no-such-flag"));
    let others = [Launch::default(), Launch::of("sevre"), Launch::of("serve").argument("now")];
    for launch in unknown.into_iter().chain(others) {
        let (status, output, log) = launch.run().await;
        assert_eq!(status.code(), Some(2), "{launch:?}");
        assert_eq!(output, "", "{launch:?}");
        assert!(log.contains("Usage: cxone-proxy"), "{launch:?}: {log}");
    }
}

#[tokio::test]
async fn the_secret_has_no_flag() {
    for launch in [
        Launch::of("serve").flag("client-secret", "s3cr3t-value"),
        Launch::of("token").argument("--client-secret=s3cr3t-value"),
    ] {
        let (status, output, log) = launch.run().await;
        assert_eq!(status.code(), Some(2));
        assert!(log.contains("CXONE_CLIENT_SECRET"), "{log}");
        assert!(!log.contains("s3cr3t-value") && output.is_empty(), "{log}");
    }
}

#[tokio::test]
async fn serve_ends_well_on_either_signal_and_writes_no_results() {
    for signal in [Signal::TERM, Signal::INT] {
        let region = Region::start(Settings::default()).await.unwrap();
        let running = serve(&region.base_url());
        let mut process = running.listening().await;
        let response = RawConnection::to(process.proxy_address()).await.fetch(get("/api/v2/users/me")).await;
        assert_eq!(response.status(), 200);
        process.signal(signal);
        assert_eq!(process.rest_of_output().await, "");
        assert_eq!(process.ended().await.code(), Some(0));
        assert_eq!(region.referee(), []);
    }
}

#[tokio::test]
async fn an_address_in_use_ends_it_with_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for launch in [
        serve("http://127.0.0.1:9").flag("listen", &address),
        serve("http://127.0.0.1:9").flag("admin-listen", &address),
        Launch::of("demo").flag("listen", &address).flag("admin-listen", "off"),
        Launch::of("simulate").flag("listen", &address),
    ] {
        let (status, output, log) = launch.run().await;
        assert_eq!(status.code(), Some(1), "{launch:?}");
        assert!(log.contains(&address), "{launch:?}: {log}");
        assert_eq!(output, "");
    }
}

#[tokio::test]
async fn bad_configuration_ends_every_command_with_2() {
    for launch in [
        serve("gopher://x"),
        Launch::of("check"),
        Launch::of("token"),
        Launch::of("demo").flag("listen", "nowhere"),
        Launch::of("demo").flag("log-format", "xml"),
        Launch::of("simulate").flag("lifetime", "5"),
        Launch::of("simulate").flag("script", "/nonexistent/script.json"),
    ] {
        let (status, output, log) = launch.run().await;
        assert_eq!(status.code(), Some(2), "{launch:?}: {output}{log}");
    }
}

#[tokio::test]
async fn simulate_says_where_it_is_and_serves_a_region() {
    let launch = Launch::of("simulate").flag("listen", "127.0.0.1:0").flag("log-format", "json");
    let mut process = launch.listening().await;
    let region = process.event("listening").await["region"].as_str().unwrap().to_owned();
    let proxy = serve(&format!("http://{region}")).listening().await;
    let response = RawConnection::to(proxy.proxy_address()).await.fetch(get("/api/v2/users/me")).await;
    assert_eq!(response.status(), 200);
    let response = RawConnection::to(region.parse().unwrap()).await.fetch(get("/api/v2/users/me")).await;
    assert_eq!(response.status(), 401, "its API is guarded");
    process.signal(Signal::TERM);
    assert_eq!(process.rest_of_output().await, "");
    assert_eq!(process.ended().await.code(), Some(0));
}

#[tokio::test]
async fn simulate_takes_other_credentials() {
    let launch = Launch::of("simulate")
        .flag("listen", "127.0.0.1:0")
        .flag("log-format", "json")
        .flag("client-id", "me")
        .flag("client-secret", "mine");
    let process = launch.listening().await;
    let region = process.event("listening").await["region"].as_str().unwrap().to_owned();
    let token = |secret: &str| {
        Launch::of("token")
            .variable("CXONE_BASE_URL", format!("http://{region}"))
            .variable("CXONE_CLIENT_ID", "me")
            .variable("CXONE_CLIENT_SECRET", secret)
    };
    assert_eq!(token("mine").run().await.0.code(), Some(0));
    assert_eq!(token("yours").run().await.0.code(), Some(1));
}

/// A region with one client, and `command` with its credentials.
async fn with_region(command: &str) -> (Region, Launch) {
    let clients = vec![Client::new("app", CLIENT_SECRET, &["users:read", "contacts:read"])];
    let region = Region::start(Settings { clients, ..Settings::default() }).await.unwrap();
    let launch = Launch::of(command)
        .variable("CXONE_BASE_URL", region.base_url())
        .variable("CXONE_CLIENT_ID", "app")
        .variable("CXONE_CLIENT_SECRET", CLIENT_SECRET);
    (region, launch)
}

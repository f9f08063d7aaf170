//! Identified callers: keys, users of a Unix socket, and what each client may do.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cxone_simulator::Endpoint;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::{problem, reached, send};
use crate::support::{Launch, Metrics, RawConnection, Setup, get, serve};

const ME: &str = "/api/v2/users/me";

/// A new key by the command, and the table that it prints.
async fn key(name: &str) -> (String, String) {
    let (status, output, _) = Launch::of("key").argument(name).run().await;
    assert!(status.success(), "{output}");
    let key = output.lines().map(str::trim).find(|line| line.starts_with("cxk_")).unwrap().to_owned();
    (key, output[output.find("[[client]]").unwrap()..].to_owned())
}

/// A proxy with this clients file.
async fn with_clients(tables: &str, launch: impl FnOnce(Launch) -> Launch) -> (Setup, TempDir) {
    let (files, path) = file(tables);
    let setup = Setup::launched(|own| launch(own.variable("CXONE_PROXY_CLIENTS", &path))).await;
    (setup, files)
}

fn file(tables: &str) -> (TempDir, PathBuf) {
    let files = TempDir::new().unwrap();
    let path = files.path().join("clients.toml");
    std::fs::write(&path, tables).unwrap();
    (files, path)
}

#[tokio::test]
async fn a_key_is_accepted_in_three_ways_and_never_leaves() {
    let (key, table) = key("crm").await;
    let (setup, _files) = with_clients(&table, |launch| launch.flag("access-log", "all")).await;
    let basic = STANDARD.encode(format!("anybody:{key}"));
    for fields in [
        format!("X-Proxy-Key: {key}\r\n"),
        format!("Authorization: Bearer {key}\r\n"),
        format!("Authorization: Basic {basic}\r\n"),
        format!("X-Proxy-Key: {key}\r\nAuthorization: Bearer something-else\r\n"),
    ] {
        assert_eq!(send(&setup, "GET", ME, &fields).await.status(), 200, "{fields}");
    }
    let api: Vec<_> =
        setup.region.journal().into_iter().filter(|own| own.endpoint == Endpoint::Api).collect();
    assert_eq!(api.len(), 4);
    let seen = format!("{api:?}").to_lowercase();
    assert!(
        !seen.contains(&key.to_lowercase())
            && !seen.contains("x-proxy-key")
            && !seen.contains(&basic.to_lowercase())
    );
    let metrics: Metrics = setup.metrics().await;
    let labels = [("client", "crm"), ("status", "200")];
    assert_eq!(metrics.count("cxone_proxy_client_requests_total", &labels), 4);
    let line = setup.proxy.event("request").await;
    assert_eq!(line["client"], "crm");
    let log = setup.proxy.log().join("\n");
    assert!(!log.contains(&key) && !log.contains(&basic));
}

#[tokio::test]
async fn who_is_no_client_is_answered_401_with_what_was_looked_for() {
    let (_, table) = key("crm").await;
    let (setup, _files) = with_clients(&table, |launch| launch).await;
    for (fields, expected) in [
        ("", "no key"),
        ("X-Proxy-Key: cxk_wrong\r\n", "X-Proxy-Key"),
        ("Authorization: Bearer cxk_wrong\r\n", "Bearer token"),
        ("Authorization: Basic Y3hrOndyb25n\r\n", "password"),
        ("Authorization: Negotiate abc\r\n", "scheme"),
    ] {
        let response = send(&setup, "GET", ME, fields).await;
        assert_eq!((response.status(), problem(&response)), (401, "client-unknown".to_owned()), "{fields}");
        let challenges = response.all("www-authenticate");
        assert!(challenges[0].starts_with("Basic realm=") && challenges[1].starts_with("Bearer realm="));
        let document = response.json();
        assert!(document["detail"].as_str().unwrap().contains(expected), "{document}");
        assert!(document["hint"].as_str().unwrap().contains("cxone-proxy key NAME"), "{document}");
    }
    // What the proxy answers itself is for clients alone as well.
    assert_eq!(send(&setup, "OPTIONS", ME, "Max-Forwards: 0\r\n").await.status(), 401);
    assert_eq!(reached(&setup), 0);
    let line = setup.proxy.event("request not allowed").await;
    assert_eq!((&line["reason"], &line["status"]), (&"client-unknown".into(), &401.into()));
    assert!(!setup.proxy.log().join("\n").contains("cxk_wrong"));
}

#[tokio::test]
async fn each_client_has_its_own_rules_and_profiles() {
    let ((reader, readers), (other, others)) = (key("reader").await, key("other").await);
    let tables = format!(
        "{readers}allow = \"GET /api/v2/*\"\ndeny = [\"* /api/v2/users*\"]\n\n{others}profiles = [\"second\"]\n"
    );
    let (_files, path) = file(&tables);
    let region = Setup::new().await;
    let config = path.with_file_name("proxy.toml");
    std::fs::write(
        &config,
        "[[profile]]\nname = \"first\"\n[[profile]]\nname = \"second\"\npath_prefix = \"/second\"\nstrip_prefix = true\n",
    )
    .unwrap();
    let launch = serve(&region.region.base_url()).flag("clients", &path).flag("config", &config);
    let process = launch.listening().await;
    let ask = async |key: &str, method: &str, target: &str| {
        let fields = format!("X-Proxy-Key: {key}\r\n");
        let mut connection = RawConnection::to(process.proxy_address()).await;
        connection.fetch(crate::support::request(method, target, &fields, "")).await
    };
    for (key, method, target, expected) in [
        (&reader, "GET", "/api/v2/echo", ""),
        (&reader, "GET", ME, "access-denied"),
        (&reader, "GET", "/api/v2/x/../users/me", "ambiguous-path"),
        (&reader, "POST", "/api/v2/echo", "access-not-allowed"),
        (&reader, "GET", "/second/api/v2/echo", ""),
        (&other, "GET", "/api/v2/echo", "profile-not-allowed"),
        (&other, "POST", "/second/api/v2/echo", ""),
        (&other, "GET", "/second/api/v2/users/me", ""),
    ] {
        let response = ask(key, method, target).await;
        if expected.is_empty() {
            assert_eq!(response.status(), 200, "{method} {target}: {}", response.text());
        } else {
            assert_eq!(
                (response.status(), problem(&response)),
                (403, expected.to_owned()),
                "{method} {target}"
            );
            let hint = response.json()["hint"].as_str().unwrap().to_owned();
            assert!(expected == "ambiguous-path" || hint.contains("clients file"), "{hint}");
        }
    }
}

#[tokio::test]
async fn a_clients_rate_holds_it_back_and_nobody_else() {
    let ((slow, slows), (fast, fasts)) = (key("slow").await, key("fast").await);
    let tables = format!("{slows}rate = \"2/s\"\n\n{fasts}");
    let (setup, _files) = with_clients(&tables, |launch| launch.flag("max-wait", "1500ms")).await;
    let (slow, fast) = (format!("X-Proxy-Key: {slow}\r\n"), format!("X-Proxy-Key: {fast}\r\n"));
    let began = Instant::now();
    for _ in 0..3 {
        assert_eq!(send(&setup, "GET", ME, &slow).await.status(), 200);
    }
    assert!(began.elapsed() >= Duration::from_millis(400), "the third one waits: {:?}", began.elapsed());
    let mut too_many = Vec::new();
    for _ in 0..8 {
        too_many.push(send(&setup, "GET", ME, &slow));
    }
    let answers = futures_util::future::join_all(too_many).await;
    let refused = answers.iter().find(|answer| answer.status() == 429).expect("more than can wait");
    assert_eq!(problem(refused), "rate-limit-wait");
    assert!(refused.json()["hint"].as_str().unwrap().contains("client `slow`"));
    assert!(refused.only("retry-after").is_some());
    let began = Instant::now();
    for _ in 0..10 {
        assert_eq!(send(&setup, "GET", ME, &fast).await.status(), 200);
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn who_sends_much_does_not_make_the_others_wait() {
    let ((many, manys), (one, ones)) = (key("many").await, key("one").await);
    let (setup, _files) = with_clients(&format!("{manys}\n{ones}"), |launch| {
        launch.flag("max-rate", "20/s").flag("max-wait", "1m")
    })
    .await;
    let (many, one) = (format!("X-Proxy-Key: {many}\r\n"), format!("X-Proxy-Key: {one}\r\n"));
    let began = Instant::now();
    let flood = async {
        let requests = (0..80).map(|_| send(&setup, "GET", ME, &many));
        let answers = futures_util::future::join_all(requests).await;
        assert!(answers.iter().all(|answer| answer.status() == 200));
        began.elapsed()
    };
    let polite = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        assert_eq!(send(&setup, "GET", ME, &one).await.status(), 200);
        began.elapsed()
    };
    let (flooded, waited) = tokio::join!(flood, polite);
    // Behind all others it would have waited for about three seconds.
    assert!(flooded > Duration::from_millis(2500), "{flooded:?}");
    assert!(waited < Duration::from_millis(1500), "{waited:?} of {flooded:?}");
}

#[tokio::test]
async fn a_user_of_a_unix_socket_is_a_client() {
    let uid = rustix::process::geteuid().as_raw();
    for (listed, expected) in [(uid, 200), (uid + 1, 401)] {
        let (files, path) = file(&format!("[[client]]\nname = \"cron\"\nuid = [{listed}]\n"));
        let socket = files.path().join("proxy.sock");
        let region = Setup::new().await;
        let launch = serve(&region.region.base_url())
            .flag("clients", &path)
            .flag("listen", format!("unix:{}", socket.display()));
        let process = launch.start();
        process.event("listening").await;
        let mut client = RawConnection::over(UnixStream::connect(&socket).await.unwrap());
        let response = client.fetch(get(ME)).await;
        assert_eq!(response.status(), expected, "{}", response.text());
        if expected == 401 {
            assert!(response.json()["detail"].as_str().unwrap().contains(&format!("uid {uid}")));
        }
    }
}

#[tokio::test]
async fn a_browser_may_ask_for_leave_without_a_key() {
    let (_, table) = key("page").await;
    let (setup, _files) =
        with_clients(&table, |launch| launch.flag("allowed-origins", "https://app.example")).await;
    let fields = "Origin: https://app.example\r\nAccess-Control-Request-Method: GET\r\n\
                  Access-Control-Request-Headers: x-proxy-key\r\n";
    let response = send(&setup, "OPTIONS", ME, fields).await;
    assert_eq!(response.status(), 204);
    assert!(response.only("access-control-allow-headers").unwrap().contains("x-proxy-key"));
    let refused = send(&setup, "GET", ME, "Origin: https://app.example\r\n").await;
    assert_eq!(
        (refused.status(), refused.only("access-control-allow-origin")),
        (401, Some("https://app.example"))
    );
}

#[tokio::test]
async fn a_clients_file_with_faults_is_explained_line_by_line() {
    let (_, table) = key("crm").await;
    for (tables, expected) in [
        (String::new(), "has no client"),
        ("[[client]]\nkey_sha256 = \"00\"\n".to_owned(), "clients.toml:2"),
        ("[[client]]\nname = \"a\"\n".to_owned(), "is known by nothing"),
        ("[[client]]\nname = \"a\"\nuid = -1\n".to_owned(), "no user's number"),
        ("[client]\nname = \"a\"\n".to_owned(), "in double brackets"),
        (format!("{table}key = \"x\"\n"), "has no place here"),
        (format!("{table}colour = \"x\"\n"), "none of a client's keys"),
        (format!("{table}rate = \"fast\"\n"), "`fast` has no window"),
        (format!("{table}allow = [\"get /x\"]\n"), "small letters"),
        (format!("{table}profiles = [\"none\"]\n"), "names no profile"),
        (format!("{table}\n{table}"), "names another client already"),
        (format!("{table}\n{}", table.replace("crm", "two")), "that of the client `crm`"),
        ("[[client]\n".to_owned(), "clients.toml:1"),
    ] {
        let (_files, path) = file(&tables);
        let (status, _, complaint) = serve("http://127.0.0.1:9").flag("clients", &path).run().await;
        assert_eq!(status.code(), Some(2), "{tables}: {complaint}");
        assert!(complaint.contains(expected) && complaint.contains("clients.toml"), "{tables}: {complaint}");
    }
    let missing = serve("http://127.0.0.1:9").flag("clients", "/nowhere/clients.toml").run().await;
    assert!(missing.2.contains("/nowhere does not exist"), "{}", missing.2);
    let (status, _, complaint) = Launch::of("key").argument("a\"b").run().await;
    assert_eq!(status.code(), Some(2));
    assert!(complaint.contains("no name for a client"), "{complaint}");
}

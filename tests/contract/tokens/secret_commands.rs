//! A secret that a command prints: for stores of secrets.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{CLIENT_SECRET, Launch, Setup, eventually};

fn script(files: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = files.path().join(name);
    // Renamed into place: a script that is open for writing cannot be run.
    let next = files.path().join(format!("{name}.next"));
    std::fs::write(&next, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&next, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::rename(next, &path).unwrap();
    path
}

fn with_command(launch: Launch, command: &str) -> Launch {
    launch.without_variable("CXONE_CLIENT_SECRET").variable("CXONE_CLIENT_SECRET_COMMAND", command)
}

fn runs(files: &TempDir) -> usize {
    std::fs::read_to_string(files.path().join("runs")).unwrap_or_default().lines().count()
}

fn counting(files: &TempDir, text: &str) -> String {
    format!("echo run >> {}; {text}", files.path().join("runs").display())
}

#[tokio::test]
async fn its_output_is_the_secret_and_an_array_keeps_its_items() {
    let files = TempDir::new().unwrap();
    // The item has a space, a comma and a dollar sign, and no shell looks at it.
    let path = script(&files, "store", &counting(&files, "[ \"$1\" = 'a b,$HOME' ] && echo \"$2\""));
    let config = files.path().join("proxy.toml");
    let command = format!("['{}', 'a b,$HOME', '{CLIENT_SECRET}']", path.display());
    std::fs::write(&config, format!("[oauth]\nclient_secret_command = {command}\n")).unwrap();
    let setup = Setup::launched(|launch| {
        launch.without_variable("CXONE_CLIENT_SECRET").flag("config", &config).flag("watch", "false")
    })
    .await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    let before = runs(&files);
    setup.region.revoke_all();
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    assert!(before >= 1 && runs(&files) <= before + 1, "{before}, {}", runs(&files));
    // Its arguments are shown nowhere.
    let shown = setup.admin("/configuration").await.text();
    assert!(shown.contains("store …") && !shown.contains(CLIENT_SECRET), "{shown}");
    assert!(!setup.proxy.log().join("\n").contains(CLIENT_SECRET));
}

#[tokio::test]
async fn while_it_fails_the_last_good_secret_is_used() {
    let files = TempDir::new().unwrap();
    let path = script(&files, "store", &format!("echo {CLIENT_SECRET}"));
    let setup = Setup::launched(|launch| with_command(launch, path.to_str().unwrap())).await;
    setup.token_state("valid").await;
    script(&files, "store", "echo secret-of-the-store >&2; exit 3");
    // What it printed a moment ago counts for a while.
    let line = eventually("the warning", async || {
        setup.region.revoke_all();
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
        tokio::time::sleep(Duration::from_millis(500)).await;
        setup.proxy.warning_about("gives no secret")
    })
    .await;
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("exit status: 3") && message.contains("by hand"), "{message}");
    assert!(!setup.proxy.log().join("\n").contains("secret-of-the-store"));
}

async fn complaint(command: &str) -> String {
    let program = Launch::of("token")
        .variable("CXONE_BASE_URL", "http://127.0.0.1:9")
        .variable("CXONE_CLIENT_ID", "app")
        .variable("CXONE_CLIENT_SECRET_COMMAND", command);
    let (status, _, complaint) = program.run().await;
    assert_eq!(status.code(), Some(2), "{complaint}");
    complaint
}

#[tokio::test]
async fn a_command_that_gives_none_is_a_configuration_error_that_says_why() {
    let files = TempDir::new().unwrap();
    for (text, why) in [
        ("exit 4", "exit status: 4"),
        ("true", "prints nothing"),
        ("echo ' s3cret'", "white space"),
        ("head -c 100000 /dev/zero", "larger than 64 KiB"),
        ("printf '\\377'", "UTF-8"),
    ] {
        let path = script(&files, "store", text);
        let complaint = complaint(path.to_str().unwrap()).await;
        assert!(complaint.contains(why) && !complaint.contains("s3cret"), "{why}: {complaint}");
        assert!(
            complaint.contains("oauth.client_secret_command")
                || complaint.contains("CXONE_CLIENT_SECRET_COMMAND")
        );
    }
    assert!(complaint("/no/where").await.contains("the file does not exist"));
    let (_, _, both) = Launch::of("token")
        .variable("CXONE_CLIENT_ID", "app")
        .variable("CXONE_CLIENT_SECRET", "x")
        .variable("CXONE_CLIENT_SECRET_COMMAND", "store")
        .run()
        .await;
    assert!(both.contains("exclude each other"), "{both}");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_and_holds_nobody_up() {
    let files = TempDir::new().unwrap();
    let path = script(&files, "store", &format!("echo {CLIENT_SECRET}"));
    let mut setup = Setup::launched(|launch| with_command(launch, path.to_str().unwrap())).await;
    setup.token_state("valid").await;
    script(&files, "store", &format!("sleep 100 & echo $! > {}; wait", files.path().join("pid").display()));
    setup.proxy.signal(Signal::HUP);
    let pid = eventually("the command", async || pid(&files.path().join("pid"))).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    eventually("its end", async || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())).await;
    let state = setup.status().await["reload"].clone();
    assert!(state["last_error"].as_str().unwrap().contains("did not end within 10 s"), "{state}");
    // And another one does not hold the end up.
    setup.proxy.signal(Signal::HUP);
    let begun = Instant::now();
    setup.proxy.signal(Signal::TERM);
    assert_eq!(setup.proxy.ended().await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

fn pid(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

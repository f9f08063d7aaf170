//! Colour is for terminals, and only where it is wanted.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::with_region;
use crate::support::Launch;

const ESCAPE: char = '\u{1b}';

/// What the program writes on a terminal, with these variables.
fn on_a_terminal(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let program_end: OwnedFd = OpenOptions::new().read(true).write(true).open(name).unwrap().into();
    let end = |fd: &OwnedFd| Stdio::from(fd.as_fd().try_clone_to_owned().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_cxone-proxy"))
        .args(arguments)
        .env_clear()
        .env("TERM", "xterm-256color")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(end(&program_end))
        .stderr(end(&program_end))
        .spawn()
        .unwrap();
    drop(program_end);
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    let mut reader = File::from(terminal);
    // A terminal without a writer ends with an error.
    while let Ok(count @ 1..) = reader.read(&mut piece) {
        text.extend_from_slice(&piece[..count]);
    }
    child.wait().unwrap();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_terminal_gets_colour_unless_no_color_is_set() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    let variables = [
        ("CXONE_BASE_URL", url.as_str()),
        ("CXONE_CLIENT_ID", "a"),
        ("CXONE_CLIENT_SECRET", "b"),
        ("CXONE_PROXY_LOG", "trace"),
    ];
    let plain = [&variables[..], &[("NO_COLOR", "1")]].concat();
    for arguments in [&["check"][..], &["--no-such-flag"]] {
        assert!(on_a_terminal(arguments, &variables).contains(ESCAPE), "{arguments:?}");
        let text = on_a_terminal(arguments, &plain);
        assert!(!text.is_empty() && !text.contains(ESCAPE), "{arguments:?}: {text:?}");
    }
}

#[tokio::test]
async fn pipes_get_no_colour() {
    let (_region, launch) = with_region("check").await;
    let (_, output, log) = launch.flag("log", "trace").flag("log-format", "text").run().await;
    assert!(!log.is_empty(), "something must have been logged");
    let (_, help, mistake) = Launch::of("--no-such-flag").run().await;
    for text in [output, log, help, mistake] {
        assert!(!text.contains(ESCAPE), "{text:?}");
    }
}

//! Files that cannot be read at once, and signals faster than files can be read.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{ME, Reloading};
use crate::support::eventually;

/// The file of this key is a pipe to which nobody writes, which is as good as a network file system that hangs.
async fn with_a_pipe(key: &str) -> Reloading {
    let own = Reloading::of("").await;
    let pipe = own.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (table, key) = key.split_once('.').map_or(("", key), |(table, key)| (table, key));
    let table = if table.is_empty() { String::new() } else { format!("[{table}]\n") };
    own.write(&format!("{table}{key} = '{}'\n", pipe.display()));
    own
}

#[tokio::test]
async fn a_file_that_hangs_holds_nobody_up_and_is_given_up() {
    for key in ["clients_file", "upstream.ca_file"] {
        let own = with_a_pipe(key).await;
        let begun = Instant::now();
        own.setup.proxy.signal(Signal::HUP);
        for _ in 0..5 {
            assert_eq!(own.setup.admin("/livez").await.status(), 200);
            assert_eq!(own.status_of("GET", ME, "").await, 200);
        }
        assert!(begun.elapsed() < Duration::from_secs(4), "they waited for the file");
        let state = own.after(0).await;
        let error = state["last_error"].as_str().unwrap();
        assert!(error.contains("cannot be read within 5 s") && error.contains(key), "{error}");
        let state = own.reload("").await;
        assert_eq!((&state["succeeded"], &state["failed"]), (&1.into(), &1.into()));
    }
}

#[tokio::test]
async fn a_file_that_hangs_does_not_hold_the_end_up() {
    let mut own = with_a_pipe("clients_file").await;
    own.setup.proxy.signal(Signal::HUP);
    eventually("the thread that reads", async || (own.setup.proxy.has_thread("file")).then_some(())).await;
    let begun = Instant::now();
    own.setup.proxy.signal(Signal::TERM);
    assert_eq!(own.setup.proxy.ended().await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn after_a_storm_of_signals_the_last_file_holds() {
    let own = Reloading::of("").await;
    for number in 0..200 {
        let read_only = number == 199;
        own.write(&format!("[access]\nread_only = {read_only}\n"));
        own.setup.proxy.signal(Signal::HUP);
    }
    eventually("the last file", async || {
        (own.status_of("POST", "/api/v2/echo", "").await == 403).then_some(())
    })
    .await;
    own.setup.proxy.idle().await;
    let state = own.setup.status().await["reload"].clone();
    assert_eq!(state["failed"], 0, "{state}");
}

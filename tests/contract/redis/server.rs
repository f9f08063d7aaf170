//! The store of these tests.

use std::process::Stdio;

use redis::Commands as _;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::support::eventually;

/// A real Redis on a port of its own. Ends with this value.
pub(super) struct Redis {
    pub(super) port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
    pub(super) files: TempDir,
}

impl Redis {
    /// `None` where there is none on this machine, and nobody asks for one.
    pub(super) async fn start(arguments: &[&str]) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut own = Self { port, arguments, child: None, files: TempDir::new().unwrap() };
        own.run().await.then_some(own)
    }

    pub(super) async fn run(&mut self) -> bool {
        let port = self.port.to_string();
        let child = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"])
            .arg(self.files.path())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let Ok(child) = child else {
            assert!(
                std::env::var("REDIS_TESTS").is_err(),
                "REDIS_TESTS is set, and there is no redis-server"
            );
            return false;
        };
        self.child = Some(child);
        let port = self.port;
        eventually("redis", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
        true
    }

    pub(super) async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    pub(super) fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().and_then(Child::id).unwrap();
        kill_process(Pid::from_raw(i32::try_from(id).unwrap()).unwrap(), signal).unwrap();
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn connection(&self) -> redis::Connection {
        redis::Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.connection().keys("*").unwrap()
    }
}

//! A real nginx, by one of the files of `deploy/`.

use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{RawConnection, eventually};

/// A running nginx; dropping it kills it.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    _child: Child,
    _files: TempDir,
}

impl Nginx {
    /// Starts it with this configuration, which listens on `127.0.0.1:8888` and is quiet (`access_log off`): on
    /// another port, as one process, with its files in a place of its own. `None` where there is no nginx.
    pub(crate) async fn start(configuration: &str) -> Option<Self> {
        let files = TempDir::new().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let place = files.path().display();
        let replaced = |text: String, old: &str, new: &str| {
            assert!(text.contains(old), "{old:?} is not in the file");
            text.replace(old, new)
        };
        let text = replaced(configuration.to_owned(), "127.0.0.1:8888", &address.to_string());
        let one = "worker_processes 1;\ndaemon off;\nmaster_process off;";
        let text = replaced(text, "worker_processes auto;", one);
        let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let own = kinds.map(|kind| format!("    {kind}_temp_path {place}/{kind};\n")).concat();
        let text = replaced(text, "    access_log off;\n", &format!("    access_log off;\n{own}"));
        let path = files.path().join("nginx.conf");
        std::fs::write(&path, format!("pid {place}/pid;\nerror_log stderr;\n{text}")).unwrap();
        let nginx = Command::new("nginx")
            .arg("-p")
            .arg(files.path())
            .arg("-c")
            .arg(&path)
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn();
        let Ok(child) = nginx else {
            assert!(std::env::var("NGINX_TESTS").is_err(), "NGINX_TESTS is set, and there is no nginx");
            return None;
        };
        eventually("nginx", async || TcpStream::connect(address).await.ok()).await;
        Some(Self { address, _child: child, _files: files })
    }

    /// A new connection to it.
    pub(crate) async fn connect(&self) -> RawConnection {
        RawConnection::to(self.address).await
    }
}

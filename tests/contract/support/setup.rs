//! A simulated region and the program in front of it.

use cxone_simulator::{Region, Settings};
use serde_json::Value;
use tempfile::TempDir;

use super::{Http2Client, Launch, Message, Metrics, Process, RawConnection, eventually, get};

/// The credentials that a region knows by default.
pub(crate) const CLIENT_ID: &str = "demo-client";
/// Goes with the client identifier.
pub(crate) const CLIENT_SECRET: &str = "demo-secret";

/// `cxone-proxy serve` on ports of its own, with credentials and the log as JSON.
pub(crate) fn serve(base_url: &str) -> Launch {
    Launch::of("serve")
        .flag("listen", "127.0.0.1:0")
        .flag("admin-listen", "127.0.0.1:0")
        .flag("log-format", "json")
        .variable("CXONE_BASE_URL", base_url)
        .variable("CXONE_CLIENT_ID", CLIENT_ID)
        .variable("CXONE_CLIENT_SECRET", CLIENT_SECRET)
}

/// A region and a program. When it is dropped, the region's referee must have seen no broken rule.
pub(crate) struct Setup {
    pub(crate) region: Region,
    pub(crate) proxy: Process,
    /// Holds the region's certificate.
    _files: TempDir,
}

impl Setup {
    /// Everything as it comes.
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default(), |launch| launch).await
    }

    /// A program that is started as `launch` says.
    pub(crate) async fn launched(launch: impl FnOnce(Launch) -> Launch) -> Self {
        Self::with(Settings::default(), launch).await
    }

    /// A region as `settings` say.
    pub(crate) async fn of(settings: Settings) -> Self {
        Self::with(settings, |launch| launch).await
    }

    /// Both. The region's certificate is trusted where it has one.
    pub(crate) async fn with(settings: Settings, launch: impl FnOnce(Launch) -> Launch) -> Self {
        let region = Region::start(settings).await.unwrap();
        let files = TempDir::new().unwrap();
        let mut program = serve(&region.base_url());
        if let Some(pem) = region.ca_pem() {
            let path = files.path().join("ca.pem");
            std::fs::write(&path, pem).unwrap();
            program = program.flag("ca-file", &path);
        }
        let proxy = launch(program).listening().await;
        Self { region, proxy, _files: files }
    }

    /// Kills the region and starts it again, without leave of its connections.
    pub(crate) async fn restart_region(&self) {
        self.region.kill().await;
        // A program that another test is just starting may hold the port for a moment.
        eventually("the region's port", async || self.region.restart().await.ok()).await;
    }

    /// A new connection to the proxy.
    pub(crate) async fn connect(&self) -> RawConnection {
        RawConnection::to(self.proxy.proxy_address()).await
    }

    /// A new connection to the proxy that speaks HTTP/2.
    pub(crate) async fn http2(&self) -> Http2Client {
        Http2Client::to(self.proxy.proxy_address()).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn fetch(&self, request: impl AsRef<[u8]>) -> Message {
        self.connect().await.fetch(request).await
    }

    /// A GET on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Message {
        self.fetch(get(target)).await
    }

    /// A GET of an admin page.
    pub(crate) async fn admin(&self, path: &str) -> Message {
        RawConnection::to(self.proxy.admin_address()).await.fetch(get(path)).await
    }

    /// The page `/status`.
    pub(crate) async fn status(&self) -> Value {
        self.admin("/status").await.json()
    }

    /// The page `/metrics`.
    pub(crate) async fn metrics(&self) -> Metrics {
        Metrics::of(self.admin("/metrics").await.text())
    }

    /// Waits until the program has so many requests in flight.
    pub(crate) async fn in_flight(&self, count: usize) {
        eventually(&format!("{count} requests in flight"), async || {
            (self.status().await["requests"]["in_flight"] == count).then_some(())
        })
        .await;
    }

    /// Waits until the token is in this state.
    pub(crate) async fn token_state(&self, state: &str) {
        eventually(&format!("a token that is {state}"), async || {
            (self.status().await["token"]["state"] == state).then_some(())
        })
        .await;
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.region.referee(), [], "the referee saw broken rules");
        }
    }
}

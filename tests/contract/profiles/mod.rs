//! Several upstreams in one program: which one gets a request, with which credentials, and which addresses lead
//! back to it.

mod addresses;
mod discovery;
mod json_links;
mod load;
mod pages;
mod selection;

use std::net::SocketAddr;

use cxone_simulator::{Endpoint, Entry, Region, Settings};
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::support::{Launch, Message, Metrics, Process, RawConnection, serve};

/// The names of the two regions, which are their path prefixes as well.
const API: &str = "/api-area";
const DIGITAL: &str = "/digital-area";

/// Two regions that do not know each other, and a program with profiles for them. When it is dropped, the referees
/// must have seen no broken rule.
struct TwoRegions {
    api: Region,
    digital: Region,
    proxy: Process,
    files: TempDir,
}

impl TwoRegions {
    /// `profiles` may name `{api}`, `{digital}` (base URLs) and `{files}` (a directory).
    async fn of(profiles: &str) -> Self {
        Self::launched(profiles, |launch| launch).await
    }

    async fn launched(profiles: &str, launch: impl FnOnce(Launch) -> Launch) -> Self {
        let region = async |prefix: &str| {
            let settings = Settings { path_prefix: prefix.to_owned(), ..Settings::default() };
            Region::start(settings).await.unwrap()
        };
        let (api, digital) = (region(API).await, region(DIGITAL).await);
        let files = TempDir::new().unwrap();
        let text = profiles
            .replace("{api}", &api.base_url())
            .replace("{digital}", &digital.base_url())
            .replace("{files}", files.path().to_str().unwrap());
        let file = files.path().join("proxy.toml");
        std::fs::write(&file, text).unwrap();
        let program = serve(&api.base_url()).without_variable("CXONE_BASE_URL").flag("config", &file);
        let proxy = launch(program).listening().await;
        Self { api, digital, proxy, files }
    }

    /// `api` for everything, and `digital` for what these lines of its table say.
    async fn pair(selector: &str) -> Self {
        Self::of(&pair(selector)).await
    }

    fn port(&self) -> u16 {
        self.proxy.proxy_address().port()
    }

    /// The address of the first listener that belongs to one profile.
    fn own_listener(&self) -> SocketAddr {
        let event = self.proxy.events().into_iter().find(|event| event["message"] == "listening").unwrap();
        event["profile_listeners"].as_str().unwrap().split(',').next().unwrap().parse().unwrap()
    }

    /// A new connection to the Unix socket of this name.
    async fn unix(&self, name: &str) -> RawConnection {
        RawConnection::over(UnixStream::connect(self.files.path().join(name)).await.unwrap())
    }

    /// A GET at the shared listener.
    async fn get(&self, target: &str, host: &str) -> Message {
        get(&mut RawConnection::to(self.proxy.proxy_address()).await, target, host).await
    }

    /// A GET of an admin page.
    async fn admin(&self, path: &str) -> Message {
        get(&mut RawConnection::to(self.proxy.admin_address()).await, path, "localhost").await
    }

    /// The page `/metrics`.
    async fn metrics(&self) -> Metrics {
        Metrics::of(self.admin("/metrics").await.text())
    }

    /// The targets of all requests that reached either region's API, prefix and all.
    fn targets(&self) -> Vec<String> {
        let of = |region: &Region| attempts(region).into_iter().map(|entry| entry.target);
        of(&self.api).chain(of(&self.digital)).collect()
    }
}

impl Drop for TwoRegions {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            for region in [&self.api, &self.digital] {
                assert_eq!(region.referee(), [], "a referee saw broken rules");
            }
        }
    }
}

fn pair(selector: &str) -> String {
    format!(
        "[[profile]]\nname = 'api'\n[profile.upstream]\nbase_url = '{{api}}'\n\
         [[profile]]\nname = 'digital'\n{selector}\n[profile.upstream]\nbase_url = '{{digital}}'\n"
    )
}

async fn get(client: &mut RawConnection, target: &str, host: &str) -> Message {
    client.fetch(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
}

/// The attempts that arrived at a region's API, in order.
fn attempts(region: &Region) -> Vec<Entry> {
    region.journal().into_iter().filter(|entry| entry.endpoint == Endpoint::Api).collect()
}

//! Profiles that come and go, and upstreams that change.

use cxone_simulator::{Endpoint, Region, Settings};
use rustix::process::Signal;
use tempfile::TempDir;

use super::{ME, replace};
use crate::support::{Metrics, Process, RawConnection, eventually, get, serve};

struct Regions {
    one: Region,
    two: Region,
    proxy: Process,
    files: TempDir,
}

impl Regions {
    async fn of(text: impl Fn(&str, &str) -> String) -> Self {
        let (one, two) = (region().await, region().await);
        let files = TempDir::new().unwrap();
        let path = files.path().join("proxy.toml");
        std::fs::write(&path, text(&one.base_url(), &two.base_url())).unwrap();
        let launch = serve(&one.base_url()).without_variable("CXONE_BASE_URL").flag("config", &path);
        let proxy = launch.listening().await;
        Self { one, two, proxy, files }
    }

    async fn reload(&self, text: impl Fn(&str, &str) -> String) {
        let before = self.reloads();
        replace(&self.files.path().join("proxy.toml"), &text(&self.one.base_url(), &self.two.base_url()));
        self.proxy.signal(Signal::HUP);
        eventually("a reload", async || (self.reloads() > before).then_some(())).await;
    }

    fn reloads(&self) -> usize {
        self.proxy.events().iter().filter(|event| event["message"] == "reloaded").count()
    }

    async fn ask(&self, target: &str) -> u16 {
        RawConnection::to(self.proxy.proxy_address()).await.fetch(get(target)).await.status()
    }

    async fn admin(&self, path: &str) -> crate::support::Message {
        RawConnection::to(self.proxy.admin_address()).await.fetch(get(path)).await
    }
}

async fn region() -> Region {
    Region::start(Settings::default()).await.unwrap()
}

fn requests(region: &Region) -> usize {
    region.journal().iter().filter(|entry| entry.endpoint == Endpoint::Api).count()
}

fn single(base_url: &str) -> String {
    format!("[upstream]\nbase_url = \"{base_url}\"\n")
}

#[tokio::test]
async fn the_upstream_can_be_another_one() {
    let own = Regions::of(|one, _| single(one)).await;
    let mut client = RawConnection::to(own.proxy.proxy_address()).await;
    assert_eq!(client.fetch(get(ME)).await.status(), 200);
    // This one is under way while the upstream changes, and ends where it began.
    let mut slow = RawConnection::to(own.proxy.proxy_address()).await;
    slow.send(get("/api/v2/long-poll?ms=1500")).await;
    eventually("the slow request", async || (requests(&own.one) >= 2).then_some(())).await;
    own.reload(|_, two| single(two)).await;
    assert_eq!(client.fetch(get(ME)).await.status(), 200);
    assert_eq!((requests(&own.two), own.two.token_requests()), (1, 1));
    let answer = slow.response().await.unwrap();
    assert_eq!(answer.status(), 304, "{}", answer.text());
    assert_eq!(requests(&own.one), 2);
}

#[tokio::test]
async fn profiles_come_and_go() {
    let first =
        |one: &str| format!("[[profile]]\nname = \"one\"\n[profile.upstream]\nbase_url = \"{one}\"\n");
    let second = |two: &str| {
        format!(
            "[[profile]]\nname = \"two\"\npath_prefix = \"/two\"\nstrip_prefix = true\n[profile.upstream]\nbase_url = \"{two}\"\n"
        )
    };
    let own = Regions::of(|one, _| first(one)).await;
    assert_eq!(own.ask("/two/api/v2/users/me").await, 404, "it is a path of the first one");
    own.reload(|one, two| first(one) + &second(two)).await;
    eventually("the second profile", async || (own.ask("/two/api/v2/users/me").await == 200).then_some(()))
        .await;
    assert_eq!(own.admin("/readyz/two").await.status(), 200);
    assert_eq!((own.one.token_requests(), own.two.token_requests()), (1, 1));
    own.reload(|one, _| first(one)).await;
    assert_eq!(own.ask("/two/api/v2/users/me").await, 404);
    assert_eq!(own.admin("/readyz/two").await.status(), 404);
    let metrics = Metrics::of(own.admin("/metrics").await.text());
    assert_eq!(metrics.count("cxone_proxy_ready", &[("profile", "two")]), 0);
    // Back again: counters go on, and the credentials are asked for a token again.
    own.reload(|one, two| first(one) + &second(two)).await;
    eventually("the second profile", async || (own.ask("/two/api/v2/users/me").await == 200).then_some(()))
        .await;
    let metrics = Metrics::of(own.admin("/metrics").await.text());
    assert!(metrics.count("cxone_proxy_requests_total", &[("profile", "two"), ("status", "200")]) >= 2);
    assert_eq!(own.ask(ME).await, 200);
    assert_eq!(own.one.token_requests(), 1);
}

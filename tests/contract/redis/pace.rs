//! One pace for all replicas.

use std::time::Duration;

use cxone_simulator::{Action, Canned, Endpoint, Fault, Script};
use futures_util::future::join_all;
use redis::Commands as _;
use serde_json::Value;
use tokio::time::Instant;

use super::server::Redis;
use super::{ME, Replicas, warned};
use crate::support::{Process, RawConnection, eventually, get};

async fn pace(process: &Process) -> Value {
    RawConnection::to(process.admin_address()).await.fetch(get("/status")).await.json()["pace"].take()
}

async fn ask(process: &Process) -> u16 {
    RawConnection::to(process.proxy_address()).await.fetch(get(ME)).await.status()
}

impl Replicas {
    /// Waits until all know that they are so many.
    async fn are(&self, count: usize) {
        for process in self.all() {
            eventually(&format!("{count} replicas"), async || {
                let replicas = pace(process).await["replicas"].take();
                (replicas["count"] == count && replicas["store_up"] == true).then_some(())
            })
            .await;
        }
    }

    fn api_requests(&self) -> usize {
        self.first.region.journal().iter().filter(|entry| entry.endpoint == Endpoint::Api).count()
    }
}

#[tokio::test]
async fn a_pause_that_one_was_asked_for_holds_for_all() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let replicas = Replicas::of(3, |launch| launch.flag("redis-url", redis.url())).await;
    replicas.are(3).await;
    replicas.ask_all().await;
    let rejection = Canned::new(429).field("Retry-After", "3");
    replicas
        .first
        .region
        .script(Script::of([Fault::new(Action::Status(rejection)).at(Endpoint::Api).times(1)]));
    let begun = Instant::now();
    let first = ask(&replicas.first.proxy);
    let others = async {
        for process in &replicas.others {
            eventually("the pause", async || (pace(process).await["state"] == "paused").then_some(())).await;
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "they heard of it too late: {:?}", begun.elapsed());
        let before = replicas.api_requests();
        let statuses = join_all(replicas.others.iter().map(ask)).await;
        assert_eq!(statuses, [200, 200]);
        assert!(begun.elapsed() >= Duration::from_millis(2900), "they did not wait: {:?}", begun.elapsed());
        before
    };
    let (first, before) = tokio::join!(first, others);
    assert_eq!((first, before), (200, 4), "nobody asked the API meanwhile");
    assert!(replicas.others.iter().all(|process| warned(process, "another replica has met")));
}

#[tokio::test]
async fn what_is_configured_is_for_all_together() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let launch = |launch: crate::support::Launch| {
        launch.flag("redis-url", redis.url()).flag("max-rate", "20/s").flag("budget", "100/1h")
    };
    let mut replicas = Replicas::of(2, launch).await;
    replicas.are(2).await;
    assert_eq!(pace(&replicas.first.proxy).await["budget_left"], 50);
    let begun = Instant::now();
    let statuses = join_all(replicas.all().flat_map(|process| (0..15).map(move |_| ask(process)))).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    // Ten a second each; one alone would need 0.7 s.
    assert!(begun.elapsed() > Duration::from_millis(1350), "{:?}", begun.elapsed());
    // Who goes gives its part back.
    drop(replicas.others.pop());
    replicas.are(1).await;
    assert_eq!(pace(&replicas.first.proxy).await["budget_left"], 85);
    let metrics = replicas.first.metrics().await;
    assert_eq!(metrics.count("cxone_proxy_replicas", &[("profile", "default")]), 1);
    assert_eq!(metrics.count("cxone_proxy_shared_store_up", &[("profile", "default")]), 1);
}

#[tokio::test]
async fn without_the_store_each_goes_on_by_what_it_knows() {
    let Some(mut redis) = Redis::start(&[]).await else { return };
    let launch =
        |launch: crate::support::Launch| launch.flag("redis-url", redis.url()).flag("budget", "100/1h");
    let replicas = Replicas::of(2, launch).await;
    replicas.are(2).await;
    redis.kill().await;
    for process in replicas.all() {
        eventually("a store that is away", async || {
            (pace(process).await["replicas"]["store_up"] == false).then_some(())
        })
        .await;
    }
    replicas.ask_all().await;
    let state = pace(&replicas.first.proxy).await;
    assert_eq!((&state["replicas"]["count"], &state["budget_left"]), (&2.into(), &49.into()));
    eventually("the warning", async || warned(&replicas.first.proxy, "the pace is not shared").then_some(()))
        .await;
    redis.run().await;
    replicas.are(2).await;
    eventually("its end", async || warned(&replicas.first.proxy, "the pace is shared through").then_some(()))
        .await;
}

#[tokio::test]
async fn what_others_write_into_the_store_is_nobody() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let replicas = Replicas::of(2, |launch| launch.flag("redis-url", redis.url())).await;
    replicas.are(2).await;
    let mut connection = redis.connection();
    let keys = redis.keys();
    let key = keys.iter().find(|key| key.ends_with(":replicas")).expect("the replicas");
    let time: (u64, u64) = redis::cmd("TIME").query(&mut connection).unwrap();
    // What a replica says, as somebody else's, and for ever.
    let fields: Vec<(String, Vec<u8>)> =
        connection.hgetall::<_, std::collections::BTreeMap<_, _>>(key).unwrap().into_iter().collect();
    let colon = fields[0].1.iter().position(|byte| *byte == b':').unwrap();
    let _: () = connection.hset(key, "copy", &fields[0].1[..colon - 4]).unwrap();
    let garbage = format!("{}:garbage", time.0 * 1000 + 1_000_000);
    for (field, value) in
        [("future", garbage.as_str()), ("none", "garbage"), ("now", &format!("{}000:x", time.0))]
    {
        let _: () = connection.hset(key, field, value).unwrap();
    }
    replicas.ask_all().await;
    replicas.are(2).await;
    // Another kind of key.
    let _: () = connection.del(key).unwrap();
    let _: () = connection.set(key, "garbage").unwrap();
    replicas.are(2).await;
    assert!(replicas.all().all(|process| !warned(process, "not shared")));
    eventually("a key that goes with the last of them", async || {
        let left: i64 = connection.pttl(key).unwrap();
        (1..=3000).contains(&left).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_taken_out_leaves_the_whole_to_each() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let files = tempfile::TempDir::new().unwrap();
    let path = files.path().join("proxy.toml");
    std::fs::write(&path, format!("[redis]\nurl = '{}'\n", redis.url())).unwrap();
    let launch = |launch: crate::support::Launch| {
        launch.flag("config", &path).flag("budget", "100/1h").flag("watch", "false")
    };
    let replicas = Replicas::of(2, launch).await;
    replicas.are(2).await;
    assert_eq!(pace(&replicas.first.proxy).await["budget_left"], 50);
    std::fs::write(&path, "").unwrap();
    replicas.first.proxy.signal(rustix::process::Signal::HUP);
    eventually("the whole budget", async || {
        let state = pace(&replicas.first.proxy).await;
        (state["budget_left"] == 100 && state["replicas"].is_null()).then_some(())
    })
    .await;
}

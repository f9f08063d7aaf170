//! Against a real Redis. Without one they pass, unless `REDIS_TESTS` is set.

use std::process::Stdio;

use redis::Commands as _;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;

use super::*;

const PATIENCE: Duration = Duration::from_secs(12);
const LIFETIME: Duration = Duration::from_mins(1);

struct Redis {
    port: u16,
    child: Child,
    files: TempDir,
}

impl Redis {
    #[expect(
        clippy::disallowed_methods,
        reason = "whether the tests must run is no configuration of the program"
    )]
    async fn start() -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let files = TempDir::new().unwrap();
        let Some(child) = spawn(port, &files) else {
            assert!(
                std::env::var("REDIS_TESTS").is_err(),
                "REDIS_TESTS is set, and there is no redis-server"
            );
            return None;
        };
        let own = Self { port, child, files };
        own.answers().await;
        Some(own)
    }

    async fn answers(&self) {
        for _ in 0..500 {
            if self.client().get_connection().is_ok() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("redis does not answer");
    }

    /// Ends it at once, and starts it without what was not saved.
    async fn restart(&mut self) {
        self.child.kill().await.unwrap();
        self.child = spawn(self.port, &self.files).unwrap();
        self.answers().await;
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn client(&self) -> Client {
        Client::open(self.url()).unwrap()
    }

    fn by_hand(&self) -> redis::Connection {
        self.client().get_connection().unwrap()
    }

    async fn session(&self, owner: &str) -> Session {
        Store::new(RedisSettings { url: self.url(), password: None }).connect("x", owner).await.unwrap()
    }
}

fn spawn(port: u16, files: &TempDir) -> Option<Child> {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(files.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()
}

async fn stored(session: &mut Session) -> Option<Vec<u8>> {
    session.read().await.unwrap().map(|(record, _)| record)
}

#[tokio::test]
async fn one_has_the_lease_and_may_take_it_again() {
    let Some(redis) = Redis::start().await else { return };
    let (mut one, mut two) = (redis.session("one").await, redis.session("two").await);
    let first = one.lease(PATIENCE).await.unwrap().unwrap();
    assert_eq!(two.lease(PATIENCE).await.unwrap(), None);
    // Who has not heard the answer asks again.
    let again = one.lease(PATIENCE).await.unwrap().unwrap();
    assert!(again > first);
    // Nobody ends the lease of another.
    two.give_back().await.unwrap();
    assert_eq!(two.lease(PATIENCE).await.unwrap(), None);
    one.publish(again, b"token", LIFETIME).await.unwrap();
    assert_eq!(stored(&mut two).await.as_deref(), Some(&b"token"[..]));
    assert!(two.lease(PATIENCE).await.unwrap().unwrap() > again);
    one.give_back().await.unwrap();
    assert_eq!(one.lease(PATIENCE).await.unwrap(), None);
}

#[tokio::test]
async fn a_late_process_overwrites_no_newer_token() {
    let Some(mut redis) = Redis::start().await else { return };
    for loses_everything in [false, true] {
        let late = redis.session("late").await.lease(PATIENCE).await.unwrap().unwrap();
        if loses_everything {
            redis.restart().await;
        } else {
            let _: () = redis.by_hand().del("{cxone-proxy:x}:lease").unwrap();
        }
        let mut next = redis.session("next").await;
        let lease = next.lease(PATIENCE).await.unwrap().unwrap();
        assert!(lease > late);
        next.publish(lease, b"newer", LIFETIME).await.unwrap();
        redis.session("late").await.publish(late, b"older", LIFETIME).await.unwrap();
        assert_eq!(stored(&mut next).await.as_deref(), Some(&b"newer"[..]), "{loses_everything}");
        // And the next one can publish.
        let lease = next.lease(PATIENCE).await.unwrap().unwrap();
        next.publish(lease, b"newest", LIFETIME).await.unwrap();
        assert_eq!(stored(&mut next).await.as_deref(), Some(&b"newest"[..]), "{loses_everything}");
    }
}

#[tokio::test]
async fn nothing_that_is_stored_is_believed() {
    let Some(redis) = Redis::start().await else { return };
    let (token, fence, lease) = ("{cxone-proxy:x}:token", "{cxone-proxy:x}:fence", "{cxone-proxy:x}:lease");
    let mut hand = redis.by_hand();
    for round in 0..5 {
        let _: () = hand.del(&[token, fence, lease][..]).unwrap();
        let _: () = match round {
            0 => [token, fence, lease].iter().try_for_each(|key| hand.rpush(key, "x")).unwrap(),
            // A lease without an end, and a number that is none.
            1 => [fence, lease].iter().try_for_each(|key| hand.set(key, "x")).unwrap(),
            2 => hand.set(fence, "1e300").unwrap(),
            3 => hand.set_ex(lease, "somebody", 3600).unwrap(),
            _ => hand.set_ex(token, "x".repeat(70_000), 3600).unwrap(),
        };
        let mut session = redis.session("one").await;
        assert_eq!(stored(&mut session).await, None, "round {round}");
        let own = session.lease(PATIENCE).await.unwrap().unwrap();
        session.publish(own, b"token", LIFETIME).await.unwrap();
        assert_eq!(stored(&mut session).await.as_deref(), Some(&b"token"[..]), "round {round}");
    }
}

//! Section 12: replicas that share one token and one pace through Redis.

mod pace;
mod server;

use std::time::Duration;

use cxone_simulator::{Endpoint, Region, Settings};
use redis::Commands as _;
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::Instant;

use self::server::Redis;
use crate::support::{
    Certificate, Launch, Process, RawConnection, Setup, eventually, get, in_time, request, serve,
};

const ME: &str = "/api/v2/users/me";

/// Several replicas before one region.
struct Replicas {
    first: Setup,
    others: Vec<Process>,
}

impl Replicas {
    async fn of(count: usize, launch: impl Fn(Launch) -> Launch) -> Self {
        let first = Setup::launched(&launch).await;
        let mut others = Vec::new();
        for _ in 1..count {
            others.push(launch(serve(&first.region.base_url())).listening().await);
        }
        Self { first, others }
    }

    fn all(&self) -> impl Iterator<Item = &Process> {
        std::iter::once(&self.first.proxy).chain(&self.others)
    }

    async fn ask_all(&self) {
        for process in self.all() {
            let answer = RawConnection::to(process.proxy_address()).await.fetch(get(ME)).await;
            assert_eq!(answer.status(), 200, "{}", answer.text());
        }
    }

    fn asked(&self) -> usize {
        self.first.region.token_requests()
    }
}

async fn renew(process: &Process) {
    let mut admin = RawConnection::to(process.admin_address()).await;
    let answer = admin.fetch(request("POST", "/renew", "", "")).await;
    assert!((200..300).contains(&answer.status()), "{}", answer.text());
}

fn warned(process: &Process, words: &str) -> bool {
    process.events().iter().any(|event| event["message"].as_str().unwrap_or_default().contains(words))
}

#[tokio::test]
async fn replicas_share_one_token_and_nobody_reads_it_in_the_store() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let replicas = Replicas::of(3, |launch| launch.flag("redis-url", redis.url())).await;
    replicas.ask_all().await;
    assert_eq!(replicas.asked(), 1);
    let adopted = |process: &Process| {
        process.events().iter().any(|event| event["message"] == "token obtained" && event["shared"] == true)
    };
    // The log has a thread of its own.
    eventually("lines that say so", async || replicas.others.iter().all(adopted).then_some(())).await;
    // What is stored.
    let api =
        replicas.first.region.journal().into_iter().find(|entry| entry.endpoint == Endpoint::Api).unwrap();
    let token = format!("{api:?}");
    let mut connection = redis.connection();
    let keys = redis.keys();
    let record = keys.iter().find(|key| key.ends_with(":token")).expect("a record");
    assert!(record.starts_with("{cxone-proxy:"), "{record}");
    let stored: Vec<u8> = connection.get(record).unwrap();
    assert!(stored.len() > 40 && !token.is_empty());
    let text = String::from_utf8_lossy(&stored);
    assert!(!text.contains("access_token") && !text.contains("users:read"), "{text}");
    let left: i64 = connection.ttl(record).unwrap();
    assert!((3500..=3600).contains(&left), "it goes with the token: {left}");
    assert!(!keys.iter().any(|key| key.ends_with(":lease")), "the lease was given back");
}

/// The rights of docs/replicas.md.
#[tokio::test]
async fn a_user_with_few_rights_is_enough() {
    let docs = include_str!("../../../docs/replicas.md");
    let line = docs.lines().find(|line| line.starts_with("ACL SETUSER replica ")).unwrap();
    let rights: Vec<&str> = line.split(' ').skip(2).collect();
    let Some(redis) = Redis::start(&[&["--user"], &rights[..]].concat()).await else { return };
    let password = redis.files.path().join("password");
    std::fs::write(&password, "PASSWORD").unwrap();
    let url = format!("redis://replica@127.0.0.1:{}", redis.port);
    let replicas =
        Replicas::of(2, |launch| launch.flag("redis-url", &url).flag("redis-password-file", &password)).await;
    replicas.ask_all().await;
    assert_eq!(replicas.asked(), 1);
    assert!(!replicas.all().any(|process| warned(process, "is not used")));
    assert!(!replicas.all().any(|process| warned(process, "not shared")));
    let keys = redis.keys();
    let kinds = [":token", ":fence", ":replicas"];
    let are_kinds = keys.iter().all(|key| kinds.iter().any(|kind| key.ends_with(kind)));
    assert!(keys.len() == kinds.len() && are_kinds, "{keys:?}");
}

#[tokio::test]
async fn a_revoked_token_is_replaced_once_for_all() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let replicas = Replicas::of(3, |launch| launch.flag("redis-url", redis.url())).await;
    replicas.ask_all().await;
    for round in 0..3 {
        replicas.first.region.revoke_all();
        let asks = replicas.all().map(async |process| {
            let answer = RawConnection::to(process.proxy_address()).await.fetch(get(ME)).await;
            assert_eq!(answer.status(), 200, "{}", answer.text());
        });
        futures_util::future::join_all(asks).await;
        assert_eq!(replicas.asked(), 2 + round);
    }
}

/// Replicas whose grant gives refresh tokens.
async fn with_refresh_tokens(redis: &Redis, count: usize) -> (Region, Vec<Process>) {
    let region = Region::start(Settings::default()).await.unwrap();
    let launch = serve(&region.base_url())
        .flag("redis-url", redis.url())
        .flag("grant", "password")
        .flag("access-key-id", "demo-access-key")
        .variable("CXONE_ACCESS_KEY_SECRET", "demo-access-key-secret")
        .variable("CXONE_TOKEN_URL", region.password_url());
    let mut replicas = Vec::new();
    for _ in 0..count {
        let process = launch.listening().await;
        eventually("a token", async || (obtained(&process) == 1).then_some(())).await;
        replicas.push(process);
    }
    assert_eq!(region.token_requests(), 1);
    (region, replicas)
}

fn obtained(process: &Process) -> usize {
    process.events().iter().filter(|event| event["message"] == "token obtained").count()
}

/// Asks for another token, and waits for it.
async fn renewed(process: &Process) {
    let before = obtained(process);
    renew(process).await;
    eventually("another token", async || (obtained(process) > before).then_some(())).await;
}

fn grants(region: &Region) -> Vec<String> {
    region.journal().into_iter().filter_map(|entry| entry.grant).collect()
}

/// It stays with the process that got it.
#[tokio::test]
async fn a_refresh_token_is_used_once_in_all() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let (region, replicas) = with_refresh_tokens(&redis, 3).await;
    for (index, process) in replicas.iter().enumerate() {
        // The first time it takes what another replica has published.
        while region.token_requests() < index + 2 {
            renewed(process).await;
        }
    }
    renewed(&replicas[2]).await;
    assert_eq!(grants(&region), ["password", "refresh_token", "password", "password", "refresh_token"]);
    assert!(region.referee().is_empty(), "{:?}", region.referee());
}

/// Debian's Redis saves by default. What comes back is from the past.
#[tokio::test]
async fn a_store_that_comes_back_from_a_snapshot_brings_nothing_used_back() {
    let Some(mut redis) = Redis::start(&[]).await else { return };
    let (region, replicas) = with_refresh_tokens(&redis, 2).await;
    let _: () = redis::cmd("SAVE").query(&mut redis.connection()).unwrap();
    // The one that has the refresh token uses it, and the other takes what comes of that.
    for process in &replicas {
        renewed(process).await;
    }
    assert_eq!(grants(&region), ["password", "refresh_token"]);
    redis.kill().await;
    assert!(redis.run().await);
    // Renewals that nobody but a 401 asks for are a second apart.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    region.revoke_all();
    for process in &replicas {
        let answer = RawConnection::to(process.proxy_address()).await.fetch(get(ME)).await;
        assert_eq!(answer.status(), 200, "the old token of the snapshot is not taken: {}", answer.text());
    }
    assert!(region.token_requests() <= 4, "{}", region.token_requests());
    assert!(region.referee().is_empty(), "{:?}", region.referee());
}

#[tokio::test]
async fn a_store_that_is_away_costs_nobody_a_request_and_is_used_when_it_is_back() {
    let Some(mut redis) = Redis::start(&[]).await else { return };
    redis.kill().await;
    let replicas = Replicas::of(2, |launch| launch.flag("redis-url", redis.url())).await;
    replicas.ask_all().await;
    assert_eq!(replicas.asked(), 2, "each has one of its own");
    for process in replicas.all() {
        let warning = process.warning_about("CXONE_PROXY_REDIS_URL").expect("a warning");
        assert!(warning["message"].as_str().unwrap().contains("cannot be reached"), "{warning}");
    }
    assert!(redis.run().await);
    for process in replicas.all() {
        renew(process).await;
        eventually("the store again", async || warned(process, "is used again").then_some(())).await;
    }
    replicas.ask_all().await;
    assert_eq!(replicas.asked(), 3, "the second one took what the first one published");
    // And away again, while the token is there: nobody notices.
    redis.kill().await;
    replicas.ask_all().await;
    assert_eq!(replicas.asked(), 3);
}

#[tokio::test]
async fn a_slow_store_is_not_waited_for() {
    let Some(redis) = Redis::start(&[]).await else { return };
    redis.signal(Signal::STOP);
    let began = Instant::now();
    let replicas = Replicas::of(1, |launch| launch.flag("redis-url", redis.url())).await;
    replicas.ask_all().await;
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert!(warned(&replicas.first.proxy, "does not answer within"));
    redis.signal(Signal::CONT);
}

#[tokio::test]
async fn what_is_wrong_with_the_store_is_said_and_nothing_fails() {
    for (arguments, expected) in [
        (&["--requirepass", "s3cret"][..], "refuses the log-in"),
        (&["--replicaof", "127.0.0.1 1"][..], "takes no writes"),
        (&["--maxmemory", "1"][..], "takes no writes"),
    ] {
        let Some(redis) = Redis::start(arguments).await else { return };
        let replicas = Replicas::of(1, |launch| launch.flag("redis-url", redis.url())).await;
        replicas.ask_all().await;
        eventually(expected, async || warned(&replicas.first.proxy, expected).then_some(())).await;
        assert_eq!(replicas.asked(), 1);
    }
}

#[tokio::test]
async fn a_password_comes_from_a_file() {
    let Some(redis) = Redis::start(&["--requirepass", "s3cret"]).await else { return };
    let files = TempDir::new().unwrap();
    let path = files.path().join("redis");
    std::fs::write(&path, "s3cret\n").unwrap();
    let replicas =
        Replicas::of(2, |launch| launch.flag("redis-url", redis.url()).flag("redis-password-file", &path))
            .await;
    replicas.ask_all().await;
    assert_eq!(replicas.asked(), 1);
    assert!(!replicas.all().any(|process| process.log().join("\n").contains("s3cret")));
}

#[tokio::test]
async fn garbage_in_the_store_is_replaced() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let replicas = Replicas::of(1, |launch| launch.flag("redis-url", redis.url())).await;
    replicas.ask_all().await;
    let record = redis.keys().into_iter().find(|key| key.ends_with(":token")).unwrap();
    let _: () = redis.connection().set(&record, "garbage").unwrap();
    let second = serve(&replicas.first.region.base_url()).flag("redis-url", redis.url()).listening().await;
    let answer = RawConnection::to(second.proxy_address()).await.fetch(get(ME)).await;
    assert_eq!((answer.status(), replicas.asked()), (200, 2));
    let stored: Vec<u8> = redis.connection().get(&record).unwrap();
    assert_ne!(stored, b"garbage");
}

#[tokio::test]
async fn another_secret_has_another_record() {
    let Some(redis) = Redis::start(&[]).await else { return };
    let replicas = Replicas::of(1, |launch| launch.flag("redis-url", redis.url())).await;
    replicas.ask_all().await;
    let other = serve(&replicas.first.region.base_url())
        .flag("redis-url", redis.url())
        .variable("CXONE_CLIENT_SECRET", "wrong")
        .listening()
        .await;
    let answer = RawConnection::to(other.proxy_address()).await.fetch(get(ME)).await;
    assert_eq!(answer.status(), 502, "who does not know the secret gets no token out of the store");
}

#[tokio::test]
async fn three_replicas_lose_nothing_while_the_store_comes_and_goes() {
    let Some(mut redis) = Redis::start(&[]).await else { return };
    let replicas = Replicas::of(3, |launch| launch.flag("redis-url", redis.url())).await;
    replicas.ask_all().await;
    for round in 0..6 {
        if round % 2 == 0 {
            redis.kill().await;
        } else {
            assert!(redis.run().await);
        }
        replicas.first.region.revoke_all();
        for _ in 0..5 {
            let asks = replicas.all().map(async |process| {
                let answer = RawConnection::to(process.proxy_address()).await.fetch(get(ME)).await;
                assert_eq!(answer.status(), 200, "round {round}: {}", answer.text());
            });
            in_time("all answers", futures_util::future::join_all(asks)).await;
        }
    }
    // One at the start, three for each time without the store, one or two for each time with it.
    assert!(replicas.asked() <= 1 + 3 * 3 + 3 * 3, "{}", replicas.asked());
}

#[tokio::test]
async fn tls_to_the_store_is_verified() {
    let certificate = Certificate::of(&["localhost", "127.0.0.1"]);
    let (pem, key) = (certificate.path(), certificate.key_path());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let arguments = [
        "--tls-port",
        &port,
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        pem.to_str().unwrap(),
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-ca-cert-file",
        pem.to_str().unwrap(),
    ];
    let Some(_redis) = Redis::start(&arguments).await else { return };
    let url = format!("rediss://localhost:{port}");
    let untrusted = Replicas::of(1, |launch| launch.flag("redis-url", &url)).await;
    untrusted.ask_all().await;
    assert!(warned(&untrusted.first.proxy, "is not used"), "it is not trusted");
    let trusting = |launch: Launch| launch.flag("redis-url", &url).variable("SSL_CERT_FILE", &pem);
    let trusted = Replicas::of(2, trusting).await;
    trusted.ask_all().await;
    assert_eq!(trusted.asked(), 1, "{}", trusted.first.proxy.log().join("\n"));
}

#[tokio::test]
async fn check_tries_the_store() {
    let Some(mut redis) = Redis::start(&[]).await else { return };
    let setup = Setup::new().await;
    let check = Launch::of("check")
        .argument("--json")
        .variable("CXONE_BASE_URL", setup.region.base_url())
        .variable("CXONE_CLIENT_ID", crate::support::CLIENT_ID)
        .variable("CXONE_CLIENT_SECRET", crate::support::CLIENT_SECRET)
        .variable("CXONE_PROXY_REDIS_URL", redis.url());
    let (status, report, _) = check.run().await;
    assert!(status.success() && report.contains("shared_store"), "{report}");
    assert!(!report.contains("cannot be used"), "{report}");
    redis.kill().await;
    let (status, report, _) = check.run().await;
    assert!(status.success(), "the proxy works without it: {report}");
    assert!(report.contains("cannot be used") && report.contains("CXONE_PROXY_REDIS_URL"), "{report}");
}

#[tokio::test]
async fn what_is_no_address_is_explained() {
    for (flags, expected) in [
        (vec![("redis-url", "http://x")], "does not begin with `redis://`"),
        (vec![("redis-url", "redis://:pass@x")], "has a password in it"),
        (vec![("redis-url", "redis://x?y=1")], "has a query"),
        (vec![("redis-url", "x")], "is not a URL"),
        (vec![("redis-password-file", "/nowhere")], "cannot be read"),
    ] {
        let launch =
            flags.iter().fold(serve("http://127.0.0.1:9"), |launch, (name, value)| launch.flag(name, value));
        let (status, _, complaint) = launch.run().await;
        assert_eq!(status.code(), Some(2), "{flags:?}");
        assert!(complaint.contains(expected) && !complaint.contains("pass@"), "{flags:?}: {complaint}");
    }
}

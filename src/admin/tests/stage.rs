//! The pages behind a real listener, with a keeper whose token endpoint follows a script.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::oauth::{Ask, Claims, Failure, GrantType, Keeper, Obtained, TokenEndpoint, Why};
use crate::secret::Secret;
use crate::server::{Bound, Drainer, Limits, Listen, Phase, bind, drain, workers};

pub(super) const TOKEN: &str = "eyJ0b2tlbi.that-nobody.may-see";
pub(super) const REFRESH_MARGIN: Duration = Duration::from_mins(5);
const PATIENCE: Duration = Duration::from_secs(10);

/// One answer of the token endpoint.
pub(super) enum Line {
    /// A token for an hour, with these scopes.
    Grants(&'static [&'static str]),
    Fails(Why),
    /// It never answers.
    Hangs,
}

/// A token endpoint that follows a script, and hangs after its end.
pub(super) struct Script(Mutex<VecDeque<Line>>);

impl TokenEndpoint for Script {
    async fn ask(&self, _: Ask) -> Result<Obtained, Failure> {
        let line = self.0.lock().unwrap().pop_front();
        match line {
            Some(Line::Grants(scopes)) => Ok(Obtained {
                access_token: Secret::new(TOKEN.to_owned()),
                refresh_token: None,
                scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
                claims: Claims::default(),
                lifetime: Duration::from_hours(1),
            }),
            Some(Line::Fails(why)) => Err(why.into()),
            Some(Line::Hangs) | None => std::future::pending().await,
        }
    }

    fn grant_type(&self, _: &Ask) -> GrantType {
        GrantType::ClientCredentials
    }

    fn scopes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A served admin listener; all of it ends with the test.
pub(super) struct Stage {
    pub(super) address: SocketAddr,
    pub(super) clock: Clock,
    pub(super) shards: Shards,
    pub(super) tokens: Tokens,
    /// Moves the proxy's drain on, which the pages tell of.
    pub(super) drainer: Drainer,
    tasks: JoinSet<()>,
    _stays_up: Drainer,
}

/// What came back, taken apart.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) content: String,
}

pub(super) fn open_gate() -> Gate {
    Arc::new(|_| Ok(()))
}

pub(super) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

impl Stage {
    pub(super) fn play(lines: impl IntoIterator<Item = Line>) -> Self {
        Self::behind(open_gate(), Arc::new(|_| Vec::new()), lines)
    }

    pub(super) fn behind(gate: Gate, additions: Additions, lines: impl IntoIterator<Item = Line>) -> Self {
        let clock = Clock::anchored(start());
        let token_counters = Arc::new(TokenCounters::default());
        let script = Script(Mutex::new(lines.into_iter().collect()));
        let (tokens, keeper) = Keeper::new(script, REFRESH_MARGIN, clock.clone(), token_counters.clone());
        let (drainer, proxys_drain) = drain();
        let shards = Shards::new(2);
        let pages = Pages {
            profiles: vec![ProfilePages {
                name: "default".to_owned(),
                shards: shards.clone(),
                token_counters: Some(token_counters),
                tokens: tokens.clone(),
                base_url: Arc::new(|| Some("https://api.example/v".to_owned())),
                token_url: "https://auth.example/token?key=s3cret".to_owned(),
            }],
            named: false,
            clock: clock.clone(),
            drain: proxys_drain,
            version: "1.2.3",
            started: Now { wall: start(), ..clock.now() },
        };
        let unreadable: OnUnreadable = Arc::new(|why| Denial {
            status: 400,
            fields: vec![("Content-Type", "text/plain".to_owned())],
            content: format!("{why:?}").into_bytes(),
        });
        let admin = Admin::new(pages, gate, unreadable).with(additions);

        let listener = bind(&Listen::Tcp(([127, 0, 0, 1], 0).into())).unwrap();
        let Bound::Tcp(address) = listener.bound else { panic!("not bound to TCP") };
        let limits =
            Limits { header_size: 64 * 1024, header_timeout: PATIENCE, idle_timeout: Duration::from_mins(1) };
        let (stays_up, own_drain) = drain();
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper.run(std::future::pending()));
        for worker in workers(listener, &Shards::new(1), limits, &own_drain) {
            let admin = admin.clone();
            tasks.spawn(async move { worker.run(admin, || ()).await.unwrap() });
        }
        Self { address, clock, shards, tokens, drainer, tasks, _stays_up: stays_up }
    }

    /// One request with a method and a target, on a connection of its own.
    pub(super) async fn ask(&self, method: &str, target: &str) -> Seen {
        self.send(&format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
            .await
    }

    pub(super) async fn get(&self, path: &str) -> Seen {
        self.ask("GET", path).await
    }

    /// Sends the text as it stands and reads to the end of the connection.
    pub(super) async fn send(&self, text: &str) -> Seen {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Seen { status, head: head.to_owned(), content: content.to_owned() }
    }

    /// Waits until `/status` has this word for the token.
    pub(super) async fn until(&self, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.tokens.snapshot(self.clock.now()).state.as_str() != state {
            assert!(Instant::now() < deadline, "never {state}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) fn begin_draining(&self) {
        self.drainer.advance(Phase::Draining);
    }

    /// True where everything is still running.
    pub(super) fn is_up(&mut self) -> bool {
        self.tasks.try_join_next().is_none()
    }
}

impl Seen {
    /// The values of all lines called `name`.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.content).unwrap()
    }
}

//! A scripted token endpoint, and a keeper that plays against it on a paused clock.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::oauth::claims::Claims;
use crate::oauth::grant::GrantType;
use crate::oauth::token::RefreshToken;
use crate::oauth::{NoNewer, State, Unavailable};
use crate::secret::Secret;

pub(super) const MARGIN: Duration = Duration::from_mins(5);
pub(super) const HOUR: u64 = 3600;

/// One line of the script: how long the endpoint takes, and what it answers.
pub(super) type Line = (Duration, Result<Grants, Failure>);

/// What a scripted answer grants.
#[derive(Clone, Copy)]
pub(super) struct Grants {
    lifetime: u64,
    refresh: bool,
}

#[derive(Default)]
pub(super) struct Play {
    lines: VecDeque<Line>,
    /// When which grant was asked for, and with which refresh token.
    pub(super) asked: Vec<(Instant, &'static str, Option<String>)>,
    pub(super) outcomes: Vec<(&'static str, &'static str)>,
    pub(super) expires_at: Option<SystemTime>,
    in_flight: usize,
}

/// An endpoint that follows a script; after its end it grants an hour at once.
#[derive(Clone, Default)]
pub(super) struct Script(pub(super) Arc<Mutex<Play>>);

impl Script {
    pub(super) fn of(lines: impl IntoIterator<Item = Line>) -> Self {
        let script = Self::default();
        script.then(lines);
        script
    }

    pub(super) fn then(&self, lines: impl IntoIterator<Item = Line>) {
        self.0.lock().unwrap().lines.extend(lines);
    }

    pub(super) fn asked(&self) -> usize {
        self.0.lock().unwrap().asked.len()
    }

    pub(super) fn grants(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().asked.iter().map(|(_, grant, _)| *grant).collect()
    }

    /// Milliseconds from each request to the next.
    pub(super) fn spacings(&self) -> Vec<u128> {
        let play = self.0.lock().unwrap();
        play.asked.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_millis()).collect()
    }
}

impl TokenEndpoint for Script {
    async fn ask(&self, ask: Ask) -> Result<Obtained, Failure> {
        let (number, (takes, answer)) = {
            let mut play = self.0.lock().unwrap();
            assert_eq!(play.in_flight, 0, "two token requests at once");
            play.in_flight += 1;
            let name = self.grant_type(&ask).as_str();
            let sent = match ask {
                Ask::LogIn => None,
                Ask::Refresh(token) => Some(token.into_secret().reveal().to_owned()),
            };
            play.asked.push((Instant::now(), name, sent));
            (play.asked.len(), play.lines.pop_front().unwrap_or_else(|| granted(HOUR)))
        };
        sleep(takes).await;
        self.0.lock().unwrap().in_flight -= 1;
        answer.map(|grants| Obtained {
            access_token: Secret::new(format!("token-{number}")),
            refresh_token: grants
                .refresh
                .then(|| RefreshToken::new(Secret::new(format!("refresh-{number}")))),
            scopes: None,
            claims: Claims::default(),
            lifetime: Duration::from_secs(grants.lifetime),
        })
    }

    fn grant_type(&self, ask: &Ask) -> GrantType {
        match ask {
            Ask::LogIn => GrantType::ClientCredentials,
            Ask::Refresh(_) => GrantType::RefreshToken,
        }
    }

    fn scopes(&self) -> Vec<String> {
        vec!["asked".to_owned()]
    }
}

impl TokenObserver for Script {
    fn token_request(&self, grant: &'static str, outcome: &'static str) {
        self.0.lock().unwrap().outcomes.push((grant, outcome));
    }

    fn token_obtained(&self, _: SystemTime, expires_at: SystemTime) {
        self.0.lock().unwrap().expires_at = Some(expires_at);
    }
}

pub(super) fn granted(lifetime: u64) -> Line {
    (Duration::ZERO, Ok(Grants { lifetime, refresh: false }))
}

pub(super) fn refreshable(lifetime: u64) -> Line {
    (Duration::ZERO, Ok(Grants { lifetime, refresh: true }))
}

pub(super) fn fails(why: Why) -> Line {
    (Duration::ZERO, Err(why.into()))
}

pub(super) fn refused() -> Why {
    let grant = GrantType::ClientCredentials;
    Why::Refused { status: 401, grant, error: Some("invalid_client".to_owned()), description: None }
}

pub(super) fn slowly(seconds: u64, (_, answer): Line) -> Line {
    (Duration::from_secs(seconds), answer)
}

/// A running keeper; it ends with the test.
pub(super) struct Stage {
    pub(super) tokens: Tokens,
    pub(super) script: Script,
    pub(super) clock: Clock,
    pub(super) tasks: JoinSet<()>,
}

impl Stage {
    pub(super) fn play(lines: impl IntoIterator<Item = Line>) -> Self {
        let clock = Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let script = Script::of(lines);
        let (tokens, keeper) = Keeper::new(script.clone(), MARGIN, clock.clone(), Arc::new(script.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(keeper.run(std::future::pending()));
        Self { tokens, script, clock, tasks }
    }

    pub(super) async fn valid(&self, wait: u64) -> Result<u64, Unavailable> {
        let deadline = Instant::now() + Duration::from_secs(wait);
        self.tokens.valid(&self.clock, deadline).await.map(|token| token.generation())
    }

    pub(super) async fn newer_than(&self, generation: u64, wait: u64) -> Result<u64, NoNewer> {
        let deadline = Instant::now() + Duration::from_secs(wait);
        self.tokens.newer_than(generation, &self.clock, deadline).await.map(|token| token.generation())
    }

    pub(super) fn current(&self) -> Option<u64> {
        self.tokens.current(self.clock.now()).map(|token| token.generation())
    }

    pub(super) fn state(&self) -> State {
        self.tokens.snapshot(self.clock.now()).state
    }
}

pub(super) async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

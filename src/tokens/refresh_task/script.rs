//! A scripted token endpoint, and a refresh task that plays against it on a paused clock.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::*;
use crate::secret::Secret;
use crate::tokens::{Account, Claims, NoRenewal, RefreshToken, RequestKey, Scopes, State, Unavailable};

pub(super) const MARGIN: Duration = Duration::from_mins(5);
pub(super) const HOUR: u64 = 3600;

/// One line of the script: how long the endpoint takes, and its outcome.
pub(super) type Line = (Duration, Result<Grants, RequestError>);

/// What a scripted response grants.
#[derive(Clone, Copy)]
pub(super) struct Grants {
    lifetime: u64,
    refresh: bool,
}

#[derive(Default)]
pub(super) struct Play {
    lines: VecDeque<Line>,
    /// When which grant was requested, and with which refresh token.
    pub(super) requests: Vec<(Instant, &'static str, Option<String>)>,
    pub(super) outcomes: Vec<(&'static str, &'static str)>,
    pub(super) expires_at: Option<SystemTime>,
    in_flight: usize,
}

/// An endpoint that follows a script; after its end it grants an hour at once.
#[derive(Clone)]
pub(super) struct Script {
    play: Arc<Mutex<Play>>,
    scopes: Scopes,
    account: Arc<Account>,
}

impl Default for Script {
    fn default() -> Self {
        let scopes = "users:read".parse().unwrap();
        Self { play: Arc::default(), scopes, account: Account::scripted() }
    }
}

impl Script {
    pub(super) fn of(lines: impl IntoIterator<Item = Line>) -> Self {
        let script = Self::default();
        script.then(lines);
        script
    }

    pub(super) fn play(&self) -> std::sync::MutexGuard<'_, Play> {
        self.play.lock().unwrap()
    }

    pub(super) fn then(&self, lines: impl IntoIterator<Item = Line>) {
        self.play().lines.extend(lines);
    }

    pub(super) fn requests(&self) -> usize {
        self.play().requests.len()
    }

    pub(super) fn grants(&self) -> Vec<&'static str> {
        self.play().requests.iter().map(|(_, grant, _)| *grant).collect()
    }

    /// Milliseconds from each request to the next.
    pub(super) fn spacings(&self) -> Vec<u128> {
        let play = self.play();
        play.requests.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_millis()).collect()
    }
}

impl TokenEndpoint for Script {
    async fn request(&self, request: TokenRequest) -> Result<TokenResponse, RequestError> {
        let (number, (takes, outcome)) = {
            let mut play = self.play();
            assert_eq!(play.in_flight, 0, "two token requests at once");
            play.in_flight += 1;
            let name = self.grant_type(&request).as_str();
            let sent = match request {
                TokenRequest::LogIn => None,
                TokenRequest::Refresh(token) => Some(token.into_secret().reveal().to_owned()),
            };
            play.requests.push((Instant::now(), name, sent));
            (play.requests.len(), play.lines.pop_front().unwrap_or_else(|| granted(HOUR)))
        };
        sleep(takes).await;
        self.play().in_flight -= 1;
        outcome.map(|grants| TokenResponse {
            access_token: Secret::new(format!("token-{number}")),
            refresh_token: grants
                .refresh
                .then(|| RefreshToken::new(Secret::new(format!("refresh-{number}")))),
            scopes: None,
            claims: Claims::default(),
            lifetime: Duration::from_secs(grants.lifetime),
            is_shared: false,
        })
    }

    fn grant_type(&self, request: &TokenRequest) -> GrantType {
        if request.is_refresh() { GrantType::RefreshToken } else { GrantType::ClientCredentials }
    }

    fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    fn account(&self) -> &Arc<Account> {
        &self.account
    }

    async fn key_material(&self) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::default()
    }
}

impl TokenObserver for Script {
    fn token_request(&self, grant: &'static str, outcome: &'static str, _: std::ops::Range<SystemTime>) {
        self.play().outcomes.push((grant, outcome));
    }

    fn token_obtained(&self, _: SystemTime, expires_at: SystemTime) {
        self.play().expires_at = Some(expires_at);
    }
}

pub(super) fn granted(lifetime: u64) -> Line {
    (Duration::ZERO, Ok(Grants { lifetime, refresh: false }))
}

pub(super) fn refreshable(lifetime: u64) -> Line {
    (Duration::ZERO, Ok(Grants { lifetime, refresh: true }))
}

pub(super) fn fails(cause: Cause) -> Line {
    (Duration::ZERO, Err(cause.into()))
}

pub(super) fn refused() -> Cause {
    Cause::Refused { status: 401, error: Some("invalid_client".to_owned()), description: None }
}

pub(super) fn late() -> Cause {
    Cause::TimedOut { stage: crate::cause::Stage::Waiting, after: Duration::from_secs(10) }
}

pub(super) fn slowly(seconds: u64, (_, outcome): Line) -> Line {
    (Duration::from_secs(seconds), outcome)
}

/// The request that most tests are about.
pub(super) const USERS: RequestKey<'_> = key("/users");

pub(super) const fn key(path: &str) -> RequestKey<'_> {
    RequestKey { method: &http::Method::GET, path }
}

/// A running refresh task; it ends with the test.
pub(super) struct Stage {
    pub(super) tokens: TokenSource,
    pub(super) script: Script,
    pub(super) clock: Clock,
    pub(super) tasks: JoinSet<()>,
}

impl Stage {
    pub(super) fn play(lines: impl IntoIterator<Item = Line>) -> Self {
        let clock = Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let script = Script::of(lines);
        let observer = Arc::new(script.clone());
        let (tokens, task) = RefreshTask::new(script.clone(), MARGIN, clock.clone(), observer);
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run(std::future::pending()));
        Self { tokens, script, clock, tasks }
    }

    pub(super) async fn valid(&self, wait: u64) -> Result<u64, Unavailable> {
        let deadline = Instant::now() + Duration::from_secs(wait);
        self.tokens.valid(deadline).await.map(|token| token.generation())
    }

    pub(super) async fn renew(&self, generation: u64, wait: u64) -> Result<u64, NoRenewal> {
        self.renew_on("/users", generation, wait).await
    }

    pub(super) async fn renew_on(&self, path: &str, generation: u64, wait: u64) -> Result<u64, NoRenewal> {
        let deadline = Instant::now() + Duration::from_secs(wait);
        self.tokens.renew(generation, key(path), deadline).await.map(|token| token.generation())
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

//! Many replicas and a store that misbehaves, on virtual time.
//!
//! The store is a model of what the scripts do in Redis; `store/tests.rs` has the scripts themselves against a real one.

use std::sync::MutexGuard;

use fastrand::Rng;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::store::Lease;
use super::*;

const REPLICAS: usize = 12;
const LIFETIME: Duration = Duration::from_mins(1);
/// A replica asks for another token this long before the end of its own.
const MARGIN: Duration = Duration::from_secs(12);
const SLOW: Duration = Duration::from_millis(250);
const SEEDS: u64 = 20;

/// What all replicas meet.
#[derive(Clone)]
struct World(Arc<Mutex<State>>);

struct State {
    chance: Rng,
    stored: Stored,
    snapshot: Stored,
    lease: Option<(String, Instant)>,
    /// The store's clock in microseconds, as far as it is off.
    clock: u64,
    is_down: bool,
    latency: Duration,
    /// When each token ends.
    issued: Vec<Instant>,
    /// Tokens below this number are rejected by the API.
    valid_from: usize,
    asked: usize,
    start: Instant,
}

#[derive(Clone, Default)]
struct Stored {
    record: Option<(Vec<u8>, Instant)>,
    fence: u64,
}

struct Issuer {
    world: World,
    scopes: Scopes,
    account: Arc<Account>,
}

struct Model(World);

struct Visit {
    world: World,
    owner: String,
}

impl World {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            chance: Rng::with_seed(seed),
            stored: Stored::default(),
            snapshot: Stored::default(),
            lease: None,
            clock: 1_000_000_000,
            is_down: false,
            latency: Duration::from_millis(2),
            issued: Vec::new(),
            valid_from: 0,
            asked: 0,
            start: Instant::now(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// One command: it may reach the store although its answer is lost.
    async fn command<T>(&self, act: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        let (latency, is_down) = {
            let state = self.state();
            (state.latency, state.is_down)
        };
        if is_down {
            return Err(StoreError::Unreachable("down".to_owned()));
        }
        let outcome = timeout(SLOW, async {
            sleep(latency / 2).await;
            let outcome = act(&mut self.state());
            sleep(latency / 2).await;
            outcome
        });
        match outcome.await {
            Ok(outcome) if !self.state().is_down => Ok(outcome),
            _ => Err(StoreError::Slow),
        }
    }

    /// Faults for some minutes: the store is away, slow, restored, empty, or its clock goes back.
    async fn trouble(&self) {
        for _ in 0..60 {
            let pause = {
                let mut state = self.state();
                match state.chance.u8(0..8) {
                    0 | 1 => state.is_down = !state.is_down,
                    2 => state.latency = Duration::from_millis(state.chance.u64(1..600)),
                    3 => state.stored = Stored::default(),
                    4 => state.snapshot = state.stored.clone(),
                    5 => state.stored = state.snapshot.clone(),
                    6 => state.clock = state.chance.u64(0..2_000_000_000),
                    _ => state.valid_from = state.issued.len(),
                }
                Duration::from_millis(state.chance.u64(100..10_000))
            };
            sleep(pause).await;
        }
        let mut state = self.state();
        (state.is_down, state.latency) = (false, Duration::from_millis(2));
    }
}

impl State {
    fn live(&mut self) -> Option<&(Vec<u8>, Instant)> {
        let now = Instant::now();
        self.stored.record.as_ref().filter(|(_, ends)| *ends > now)
    }
}

impl TokenStore for Model {
    type Session = Visit;

    fn address(&self) -> &'static str {
        "model"
    }

    async fn connect(&self, _: &str, owner: &str) -> Result<Visit, StoreError> {
        self.0.command(|_| ()).await?;
        Ok(Visit { world: self.0.clone(), owner: owner.to_owned() })
    }
}

impl TokenSession for Visit {
    async fn read(&mut self) -> Result<Option<(Vec<u8>, Duration)>, StoreError> {
        let read =
            |state: &mut State| state.live().map(|(record, ends)| (record.clone(), *ends - Instant::now()));
        self.world.command(read).await
    }

    async fn lease(&mut self, length: Duration) -> Result<Option<Lease>, StoreError> {
        let owner = self.owner.clone();
        let take = |state: &mut State| {
            let now = Instant::now();
            if state.lease.as_ref().is_some_and(|(other, ends)| *other != owner && *ends > now) {
                return None;
            }
            state.lease = Some((owner, now + length));
            let time = state.clock + u64::try_from((now - state.start).as_micros()).unwrap();
            Some(Lease::numbered(time.max(state.stored.fence + 1)))
        };
        self.world.command(take).await
    }

    async fn publish(&mut self, lease: Lease, sealed: &[u8], lifetime: Duration) -> Result<(), StoreError> {
        let (owner, sealed) = (self.owner.clone(), sealed.to_vec());
        let write = |state: &mut State| {
            state.lease.take_if(|(other, _)| *other == owner);
            if state.stored.fence <= lease.number() {
                state.stored =
                    Stored { record: Some((sealed, Instant::now() + lifetime)), fence: lease.number() };
            }
        };
        self.world.command(write).await
    }

    async fn give_back(&mut self) -> Result<(), StoreError> {
        let owner = self.owner.clone();
        self.world.command(|state| drop(state.lease.take_if(|(other, _)| *other == owner))).await
    }
}

impl TokenEndpoint for Issuer {
    async fn request(&self, request: TokenRequest) -> Result<TokenResponse, RequestError> {
        assert!(!request.is_refresh(), "no refresh token was given out");
        let takes = {
            let mut state = self.world.state();
            state.asked += 1;
            let slow = state.chance.u8(0..20) == 0;
            Duration::from_millis(if slow { state.chance.u64(1000..9000) } else { state.chance.u64(5..300) })
        };
        sleep(takes).await;
        let mut state = self.world.state();
        state.issued.push(Instant::now() + LIFETIME);
        Ok(TokenResponse {
            access_token: Secret::new((state.issued.len() - 1).to_string()),
            refresh_token: None,
            scopes: None,
            claims: Claims::default(),
            lifetime: LIFETIME,
            is_shared: false,
        })
    }

    fn grant_type(&self, _: &TokenRequest) -> GrantType {
        GrantType::ClientCredentials
    }

    fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    fn account(&self) -> &Arc<Account> {
        &self.account
    }

    async fn key_material(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(b"secret".to_vec())
    }
}

/// Gets a token whenever its own ends soon or is rejected, and keeps the number of the one that it has in `has`.
async fn replica(world: World, has: Arc<Mutex<Vec<usize>>>, index: usize, until: Instant) {
    let scopes = "users:read".parse().unwrap();
    let issuer = Issuer { world: world.clone(), scopes, account: Account::scripted() };
    let endpoint = SharedEndpoint::with(issuer, Some(Model(world.clone())));
    let mut had = Vec::new();
    while Instant::now() < until {
        let response = endpoint.request(TokenRequest::LogIn).await.unwrap();
        let number: usize = response.access_token.reveal().parse().unwrap();
        let ends = world.state().issued[number];
        assert!(!had.contains(&number), "replica {index} got token {number} again");
        assert!(ends > Instant::now() + Duration::from_secs(5), "token {number} ends too soon");
        had.push(number);
        has.lock().unwrap()[index] = number;
        let jitter = Duration::from_millis(world.state().chance.u64(0..2000));
        while Instant::now() + MARGIN < ends + jitter && number >= world.state().valid_from {
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// Runs all replicas; returns the world and which token each had at the end.
async fn run(seed: u64, minutes: u32, trouble: bool) -> (World, Vec<usize>) {
    let world = World::new(seed);
    let has = Arc::new(Mutex::new(vec![0; REPLICAS]));
    let until = Instant::now() + LIFETIME * minutes;
    let mut tasks = JoinSet::new();
    if trouble {
        let world = world.clone();
        tasks.spawn(async move { world.trouble().await });
    }
    for index in 0..REPLICAS {
        tasks.spawn(replica(world.clone(), Arc::clone(&has), index, until));
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let has = has.lock().unwrap().clone();
    (world, has)
}

#[tokio::test(start_paused = true)]
async fn with_a_store_that_works_all_together_ask_once_for_each_lifetime() {
    for seed in 0..SEEDS {
        let (world, _) = run(seed, 20, false).await;
        let asked = world.state().asked;
        // A token lives for 46 to 48 s of each minute here.
        assert!(asked <= 27, "seed {seed}: {asked} token requests in 20 minutes");
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_the_store_does_each_replica_has_a_token_and_in_the_end_all_have_one() {
    for seed in 0..SEEDS {
        // Trouble takes five minutes on average, and ten at most.
        let (world, has) = run(seed, 14, true).await;
        let last = has.iter().max().unwrap();
        let behind = has.iter().filter(|own| *own != last).count();
        let asked = world.state().asked;
        // Some may have stopped just before the others took the last one.
        assert!(
            has.iter().all(|own| last - own <= 1),
            "seed {seed}: {has:?}, {behind} behind, {asked} asked"
        );
    }
}

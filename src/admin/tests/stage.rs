//! The pages with a refresh task whose token endpoint follows a script.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::BodyExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::*;
use crate::access::Settings;
use crate::drain::{Drainer, drain};
use crate::proxy::pace::{PaceSettings, Rate};
use crate::reloads::Reloads;
use crate::secret::Secret;
use crate::tokens::{
    Account, Claims, GrantType, RefreshTask, RequestError, Scopes, TokenEndpoint, TokenRequest, TokenResponse,
};

pub(super) const TOKEN: &str = "eyJ0b2tlbi.that-nobody.may-see";
pub(super) const REFRESH_MARGIN: Duration = Duration::from_mins(5);
const PATIENCE: Duration = Duration::from_secs(10);

/// One response of the token endpoint.
pub(super) enum Line {
    /// A token for an hour, with these scopes.
    Grants(&'static [&'static str]),
    Fails(Cause),
    /// None at all.
    Hangs,
}

/// A token endpoint that follows a script, and hangs after its end.
struct Script {
    lines: Mutex<VecDeque<Line>>,
    scopes: Scopes,
    account: Arc<Account>,
}

impl TokenEndpoint for Script {
    async fn request(&self, _: TokenRequest) -> Result<TokenResponse, RequestError> {
        let line = self.lines.lock().unwrap().pop_front();
        match line {
            Some(Line::Grants(scopes)) => Ok(TokenResponse {
                access_token: Secret::new(TOKEN.to_owned()),
                refresh_token: None,
                scopes: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
                claims: Claims::default(),
                lifetime: Duration::from_hours(1),
                is_shared: false,
            }),
            Some(Line::Fails(cause)) => Err(cause.into()),
            Some(Line::Hangs) | None => std::future::pending().await,
        }
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

    async fn key_material(&self) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::default()
    }
}

/// The pages and what they show; all of it ends with the test.
pub(super) struct Stage {
    admin: Admin,
    pub(super) clock: Clock,
    pub(super) profiles: Vec<ProfileMetrics>,
    pub(super) tokens: Vec<TokenSource>,
    /// Moves the proxy's drain on, which the pages show.
    pub(super) drainer: Drainer,
    pub(super) failures: Failures,
    pub(super) pause: Pause,
    _tasks: JoinSet<()>,
}

/// A response, taken apart.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: u16,
    headers: axum::http::HeaderMap,
    pub(super) body: String,
}

pub(super) fn start() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn address() -> CurrentAddress {
    Arc::new(|| Some("https://api.example/v".to_owned()))
}

impl Stage {
    /// One profile that nobody configured.
    pub(super) async fn play(lines: impl IntoIterator<Item = Line>) -> Self {
        Self::of(vec![("default", lines.into_iter().collect())], false, address()).await
    }

    /// The same, with an upstream at another address.
    pub(super) async fn with_address(
        base_url: CurrentAddress,
        lines: impl IntoIterator<Item = Line>,
    ) -> Self {
        Self::of(vec![("default", lines.into_iter().collect())], false, base_url).await
    }

    /// Profiles, each with its credentials and its script.
    pub(super) async fn named(profiles: impl IntoIterator<Item = (&'static str, Vec<Line>)>) -> Self {
        Self::of(profiles.into_iter().collect(), true, address()).await
    }

    async fn of(scripts: Vec<(&'static str, Vec<Line>)>, named: bool, base_url: CurrentAddress) -> Self {
        let clock = Clock::anchored(start());
        let metrics = Metrics::new("1.2.3", start());
        let (drainer, proxys_drain) = drain();
        let (failures, pause) = (Failures::default(), Pause::default());
        let mut stage_tasks = JoinSet::new();
        let pace = PaceSettings {
            adaptive: true,
            max: None,
            concurrent: None,
            queue: 10,
            budget: Some(Rate { count: NonZeroU32::MIN, per: Duration::from_mins(1) }),
            limits: Vec::new(),
        };
        let (mut profiles, mut tokens, mut pages) = (Vec::new(), Vec::new(), Vec::new());
        for (name, lines) in scripts {
            let profile = metrics.profile(name);
            let script = Script {
                lines: Mutex::new(lines.into()),
                scopes: Scopes::default(),
                account: Arc::new(Account {
                    token_url: "https://auth.example/token".to_owned(),
                    id: "client-1".to_owned(),
                    holder: "client app".to_owned(),
                    origins: crate::cause::Origins::default(),
                    forward_proxy: None,
                }),
            };
            let (source, task) =
                RefreshTask::new(script, REFRESH_MARGIN, clock.clone(), profile.token_observer());
            stage_tasks.spawn(task.run(std::future::pending()));
            profiles.push(profile.clone());
            tokens.push(source.clone());
            pages.push(ProfilePages {
                metrics: profile,
                tokens: source,
                base_url: Arc::clone(&base_url),
                token_url: "https://auth.example/token?key=s3cret".to_owned(),
                pace: Arc::new(Pace::new(name, &pace)),
            });
        }
        let settings =
            Settings { origins: vec!["https://app.example".parse().unwrap()], ..Settings::default() };
        let guard = Guard::new(settings, &metrics, clock.clone());
        let pages = Pages {
            profiles: pages,
            named,
            metrics,
            clock: clock.clone(),
            drain: proxys_drain,
            version: "1.2.3",
            started: Now { wall: start(), ..clock.now() },
            listen: vec!["127.0.0.1:8080".to_owned()],
            configuration: vec![ConfiguredValue {
                name: "listen".to_owned(),
                value: Some("127.0.0.1:8080".to_owned()),
                source: "default".to_owned(),
                meaning: "address",
            }],
            failures: failures.clone(),
            pause: pause.clone(),
            reloads: Reloads::default(),
        };
        let admin = Admin::new(pages, guard);
        // The tasks come to their first requests.
        tokio::task::yield_now().await;
        Self { admin, clock, profiles, tokens, drainer, failures, pause, _tasks: stage_tasks }
    }

    pub(super) async fn get(&self, target: &str) -> Seen {
        self.ask("GET", target).await
    }

    pub(super) async fn ask(&self, method: &str, target: &str) -> Seen {
        let request = Request::builder().method(method).uri(target).header(HOST, "localhost");
        Seen::of(self.raw(request).await).await
    }

    /// Takes a sample for the history, as the running proxy does every second.
    pub(super) fn sample(&self) {
        self.admin.site.sample();
    }

    /// Asks over a connection to one of this machine's own addresses.
    pub(super) async fn here(&self, request: axum::http::request::Builder) -> Seen {
        let local = Some(IpAddr::from([127, 0, 0, 1]));
        let response = self.admin.service(local).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        Seen::of(response).await
    }

    pub(super) async fn raw(&self, request: axum::http::request::Builder) -> Response {
        let local = Some(IpAddr::from([192, 0, 2, 7]));
        self.admin.service(local).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    /// Waits until the first profile's token is in this state.
    pub(super) async fn until(&self, state: &str) {
        self.until_of(0, state).await;
    }

    pub(super) async fn until_of(&self, place: usize, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.tokens[place].snapshot(self.clock.now()).state.as_str() != state {
            assert!(Instant::now() < deadline, "never {state}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Seen {
    pub(super) async fn of(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// The values of all lines called `name`.
    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

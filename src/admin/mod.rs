//! The pages for operators, probes and scrapers: the live page, `/livez`, `/readyz`, `/metrics`, `/status`.
//!
//! An axum router behind the [guard](crate::access): the same rules as before the proxy. No page can show
//! a token, since nothing that is read here holds one.

mod actions;
mod configuration;
mod history;
mod pace;
mod page;
mod readiness;
mod rfc3339;
mod status;
mod totals;

use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRef, Path, RawQuery, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, DATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::middleware;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tokio::time::{MissedTickBehavior, interval};
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;

pub use configuration::{ConfiguredValue, configuration_json};
use history::History;

use crate::access::{Failures, Guard, GuardLayer, Guarded, Problem, ProblemKind};
use crate::clock::{Clock, Now};
use crate::drain::Drain;
use crate::metrics::{self, Metrics, ProfileMetrics};
use crate::pause::Pause;
use crate::proxy::pace::Pace;
use crate::reloads::Reloads;
use crate::text::printable_bytes;
use crate::tokens::TokenSource;

/// What the pages show.
pub struct Pages {
    /// The profiles, at least one.
    pub profiles: Vec<ProfilePages>,
    /// Somebody configured profiles, so they have names that mean something.
    pub named: bool,
    /// All that is counted.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
    /// Whether the process has begun to end: the proxy's drain, not that of the listener of these pages.
    pub drain: Drain,
    /// The program's version.
    pub version: &'static str,
    /// When the process started.
    pub started: Now,
    /// Where clients connect.
    pub listen: Vec<String>,
    /// Every option with its value and its source.
    pub configuration: Vec<ConfiguredValue>,
    /// The latest failures.
    pub failures: Failures,
    /// The operator's switch.
    pub pause: Pause,
    /// What came of the attempts to read the configuration again.
    pub reloads: Reloads,
}

/// The address of an upstream at the moment of asking; `None` while it is not known.
pub type CurrentAddress = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// What the pages show of one profile.
pub struct ProfilePages {
    /// What is counted of it; its name is the profile's.
    pub metrics: ProfileMetrics,
    /// Its token.
    pub tokens: TokenSource,
    /// Its upstream.
    pub base_url: CurrentAddress,
    /// Its token endpoint. The query is not shown.
    pub token_url: String,
    /// Its limits.
    pub pace: Arc<Pace>,
}

/// Serves the pages. Cheap to clone.
///
/// Cancellation: a page is made at once, and making it changes nothing.
#[derive(Clone)]
pub struct Admin {
    /// For connections to this machine's own addresses, and for others.
    local: Router,
    remote: Router,
    guard: Guard,
    site: Site,
}

/// What the handlers get.
#[derive(Clone)]
struct Site {
    pages: Arc<ArcSwap<Pages>>,
    history: Arc<Mutex<History>>,
    /// Whether actions are for whoever uses this connection.
    has_actions: bool,
}

impl FromRef<Site> for Arc<Pages> {
    fn from_ref(site: &Site) -> Self {
        site.pages.load_full()
    }
}

/// Every page, and whether it is an action.
const PAGES: [&str; 7] = ["/", "/livez", "/readyz", "/metrics", "/status", "/history", "/configuration"];

impl Admin {
    /// Serves `pages` to those that `guard` admits.
    pub fn new(pages: Pages, guard: Guard) -> Self {
        let site = Site {
            pages: Arc::new(ArcSwap::from_pointee(pages)),
            history: Arc::default(),
            has_actions: false,
        };
        let local = router(&Site { has_actions: true, ..site.clone() });
        Self { local, remote: router(&site), guard, site }
    }

    /// Shows these pages from now on, on every clone. The start of the process stays.
    pub fn replace(&self, pages: Pages) {
        let started = self.site.pages.load().started;
        self.site.pages.store(Arc::new(Pages { started, ..pages }));
    }

    /// Takes samples for the history, for ever. Cancel safe.
    pub async fn sample(&self) {
        let mut due = interval(history::INTERVAL);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            self.site.sample();
        }
    }

    /// The tower service for one connection, which arrived at the address `local`; `None` for a Unix
    /// socket.
    pub fn service(&self, local: Option<IpAddr>) -> Guarded<Router> {
        // Who is on another machine may look, but not act.
        let router = if local.is_none_or(|local| local.to_canonical().is_loopback()) {
            &self.local
        } else {
            &self.remote
        };
        GuardLayer::new(self.guard.clone(), local).layer(router.clone())
    }
}

impl Site {
    fn sample(&self) {
        let pages = self.pages.load();
        let (totals, in_flight) = (totals::totals(&pages), totals::in_flight(&pages));
        self.history().sample(totals, in_flight, pages.clock.now());
    }

    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

fn router(site: &Site) -> Router {
    let clock = site.pages.load().clock.clone();
    let panicked = {
        let clock = clock.clone();
        move |_: Box<dyn Any + Send>| -> Response<Body> {
            Problem::new(ProblemKind::Internal).into_response(&Method::GET, clock.now().wall)
        }
    };
    let date = move |_: &Response<_>| HeaderValue::try_from(httpdate::fmt_http_date(clock.now().wall)).ok();
    let always = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    Router::new()
        .route("/", get(index))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/readyz/{name}", get(ready_one))
        .route("/metrics", get(exposition))
        .route("/status", get(status))
        .route("/history", get(history))
        .route("/configuration", get(configuration))
        .merge(actions(site))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(site.clone())
        .layer(CatchPanicLayer::custom(panicked))
        .layer(CompressionLayer::new())
        // A page is of this moment, and no browser should take it for anything but what it is.
        .layer(always(CACHE_CONTROL, "no-store"))
        .layer(always(X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ))
        .layer(SetResponseHeaderLayer::if_not_present(DATE, date))
        .layer(TraceLayer::new_for_http())
}

/// What changes something.
fn actions(site: &Site) -> Router<Site> {
    let action = |route: MethodRouter<Site>| route.fallback(actions::post_only);
    Router::new()
        .route("/pause", action(post(actions::pause)))
        .route("/resume", action(post(actions::resume)))
        .route("/renew", action(post(actions::renew)))
        .route("/renew/{name}", action(post(actions::renew_one)))
        .layer(middleware::from_fn_with_state(site.clone(), actions::only_here))
}

async fn index() -> impl IntoResponse {
    ([(CONTENT_SECURITY_POLICY, page::POLICY.as_str())], Html(page::HTML.as_str()))
}

async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(pages): State<Arc<Pages>>, RawQuery(query): RawQuery) -> Response {
    let wanted = if asks_for_any(query.as_deref()) { readiness::Wanted::Any } else { readiness::Wanted::All };
    readiness(&pages, wanted).await
}

async fn ready_one(
    State(pages): State<Arc<Pages>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let place =
        name.ok().and_then(|Path(name)| pages.profiles.iter().position(|own| own.metrics.name() == name));
    match place {
        Some(place) => readiness(&pages, readiness::Wanted::One(place)).await,
        None => unknown(State(pages), request).await,
    }
}

async fn readiness(pages: &Pages, wanted: readiness::Wanted) -> Response {
    match readiness::check(pages, wanted, pages.clock.now()).await {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason).into_response(),
    }
}

async fn exposition(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    let now = pages.clock.now();
    pages.metrics.set_draining(pages.drain.is_announced());
    for profile in &pages.profiles {
        profile.metrics.set_ready(readiness::is_ready(&pages, profile, now));
    }
    ([(CONTENT_TYPE, metrics::MEDIA_TYPE)], pages.metrics.exposition())
}

async fn status(State(site): State<Site>) -> impl IntoResponse {
    let latest = site.history().latest();
    let pages = site.pages.load();
    let text = status::render(&pages, latest, site.has_actions, pages.clock.now());
    ([(CONTENT_TYPE, "application/json")], text)
}

/// `?after=N` leaves out the samples that the asker has.
async fn history(State(site): State<Site>, RawQuery(query): RawQuery) -> impl IntoResponse {
    let after = query.as_deref().unwrap_or_default().split('&').find_map(|part| part.strip_prefix("after="));
    let columns = site.history().after(after.and_then(|number| number.parse().ok()).unwrap_or(0));
    // Serialising numbers cannot fail.
    ([(CONTENT_TYPE, "application/json")], serde_json::to_string(&columns).unwrap_or_default())
}

async fn configuration(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], configuration_json(&pages.configuration))
}

async fn unknown(State(pages): State<Arc<Pages>>, request: Request) -> Response {
    Problem::new(ProblemKind::UnknownPage)
        .detail(format!(
            "The admin listener has no page at `{}`.",
            printable_bytes(request.uri().path().as_bytes())
        ))
        .hint(format!(
            "The pages are {}. API requests belong to the proxy's own address (CXONE_PROXY_LISTEN).",
            PAGES.join(", ")
        ))
        .into_response(request.method(), pages.clock.now().wall)
}

async fn wrong_method(State(pages): State<Arc<Pages>>, method: Method, uri: Uri) -> Response {
    Problem::new(ProblemKind::ReadOnly)
        .detail(format!(
            "The method is `{}`, and `{}` can only be read.",
            printable_bytes(method.as_str().as_bytes()),
            printable_bytes(uri.path().as_bytes())
        ))
        .into_response(&method, pages.clock.now().wall)
}

/// `?any`, alone or with a value that does not deny it.
fn asks_for_any(query: Option<&str>) -> bool {
    query.unwrap_or_default().split('&').any(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        name == "any" && !matches!(value, "0" | "false" | "no")
    })
}

#[cfg(test)]
mod tests;

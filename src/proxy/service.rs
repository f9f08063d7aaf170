//! The proxy as a [`tower::Service`].

use std::convert::Infallible;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};

use super::arrival::Arrival;
use super::body::Body;
use super::replay::BoxError;
use super::route::Profile;
use super::state::{Settings, Shared};
use crate::access::{Guard, problem_counters};
use crate::clock::Clock;
use crate::drain::Drain;
use crate::metrics::Metrics;

/// The proxy, for one core. Cheap to clone; all clones share their connections.
#[derive(Clone)]
pub struct Proxy {
    /// Requests load it once, so each goes on under what it began with.
    shared: Arc<ArcSwap<Shared>>,
    arrival: Arrival,
    /// What lives as long as the proxy does.
    owned: Option<Arc<dyn Send + Sync>>,
}

impl Proxy {
    /// A proxy for these profiles behind a guard. `drain` ends tunnels.
    pub fn new(
        settings: Settings,
        guard: Guard,
        profiles: Vec<Profile>,
        clock: Clock,
        metrics: &Metrics,
        drain: Drain,
    ) -> Self {
        let problems = problem_counters(metrics);
        let access_log = Arc::new(settings.access_log.clone());
        let shared = Shared { settings, access_log, guard, profiles, clock, problems, drain };
        Self { shared: Arc::new(ArcSwap::from_pointee(shared)), arrival: Arrival::default(), owned: None }
    }

    /// Goes on with these settings and profiles for all requests that come from now on, on every clone.
    pub fn replace(&self, settings: Settings, profiles: Vec<Profile>) {
        let before = self.shared.load();
        let access_log = Arc::new(settings.access_log.clone());
        let (guard, clock, drain) = (before.guard.clone(), before.clock.clone(), before.drain.clone());
        let problems = before.problems.clone();
        self.shared.store(Arc::new(Shared { settings, access_log, guard, profiles, clock, problems, drain }));
    }

    /// The profiles of this core.
    pub fn profiles(&self) -> impl Deref<Target = [Profile]> {
        Profiles(self.shared.load_full())
    }

    /// The same proxy for requests that come in this way.
    #[must_use]
    pub fn arriving(&self, arrival: Arrival) -> Self {
        Self { arrival, ..self.clone() }
    }

    /// The same proxy, which keeps `owned` until its last clone is dropped.
    #[must_use]
    pub fn owning<T: Send + Sync + 'static>(self, owned: Arc<T>) -> Self {
        Self { owned: Some(owned), ..self }
    }

    /// Looks after idle upstream connections. To be called every few seconds on the core that the
    /// proxy belongs to.
    pub fn sweep(&self) {
        for profile in &self.shared.load().profiles {
            profile.destination.sweep();
        }
    }
}

/// The profiles of one configuration.
struct Profiles(Arc<Shared>);

impl Deref for Profiles {
    type Target = [Profile];

    fn deref(&self) -> &[Profile] {
        &self.0.profiles
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy")
            .field("arrival", &self.arrival)
            .field("owns", &self.owned.is_some())
            .finish_non_exhaustive()
    }
}

/// The future is `Send`. It is always ready to be called: the proxy has its own limit of requests, and
/// says so with 503.
///
/// Cancellation: dropping the future, or the response that came of it, ends the attempt that is under
/// way. Nothing that others wait for depends on it.
impl<B> tower::Service<Request<B>> for Proxy
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (shared, arrival, owned) = (self.shared.load_full(), self.arrival.clone(), self.owned.clone());
        let (head, body) = request.into_parts();
        Box::pin(async move {
            let response = shared.respond(arrival, head, body).await;
            // A caller may drop its only proxy once the future is made (`oneshot`).
            drop(owned);
            Ok(response)
        })
    }
}

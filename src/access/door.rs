//! The guard at work: what it refuses is counted, and said in the log at most once a minute for each
//! reason.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::request::Parts;

use super::cors;
use super::counting::refusal_counters;
use super::guard::{self, Admitted, Local, Refusal, Settings};
use super::problem::Problem;
use crate::clock::Clock;
use crate::log::{Due, Repeats};
use crate::metrics::{Counters, Metrics};
use crate::text;

/// The guard before the proxy or before the admin pages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: ArcSwap<Settings>,
    clock: Clock,
    refused: Counters<Refusal>,
    /// In the order of [`Refusal::ALL`]. Locked only where a request is refused.
    repeats: Mutex<Vec<Repeats<()>>>,
}

impl Guard {
    /// A guard that goes by `settings`. All guards of a process count together.
    pub fn new(settings: Settings, metrics: &Metrics, clock: Clock) -> Self {
        let repeats = Mutex::new(Refusal::ALL.iter().map(|_| Repeats::new()).collect());
        Self(Arc::new(Inner {
            settings: ArcSwap::from_pointee(settings),
            clock,
            refused: refusal_counters(metrics),
            repeats,
        }))
    }

    /// Admits a request or says what to answer; see [`guard::admit`].
    pub fn admit(
        &self,
        head: &Parts,
        local: impl Into<Local>,
        is_upstream: impl Fn(bool, &str) -> bool,
    ) -> Result<Admitted, Problem> {
        guard::admit(head, &self.0.settings.load(), local, is_upstream).map_err(|refusal| {
            self.note(refusal, head);
            refusal.problem(head)
        })
    }

    /// Lets the page that sent `request` read the response with these `headers`, where the page's origin
    /// is allowed: whatever the response is, also one that refuses the request.
    pub fn allow_origin(&self, request: &HeaderMap, headers: &mut HeaderMap) {
        if let Some(origin) = guard::allowed_origin(request, &self.0.settings.load()) {
            cors::allow_origin(headers, origin);
        }
    }

    /// The calendar's time.
    pub(super) fn wall(&self) -> SystemTime {
        self.0.clock.now().wall
    }

    /// What the guard goes by.
    pub fn settings(&self) -> impl Deref<Target = Arc<Settings>> {
        self.0.settings.load()
    }

    /// Goes by other settings from now on, on every clone.
    pub fn replace(&self, settings: Settings) {
        self.0.settings.store(Arc::new(settings));
    }

    fn note(&self, refusal: Refusal, head: &Parts) {
        self.0.refused.add(refusal);
        let now = self.0.clock.now().steady;
        let due = {
            let mut repeats = self.0.repeats.lock().unwrap_or_else(PoisonError::into_inner);
            let place = Refusal::ALL.iter().position(|known| *known == refusal);
            place.and_then(|place| repeats.get_mut(place)).and_then(|repeats| repeats.met((), now))
        };
        let more = match due {
            None => return,
            Some(Due::First) => None,
            Some(Due::Again { more, .. }) => Some(more),
        };
        let problem = refusal.problem(head);
        let origin = guard::origins(head);
        let method = text::printable_bytes(head.method.as_str().as_bytes());
        let path = text::printable_bytes(head.uri.path().as_bytes());
        let hint = problem.hint_text();
        tracing::warn!(
            reason = refusal.reason(),
            status = problem.status().as_u16(),
            method,
            host = guard::addressed(head),
            origin = (!origin.is_empty()).then_some(origin),
            path,
            requests_since_the_last_such_line = more,
            hint = &*hint,
            "request refused: {method} {path}: {} {hint}",
            problem.detail_text()
        );
    }
}

#[cfg(test)]
mod tests;

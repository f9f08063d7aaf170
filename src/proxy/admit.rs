//! Whether a request is served, and where it goes.

use http::uri::PathAndQuery;
use http::{Response, request};

use super::arrival::Arrival;
use super::body::Body;
use super::callers::Caller;
use super::in_flight::InFlight;
use super::problems;
use super::request::has_looped;
use super::response::ClientSide;
use super::route::{self, Selected};
use super::state::Shared;
use crate::access::{self, Admitted, Hops, Local, Problem, ProblemKind, cors};

/// What the guard and the profiles make of a request.
pub(super) enum Admission<'c> {
    /// It goes to an upstream, for a client where clients are identified.
    Forward(Route, Option<Caller<'c>>),
    /// The proxy itself responds. In a box, so that the many requests that go on do not move its size.
    Respond(Box<Response<Body>>),
}

/// Where a request goes, and what of it the response needs.
pub(super) struct Route {
    /// The index of the profile.
    pub(super) profile: usize,
    pub(super) client: ClientSide,
    path: PathAndQuery,
    /// How much of the path's beginning is taken off.
    stripped: usize,
}

impl Route {
    /// The path without what is taken off and without the query.
    pub(super) fn path(&self) -> &str {
        self.path.path().get(self.stripped..).unwrap_or_default()
    }

    /// What the upstream gets as path and query: those of the client, byte for byte, behind `prefix`.
    pub(super) fn join(&self, prefix: &str) -> Result<PathAndQuery, Problem> {
        if self.stripped == 0 && prefix.is_empty() {
            return Ok(self.path.clone());
        }
        let rest = self.path.as_str().get(self.stripped..).unwrap_or_default();
        let slash = if rest.starts_with('/') { "" } else { "/" };
        PathAndQuery::try_from([prefix, slash, rest].concat())
            .map_err(|_| Problem::new(ProblemKind::Malformed).detail("The request target cannot be sent on."))
    }
}

impl Shared {
    /// Decides about a request by its head. Takes a hop off `Max-Forwards`.
    pub(super) fn admit(
        &self,
        arrival: Arrival,
        parts: &mut request::Parts,
        in_flight: &mut InFlight,
    ) -> Result<Admission<'_>, Problem> {
        let is_upstream = |https: bool, authority: &str| self.is_upstream(https, authority);
        let admitted = self.guard.admit(
            parts,
            Local { ip: arrival.local_ip, is_secure: arrival.is_secure },
            is_upstream,
        )?;
        if has_looped(&parts.headers, &self.settings.loop_member) {
            let detail = "Its CDN-Loop field has the member of this very process.";
            return Err(Problem::new(ProblemKind::Loop).detail(detail));
        }
        if admitted.preflight
            && let Some(origin) = &admitted.origin
        {
            return Ok(Admission::Respond(Box::new(cors::preflight_response(&parts.headers, origin))));
        }
        // A browser asks for leave without the page's credentials, so that comes first (Fetch, section 3.2).
        let caller = self.caller(&arrival, parts, in_flight)?;
        if access::take_hop(&parts.method, &mut parts.headers) == Hops::UsedUp {
            return Ok(Admission::Respond(Box::new(access::options_response())));
        }
        let Selected { index, stripped } = route::select(&self.profiles, arrival.listener, &admitted)
            .ok_or_else(|| problems::no_profile(&self.profiles))?;
        let Admitted { path, host, upstream, origin, .. } = admitted;
        let client = ClientSide { arrival, host, names_upstream: upstream.is_some(), origin };
        let route = Route { profile: index, client, path, stripped };
        self.check(parts, route.path())?;
        if let Some(caller) = caller {
            let profile = &self.profile(route.profile)?.name;
            caller
                .check(parts, profile, route.path())
                .inspect_err(|problem| self.note_refusal(problem, parts, route.path()))?;
        }
        Ok(Admission::Forward(route, caller))
    }

    /// The client that a request comes from, where clients are identified.
    pub(super) fn caller(
        &self,
        arrival: &Arrival,
        head: &request::Parts,
        in_flight: &mut InFlight,
    ) -> Result<Option<Caller<'_>>, Problem> {
        let Some(callers) = &self.settings.callers else { return Ok(None) };
        let caller = callers.identify(head, arrival);
        let caller = caller.inspect_err(|problem| self.note_refusal(problem, head, head.uri.path()))?;
        in_flight.comes_from(&caller.client.name, caller.requests);
        Ok(Some(caller))
    }

    pub(super) fn note_refusal(&self, problem: &Problem, head: &request::Parts, path: &str) {
        self.settings.refusals.note(problem, &head.method, path, self.clock.now().steady);
    }

    /// Refuses what the rules do not allow. They are for the path that the API gets behind its base URL.
    pub(super) fn check(&self, head: &request::Parts, path: &str) -> Result<(), Problem> {
        let rules = &self.settings.rules;
        if rules.allow_everything() {
            return Ok(());
        }
        rules.check(head, path).map_err(|denial| {
            let problem = denial.problem(&head.method);
            self.note_refusal(&problem, head, path);
            problem
        })
    }
}

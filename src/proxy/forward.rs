//! The heart: one request from its head to its response.
//!
//! ```text
//! admit -> route -> token -> [ send -> decide -> relay | fail | wait, renew, send again ]
//! ```
//!
//! Cancellation: dropping the future, or the response that came of it, ends the attempt. Nothing
//! that others wait for depends on it, since a task of its own fetches tokens.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, StatusCode};
use tokio::time::{Instant, sleep};

use super::admit::Admission;
use super::arrival::Arrival;
use super::attempts::Attempts;
use super::body::Body;
use super::discard::discard;
use super::in_flight::InFlight;
use super::json_body;
use super::passed_on::{self, Unanswered};
use super::replay::{ClientBody, ClientFailure, Replay};
use super::request::{Additions, Template, asks_for_websocket};
use super::response::{Sent, add_received_status};
use super::retry::{self, AfterError, AfterResponse, Failed, Spent};
use super::route::Profile;
use super::state::Shared;
use super::via::via;
use super::waits::waited_for_token;
use super::{problems, server_timing, tunnel};
use crate::access::{self, Problem, ProblemKind, cors};
use crate::metrics::RetryReason;
use crate::tokens::{AccessToken, NoRenewal};
use crate::upstream::{ResponseBody, Reuse, SendError, SendOptions};

impl Shared {
    /// Responds to one request: with the upstream's response, or with a problem.
    pub(super) async fn respond<B: ClientBody>(
        &self,
        arrival: Arrival,
        mut head: Parts,
        body: B,
    ) -> Response<Body> {
        let method = head.method.clone();
        let path = head.uri.path_and_query().cloned();
        let Some(first) = self.profiles.first() else {
            let problem = problems::no_profile(&self.profiles);
            self.problems.add(problem.kind());
            return self.problem(problem, &method, None);
        };
        let origin = self.allowed_origin(&head);
        let mut in_flight = Box::new(InFlight::begin(first, &head, self.clock.now(), &self.access_log));
        if let Some(traces) = &self.settings.traces {
            in_flight.trace(traces, &head, arrival.is_secure);
        }
        let response = if self.settings.auth_listener == Some(arrival.listener) {
            Box::pin(self.authorize(arrival, &mut head, body, &mut in_flight)).await
        } else {
            self.forward(arrival, &mut head, body, &mut in_flight).await
        };
        let response = response.unwrap_or_else(|problem| {
            if !in_flight.has_client_left() {
                let request = (method.as_str(), path.as_ref().map_or("/", PathAndQuery::path));
                self.note_problem(&problem, Some(request), &mut in_flight);
            }
            self.problem(problem, &method, origin.as_ref())
        });
        in_flight.responded(response.status());
        response.map(|body: Body| body.counted(in_flight))
    }

    /// Counts a problem that answers a request, and keeps it for a person.
    pub(super) fn note_problem(
        &self,
        problem: &Problem,
        request: Option<(&str, &str)>,
        in_flight: &mut InFlight,
    ) {
        self.problems.add(problem.kind());
        let now = self.clock.now().wall;
        self.settings.failures.problem(in_flight.profile(), request, problem, now);
        in_flight.refused(problem.kind());
    }

    fn problem(&self, problem: Problem, method: &Method, origin: Option<&HeaderValue>) -> Response<Body> {
        let mut response = problem.into_response(method, self.clock.now().wall);
        if let Some(origin) = origin {
            cors::allow_origin(response.headers_mut(), origin);
        }
        response
    }

    /// The allowed web origin that sent a request: its page may read a problem as well.
    fn allowed_origin(&self, head: &Parts) -> Option<HeaderValue> {
        let settings = self.guard.settings();
        if settings.origins.is_empty() {
            return None;
        }
        access::guard::allowed_origin(&head.headers, &settings).cloned()
    }

    /// `head` stays where it is until the first attempt takes it: it is large, and each function that it is handed
    /// to would move it.
    async fn forward<B: ClientBody>(
        &self,
        arrival: Arrival,
        head: &mut Parts,
        body: B,
        in_flight: &mut InFlight,
    ) -> Result<Response<Body>, Problem> {
        let (route, caller) = match self.admit(arrival, head, in_flight)? {
            Admission::Forward(route, caller) => (route, caller),
            Admission::Respond(response) => return Ok(*response),
        };
        let profile = self.profile(route.profile)?;
        in_flight.belongs_to(profile);
        self.make_room(in_flight.total())?;
        let mut now = in_flight.began();
        if let Some(caller) = caller {
            Box::pin(self.clients_turn(caller, head, in_flight)).await?;
            // The wait may have outlived a token.
            now = self.clock.now();
        }
        let (mut token, base, upstream) = self.destination(profile, now, &mut in_flight.spent).await?;
        let place = profile.pace.place(&head.method, route.path());
        if !profile.pace.is_idle() {
            Box::pin(self.queue(profile, place, in_flight)).await?;
            // The wait may have outlived the token.
            token = self.token(profile, &mut in_flight.spent).await?;
        }
        let path = route.join(base.prefix())?;
        let websocket = asks_for_websocket(head);
        let client_upgrade = if websocket { head.extensions.remove() } else { None };
        let additions =
            Additions { loop_member: &self.settings.loop_member, via: via(self.settings.via, head.version) };
        let mut attempts = Attempts {
            template: Template::new(head, path, &additions),
            replay: Replay::new(body, self.settings.replay_buffer, &self.settings.replay_memory),
            token,
            how: SendOptions { reuse: Reuse::Allowed, websocket },
            place,
            upstream: Duration::ZERO,
            client_upgrade,
        };
        let went = Sent { shared: self, profile: route.profile, base: &base, client: &route.client };
        loop {
            let began = Instant::now();
            let mut attempt = attempts.template.attempt(head, &attempts.token, attempts.replay.reader());
            in_flight.attempts(&mut attempt, &base, attempts.token.generation());
            let unanswered = Unanswered::since(began, profile, &attempts.template, &self.drain);
            let sent = upstream.send(attempt, attempts.how).await;
            unanswered.end();
            match sent {
                Ok(response) => {
                    let arrived = Instant::now();
                    in_flight.attempt_responded(response.status(), response.version());
                    attempts.upstream += arrived - began;
                    profile.metrics.upstream_response(response.status(), arrived - began);
                    profile.health.responded(response.status(), base.authority());
                    if response.status().is_success() {
                        if !profile.pace.is_idle() {
                            profile.pace.accepted(place, began);
                        }
                        profile.tokens.accepted(attempts.token.generation(), attempts.key());
                        attempts.count_added(profile, in_flight, arrived);
                        let relayed = self.relay(response, &went, &attempts, in_flight).await;
                        in_flight.comes_from_api(base);
                        return relayed;
                    }
                    let decided =
                        Box::pin(self.after_response(profile, &mut attempts, response, began, in_flight));
                    if let Some(mut response) = decided.await? {
                        let limits = self.settings.limits;
                        passed_on::note(profile, &attempts, &mut response, &in_flight.spent, limits);
                        let request = (attempts.template.method().as_str(), attempts.template.path());
                        let (status, wall) = (response.status(), self.clock.now().wall);
                        self.settings.failures.response(&profile.name, request, status, wall);
                        attempts.count_added(profile, in_flight, Instant::now());
                        let relayed = self.relay(response, &went, &attempts, in_flight).await;
                        in_flight.comes_from_api(base);
                        return relayed;
                    }
                }
                Err(error) => {
                    attempts.upstream += began.elapsed();
                    in_flight.attempt_failed(&error);
                    self.after_error(&went, &mut attempts, &error, began, in_flight)?;
                    Box::pin(self.queue_again(profile, place, in_flight)).await?;
                }
            }
        }
    }

    /// Acts on a response that is no success: `None` where the request is to be sent again, now.
    async fn after_response(
        &self,
        profile: &Profile,
        attempts: &mut Attempts,
        mut response: Response<ResponseBody>,
        sent: Instant,
        in_flight: &mut InFlight,
    ) -> Result<Option<Response<ResponseBody>>, Problem> {
        let status = response.status();
        let wait = retry::announced_wait(status, response.headers(), self.clock.now().wall);
        if status == StatusCode::TOO_MANY_REQUESTS || wait.is_some() {
            profile.metrics.rate_limited();
        }
        attempts.note(profile, &response, &in_flight.spent, sent);
        match self.decide(profile, attempts, status, wait, sent, in_flight) {
            AfterResponse::Relay => {}
            AfterResponse::Unreplayable(reason) => {
                profile.metrics.replay_skipped(reason);
                if reason == RetryReason::Unauthorized {
                    // Why it is not renewed says nothing more than that the body is gone.
                    let _ = profile.tokens.rejected(attempts.token.generation(), attempts.key());
                }
                let details = Some("request body too large to replay");
                add_received_status(response.headers_mut(), status, details);
                return Ok(Some(response));
            }
            AfterResponse::Renew => match self.renew(profile, attempts, &mut in_flight.spent).await {
                Ok(newer) => {
                    discard(response);
                    attempts.token = newer;
                    in_flight.count(RetryReason::Unauthorized, Duration::ZERO);
                    self.queue_again(profile, attempts.place, in_flight).await?;
                    return Ok(None);
                }
                Err(NoRenewal::Unavailable(unavailable)) => {
                    return Err(problems::no_token(&unavailable, self.clock.now()));
                }
                Err(reason) => {
                    add_received_status(response.headers_mut(), status, Some(&reason.to_string()));
                    return Ok(Some(response));
                }
            },
            AfterResponse::Wait(wait) => {
                discard(response);
                in_flight.release();
                sleep(wait).await;
                in_flight.count(RetryReason::RateLimited, wait);
                self.queue_again(profile, attempts.place, in_flight).await?;
                // The wait may have outlived the token.
                attempts.token = self.token(profile, &mut in_flight.spent).await?;
                return Ok(None);
            }
            AfterResponse::Queue(backoff) => {
                discard(response);
                let waited = self.queue_after(backoff, profile, attempts.place, in_flight).await?;
                in_flight.count(RetryReason::RateLimited, waited);
                attempts.token = self.token(profile, &mut in_flight.spent).await?;
                return Ok(None);
            }
        }
        Ok(Some(response))
    }

    /// Decides about a response, and lets the pace learn from a 429.
    fn decide(
        &self,
        profile: &Profile,
        attempts: &Attempts,
        status: StatusCode,
        retry_after: Option<Duration>,
        began: Instant,
        in_flight: &InFlight,
    ) -> AfterResponse {
        if status == StatusCode::UNAUTHORIZED && passed_on::is_log_in(&attempts.template) {
            passed_on::log_in_refused(profile, &attempts.template);
            return AfterResponse::Relay;
        }
        let (spent, facts, limits) = (in_flight.spent, attempts.facts(), self.settings.limits);
        let roll = fastrand::f64();
        if status == StatusCode::TOO_MANY_REQUESTS && profile.pace.is_adaptive() {
            profile.pace.rejected(attempts.place, began, retry_after);
            let turn = profile.pace.wait(attempts.place, in_flight.client(), in_flight.began().steady);
            return retry::after_paced_429(turn, retry_after, spent, facts, limits, roll);
        }
        retry::after_response(status, retry_after, spent, facts, limits, roll)
    }

    /// Acts on an attempt without a response: `Ok` where the request is to be sent again.
    fn after_error(
        &self,
        sent: &Sent<'_>,
        attempts: &mut Attempts,
        error: &SendError,
        began: Instant,
        in_flight: &mut InFlight,
    ) -> Result<(), Problem> {
        if let Some(failure) = attempts.replay.client_failure() {
            if failure == ClientFailure::Gone {
                in_flight.client_left();
            }
            return Err(problems::client_failure(&failure));
        }
        let profile = self.profile(sent.profile)?;
        let failed = Failed { delivered: error.delivered, connection_died: error.is_of_dead_connection() };
        match retry::after_error(failed, in_flight.spent, attempts.facts()) {
            AfterError::Again => {
                attempts.how.reuse = Reuse::Forbidden;
                in_flight.count(RetryReason::Connection, Duration::ZERO);
                Ok(())
            }
            AfterError::Fail => {
                let (template, elapsed) = (&attempts.template, began.elapsed());
                Err(problems::send_error(
                    error,
                    &problems::Request { profile, template, base: sent.base, elapsed },
                ))
            }
        }
    }

    /// Makes the upstream's response the client's.
    async fn relay(
        &self,
        mut response: Response<ResponseBody>,
        sent: &Sent<'_>,
        attempts: &Attempts,
        in_flight: &mut InFlight,
    ) -> Result<Response<Body>, Problem> {
        let profile = self.profile(sent.profile)?;
        in_flight.received(&attempts.replay);
        if self.settings.server_timing {
            let elapsed = in_flight.began().steady.elapsed();
            server_timing::add(response.headers_mut(), &in_flight.spent, elapsed);
        }
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some(client_upgrade) = attempts.client_upgrade.clone() else {
                return Err(Problem::new(ProblemKind::UnaskedUpgrade));
            };
            return Ok(tunnel::start(self, response, client_upgrade, sent, in_flight.another()));
        }
        if profile.rewrites_json_links && json_body::may_hold_links(&response) {
            let held = Box::pin(json_body::relay(response, sent)).await;
            return held.map_err(|error| {
                let (template, elapsed) = (&attempts.template, in_flight.began().steady.elapsed());
                problems::send_error(
                    &error,
                    &problems::Request { profile, template, base: sent.base, elapsed },
                )
            });
        }
        sent.make_local(&mut response);
        Ok(response.map(Body::streamed))
    }

    /// A token newer than the one that was refused, within what is left of `max_wait`.
    async fn renew(
        &self,
        profile: &Profile,
        attempts: &Attempts,
        spent: &mut Spent,
    ) -> Result<Arc<AccessToken>, NoRenewal> {
        let began = Instant::now();
        let deadline = began + self.wait_left(spent);
        let renewed = profile.tokens.renew(attempts.token.generation(), attempts.key(), deadline).await;
        waited_for_token(profile, spent, began);
        renewed
    }
}

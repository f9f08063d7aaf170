//! A request's turn: the pace says when it may go to the API.
//!
//! Cancellation: a request that is dropped while it waits gives its place in the queue back.

use std::time::Duration;

use http::request::Parts;
use tokio::time::{Instant, sleep};

use super::callers::Caller;
use super::in_flight::InFlight;
use super::pace::{Place, Refused};
use super::route::Profile;
use super::state::Shared;
use crate::access::{Problem, ProblemKind};
use crate::metrics::WaitReason;
use crate::text::spoken;

/// Less than this is the work of asking, and no wait.
const NO_WAIT: Duration = Duration::from_millis(1);
/// When to come back to a full queue at the earliest.
const FULL_RETRY: Duration = Duration::from_secs(1);

impl Shared {
    /// Waits until the client may send one more request. Cancel safe.
    pub(super) async fn clients_turn(
        &self,
        caller: Caller<'_>,
        head: &Parts,
        in_flight: &mut InFlight,
    ) -> Result<(), Problem> {
        let Some(pace) = caller.pace else { return Ok(()) };
        let began = Instant::now();
        let deadline = began + self.settings.limits.max_wait;
        let any = pace.place(&head.method, head.uri.path());
        let turn = pace.admit(any, None, in_flight.began().steady, deadline).await;
        // A rate has nothing to keep: it counts beginnings.
        turn.map_err(|refused| {
            let name = &caller.client.name;
            self.refused(refused).hint(format!(
                "Send fewer requests, or ask the proxy's operator to raise `rate` of the client `{name}` in the \
                 clients file."
            ))
        })?;
        let waited = began.elapsed();
        if waited >= NO_WAIT {
            in_flight.spent.waited += waited;
            in_flight.spent.in_queue += waited;
            in_flight.waited(WaitReason::Queue, waited);
        }
        Ok(())
    }

    /// Waits for the first attempt's turn. Cancel safe.
    pub(super) async fn queue(
        &self,
        profile: &Profile,
        place: Place,
        in_flight: &mut InFlight,
    ) -> Result<(), Problem> {
        let waited = self.turn(profile, place, in_flight.spent.waited, in_flight).await?;
        if waited >= NO_WAIT {
            in_flight.spent.waited += waited;
            in_flight.spent.in_queue += waited;
            profile.metrics.wait(WaitReason::Queue, waited);
        }
        Ok(())
    }

    /// Waits for the turn of another attempt that no 429 has made necessary. Cancel safe.
    pub(super) async fn queue_again(
        &self,
        profile: &Profile,
        place: Place,
        in_flight: &mut InFlight,
    ) -> Result<(), Problem> {
        in_flight.release();
        if profile.pace.is_idle() {
            return Ok(());
        }
        self.queue(profile, place, in_flight).await
    }

    /// Waits for the turn of another attempt after a 429, and `backoff` at least. Says how long that took. Cancel
    /// safe.
    pub(super) async fn queue_after(
        &self,
        backoff: Duration,
        profile: &Profile,
        place: Place,
        in_flight: &mut InFlight,
    ) -> Result<Duration, Problem> {
        in_flight.release();
        if !backoff.is_zero() {
            sleep(backoff).await;
        }
        let waited = in_flight.spent.waited + backoff;
        Ok(backoff + self.turn(profile, place, waited, in_flight).await?)
    }

    /// `waited` is what the request has waited before.
    async fn turn(
        &self,
        profile: &Profile,
        place: Place,
        waited: Duration,
        in_flight: &mut InFlight,
    ) -> Result<Duration, Problem> {
        let began = Instant::now();
        let deadline = began + self.settings.limits.max_wait.saturating_sub(waited);
        let permits = profile.pace.admit(place, in_flight.client(), in_flight.began().steady, deadline).await;
        in_flight.hold(permits.map_err(|refused| self.refused(refused))?);
        Ok(began.elapsed())
    }

    fn refused(&self, refused: Refused) -> Problem {
        match refused {
            Refused::TooLong(wait) => Problem::new(ProblemKind::RateLimitWait)
                .detail(format!(
                    "This request's turn comes in about {}, and a request waits for {} at most.",
                    spoken(wait),
                    spoken(self.settings.limits.max_wait)
                ))
                .retry_after(wait),
            Refused::Full(wait) => Problem::new(ProblemKind::QueueFull)
                .detail("As many requests wait for their turn as may wait.")
                .retry_after(wait.max(FULL_RETRY)),
            Refused::BudgetUsedUp(rest) => Problem::new(ProblemKind::BudgetUsedUp)
                .detail(format!("The next requests can be sent in {}.", spoken(rest)))
                .retry_after(rest),
        }
    }
}

//! What a request may have to wait for: a token, and to know where its API is. All waits together
//! take `max_wait` at most.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::problems;
use super::retry::Spent;
use super::route::{ApiUpstream, Profile};
use super::state::Shared;
use crate::access::{Problem, ProblemKind};
use crate::clock::Now;
use crate::metrics::WaitReason;
use crate::tokens::AccessToken;
use crate::upstream::BaseUrl;

/// When to come back where it is not known yet where the API is: discovery may need some seconds.
const UNDISCOVERED_RETRY: Duration = Duration::from_secs(5);

impl Shared {
    /// The token that a request goes with, and where it goes. Cancel safe.
    pub(super) async fn destination(
        &self,
        profile: &Profile,
        now: Now,
        spent: &mut Spent,
    ) -> Result<(Arc<AccessToken>, Arc<BaseUrl>, ApiUpstream), Problem> {
        let token = match profile.tokens.current(now) {
            Some(token) => token,
            None => Box::pin(self.token(profile, spent)).await?,
        };
        if let Some((base, upstream)) = profile.destination.current() {
            return Ok((token, base, upstream));
        }
        let (base, upstream) = Box::pin(self.discovered(profile, spent)).await?;
        // The wait may have outlived the token.
        Ok((Box::pin(self.token(profile, spent)).await?, base, upstream))
    }

    /// A valid token: at once where there is one, else within what is left of `max_wait`. Cancel safe.
    pub(super) async fn token(
        &self,
        profile: &Profile,
        spent: &mut Spent,
    ) -> Result<Arc<AccessToken>, Problem> {
        let now = self.clock.now();
        if let Some(token) = profile.tokens.current(now) {
            return Ok(token);
        }
        let deadline = now.steady + self.wait_left(spent);
        let outcome = Box::pin(profile.tokens.valid(deadline)).await;
        waited_for_token(profile, spent, now.steady);
        outcome.map_err(|unavailable| problems::no_token(&unavailable, self.clock.now()))
    }

    async fn discovered(
        &self,
        profile: &Profile,
        spent: &mut Spent,
    ) -> Result<(Arc<BaseUrl>, ApiUpstream), Problem> {
        let began = Instant::now();
        // Whether it was found is seen by the second look.
        let _ = timeout(self.wait_left(spent), profile.destination.known()).await;
        spent.waited += began.elapsed();
        profile
            .destination
            .current()
            .ok_or_else(|| Problem::new(ProblemKind::Undiscovered).retry_after(UNDISCOVERED_RETRY))
    }

    /// What is left of `max_wait`.
    pub(super) fn wait_left(&self, spent: &Spent) -> Duration {
        self.settings.limits.max_wait.saturating_sub(spent.waited)
    }
}

/// Counts a wait for a token that began then.
pub(super) fn waited_for_token(profile: &Profile, spent: &mut Spent, began: Instant) {
    let waited = began.elapsed();
    spent.waited += waited;
    spent.for_token += waited;
    profile.metrics.wait(WaitReason::Token, waited);
}

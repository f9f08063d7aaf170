//! What an exchange may have to wait for: a token, a newer one, its upstream's whereabouts. All waits
//! together take `max_wait` at most, and end when the client goes away.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::failure::{self, Refused};
use super::parts::Shared;
use super::problem::{Problem, ProblemKind};
use super::profile::Profile;
use super::replay::Replay;
use super::retry::SoFar;
use crate::clock::Now;
use crate::message::Content;
use crate::oauth::{AccessToken, NoNewer};
use crate::transport::{Base, Transport};

impl Shared {
    /// As whom a request goes, and where to.
    pub(super) async fn destination<C: Content>(
        &self,
        profile: &Profile,
        now: Now,
        replay: &mut Replay<C>,
        so_far: &mut SoFar,
    ) -> Result<(Arc<AccessToken>, Arc<Base>, Transport), Refused> {
        let token = match profile.tokens.current(now) {
            Some(token) => token,
            None => self.token(profile, replay, so_far).await?,
        };
        if let Some((base, transport)) = profile.upstream.current() {
            return Ok((token, base, transport));
        }
        let (base, transport) = self.upstream(profile, replay, so_far).await?;
        // The wait may have outlived the token.
        Ok((self.token(profile, replay, so_far).await?, base, transport))
    }

    /// A valid token: at once where there is one, else within what is left of `max_wait`.
    pub(super) async fn token<C: Content>(
        &self,
        profile: &Profile,
        replay: &mut Replay<C>,
        so_far: &mut SoFar,
    ) -> Result<Arc<AccessToken>, Refused> {
        let now = self.clock.now();
        if let Some(token) = profile.tokens.current(now) {
            return Ok(token);
        }
        let deadline = self.deadline(now.steady, so_far);
        let waiting = Box::pin(profile.tokens.valid(&self.clock, deadline));
        let outcome = unless_gone(waiting, replay).await?;
        so_far.waited += now.steady.elapsed();
        outcome.map_err(|unavailable| failure::no_token(&unavailable).into())
    }

    /// Where the request goes once that is known, within what is left of `max_wait`.
    async fn upstream<C: Content>(
        &self,
        profile: &Profile,
        replay: &mut Replay<C>,
        so_far: &mut SoFar,
    ) -> Result<(Arc<Base>, Transport), Refused> {
        let began = Instant::now();
        let limit = self.settings.rules.max_wait.saturating_sub(so_far.waited);
        let waiting = Box::pin(timeout(limit, profile.upstream.known()));
        // Whether it was found is told by the second look.
        let _ = unless_gone(waiting, replay).await?;
        so_far.waited += began.elapsed();
        profile.upstream.current().ok_or_else(|| {
            Problem::new(ProblemKind::Undiscovered, "").retry_after(Duration::from_secs(5)).into()
        })
    }

    /// A token newer than the one that was refused; `None` where it is too soon to ask for one.
    pub(super) async fn renew<C: Content>(
        &self,
        profile: &Profile,
        refused: &AccessToken,
        replay: &mut Replay<C>,
        so_far: &mut SoFar,
    ) -> Result<Option<Arc<AccessToken>>, Refused> {
        let began = Instant::now();
        let deadline = self.deadline(began, so_far);
        let waiting = Box::pin(profile.tokens.newer_than(refused.generation(), &self.clock, deadline));
        let outcome = unless_gone(waiting, replay).await?;
        so_far.waited += began.elapsed();
        match outcome {
            Ok(token) => Ok(Some(token)),
            Err(NoNewer::TooSoon) => Ok(None),
            Err(NoNewer::Unavailable(unavailable)) => Err(failure::no_token(&unavailable).into()),
        }
    }

    fn deadline(&self, now: Instant, so_far: &SoFar) -> Instant {
        now + self.settings.rules.max_wait.saturating_sub(so_far.waited)
    }
}

/// Waits, unless the client goes away.
pub(super) async fn unless_gone<F: Future, C: Content>(
    waiting: F,
    content: &mut C,
) -> Result<F::Output, Refused> {
    let mut waiting = pin!(waiting);
    poll_fn(|cx| match waiting.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => content.poll_gone(cx).map(|()| Err(Refused::Gone)),
    })
    .await
}

//! The one task per set of credentials that asks for tokens.
//!
//! It owns the refresh token and the state of renewal, so there is one token request in flight by
//! construction, and an exchange that goes away cancels nothing. It decides nothing itself: it asks
//! [`renewal`](super::renewal) what to do and does it. No failure ends it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::answer::Obtained;
use super::endpoint::{Endpoint, TokenEndpoint};
use super::failure::{Failure, Why};
use super::renewal::{Decision, Demand, Renewal};
use super::token::{AccessToken, Ask, Validity};
use super::tokens::{Board, Standing, Tokens};
use crate::clock::{Clock, Now};
use crate::metrics::TokenObserver;

/// The longest sleep. The timer stands still while the machine is suspended; looking at both clocks
/// this often finds a token that ran out meanwhile even where no request comes to find it, and costs
/// nothing.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Keeps one set of credentials supplied with a valid token, for as long as [`Keeper::run`] runs.
#[derive(Debug)]
pub struct Keeper<E = Endpoint> {
    endpoint: E,
    clock: Clock,
    observer: Observer,
    renewal: Renewal,
    board: Arc<Board>,
    standing: watch::Sender<Standing>,
}

/// A token request under way.
struct Asked {
    at: Now,
    /// In the words of logs and metrics.
    grant: &'static str,
    refreshing: bool,
}

/// Gives the trait object a `Debug`.
struct Observer(Arc<dyn TokenObserver>);

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenObserver")
    }
}

impl<E: TokenEndpoint> Keeper<E> {
    /// A keeper that asks `endpoint`, and the handle for those who need its tokens. Nothing is asked
    /// for before [`Keeper::run`].
    pub fn new(
        endpoint: E,
        refresh_margin: Duration,
        clock: Clock,
        observer: Arc<dyn TokenObserver>,
    ) -> (Tokens, Self) {
        let board = Arc::new(Board::default());
        let (standing, receiver) = watch::channel(Standing::default());
        let tokens = Tokens::new(Arc::clone(&board), receiver);
        let renewal = Renewal::new(refresh_margin);
        (tokens, Self { endpoint, clock, observer: Observer(observer), renewal, board, standing })
    }

    /// Asks for the first token at once and keeps it renewed until `stop` ends. Never ends on a
    /// failure.
    ///
    /// When it ends, or is dropped at any point, a token request in flight is abandoned, and with it
    /// its refresh token. A token still valid stays in the [`Tokens`]; who needs another one is told
    /// at once that none will come.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return,
                () = self.step() => {}
            }
        }
    }

    /// Dropped in the middle only together with `self`.
    async fn step(&mut self) {
        self.hear(self.clock.now());
        match self.renewal.decide(self.clock.now()) {
            Decision::Ask(ask) => self.renew(ask).await,
            Decision::WaitUntil(moment) => {
                let nap = self.clock.now().until(moment).min(LONGEST_SLEEP);
                tokio::select! {
                    () = sleep(nap) => {}
                    () = self.board.call.notified() => {}
                }
            }
            // `renew` reports every answer before it returns, so there is nothing to do but listen.
            Decision::WaitForAnswer => self.board.call.notified().await,
        }
    }

    /// Takes in what the exchanges have left on the board.
    fn hear(&mut self, now: Now) {
        let rejected = self.board.rejected.swap(0, Ordering::Acquire);
        if let Some((since, _)) = self.renewal.spacing()
            && self.board.spaced_since.load(Ordering::Relaxed) == 0
        {
            self.renewal.accepted(since);
        }
        if rejected == 0 {
            return;
        }
        match self.renewal.demand(rejected, now) {
            Demand::Granted => tracing::debug!(generation = rejected, "the upstream refused the token"),
            Demand::TooSoon => {
                tracing::debug!(generation = rejected, "the upstream refuses freshly renewed tokens as well");
            }
            Demand::Superseded => {}
        }
    }

    async fn renew(&mut self, ask: Ask) {
        let asked = Asked {
            at: self.clock.now(),
            grant: self.endpoint.grant_type(&ask).as_str(),
            refreshing: matches!(ask, Ask::Refresh(_)),
        };
        let answer = self.endpoint.ask(ask).await;
        // Demands that came in the meantime are about the token that this answer replaces; and one
        // accepted request in the meantime ends the spacing that this answer might widen.
        let now = self.clock.now();
        self.hear(now);
        let answer = answer.and_then(|obtained| self.publish_token(&asked, obtained, now));
        if let Err(failure) = answer {
            self.publish_failure(asked.grant, failure, now);
        }
    }

    fn publish_token(&mut self, asked: &Asked, obtained: Obtained, now: Now) -> Result<(), Failure> {
        let Obtained { access_token, refresh_token, scopes, claims, lifetime } = obtained;
        let validity = Validity::new(asked.at, lifetime);
        let scopes = scopes.unwrap_or_else(|| self.scopes_taken_for_granted(asked));
        let generation = self.renewal.generation() + 1;
        let token = AccessToken::new(generation, access_token, scopes, claims, now, validity)
            .ok_or_else(|| Why::Unusable("its access_token does not fit into a field".to_owned()))?;
        let spaced_since = self.renewal.spacing().map(|(since, _)| since);
        self.renewal.obtained(validity, refresh_token, now);

        self.observer.0.token_request(asked.grant, "ok");
        self.observer.0.token_obtained(now.wall, token.expires_at().wall);
        tracing::info!(
            grant = asked.grant,
            generation,
            lifetime_seconds = lifetime.as_secs(),
            scopes = token.scopes().join(" "),
            "token obtained"
        );

        // The spacing must be known before the token is: it is ended by who uses that token. One that
        // has begun before is left alone, lest its end just now be undone.
        let spacing = self.renewal.spacing();
        if spacing.map(|(since, _)| since) != spaced_since {
            self.board.spaced_since.store(spacing.map_or(0, |(since, _)| since), Ordering::Relaxed);
        }
        self.board.latest.store(Some(Arc::new(token)));
        let spaced_until = spacing.map(|(_, until)| until);
        self.standing.send_replace(Standing { failure: None, spaced_until });
        Ok(())
    }

    fn publish_failure(&mut self, grant: &'static str, failure: Failure, now: Now) {
        let Failure { why, retry_after } = failure;
        let hold = self.renewal.failed(why.nature(), retry_after, now, fastrand::f64());
        self.observer.0.token_request(grant, why.outcome());
        tracing::warn!(
            grant,
            outcome = why.outcome(),
            reason = %why,
            next_try_ms = u64::try_from(now.until(hold.until).as_millis()).unwrap_or(u64::MAX),
            "token request failed"
        );
        self.standing.send_modify(|standing| standing.failure = Some((Arc::new(why), hold)));
    }

    /// The scopes of an answer that names none: those asked for (RFC 6749 section 5.1), which for a
    /// refresh are those of the token before (section 6).
    fn scopes_taken_for_granted(&self, asked: &Asked) -> Vec<String> {
        let before = self.board.latest.load_full().filter(|_| asked.refreshing);
        before.map_or_else(|| self.endpoint.scopes(), |token| token.scopes().to_vec())
    }
}

#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;

//! The one task per set of credentials that requests tokens.
//!
//! It owns the refresh token and the schedule, so there is one token request in flight by construction, and
//! a client that leaves cancels nothing. It decides nothing itself: [`schedule`](super::schedule) and
//! [`forced_renewals`](super::forced_renewals) do. No failure ends it.

mod report;

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use self::report::Report;
use super::endpoint::TokenEndpoint;
use super::error::{Failure, FailureKind, RequestError};
use super::forced_renewals::ForcedRenewals;
use super::grant::GrantType;
use super::schedule::{Schedule, Step};
use super::shared::SharedEndpoint;
use super::snapshot::Published;
use super::source::{Shared, TokenSource};
use super::token::{AccessToken, TokenRequest, Validity};
use super::token_response::TokenResponse;
use crate::cause::Cause;
use crate::clock::{Clock, Now};
use crate::metrics::TokenObserver;

/// The longest sleep. The timer stands still while the machine is suspended: looking at both clocks this
/// often finds a token that expired meanwhile even where no request comes, and costs nothing.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Keeps one set of credentials supplied with a valid token, as long as [`RefreshTask::run`] runs.
#[derive(Debug)]
pub struct RefreshTask<E = SharedEndpoint> {
    endpoint: E,
    clock: Clock,
    observer: Observer,
    schedule: Schedule,
    report: Report,
    shared: Arc<Shared>,
    published: watch::Sender<()>,
}

/// Gives the trait object a `Debug`.
struct Observer(Arc<dyn TokenObserver>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenObserver")
    }
}

/// The token request in flight.
#[derive(Clone, Copy)]
struct Sent {
    at: Now,
    grant: GrantType,
}

impl<E: TokenEndpoint> RefreshTask<E> {
    /// A task that requests tokens from `endpoint`, and the handle for those that need them. Nothing is
    /// requested before [`RefreshTask::run`].
    pub fn new(
        endpoint: E,
        refresh_margin: Duration,
        clock: Clock,
        observer: Arc<dyn TokenObserver>,
    ) -> (TokenSource, Self) {
        let shared = Arc::new(Shared::new());
        let (published, receiver) = watch::channel(());
        let source = TokenSource::new(Arc::clone(&shared), receiver, clock.clone());
        let schedule = Schedule::new(refresh_margin);
        let report = Report::new();
        let observer = Observer(observer);
        (source, Self { endpoint, clock, observer, schedule, report, shared, published })
    }

    /// Requests the first token at once and keeps it renewed until `stop` ends. No failure ends it.
    ///
    /// When it ends, or is dropped at any point, a token request in flight is abandoned, and with it its
    /// refresh token. A token that is still valid stays in the [`TokenSource`]; a caller that needs another
    /// one learns at once that none will come.
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
        let now = self.clock.now();
        let (is_forced, notices) = self.shared.forced(|forced| {
            forced.forget(now);
            (forced.is_forced(), forced.take_notices())
        });
        if self.shared.try_again.swap(false, Ordering::AcqRel) {
            self.schedule.forget_failure();
        }
        Report::notices(notices, self.endpoint.account());
        match self.schedule.next_step(is_forced, now) {
            Step::Request(request) => self.request(request).await,
            Step::WaitUntil(moment) => {
                let nap = now.until(moment).min(LONGEST_SLEEP);
                tokio::select! {
                    () = sleep(nap) => {}
                    () = self.shared.wake.notified() => {}
                }
            }
            // `request` reports every outcome before it returns, so this never waits for nothing.
            Step::WaitForResponse => self.shared.wake.notified().await,
        }
    }

    async fn request(&mut self, request: TokenRequest) {
        let sent = Sent { at: self.clock.now(), grant: self.endpoint.grant_type(&request) };
        self.shared.forced(ForcedRenewals::sent);
        let outcome = self.endpoint.request(request).await;
        let now = self.clock.now();
        let outcome = outcome.and_then(|response| self.publish_token(sent, response, now));
        if let Err(error) = outcome {
            self.publish_failure(sent, error, now);
        }
    }

    fn publish_token(&mut self, sent: Sent, response: TokenResponse, now: Now) -> Result<(), RequestError> {
        let TokenResponse { access_token, refresh_token, scopes, claims, lifetime, is_shared } = response;
        let validity = Validity::new(sent.at, lifetime);
        let scopes = scopes.unwrap_or_else(|| self.scopes_of_a_response_without_any(sent.grant));
        let generation = self.schedule.generation() + 1;
        let token = AccessToken::new(generation, access_token, scopes, claims, now, validity)
            .ok_or_else(|| Cause::Unusable("its access_token does not fit into a header".to_owned()))?;
        self.schedule.obtained(validity, refresh_token, now);

        if !is_shared {
            self.observer.0.token_request(sent.grant.as_str(), "ok", sent.at.wall..now.wall);
        }
        self.observer.0.token_obtained(now.wall, token.expires_at().wall);
        self.report.token(
            &token,
            (sent.grant, is_shared),
            self.endpoint.scopes(),
            self.endpoint.account(),
            now,
        );

        // Before the token is there to be used: its acceptance may end what it begins.
        self.shared.forced(|forced| forced.obtained(generation, &validity, now));
        self.shared.latest.store(Arc::new(Published { token: Some(Arc::new(token)), failure: None }));
        self.published.send_replace(());
        Ok(())
    }

    fn publish_failure(&mut self, sent: Sent, error: RequestError, now: Now) {
        let grant = sent.grant;
        let RequestError { cause, retry_after } = error;
        let retry = self.schedule.failed(FailureKind::of(&cause), retry_after, now, fastrand::f64());
        self.observer.0.token_request(grant.as_str(), cause.outcome(), sent.at.wall..now.wall);
        let failure = Arc::new(Failure {
            cause,
            grant,
            account: Arc::clone(self.endpoint.account()),
            at: now,
            next_try: retry.at,
            is_remembered: retry.is_remembered,
            is_repeated: true,
        });
        let token = self.shared.latest.load().token.clone();
        self.report.failure(&failure, token.as_deref(), now);
        self.shared.forced(ForcedRenewals::failed);
        self.shared.latest.store(Arc::new(Published { token, failure: Some(failure) }));
        self.published.send_replace(());
    }

    /// The scopes requested (RFC 6749 section 5.1), which for a refresh are those of the token before
    /// (section 6).
    fn scopes_of_a_response_without_any(&self, grant: GrantType) -> Vec<String> {
        let latest = self.shared.latest.load();
        let before = latest.token.as_ref().filter(|_| grant == GrantType::RefreshToken);
        before.map_or_else(|| self.endpoint.scopes().names(), |token| token.scopes()).to_vec()
    }
}

#[cfg(test)]
mod rejections;
#[cfg(test)]
mod script;
#[cfg(test)]
mod tests;

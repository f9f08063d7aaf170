//! One client request and its one answer.
//!
//! ```text
//! admit -> token -> [ send -> decide -> relay | refuse | wait, renew, again ]
//! ```
//!
//! Every attempt's head is written from the client's, never patched from the last attempt.
//! Cancellation: dropping the exchange, or the reply that came of it, ends its attempt; nothing
//! that others wait for depends on it, since tokens are fetched by a task of their own.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use http::Method;
use tokio::time::{Instant, sleep};

use super::failure::{self, Refused};
use super::fields::{self, Additions};
use super::guard::{self, Admitted};
use super::parts::{Settings, Shared};
use super::problem::{Problem, ProblemKind};
use super::replay::Replay;
use super::reply;
use super::reply::{Reply, Visit};
use super::retry::{self, Facts, Reason, Seen, SoFar, Verdict};
use crate::backoff;
use crate::clock::Clock;
use crate::message::{Content, FieldSink, Next, RequestHead, Version};
use crate::metrics::{Shard, Shards};
use crate::oauth::{AccessToken, NoNewer, Tokens};
use crate::transport::{Answer, Delivered, Failure, Outgoing, Reuse, Transport};

/// What an answer that is not passed on may still send, so that its connection can be used again.
const DRAIN_LIMIT: usize = 64 * 1024;

/// The proxy, for one core. Cheap to clone.
#[derive(Clone)]
pub struct Proxy {
    pub(super) shared: Arc<Shared>,
}

impl Proxy {
    /// A proxy that counts into `shard`, which is one of `shards`.
    pub fn new(
        settings: Settings,
        tokens: Tokens,
        transport: Transport,
        clock: Clock,
        shard: Arc<Shard>,
        shards: Shards,
    ) -> Self {
        Self { shared: Arc::new(Shared { settings, tokens, transport, clock, shard, shards }) }
    }

    /// Does one exchange up to the head of its answer; the reply streams the rest.
    pub async fn exchange<C: Content>(&self, head: &RequestHead, content: C) -> Reply<C> {
        let shared = &self.shared;
        let visit = Visit::begin(shared.clone(), head.method.clone());
        match shared.attempt_all(head, content, &visit).await {
            Ok(relayed) => Reply::relayed(relayed, visit),
            Err(Refused::Problem(problem)) => Reply::problem(problem, head, visit),
            Err(Refused::Gone) => Reply::gone(visit),
        }
    }

    /// The answer to something that the parser refused.
    pub fn refuse<C: Content>(&self, kind: ProblemKind, detail: &str) -> Reply<C> {
        let visit = Visit::begin(self.shared.clone(), unparsed_method());
        Reply::problem(Problem::new(kind, detail), &RequestHead::default(), visit)
    }

    /// Looks after the pool of connections; see [`Transport::sweep`].
    pub fn sweep(&self) {
        self.shared.transport.sweep(Instant::now());
    }
}

/// Counts as `other`.
fn unparsed_method() -> Method {
    Method::from_bytes(b"-").unwrap_or_default()
}

impl Shared {
    async fn attempt_all<C: Content>(
        &self,
        head: &RequestHead,
        content: C,
        visit: &Visit,
    ) -> Result<reply::Relayed<C>, Refused> {
        let admitted = self.admit(head)?;
        if admitted.preflight {
            return Ok(reply::Relayed::Preflight);
        }
        let upgrades = fields::asks_for_websocket(head);
        let mut replay = Replay::new(content, self.settings.replay_buffer);
        let mut so_far = SoFar::default();
        let mut token = self.token(&mut replay, &mut so_far).await?;
        let mut reuse = Reuse::Allowed;
        let mut began = visit.began;
        loop {
            let attempt = Attempt { shared: self, head, admitted: &admitted, token: &token, upgrades };
            let outcome = self.transport.send(&attempt, &mut replay, reuse).await;
            let facts = Facts { replayable: replay.is_replayable(), idempotent: is_idempotent(&head.method) };
            let seen = match &outcome {
                Ok(answer) => {
                    self.shard.upstream_duration.observe(began.elapsed());
                    self.look(answer, &token)
                }
                Err(failure) if failure.is_the_clients() => return Err(failure::refused(failure)),
                Err(failure) => Seen::Failure {
                    undelivered: failure.delivered == Delivered::Nothing,
                    reused: failure.reused,
                },
            };
            let verdict = retry::decide(seen, so_far, facts, self.settings.rules, fastrand::f64());
            match (verdict, outcome) {
                (Verdict::Relay { unreplayable }, Ok(answer)) => {
                    self.note_unreplayable(unreplayable, &token);
                    return relay(answer, replay, upgrades, unreplayable);
                }
                (Verdict::Resend { reason, after }, outcome) => {
                    give_up(outcome, &mut replay).await;
                    so_far.count(reason, after);
                    self.shard.resent(reason.index());
                    if reason == Reason::Connection {
                        reuse = Reuse::Forbidden;
                    } else {
                        unless_gone(Box::pin(sleep(after)), &mut replay).await?;
                        // The wait may have outlived the token.
                        token = self.token(&mut replay, &mut so_far).await?;
                    }
                }
                (Verdict::RenewAndResend, Ok(answer)) => {
                    match self.renew(&token, &mut replay, &mut so_far).await? {
                        Some(newer) => {
                            give_up(Ok(answer), &mut replay).await;
                            so_far.count(Reason::Unauthorized, Duration::ZERO);
                            self.shard.resent(Reason::Unauthorized.index());
                            token = newer;
                        }
                        None => return relay(answer, replay, upgrades, None),
                    }
                }
                (_, Err(failure)) => return Err(failure::refused(&failure)),
                (Verdict::Refuse, Ok(answer)) => return relay(answer, replay, upgrades, None),
            }
            replay.rewind();
            began = Instant::now();
        }
    }

    fn admit<'a>(&self, head: &'a RequestHead) -> Result<Admitted<'a>, Refused> {
        let admitted = guard::admit(head, &self.settings.guard)
            .map_err(|refusal| failure::not_admitted(refusal, head))?;
        if fields::has_looped(head, self.settings.loop_member.as_bytes()) {
            return Err(Problem::new(ProblemKind::Loop, "").into());
        }
        let own = self.shard.in_flight.load(Ordering::Relaxed);
        if self.shards.is_over(own, self.settings.in_flight) {
            let detail = format!("{} requests are in flight already", self.settings.in_flight);
            return Err(Problem::new(ProblemKind::TooMany, detail)
                .retry_after(Duration::from_secs(1))
                .into());
        }
        Ok(admitted)
    }

    /// A valid token: at once where there is one, else within what is left of `max_wait`.
    async fn token<C: Content>(
        &self,
        replay: &mut Replay<C>,
        so_far: &mut SoFar,
    ) -> Result<Arc<AccessToken>, Refused> {
        let now = self.clock.now();
        if let Some(token) = self.tokens.current(now) {
            return Ok(token);
        }
        let deadline = self.deadline(now.steady, so_far);
        let waiting = Box::pin(self.tokens.valid(&self.clock, deadline));
        let outcome = unless_gone(waiting, replay).await?;
        so_far.waited += now.steady.elapsed();
        outcome.map_err(|unavailable| failure::no_token(&unavailable).into())
    }

    /// A token newer than the one that was refused; `None` where it is too soon to ask for one.
    async fn renew<C: Content>(
        &self,
        refused: &AccessToken,
        replay: &mut Replay<C>,
        so_far: &mut SoFar,
    ) -> Result<Option<Arc<AccessToken>>, Refused> {
        let began = Instant::now();
        let deadline = self.deadline(began, so_far);
        let waiting = Box::pin(self.tokens.newer_than(refused.generation(), &self.clock, deadline));
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

    /// What `retry` needs to know of an answer. An answer other than 401 means that the token was
    /// accepted.
    fn look(&self, answer: &Answer, token: &AccessToken) -> Seen {
        let status = answer.head().status;
        if status != 401 {
            self.tokens.accepted(token.generation());
        }
        let retry_after = if status == 429 {
            backoff::retry_after(answer.head().fields.all(b"Retry-After"), self.clock.now().wall)
        } else {
            None
        };
        Seen::Answer { status, retry_after }
    }

    /// The request could not be sent again; the next one shall succeed all the same.
    fn note_unreplayable(&self, unreplayable: Option<Reason>, token: &AccessToken) {
        let Some(reason) = unreplayable else { return };
        self.shard.replay_skipped(reason.index());
        if reason == Reason::Unauthorized {
            self.tokens.reject(token.generation());
        }
    }
}

impl SoFar {
    fn count(&mut self, reason: Reason, waited: Duration) {
        match reason {
            Reason::Unauthorized => self.unauthorized += 1,
            Reason::RateLimited => self.rate_limited += 1,
            Reason::Connection => self.connection += 1,
        }
        self.waited = self.waited.saturating_add(waited);
    }
}

fn relay<C: Content>(
    answer: Answer,
    replay: Replay<C>,
    upgrades: bool,
    unreplayable: Option<Reason>,
) -> Result<reply::Relayed<C>, Refused> {
    let head = answer.head();
    if head.status == 101 && !(upgrades && head.fields.lists(b"Upgrade", b"websocket")) {
        return Err(Problem::new(ProblemKind::UnaskedUpgrade, "").into());
    }
    Ok(reply::Relayed::Answer { answer, replay, unreplayable: unreplayable.is_some() })
}

/// Lets go of an answer that is not passed on. Its content is read where it is there already,
/// so that the connection can serve again.
async fn give_up<C: Content>(outcome: Result<Answer, Failure>, replay: &mut Replay<C>) {
    let Ok(mut answer) = outcome else { return };
    if !answer.is_uploaded() {
        return;
    }
    let mut drained = 0;
    poll_fn(|cx| {
        while drained < DRAIN_LIMIT
            && let Poll::Ready(Ok(Next::Bytes)) = answer.poll_next(cx, replay)
        {
            let count = answer.bytes().len();
            drained += count;
            answer.consume(count);
        }
        Poll::Ready(())
    })
    .await;
}

/// Waits, unless the client goes away.
async fn unless_gone<F: Future, C: Content>(waiting: F, content: &mut C) -> Result<F::Output, Refused> {
    let mut waiting = pin!(waiting);
    poll_fn(|cx| match waiting.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => content.poll_gone(cx).map(|()| Err(Refused::Gone)),
    })
    .await
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}

/// One sending of a request.
struct Attempt<'a> {
    shared: &'a Shared,
    head: &'a RequestHead,
    admitted: &'a Admitted<'a>,
    token: &'a AccessToken,
    upgrades: bool,
}

impl Outgoing for Attempt<'_> {
    fn method(&self) -> &Method {
        &self.head.method
    }

    fn target(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.shared.settings.base.prefix);
        out.extend_from_slice(&self.admitted.path);
    }

    fn fields(&self, sink: &mut impl FieldSink, to: Version) {
        let additions = Additions {
            authorization: self.token.authorization_bytes(),
            loop_member: self.shared.settings.loop_member.as_bytes(),
            via: self.shared.settings.via,
            upgrades: self.upgrades,
        };
        fields::outgoing(self.head, &additions, to, sink);
    }

    fn upgrades(&self) -> bool {
        self.upgrades
    }
}

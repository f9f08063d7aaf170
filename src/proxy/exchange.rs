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
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use http::Method;
use tokio::time::{Instant, sleep};

use super::failure::{self, Refused};
use super::fields::{self, Additions};
use super::guard::{self, Admitted};
use super::lead::{self, Lead};
use super::parts::{Settings, Shared};
use super::problem::{Problem, ProblemKind};
use super::profile::{self, Profile};
use super::replay::Replay;
use super::reply::{Passing, Relayed, Reply, Visit};
use super::retry::{self, Facts, Reason, Seen, SoFar, Verdict};
use super::waits::unless_gone;
use crate::backoff;
use crate::clock::Clock;
use crate::message::{Content, FieldSink, Framing, Next, RequestHead, Version};
use crate::metrics::Shards;
use crate::oauth::AccessToken;
use crate::transport::{Answer, Base, Delivered, Failure, Outgoing, Reuse};

/// What an answer that is not passed on may still send, so that its connection can be used again.
const DRAIN_LIMIT: usize = 64 * 1024;

/// The proxy, for one core. Cheap to clone.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
    /// By which listener its requests come in.
    listener: usize,
}

impl Proxy {
    /// A proxy for the first listener. `shards` are those of all profiles on all cores; `None`
    /// where there is no profile.
    pub fn new(settings: Settings, profiles: Vec<Profile>, clock: Clock, shards: Shards) -> Option<Self> {
        (!profiles.is_empty())
            .then(|| Self { shared: Arc::new(Shared { settings, profiles, clock, shards }), listener: 0 })
    }

    /// The same proxy for what comes in by another listener.
    #[must_use]
    pub fn behind(&self, listener: usize) -> Self {
        Self { shared: self.shared.clone(), listener }
    }

    /// Does one exchange up to the head of its answer; the reply streams the rest.
    pub async fn exchange<C: Content>(&self, head: &RequestHead, content: C) -> Reply<C> {
        let shared = &self.shared;
        let mut visit = Visit::begin(shared.clone(), self.listener, head.method.clone());
        match shared.attempt_all(head, content, &mut visit).await {
            Ok(relayed) => Reply::relayed(relayed, head, visit),
            Err(Refused::Problem(problem)) => Reply::problem(problem, head, visit),
            Err(Refused::Gone) => Reply::gone(visit),
        }
    }

    /// The answer to something that the parser refused.
    pub fn refuse<C: Content>(&self, kind: ProblemKind, detail: &str) -> Reply<C> {
        let visit = Visit::begin(self.shared.clone(), self.listener, unparsed_method());
        Reply::problem(Problem::new(kind, detail), &RequestHead::default(), visit)
    }

    /// Looks after the pool of connections; see [`crate::transport::Transport::sweep`].
    pub fn sweep(&self) {
        for profile in &self.shared.profiles {
            profile.upstream.sweep();
        }
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
        visit: &mut Visit,
    ) -> Result<Relayed<C>, Refused> {
        let admitted = self.admit(head)?;
        if admitted.preflight {
            return Ok(Relayed::Preflight);
        }
        visit.names_upstream = admitted.upstream.is_some();
        let Some((place, profile, path)) = profile::select(&self.profiles, visit.listener, &admitted) else {
            return Err(failure::no_profile(&self.profiles).into());
        };
        visit.turn_to(&profile.shard);
        self.make_room(visit)?;
        let upgrades = fields::asks_for_websocket(head);
        let mut replay = Replay::new(content, self.settings.replay_buffer);
        let mut so_far = SoFar::default();
        let (mut token, base, transport) =
            self.destination(profile, visit.began, &mut replay, &mut so_far).await?;
        let mut reuse = Reuse::Allowed;
        let mut began = visit.began.steady;
        loop {
            let attempt =
                Attempt { shared: self, head, prefix: &base.prefix, path: &path, token: &token, upgrades };
            let outcome = transport.send(&attempt, &mut replay, reuse).await;
            let facts = Facts {
                replayable: replay.is_replayable(),
                idempotent: is_idempotent(&head.method),
                unbegun: replay.is_unbegun(),
            };
            let seen = self.look(&outcome, profile, &token, began);
            let verdict = retry::decide(seen, so_far, facts, self.settings.rules, fastrand::f64());
            match (verdict, outcome) {
                (Verdict::Relay { unreplayable }, Ok(answer)) => {
                    note_unreplayable(unreplayable, profile, &token);
                    return relay(answer, replay, (profile, place, &base), upgrades, unreplayable).await;
                }
                (Verdict::Resend { reason, after }, outcome) => {
                    give_up(outcome, &mut replay).await;
                    so_far.count(reason, after);
                    profile.shard.resent(reason.index());
                    if reason == Reason::Connection {
                        reuse = Reuse::Forbidden;
                    } else {
                        unless_gone(Box::pin(sleep(after)), &mut replay).await?;
                        // The wait may have outlived the token.
                        token = self.token(profile, &mut replay, &mut so_far).await?;
                    }
                }
                (Verdict::RenewAndResend, Ok(answer)) => {
                    match self.renew(profile, &token, &mut replay, &mut so_far).await? {
                        Some(newer) => {
                            give_up(Ok(answer), &mut replay).await;
                            so_far.count(Reason::Unauthorized, Duration::ZERO);
                            profile.shard.resent(Reason::Unauthorized.index());
                            token = newer;
                        }
                        None => return relay(answer, replay, (profile, place, &base), upgrades, None).await,
                    }
                }
                (_, Err(failure)) => return Err(failure::refused(&failure)),
                (Verdict::Refuse, Ok(answer)) => {
                    return relay(answer, replay, (profile, place, &base), upgrades, None).await;
                }
            }
            replay.rewind();
            began = Instant::now();
        }
    }

    fn admit<'a>(&self, head: &'a RequestHead) -> Result<Admitted<'a>, Refused> {
        let is_upstream =
            |secure, authority: &[u8]| self.profiles.iter().any(|profile| profile.is_at(secure, authority));
        let admitted = guard::admit(head, &self.settings.guard, is_upstream)
            .map_err(|refusal| failure::not_admitted(refusal, head))?;
        if fields::has_looped(head, self.settings.loop_member.as_bytes()) {
            return Err(Problem::new(ProblemKind::Loop, "").into());
        }
        Ok(admitted)
    }

    /// Refuses where too much is in flight. The exchange itself is counted already.
    fn make_room(&self, visit: &Visit) -> Result<(), Refused> {
        let own = visit.shard.in_flight.load(Ordering::Relaxed);
        if self.shards.is_over(own, self.settings.in_flight) {
            let detail = format!("{} requests are in flight already", self.settings.in_flight);
            return Err(Problem::new(ProblemKind::TooMany, detail)
                .retry_after(Duration::from_secs(1))
                .into());
        }
        Ok(())
    }

    /// What `retry` needs to know of an attempt that `began` then. An answer other than 401 means that
    /// the token was accepted.
    fn look(
        &self,
        outcome: &Result<Answer, Failure>,
        profile: &Profile,
        token: &AccessToken,
        began: Instant,
    ) -> Seen {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(failure) => {
                let undelivered = failure.delivered == Delivered::Nothing;
                return Seen::Failure { undelivered, dead: failure.is_of_a_dead_connection() };
            }
        };
        profile.shard.upstream_duration.observe(began.elapsed());
        let status = answer.head().status;
        if status != 401 {
            profile.tokens.accepted(token.generation());
        }
        if status == 403 {
            failure::explain_forbidden(answer.head(), profile, token);
        }
        let retry_after = if matches!(status, 429 | 503) {
            backoff::retry_after(answer.head().fields.all(b"Retry-After"), self.clock.now().wall)
        } else {
            None
        };
        Seen::Answer { status, retry_after }
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

/// The request could not be sent again; the next one shall succeed all the same.
fn note_unreplayable(unreplayable: Option<Reason>, profile: &Profile, token: &AccessToken) {
    let Some(reason) = unreplayable else { return };
    profile.shard.replay_skipped(reason.index());
    if reason == Reason::Unauthorized {
        profile.tokens.reject(token.generation());
    }
}

async fn relay<C: Content>(
    answer: Answer,
    mut replay: Replay<C>,
    (profile, place, base): (&Profile, usize, &Arc<Base>),
    upgrades: bool,
    unreplayable: Option<Reason>,
) -> Result<Relayed<C>, Refused> {
    let head = answer.head();
    if head.status == 101 && !(upgrades && head.fields.lists(b"Upgrade", b"websocket")) {
        return Err(Problem::new(ProblemKind::UnaskedUpgrade, "").into());
    }
    let rewrites = profile.rewrites_links && lead::may_hold_links(head);
    let hides_length = rewrites && answer.framing() == Framing::None;
    let (answer, lead) = if rewrites && Lead::can_hold(&answer) {
        Box::pin(Lead::gather(answer, &mut replay)).await?
    } else {
        (answer, None)
    };
    Ok(Relayed::Answer(Passing {
        answer,
        replay,
        lead,
        hides_length,
        profile: place,
        base: base.clone(),
        unreplayable: unreplayable.is_some(),
        trailers: None,
    }))
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

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE].contains(method)
}

/// One sending of a request.
struct Attempt<'a> {
    shared: &'a Shared,
    head: &'a RequestHead,
    prefix: &'a [u8],
    path: &'a [u8],
    token: &'a AccessToken,
    upgrades: bool,
}

impl Outgoing for Attempt<'_> {
    fn method(&self) -> &Method {
        &self.head.method
    }

    fn target(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefix);
        out.extend_from_slice(self.path);
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

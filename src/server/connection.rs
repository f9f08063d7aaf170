//! One client connection, from the accept to its end: parked without memory while nothing comes,
//! driven by hyper while requests do.
//!
//! All of it is one task with one alarm. While requests come one after the other nothing is measured
//! but the moment at which a response has left.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::alarm::Alarm;
use super::client_io::ClientIo;
use super::http1::{Http1Service, Payload, RequestService};
use super::setup::Setup;
use super::signals::Signals;
use super::silence::{Deadline, Silence};
use super::states::{Phase, Reading, Stop};
use super::tls::HANDSHAKE_RECORD;
use super::waiting::Stall;
use super::{ParseProblem, closing, http2};

/// How often an upload is looked after whose client may have gone: hyper does not read then.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is left to do with a connection.
enum After {
    /// Waits without memory for the next request.
    Park(ClientIo),
    Close,
    /// The response has left and was the last one.
    Linger(ClientIo),
    /// A response broke off that ends with the connection, and the socket knows no reset.
    Hold(ClientIo),
    /// A document of our own, and the end.
    Refuse(ClientIo, ParseProblem),
    Http2(ClientIo),
    /// Somebody else has the byte stream now.
    Tunnel,
}

/// Why hyper's turn is over.
enum Verdict {
    /// hyper says so.
    Ended,
    Stop(Stop),
    /// There was silence for long enough.
    Silence(Deadline),
    /// A response has left, and hyper holds the beginning of the next head, perhaps.
    Unsure,
    Stalled,
}

/// Serves a connection to its end. `accepted`: when it was. Cancellation: the connection is closed.
pub(super) async fn serve<S, B>(
    mut io: ClientIo,
    signals: Arc<Signals>,
    service: S,
    setup: Arc<Setup>,
    accepted: Instant,
) where
    S: RequestService<B>,
    B: Payload,
{
    poll_fn(|cx| {
        signals.set_driver(cx.waker());
        Poll::Ready(())
    })
    .await;
    let mut connection = Connection {
        signals,
        service,
        alarm: Alarm::new(accepted + setup.limits.header_timeout),
        setup,
        silence: Silence::new(accepted),
        finished: 0,
        stall: Stall::default(),
        is_roomy: false,
    };
    loop {
        if !connection.park(&io).await {
            return;
        }
        // What serves requests is large: behind a pointer it is there only while requests come.
        match Box::pin(connection.run(io)).await {
            After::Park(parked) => io = parked,
            After::Close => return,
            After::Linger(io) => return Box::pin(closing::linger(io)).await,
            After::Hold(io) => {
                let patience = connection.setup.limits.idle_timeout;
                return Box::pin(closing::hold(io, &connection.signals, patience)).await;
            }
            After::Refuse(io, problem) => {
                if problem == ParseProblem::Tls {
                    let (peer, own) = io.stream().addresses();
                    connection.setup.note_tls(peer, own);
                }
                let response = connection.setup.problem(problem);
                return Box::pin(closing::refuse(io, &connection.signals, response)).await;
            }
            After::Http2(io) => {
                let Connection { signals, service, setup, alarm, .. } = connection;
                return Box::pin(http2::serve(io, signals, service, setup, alarm, accepted)).await;
            }
            After::Tunnel => return connection.watch_tunnel().await,
        }
    }
}

struct Connection<S> {
    signals: Arc<Signals>,
    service: S,
    setup: Arc<Setup>,
    alarm: Alarm,
    silence: Silence,
    /// How many responses had left when the silence began.
    finished: u32,
    stall: Stall,
    /// The client has sent a head of more than 100 fields.
    is_roomy: bool,
}

/// hyper's connection over a client's byte stream.
type Hyper<S> = UpgradeableConnection<TokioIo<ClientIo>, Http1Service<S>>;

impl<S> Connection<S> {
    /// Waits for the client with as little memory as can be. False where it has waited long enough, or
    /// the connection is to be closed.
    async fn park(&mut self, io: &ClientIo) -> bool {
        poll_fn(|cx| {
            // The look comes before everything else: something may have begun to arrive.
            if io.poll_readable(cx).is_ready() {
                return Poll::Ready(true);
            }
            if self.signals.take_close_idle() {
                return Poll::Ready(false);
            }
            let (due, _) = self.silence.deadline(&self.setup.limits, self.signals.is_draining(), true);
            loop {
                if self.alarm.poll(cx, due).is_pending() {
                    return Poll::Pending;
                }
                if Instant::now() >= due {
                    return Poll::Ready(false);
                }
                self.alarm.set(due);
            }
        })
        .await
    }

    /// Has hyper serve requests until there is a reason to do something else.
    async fn run<B>(&mut self, mut io: ClientIo) -> After
    where
        S: RequestService<B>,
        B: Payload,
    {
        // The first look at a request comes so soon even if the connection is never idle again.
        self.alarm.not_after(Instant::now() + LOOK_EVERY.min(self.setup.look_every()));
        loop {
            let builder = if self.is_roomy { &self.setup.roomy } else { &self.setup.builder };
            let service = Http1Service::new(self.service.clone(), self.signals.clone(), self.setup.clone());
            let mut hyper = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
            let verdict = poll_fn(|cx| self.poll_hyper(cx, &mut hyper)).await;
            let Some((mut back, rest)) = self.take_back(hyper).await else { return After::Tunnel };
            match verdict {
                Verdict::Ended => return self.after_end(back),
                Verdict::Stop(Stop::Http2) => return After::Http2(back),
                Verdict::Stop(Stop::Fragment) => return After::Refuse(back, ParseProblem::Fragment),
                Verdict::Stop(Stop::NoMemory) => return After::Refuse(back, ParseProblem::HeadTooLarge),
                // hyper has taken the head and parsed it: a length is beyond what it can count.
                Verdict::Stop(Stop::Refused(431)) if rest.is_empty() => {
                    return After::Refuse(back, ParseProblem::Malformed);
                }
                Verdict::Stop(Stop::Refused(431)) if !self.is_roomy && !self.is_in_target(&back) => {
                    // Perhaps there are only more fields than hyper has places for.
                    self.is_roomy = true;
                }
                Verdict::Stop(Stop::Refused(status)) => {
                    let problem = self.explain(status, &back);
                    return After::Refuse(back, problem);
                }
                Verdict::Silence(Deadline::HeadTimedOut) => {
                    return After::Refuse(back, ParseProblem::HeaderTimeout);
                }
                // hyper holds nothing then but empty lines: see `poll_silence`.
                Verdict::Silence(Deadline::Park) => return After::Park(back),
                Verdict::Silence(Deadline::Close) => return After::Close,
                Verdict::Unsure => {
                    back.begin_head(rest);
                    io = back;
                    continue;
                }
                Verdict::Stalled => {
                    tracing::debug!("a client connection is cut off: the client stands still");
                    back.stream_mut().reset_on_close();
                    return After::Close;
                }
            }
            back.put_back(rest);
            io = back;
        }
    }

    fn poll_hyper<B>(&mut self, cx: &mut Context<'_>, hyper: &mut Hyper<S>) -> Poll<Verdict>
    where
        S: RequestService<B>,
        B: Payload,
    {
        loop {
            let polled = Pin::new(&mut *hyper).poll(cx);
            if let Some(stop) = self.signals.take_stop() {
                return Poll::Ready(Verdict::Stop(stop));
            }
            if let Poll::Ready(ended) = polled {
                if let Err(error) = ended {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a client connection has ended"
                    );
                }
                return Poll::Ready(Verdict::Ended);
            }
            if self.signals.take_body_dropped() {
                // What hyper makes of the rest decides whether the connection goes on.
                continue;
            }
            let fired = if self.signals.phase() == Phase::Idle {
                self.poll_silence(cx)
            } else {
                self.poll_request(cx)
            };
            match fired {
                Poll::Ready(Some(verdict)) => return Poll::Ready(verdict),
                // The look is hyper's to take.
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// No request is in progress. hyper holds the beginning of a head at most, and after that has been
    /// made sure, none that has not passed the gate.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Option<Verdict>> {
        let finished = self.signals.finished();
        if finished != self.finished {
            self.finished = finished;
            let now = Instant::now();
            self.silence.begin(now);
            self.stall = Stall::default();
            self.signals.set_idle_since(self.setup.connections.millis(now));
            if self.signals.reading() != Reading::Head {
                return Poll::Ready(Some(Verdict::Unsure));
            }
        }
        if self.signals.has_head_begun() {
            if !self.silence.has_head() {
                self.silence.head_begins(Instant::now());
            }
        } else if self.signals.take_close_idle() {
            return Poll::Ready(Some(Verdict::Silence(Deadline::Close)));
        }
        loop {
            let (due, what) = self.silence.deadline(&self.setup.limits, self.signals.is_draining(), false);
            if self.alarm.poll(cx, due).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= due {
                return Poll::Ready(Some(Verdict::Silence(what)));
            }
            self.alarm.set(due);
        }
    }

    /// A request is in progress: looks from time to time whether the client stands still, or has gone.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<Verdict>> {
        if self.alarm.poll(cx, self.alarm.at()).is_pending() {
            return Poll::Pending;
        }
        let now = Instant::now();
        let stalled = self.stall.look(&self.signals.waiting, now);
        if self.setup.limits.stall_timeout.is_some_and(|limit| stalled >= limit) {
            return Poll::Ready(Some(Verdict::Stalled));
        }
        let every = self.setup.look_every();
        self.alarm.set(now + if self.signals.has_open_body() { every.min(LOOK_EVERY) } else { every });
        self.signals.want_look();
        Poll::Ready(None)
    }

    /// Takes the byte stream from hyper, with what hyper has read and not used. `None` where it has
    /// become a tunnel.
    async fn take_back<B>(&mut self, hyper: Hyper<S>) -> Option<(ClientIo, Bytes)>
    where
        S: RequestService<B>,
        B: Payload,
    {
        if let Some(parts) = hyper.into_parts() {
            return Some((parts.io.into_inner(), parts.read_buf));
        }
        // hyper has ended it as an upgrade. Where nobody upgrades it, it comes back to us.
        let upgraded = self.signals.take_upgrade()?.await.ok()?;
        let parts = upgraded.downcast::<TokioIo<ClientIo>>().ok()?;
        Some((parts.io.into_inner(), parts.read_buf))
    }

    /// What follows when hyper has ended the connection.
    fn after_end(&self, mut io: ClientIo) -> After {
        if self.signals.has_broken_off() && self.signals.is_close_delimited() {
            return if io.stream_mut().reset_on_close() { After::Close } else { After::Hold(io) };
        }
        if self.signals.has_ended() { After::Close } else { After::Linger(io) }
    }

    /// Why hyper has refused a head.
    fn explain(&self, status: u16, io: &ClientIo) -> ParseProblem {
        match status {
            414 => ParseProblem::TargetTooLong,
            431 if self.is_in_target(io) => ParseProblem::TargetTooLong,
            431 => ParseProblem::HeadTooLarge,
            _ if io.gate().first_byte() == HANDSHAKE_RECORD => ParseProblem::Tls,
            _ => ParseProblem::Malformed,
        }
    }

    fn is_in_target(&self, io: &ClientIo) -> bool {
        io.gate().is_in_target(self.setup.limits.header_size)
    }

    /// Waits for the end of a tunnel that somebody else runs, and ends it where the process drains or
    /// the client does not take what waits for it.
    async fn watch_tunnel(mut self) {
        self.stall = Stall::default();
        self.alarm.set(Instant::now() + self.setup.look_every());
        poll_fn(|cx| {
            if self.signals.is_closed() {
                return Poll::Ready(());
            }
            if self.signals.is_draining() {
                self.signals.cut();
            }
            while self.alarm.poll(cx, self.alarm.at()).is_ready() {
                let now = Instant::now();
                let stalled = self.stall.look(&self.signals.waiting, now);
                if self.setup.limits.stall_timeout.is_some_and(|limit| stalled >= limit) {
                    tracing::debug!("a tunnel is cut off: the client takes nothing");
                    self.signals.cut();
                }
                self.alarm.set(now + self.setup.look_every());
            }
            Poll::Pending
        })
        .await;
    }
}

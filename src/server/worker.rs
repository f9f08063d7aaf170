//! One worker a core: a thread with a runtime of its own that serves the connections it was given.
//!
//! The first worker accepts, and gives each connection to the worker with the fewest. A listener
//! for each core would let the kernel's hash decide, and a few long-lived connections might all
//! end on one core; and it would need `SO_REUSEPORT`, which lets others share the port.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::acceptor::{Acceptor, Incoming};
use super::client_io::ClientIo;
use super::connections::{Connections, Counted, Registry};
use super::http1::{Payload, RequestService};
use super::listener::Listener;
use super::setup::{Setup, Tuning};
use super::signals::Signals;
use super::stream::Stream;
use super::tls::{Handshake, client_names};
use super::{Arrival, Limits, ParseProblem, ParseProblems};
use super::{closing, connection};
use crate::drain::{Drain, Phase};

/// How often `tick` is called.
const TICK_EVERY: Duration = Duration::from_secs(5);
/// How often idle connections are looked for while somebody waits for a place.
const LOOK_FOR_IDLE_EVERY: Duration = Duration::from_millis(200);

/// One worker, before its thread runs it.
#[derive(Debug)]
pub struct Worker {
    /// The first worker's.
    listeners: Vec<Listener>,
    orders: Option<mpsc::UnboundedReceiver<Order>>,
    workers: Arc<[mpsc::UnboundedSender<Order>]>,
    index: usize,
    connections: Connections,
    /// For connections to come.
    setup: Arc<ArcSwap<Setup>>,
    registry: Registry,
    drain: Drain,
    /// The first worker's: dropped once its listeners are closed.
    listening: Option<watch::Sender<()>>,
    /// The others': closed once the listeners are.
    listeners_closed: Option<watch::Receiver<()>>,
}

/// What the first worker asks of the others.
#[derive(Debug)]
enum Order {
    /// Serve this connection. It has been counted.
    Serve(Incoming, Counted),
    /// Close this many idle connections.
    CloseIdle(usize),
}

/// As many workers as `threads` (at least one), and the number of their connections. The first worker
/// accepts from all listeners; [`Arrival::listener`] is a listener's index.
pub fn workers(
    listeners: Vec<Listener>,
    threads: usize,
    limits: Limits,
    problems: ParseProblems,
    drain: &Drain,
) -> (Vec<Worker>, Connections) {
    let threads = threads.max(1);
    let connections = Connections::new(threads, limits.connections);
    let setup = Arc::new(ArcSwap::from_pointee(Setup::new(limits, problems, connections.clone())));
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..threads).map(|_| mpsc::unbounded_channel()).unzip();
    let senders: Arc<[_]> = senders.into();
    let (listening, listeners_closed) = watch::channel(());
    let mut first = Some((listeners, listening));
    let workers = receivers.into_iter().enumerate().map(|(index, orders)| {
        let (listeners, listening) = first.take().unzip();
        Worker {
            listeners: listeners.unwrap_or_default(),
            orders: Some(orders),
            workers: senders.clone(),
            index,
            connections: connections.clone(),
            setup: setup.clone(),
            registry: Registry::default(),
            drain: drain.clone(),
            listeners_closed: listening.is_none().then(|| listeners_closed.clone()),
            listening,
        }
    });
    (workers.collect(), connections)
}

impl Worker {
    /// Changes the limits of all workers of this server.
    pub fn tuning(&self) -> Tuning {
        Tuning(self.setup.clone())
    }

    /// Serves until the drain is over: all connections closed, or the phase cut. `make` makes the
    /// service of a connection; `tick` is called every few seconds. To be run on this worker's own
    /// current-thread runtime, which is dropped afterwards with whatever was cut. Fails where the
    /// listeners cannot be used.
    pub async fn run<M, S, B>(mut self, make: M, tick: impl Fn()) -> io::Result<()>
    where
        M: Fn(&Arrival) -> S + Clone + Send + 'static,
        S: RequestService<B>,
        B: Payload,
    {
        let Some(mut orders) = self.orders.take() else { return Ok(()) };
        let (alive, mut all_closed) = mpsc::channel::<()>(1);
        let mut acceptor = Acceptor::new(std::mem::take(&mut self.listeners))?;
        let mut ticks = interval(TICK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drain = self.drain.clone();
        let mut listeners_closed = self.listeners_closed.take();
        let mut draining = std::pin::pin!(async {
            drain.settled().await;
            // A client whose connection is ended connects again at once: the old listener must not take it then.
            if let Some(closed) = &mut listeners_closed {
                let _ = closed.changed().await;
            }
        });
        // Accepted, but one too many: it waits until another one closes.
        let mut waiting: Option<Incoming> = None;
        loop {
            tokio::select! {
                incoming = acceptor.accept(), if waiting.is_none() => {
                    if self.connections.is_full() {
                        waiting = Some(incoming);
                        self.connections.set_crowded(true);
                        self.ask_for_places();
                    } else {
                        self.place(incoming, &make, &alive);
                    }
                }
                () = self.place_found(), if waiting.is_some() => {
                    if !self.connections.is_full() {
                        self.connections.set_crowded(false);
                        if let Some(incoming) = waiting.take() {
                            self.place(incoming, &make, &alive);
                        }
                    }
                }
                Some(order) = orders.recv() => self.obey(order, &make, &alive),
                _ = ticks.tick() => tick(),
                () = &mut draining => break,
            }
        }
        // Connections that the kernel has completed are the listener's already: their requests may
        // have begun to arrive.
        if let Some(incoming) = waiting {
            self.place(incoming, &make, &alive);
        }
        for incoming in acceptor.close() {
            self.place(incoming, &make, &alive);
        }
        drop(self.listening.take());
        orders.close();
        while let Some(order) = orders.recv().await {
            self.obey(order, &make, &alive);
        }
        self.registry.order_drain();
        drop(alive);
        tokio::select! {
            _ = all_closed.recv() => {}
            () = drain.reached(Phase::Cut) => {}
        }
        Ok(())
    }

    /// Waits until there may be a place. Cancel safe.
    async fn place_found(&self) {
        tokio::select! {
            () = self.connections.closed() => {}
            () = sleep(LOOK_FOR_IDLE_EVERY) => self.ask_for_places(),
        }
    }

    /// Has every worker close some of its idle connections.
    fn ask_for_places(&self) {
        let count = self.connections.batch().div_ceil(self.workers.len().max(1));
        for worker in self.workers.iter() {
            let _ = worker.send(Order::CloseIdle(count));
        }
    }

    /// Gives a new connection to the worker with the fewest; to this one where that is among them.
    fn place<M, S, B>(&self, incoming: Incoming, make: &M, alive: &mpsc::Sender<()>)
    where
        M: Fn(&Arrival) -> S + Clone + Send + 'static,
        S: RequestService<B>,
        B: Payload,
    {
        let least = self.connections.least(self.index);
        // Counted here: a burst would all go to one worker before it looks.
        let counted = self.connections.add(least);
        if least == self.index {
            return self.serve(incoming, counted, make, alive);
        }
        let Some(worker) = self.workers.get(least) else { return };
        // A worker that drains takes no more; but what was accepted is served.
        if let Err(mpsc::error::SendError(Order::Serve(incoming, _))) =
            worker.send(Order::Serve(incoming, counted))
        {
            let counted = self.connections.add(self.index);
            self.serve(incoming, counted, make, alive);
        }
    }

    fn obey<M, S, B>(&self, order: Order, make: &M, alive: &mpsc::Sender<()>)
    where
        M: Fn(&Arrival) -> S + Clone + Send + 'static,
        S: RequestService<B>,
        B: Payload,
    {
        match order {
            Order::Serve(incoming, counted) => self.serve(incoming, counted, make, alive),
            Order::CloseIdle(count) => {
                let now = self.connections.millis(Instant::now());
                self.registry.close_idle(count, now);
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "`run` waits for the end of all connections")]
    fn serve<M, S, B>(&self, incoming: Incoming, counted: Counted, make: &M, alive: &mpsc::Sender<()>)
    where
        M: Fn(&Arrival) -> S + Clone + Send + 'static,
        S: RequestService<B>,
        B: Payload,
    {
        let Incoming { accepted, mut arrival, tls } = incoming;
        let stream = match accepted.start() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot serve a connection");
                return;
            }
        };
        arrival.uid = stream.peer_uid();
        let now = Instant::now();
        let signals = Arc::new(Signals::new(self.connections.millis(now)));
        let open = self.registry.add(signals.clone(), counted, alive.clone());
        let head_size = self.connections.head_size();
        let setup = self.setup.load_full();
        let (tls, socket) = match (tls, stream) {
            (Some(tls), Stream::Tcp(socket)) => (tls, socket),
            (_, stream) => {
                let io = ClientIo::new(stream, signals.clone(), open, head_size);
                tokio::spawn(connection::serve(io, signals, make(&arrival), setup, now));
                return;
            }
        };
        let make = make.clone();
        tokio::spawn(async move {
            let io = |stream| ClientIo::new(stream, signals.clone(), open, head_size);
            match Box::pin(tls.handshake(socket, &signals, &setup.limits, now)).await {
                Handshake::Done(session) => {
                    arrival.is_secure = true;
                    arrival.names = client_names(&session);
                    let io = io(Stream::Tls(session));
                    connection::serve(io, signals.clone(), make(&arrival), setup, now).await;
                }
                Handshake::Plain(socket) => {
                    let response = setup.problem(ParseProblem::NoTls);
                    closing::refuse(io(Stream::Tcp(socket)), &signals, response).await;
                }
                Handshake::Failed => {}
            }
        });
    }
}

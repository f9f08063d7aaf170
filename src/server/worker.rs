//! One worker a core: a thread with a runtime of its own that serves the connections it was given.
//!
//! The first worker accepts, and gives each connection to the worker with the fewest. A listener
//! for each core would let the kernel's hash decide, and a few long-lived connections might all
//! end on one core; and it would need `SO_REUSEPORT`, which lets others share the port.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::io::Accepted;
use super::listen::{Accepting, Listener};
use super::{Limits, Service, connection};
use crate::drain::{Drain, Phase};
use crate::metrics::{Shard, Shards};

/// How often idle upstream connections are looked after.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Out of file descriptors, most likely: some will be closed.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// One worker, before its thread runs it.
pub struct Worker {
    listener: Option<Listener>,
    incoming: mpsc::UnboundedReceiver<Accepted>,
    desks: Arc<[Desk]>,
    index: usize,
    limits: Limits,
    drain: Drain,
}

/// Where a worker takes its connections from, and how many it has.
struct Desk {
    sender: mpsc::UnboundedSender<Accepted>,
    shard: Arc<Shard>,
}

/// A worker for each shard, which counts its connections there.
pub fn workers(listener: Listener, shards: &Shards, limits: Limits, drain: &Drain) -> Vec<Worker> {
    let (desks, receivers): (Vec<_>, Vec<_>) = shards
        .iter()
        .map(|shard| {
            let (sender, receiver) = mpsc::unbounded_channel();
            (Desk { sender, shard: shard.clone() }, receiver)
        })
        .unzip();
    let desks: Arc<[Desk]> = desks.into();
    let mut listener = Some(listener);
    receivers
        .into_iter()
        .enumerate()
        .map(|(index, incoming)| Worker {
            listener: listener.take(),
            incoming,
            desks: desks.clone(),
            index,
            limits,
            drain: drain.clone(),
        })
        .collect()
}

/// Counts one connection for as long as it is open.
struct Open {
    shard: Arc<Shard>,
    _alive: mpsc::Sender<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shard.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    /// Serves until the drain is over: all connections closed, or the phase cut. `sweep` is called
    /// every few seconds. To be run on this worker's own runtime, which is dropped afterwards with
    /// whatever was cut.
    pub async fn run<S: Service>(mut self, service: S, sweep: impl Fn()) -> io::Result<()> {
        let accepting = self.listener.take().map(Listener::start).transpose()?;
        let (alive, mut all_closed) = mpsc::channel::<()>(1);
        let mut tick = interval(SWEEP_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let drain = self.drain.clone();
        let mut draining = std::pin::pin!(drain.settled());
        loop {
            tokio::select! {
                accepted = next(accepting.as_ref()) => match accepted {
                    Ok(accepted) => self.place(accepted, &service, &alive),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
                    }
                },
                // The one who gave it has counted it.
                Some(accepted) = self.incoming.recv() => self.serve(accepted, &service, &alive),
                _ = tick.tick() => sweep(),
                () = &mut draining => break,
            }
        }
        // Connections that the kernel has completed are the listener's already: their requests may
        // have begun to arrive.
        if let Some(accepting) = accepting {
            while let Some(Ok(accepted)) = at_once(accepting.accept()).await {
                self.place(accepted, &service, &alive);
            }
        }
        self.incoming.close();
        while let Some(accepted) = self.incoming.recv().await {
            self.serve(accepted, &service, &alive);
        }
        drop(alive);
        tokio::select! {
            _ = all_closed.recv() => {}
            () = drain.reached(Phase::Cut) => {}
        }
        Ok(())
    }

    /// Gives a new connection to the worker with the fewest; to this one where that is among them.
    fn place<S: Service>(&self, accepted: Accepted, service: &S, alive: &mpsc::Sender<()>) {
        let load = |desk: &Desk| desk.shard.connections.load(Ordering::Relaxed);
        let own = self.desks.get(self.index).map_or(0, load);
        let least = self.desks.iter().min_by_key(|desk| load(desk)).filter(|desk| load(desk) < own);
        let Some(desk) = least.or(self.desks.get(self.index)) else { return };
        // Counted here: a burst would all go to one desk before its worker looks.
        desk.shard.connections.fetch_add(1, Ordering::Relaxed);
        if least.is_none() {
            self.serve(accepted, service, alive);
        } else if let Err(mpsc::error::SendError(accepted)) = desk.sender.send(accepted) {
            // That worker drains and takes no more; but what was accepted is served.
            desk.shard.connections.fetch_sub(1, Ordering::Relaxed);
            if let Some(own) = self.desks.get(self.index) {
                own.shard.connections.fetch_add(1, Ordering::Relaxed);
            }
            self.serve(accepted, service, alive);
        }
    }

    /// Serves a connection that has been counted.
    #[allow(clippy::disallowed_methods, reason = "the worker waits for all of its connections' ends")]
    fn serve<S: Service>(&self, accepted: Accepted, service: &S, alive: &mpsc::Sender<()>) {
        let Some(desk) = self.desks.get(self.index) else { return };
        let open = Open { shard: desk.shard.clone(), _alive: alive.clone() };
        match accepted.split() {
            Ok((read, write)) => {
                let (service, limits, drain) = (service.clone(), self.limits, self.drain.clone());
                tokio::spawn(async move {
                    connection::serve(read, write, service, limits, drain).await;
                    drop(open);
                });
            }
            Err(error) => tracing::warn!(%error, "cannot serve a connection"),
        }
    }
}

async fn next(accepting: Option<&Accepting>) -> io::Result<Accepted> {
    match accepting {
        Some(accepting) => accepting.accept().await,
        None => std::future::pending().await,
    }
}

/// The outcome, if it is there without waiting.
async fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

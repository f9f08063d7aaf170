//! The way to an end: serving, draining, cut off.

use tokio::sync::watch;

/// Where the process stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is served.
    #[default]
    Serving,
    /// Nothing new is accepted; what has begun is finished.
    Draining,
    /// What is left is dropped.
    Cut,
}

/// Moves the phase on.
#[derive(Debug)]
pub struct Drainer(watch::Sender<Phase>);

/// Watches the phase. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Phase>);

/// A process that is serving.
pub fn drain() -> (Drainer, Drain) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (Drainer(sender), Drain(receiver))
}

impl Drainer {
    /// Moves on to `phase`; never back.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|current| {
            let later = phase > *current;
            if later {
                *current = phase;
            }
            later
        });
    }
}

impl Drain {
    /// True once draining has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Waits until draining has begun and the runtime has looked at its sockets since, so that what
    /// arrived before is there for those who try to read or to accept it. Cancel safe.
    pub async fn settled(&self) {
        self.reached(Phase::Draining).await;
        // Gives way to the runtime's I/O driver: readiness is known only to whom it has told.
        tokio::task::yield_now().await;
    }

    /// Waits until `phase` is reached, or until nobody can move it on any more. Cancel safe.
    pub async fn reached(&self, phase: Phase) {
        // An error means that the drainer is gone, and with it every reason to go on.
        let _ = self.0.clone().wait_for(|current| *current >= phase).await;
    }
}

//! How the process ends: serving, draining, cut off.

use tokio::sync::watch;

/// How far the end of the process has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Everything is served.
    #[default]
    Serving,
    /// Everything is still served, but the readiness probe says no: load balancers get time to notice.
    Announced,
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
    /// True once the end was announced: no new work should be sent here.
    pub fn is_announced(&self) -> bool {
        *self.0.borrow() >= Phase::Announced
    }

    /// True once draining has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Waits until draining has begun and the runtime has looked at its sockets since, so that what
    /// arrived before can be read or accepted. Cancel safe.
    pub async fn settled(&self) {
        self.reached(Phase::Draining).await;
        // Lets the runtime's I/O driver run: a task knows of a socket only what the driver has seen.
        tokio::task::yield_now().await;
    }

    /// Waits until `phase` is reached, or until nobody can move it on any more. Cancel safe.
    pub async fn reached(&self, phase: Phase) {
        // An error means that the drainer is gone, and the process is about to end.
        let _ = self.0.clone().wait_for(|current| *current >= phase).await;
    }
}

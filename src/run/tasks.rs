//! Tasks that run for as long as somebody needs them.

use std::sync::Arc;

use tokio::sync::watch;

/// Keeps a task running: it ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct TaskGuard(pub(super) Arc<watch::Sender<()>>);

/// How a task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskEnd {
    /// It was asked to, or nobody needed it any more.
    Expected,
    /// Somebody needs it.
    Unexpected,
}

impl TaskGuard {
    /// A guard, and what its task waits for beside its work. Cancel safe.
    pub(super) fn new() -> (Self, impl Future<Output = ()> + Send) {
        let (sender, mut receiver) = watch::channel(());
        let gone = async move {
            // An error says that all senders are gone.
            while receiver.changed().await.is_ok() {}
        };
        (Self(Arc::new(sender)), gone)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn the_last_clone_ends_the_task() {
        let (guard, gone) = TaskGuard::new();
        let mut gone = pin!(gone);
        let clone = guard.clone();
        drop(guard);
        assert!(poll_fn(|cx| Poll::Ready(gone.as_mut().poll(cx).is_pending())).await);
        drop(clone);
        gone.await;
    }
}

//! The runtime of a command, on the thread that runs it.

use std::io;

/// Runs a future on this thread, to its end or the first error in setting up.
///
/// A thread that is still blocked then, in a name resolution or in a file system that hangs, is not waited for.
pub(crate) fn on_this_thread<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(future);
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::task::spawn_blocking;

    use super::*;

    #[test]
    fn the_end_waits_for_no_thread_that_is_blocked() {
        let (free, blocked) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let outcome = on_this_thread(async {
            drop(spawn_blocking(move || {
                begun.send(()).unwrap();
                blocked.recv()
            }));
            Ok(1)
        });
        assert_eq!(outcome.unwrap(), 1);
        // It is blocked until here.
        has_begun.recv().unwrap();
        drop(free);
    }
}

//! The signals of the program, and the thread that waits for them.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the program, in the order of their arrival. Those that would end it by the system's
/// default and must not are taken over as well.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hang_up: Signal,
    user: [Signal; 2],
}

/// What a signal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The program is to end, by the signal with this number.
    End(u8),
    /// The configuration is to be read again.
    HangUp,
}

impl Signals {
    /// Takes the signals over from the system's default, which would end the process at once.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    /// Waits for the next one that ends the program, and returns its number. Cancel safe.
    pub(super) async fn next(&mut self) -> u8 {
        loop {
            match self.any().await {
                Event::End(number) => return number,
                Event::HangUp => tracing::warn!(
                    "SIGHUP is ignored: there is nothing to read again, or the program is about to end"
                ),
            }
        }
    }

    /// Waits for the next one that means something. Cancel safe.
    pub(super) async fn any(&mut self) -> Event {
        let [first, second] = &mut self.user;
        let kind = loop {
            tokio::select! {
                _ = self.terminate.recv() => break SignalKind::terminate(),
                _ = self.interrupt.recv() => break SignalKind::interrupt(),
                _ = self.quit.recv() => break SignalKind::quit(),
                _ = self.hang_up.recv() => return Event::HangUp,
                _ = first.recv() => {}
                _ = second.recv() => {}
            }
        };
        Event::End(u8::try_from(kind.as_raw_value()).unwrap_or_default())
    }
}

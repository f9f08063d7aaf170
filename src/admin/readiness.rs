//! Can requests be served? Only with a valid token, and not once the process has begun to end.

use super::Pages;
use crate::clock::Now;
use crate::oauth::State;

/// The reason where they cannot, as plain text: one line with the word that `/status` has for it,
/// and one with the next step.
///
/// Takes a turn of the timer at most. Where there is no valid token the keeper is called, so that a
/// probe finds out about a token that ran out while the machine was suspended even where no request
/// comes. Cancel safe.
pub(super) async fn judge(pages: &Pages, now: Now) -> Result<(), String> {
    if pages.drain.has_begun() {
        return Err("not ready (draining): the process is about to end\n".to_owned());
    }
    // The deadline is now: this is a look, with the reason and its hint.
    let Err(unavailable) = pages.tokens.valid(&pages.clock, now.steady).await else { return Ok(()) };
    let (why, hint) = (&unavailable.why, unavailable.why.hint());
    match pages.tokens.snapshot(pages.clock.now()).state {
        // It came in between the two looks.
        State::Valid => Ok(()),
        state @ (State::Absent | State::Expired | State::Refused | State::Unreachable) => {
            Err(format!("not ready ({}): {why}\nhint: {hint}\n", state.as_str()))
        }
    }
}

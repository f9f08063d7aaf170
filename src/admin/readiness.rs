//! Can requests be served? Only with a valid token, and not once the process has begun to end.

use super::{Pages, ProfilePages};
use crate::clock::Now;
use crate::oauth::State;

/// The reason where they cannot, as plain text: one line with the word that `/status` has for it,
/// and one with the next step.
///
/// Takes a turn of the timer at most. Where there is no valid token the keeper is called, so that a
/// probe finds out about a token that ran out while the machine was suspended even where no request
/// comes. Cancel safe.
pub(super) async fn judge(pages: &Pages, which: Option<usize>, now: Now) -> Result<(), String> {
    if pages.drain.has_begun() {
        return Err("not ready (draining): the process is about to end\n".to_owned());
    }
    let mut reasons = String::new();
    for (place, profile) in pages.profiles.iter().enumerate() {
        if which.is_none_or(|which| which == place)
            && let Err(reason) = judge_one(pages, profile, now).await
        {
            reasons.push_str(&reason);
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

async fn judge_one(pages: &Pages, profile: &ProfilePages, now: Now) -> Result<(), String> {
    let name = if pages.named { format!("{}: ", profile.name) } else { String::new() };
    // The deadline is now: this is a look, with the reason and its hint.
    let Err(unavailable) = profile.tokens.valid(&pages.clock, now.steady).await else {
        return discovered(profile, &name);
    };
    let (why, hint) = (&unavailable.why, unavailable.why.hint());
    match profile.tokens.snapshot(pages.clock.now()).state {
        // It came in between the two looks.
        State::Valid => Ok(()),
        state @ (State::Absent | State::Expired | State::Refused | State::Unreachable) => {
            Err(format!("{name}not ready ({}): {why}\nhint: {hint}\n", state.as_str()))
        }
    }
}

fn discovered(profile: &ProfilePages, name: &str) -> Result<(), String> {
    if (profile.base_url)().is_some() {
        return Ok(());
    }
    let what = "not ready (undiscovered): it is not known yet where the tenant's API is";
    Err(format!("{name}{what}\nhint: see the log for what the discovery said\n"))
}

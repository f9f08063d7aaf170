//! Can requests be served? Only with a valid token and a known upstream, not during a pause, and not once the
//! process has begun to end.

use super::{Pages, ProfilePages};
use crate::access::{Problem, ProblemKind};
use crate::clock::Now;
use crate::tokens::{State, Unavailable};

/// Whose readiness is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Every profile must be ready.
    All,
    /// One of them is enough.
    Any,
    /// The profile at this place must be ready.
    One(usize),
}

/// The reason where they cannot, as plain text: one line with the word that `/status` has for it, one with
/// the next step, and one with the next try where there is one.
///
/// Takes one turn of the timer at most. Where there is no valid token the refresh task is woken, so that a
/// probe finds a token that expired while the machine was suspended even where no request comes. Cancel
/// safe.
pub(super) async fn check(pages: &Pages, wanted: Wanted, now: Now) -> Result<(), String> {
    if pages.drain.is_announced() {
        return Err("not ready (draining): the process is about to end\n".to_owned());
    }
    if pages.pause.is_on() {
        return Err("not ready (paused): an operator has paused the proxy\n".to_owned());
    }
    let mut reasons = String::new();
    for (place, profile) in pages.profiles.iter().enumerate() {
        if matches!(wanted, Wanted::One(one) if one != place) {
            continue;
        }
        match check_one(pages, profile, now).await {
            Ok(()) if wanted == Wanted::Any => return Ok(()),
            Ok(()) => {}
            Err(reason) => reasons.push_str(&reason),
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(reasons) }
}

/// The same without a reason, and without waking anybody: for the gauge.
pub(super) fn is_ready(pages: &Pages, profile: &ProfilePages, now: Now) -> bool {
    !pages.drain.is_announced()
        && !pages.pause.is_on()
        && profile.tokens.snapshot(now).state == State::Valid
        && (profile.base_url)().is_some()
}

async fn check_one(pages: &Pages, profile: &ProfilePages, now: Now) -> Result<(), String> {
    let name = if pages.named { format!("{}: ", profile.metrics.name()) } else { String::new() };
    // The deadline is now: this only looks, and brings the reason with its hint.
    let Err(unavailable) = profile.tokens.valid(now.steady).await else {
        return check_upstream(profile, &name);
    };
    let now = pages.clock.now();
    match profile.tokens.snapshot(now).state {
        // It came between the two looks.
        State::Valid => check_upstream(profile, &name),
        state @ (State::Absent | State::Expired | State::Refused | State::Unreachable) => {
            Err(format!("{name}not ready ({}): {}", state.as_str(), reason(&unavailable, now)))
        }
    }
}

fn reason(unavailable: &Unavailable, now: Now) -> String {
    let next_try =
        unavailable.next_try(now).map(|next_try| format!("next try: {next_try}\n")).unwrap_or_default();
    format!("{unavailable}\nhint: {}\n{next_try}", unavailable.hint())
}

fn check_upstream(profile: &ProfilePages, name: &str) -> Result<(), String> {
    if (profile.base_url)().is_some() {
        return Ok(());
    }
    // The same words as in the response to a client.
    let problem = Problem::new(ProblemKind::Undiscovered);
    let (what, hint) = (problem.detail_text(), problem.hint_text());
    Err(format!("{name}not ready (undiscovered): {what}\nhint: {hint}\n"))
}

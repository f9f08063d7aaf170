//! One case after another. The rules that hold in all cases are in `model`.

use std::time::UNIX_EPOCH;

use super::*;
use crate::clock::Clock;
use crate::secret::Secret;

const HOUR: Duration = Duration::from_hours(1);
pub(super) const MARGIN: Duration = Duration::from_mins(5);
/// An hour without the margin.
const UNTIL_DUE: Duration = Duration::from_mins(55);

pub(super) fn start() -> Now {
    Clock::anchored(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).now()
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn refresh_token(text: &str) -> RefreshToken {
    RefreshToken::new(Secret::new(text.to_owned()))
}

/// What a token must be requested with now, and the refresh token that is sent.
fn requested(schedule: &mut Schedule, now: Now) -> (&'static str, Option<String>) {
    requested_as(schedule, false, now)
}

fn requested_as(schedule: &mut Schedule, forced: bool, now: Now) -> (&'static str, Option<String>) {
    match schedule.next_step(forced, now) {
        Step::Request(TokenRequest::LogIn) => ("log in", None),
        Step::Request(TokenRequest::Refresh(token)) => {
            ("refresh", Some(token.into_secret().reveal().to_owned()))
        }
        other @ (Step::WaitUntil(_) | Step::WaitForResponse) => panic!("requests nothing: {other:?}"),
    }
}

fn waits(schedule: &mut Schedule, now: Now) -> Duration {
    match schedule.next_step(false, now) {
        Step::WaitUntil(moment) => now.until(moment),
        other @ (Step::Request(_) | Step::WaitForResponse) => panic!("does not wait: {other:?}"),
    }
}

/// A schedule that has just got its first token, an hour long.
fn supplied(now: Now, refresh: Option<RefreshToken>) -> Schedule {
    let mut schedule = Schedule::new(MARGIN);
    requested(&mut schedule, now);
    schedule.obtained(Validity::new(now, HOUR), refresh, now);
    schedule
}

#[test]
fn the_first_token_is_requested_at_once_and_only_once() {
    let now = start();
    let mut schedule = Schedule::new(MARGIN);
    assert_eq!(requested(&mut schedule, now), ("log in", None));
    assert!(matches!(schedule.next_step(false, now.plus(HOUR)), Step::WaitForResponse));
}

#[test]
fn renews_the_margin_before_the_stated_end_by_the_refresh_token() {
    let now = start();
    let mut schedule = supplied(now, Some(refresh_token("one")));
    assert_eq!(waits(&mut schedule, now), UNTIL_DUE);
    let due = now.plus(UNTIL_DUE);
    assert_eq!(requested(&mut schedule, due), ("refresh", Some("one".to_owned())));
    assert_eq!(schedule.obtained(Validity::new(due, HOUR), None, due), 2);
    let due = due.plus(UNTIL_DUE);
    assert_eq!(requested(&mut schedule, due), ("log in", None), "no new refresh token leaves none");
}

#[test]
fn the_wall_clock_alone_makes_it_due() {
    let now = start();
    let mut schedule = supplied(now, None);
    let after_a_night = Now { steady: now.steady + secs(1), wall: now.wall + 8 * HOUR };
    assert_eq!(requested(&mut schedule, after_a_night).0, "log in");
}

#[test]
fn a_refresh_that_is_refused_or_answered_uselessly_falls_back_at_once() {
    for kind in [FailureKind::Refused, FailureKind::Unusable] {
        let now = start();
        let mut schedule = supplied(now, Some(refresh_token("one")));
        let due = now.plus(HOUR);
        requested(&mut schedule, due);
        let retry = schedule.failed(kind, None, due, 1.0);
        assert_eq!(retry, Retry { at: due, is_remembered: false });
        assert_eq!(requested(&mut schedule, due), ("log in", None));
        let retry = schedule.failed(kind, None, due, 1.0);
        assert_eq!(retry, Retry { at: due.plus(secs(1)), is_remembered: true }, "the first that counts");
    }
}

#[test]
fn a_refused_refresh_waits_for_retry_after() {
    let now = start();
    let mut schedule = supplied(now, Some(refresh_token("one")));
    let due = now.plus(HOUR);
    requested(&mut schedule, due);
    schedule.failed(FailureKind::Refused, Some(secs(7)), due, 0.0);
    assert_eq!(waits(&mut schedule, due), secs(7));
    assert_eq!(requested(&mut schedule, due.plus(secs(7))), ("log in", None));
}

#[test]
fn a_lost_answer_to_a_refresh_burns_the_refresh_token() {
    for kind in [FailureKind::Temporary, FailureKind::Untrusted] {
        let now = start();
        let mut schedule = supplied(now, Some(refresh_token("one")));
        let due = now.plus(HOUR);
        requested(&mut schedule, due);
        let retry = schedule.failed(kind, None, due, 1.0);
        assert!(waits(&mut schedule, due) > Duration::ZERO);
        assert_eq!(requested(&mut schedule, retry.at), ("log in", None), "{kind:?}");
    }
}

#[test]
fn lasting_failures_are_remembered_from_one_second_doubling_to_sixty() {
    let mut now = start();
    let mut schedule = Schedule::new(MARGIN);
    let mut spacings = Vec::new();
    for round in 0..9 {
        requested(&mut schedule, now);
        let kind = if round % 2 == 0 { FailureKind::Refused } else { FailureKind::Untrusted };
        let retry = schedule.failed(kind, None, now, 0.0);
        assert!(retry.is_remembered);
        spacings.push(now.until(retry.at).as_secs());
        now = retry.at;
    }
    assert_eq!(spacings, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn passing_failures_back_off_with_full_jitter() {
    let mut now = start();
    let mut schedule = Schedule::new(MARGIN);
    let mut waits = Vec::new();
    for _ in 0..7 {
        requested(&mut schedule, now);
        let retry = schedule.failed(FailureKind::Temporary, None, now, 0.5);
        assert!(!retry.is_remembered);
        waits.push(now.until(retry.at).as_millis());
        now = retry.at;
    }
    assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
}

#[test]
fn retry_after_is_never_undercut() {
    for kind in [FailureKind::Refused, FailureKind::Untrusted, FailureKind::Temporary] {
        let now = start();
        let mut schedule = Schedule::new(MARGIN);
        requested(&mut schedule, now);
        let retry = schedule.failed(kind, Some(secs(90)), now, 1.0);
        assert_eq!(now.until(retry.at), secs(90), "{kind:?}");
        assert_eq!(waits(&mut schedule, now.plus(secs(89))), secs(1), "{kind:?}");
    }
}

#[test]
fn success_forgets_the_failures() {
    let now = start();
    let mut schedule = Schedule::new(MARGIN);
    let mut at = now;
    for kind in [FailureKind::Refused, FailureKind::Temporary, FailureKind::Refused, FailureKind::Temporary] {
        requested(&mut schedule, at);
        at = schedule.failed(kind, None, at, 1.0).at;
    }
    requested(&mut schedule, at);
    schedule.obtained(Validity::new(at, HOUR), None, at);
    let due = at.plus(HOUR);
    requested(&mut schedule, due);
    assert_eq!(due.until(schedule.failed(FailureKind::Refused, None, due, 1.0).at), secs(1));
    let again = due.plus(secs(1));
    requested(&mut schedule, again);
    let at = schedule.failed(FailureKind::Temporary, None, again, 1.0).at;
    assert_eq!(again.until(at), Duration::from_millis(500));
}

#[test]
fn a_forced_renewal_does_not_wait_until_it_is_due_but_for_the_end_of_a_pause() {
    let now = start().plus(secs(10));
    let mut schedule = supplied(now, Some(refresh_token("one")));
    assert_eq!(requested_as(&mut schedule, true, now), ("refresh", Some("one".to_owned())));
    assert!(matches!(schedule.next_step(true, now), Step::WaitForResponse));
    let retry = schedule.failed(FailureKind::Temporary, Some(secs(3)), now, 0.0);
    assert_eq!(now.until(retry.at), secs(3));
    assert!(matches!(schedule.next_step(true, now), Step::WaitUntil(moment) if moment == retry.at));
    assert_eq!(requested_as(&mut schedule, true, retry.at), ("log in", None));
}

#[test]
fn a_token_due_on_arrival_makes_no_loop() {
    let sent = start();
    let mut schedule = Schedule::new(MARGIN);
    requested(&mut schedule, sent);
    let arrived = sent.plus(secs(5));
    schedule.obtained(Validity::new(sent, secs(2)), None, arrived);
    assert_eq!(waits(&mut schedule, arrived), LEAST_INTERVAL);
}

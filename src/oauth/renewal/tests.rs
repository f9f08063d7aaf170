//! One case after another. The rules that hold in all of them are in `model`.

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

/// What a token must be asked for with now, and the refresh token that is sent.
fn asked(renewal: &mut Renewal, now: Now) -> (&'static str, Option<String>) {
    match renewal.decide(now) {
        Decision::Ask(Ask::LogIn) => ("log in", None),
        Decision::Ask(Ask::Refresh(token)) => ("refresh", Some(token.into_secret().reveal().to_owned())),
        other @ (Decision::WaitUntil(_) | Decision::WaitForAnswer) => panic!("asks for nothing: {other:?}"),
    }
}

fn waits(renewal: &mut Renewal, now: Now) -> Duration {
    match renewal.decide(now) {
        Decision::WaitUntil(moment) => now.until(moment),
        other @ (Decision::Ask(_) | Decision::WaitForAnswer) => panic!("does not wait: {other:?}"),
    }
}

/// A renewal that has just got its first token, an hour long.
fn supplied(now: Now, refresh: Option<RefreshToken>) -> Renewal {
    let mut renewal = Renewal::new(MARGIN);
    asked(&mut renewal, now);
    renewal.obtained(Validity::new(now, HOUR), refresh, now);
    renewal
}

#[test]
fn asks_at_once_and_only_once() {
    let now = start();
    let mut renewal = Renewal::new(MARGIN);
    assert_eq!(asked(&mut renewal, now), ("log in", None));
    assert!(matches!(renewal.decide(now.plus(HOUR)), Decision::WaitForAnswer));
}

#[test]
fn renews_the_margin_before_the_stated_end_by_the_refresh_token() {
    let now = start();
    let mut renewal = supplied(now, Some(refresh_token("one")));
    assert_eq!(waits(&mut renewal, now), UNTIL_DUE);
    let due = now.plus(UNTIL_DUE);
    assert_eq!(asked(&mut renewal, due), ("refresh", Some("one".to_owned())));
    assert_eq!(renewal.obtained(Validity::new(due, HOUR), None, due), 2);
    let due = due.plus(UNTIL_DUE);
    assert_eq!(asked(&mut renewal, due), ("log in", None), "no new refresh token leaves none");
}

#[test]
fn the_wall_clock_alone_makes_it_due() {
    let now = start();
    let mut renewal = supplied(now, None);
    let after_a_night = Now { steady: now.steady + secs(1), wall: now.wall + 8 * HOUR };
    assert_eq!(asked(&mut renewal, after_a_night).0, "log in");
}

#[test]
fn a_refused_refresh_falls_back_at_once() {
    let now = start();
    let mut renewal = supplied(now, Some(refresh_token("one")));
    let due = now.plus(HOUR);
    asked(&mut renewal, due);
    let hold = renewal.failed(Nature::Refused, None, due, 1.0);
    assert_eq!(hold, Hold { until: due, remembered: false });
    assert_eq!(asked(&mut renewal, due), ("log in", None));
    let hold = renewal.failed(Nature::Refused, None, due, 1.0);
    assert_eq!(hold, Hold { until: due.plus(secs(1)), remembered: true }, "the first that counts");
}

#[test]
fn a_refused_refresh_waits_for_retry_after() {
    let now = start();
    let mut renewal = supplied(now, Some(refresh_token("one")));
    let due = now.plus(HOUR);
    asked(&mut renewal, due);
    renewal.failed(Nature::Refused, Some(secs(7)), due, 0.0);
    assert_eq!(waits(&mut renewal, due), secs(7));
    assert_eq!(asked(&mut renewal, due.plus(secs(7))), ("log in", None));
}

#[test]
fn a_lost_answer_to_a_refresh_burns_the_refresh_token() {
    for nature in [Nature::Passing, Nature::Lasting] {
        let now = start();
        let mut renewal = supplied(now, Some(refresh_token("one")));
        let due = now.plus(HOUR);
        asked(&mut renewal, due);
        let hold = renewal.failed(nature, None, due, 1.0);
        assert!(waits(&mut renewal, due) > Duration::ZERO);
        assert_eq!(asked(&mut renewal, hold.until), ("log in", None), "{nature:?}");
    }
}

#[test]
fn lasting_failures_are_remembered_from_one_second_doubling_to_sixty() {
    let mut now = start();
    let mut renewal = Renewal::new(MARGIN);
    let mut spacings = Vec::new();
    for round in 0..9 {
        asked(&mut renewal, now);
        let nature = if round % 2 == 0 { Nature::Refused } else { Nature::Lasting };
        let hold = renewal.failed(nature, None, now, 0.0);
        assert!(hold.remembered);
        spacings.push(now.until(hold.until).as_secs());
        now = hold.until;
    }
    assert_eq!(spacings, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn passing_failures_back_off_with_full_jitter() {
    let mut now = start();
    let mut renewal = Renewal::new(MARGIN);
    let mut waits = Vec::new();
    for _ in 0..7 {
        asked(&mut renewal, now);
        let hold = renewal.failed(Nature::Passing, None, now, 0.5);
        assert!(!hold.remembered);
        waits.push(now.until(hold.until).as_millis());
        now = hold.until;
    }
    assert_eq!(waits, [250, 500, 1000, 2000, 4000, 5000, 5000]);
}

#[test]
fn retry_after_is_never_undercut() {
    for nature in [Nature::Refused, Nature::Lasting, Nature::Passing] {
        let now = start();
        let mut renewal = Renewal::new(MARGIN);
        asked(&mut renewal, now);
        let hold = renewal.failed(nature, Some(secs(90)), now, 1.0);
        assert_eq!(now.until(hold.until), secs(90), "{nature:?}");
        assert_eq!(waits(&mut renewal, now.plus(secs(89))), secs(1), "{nature:?}");
    }
}

#[test]
fn success_forgets_the_failures() {
    let now = start();
    let mut renewal = Renewal::new(MARGIN);
    let mut at = now;
    for nature in [Nature::Refused, Nature::Passing, Nature::Refused, Nature::Passing] {
        asked(&mut renewal, at);
        at = renewal.failed(nature, None, at, 1.0).until;
    }
    asked(&mut renewal, at);
    renewal.obtained(Validity::new(at, HOUR), None, at);
    let due = at.plus(HOUR);
    asked(&mut renewal, due);
    assert_eq!(due.until(renewal.failed(Nature::Refused, None, due, 1.0).until), secs(1));
    let again = due.plus(secs(1));
    asked(&mut renewal, again);
    let until = renewal.failed(Nature::Passing, None, again, 1.0).until;
    assert_eq!(again.until(until), Duration::from_millis(500));
}

#[test]
fn a_demand_forces_one_renewal_and_an_older_one_none() {
    let now = start().plus(secs(10));
    let mut renewal = supplied(now, None);
    assert_eq!(renewal.demand(0, now), Demand::Superseded);
    assert!(waits(&mut renewal, now) > Duration::ZERO);
    for _ in 0..100 {
        assert_eq!(renewal.demand(1, now), Demand::Granted);
    }
    asked(&mut renewal, now);
    assert_eq!(renewal.demand(1, now), Demand::Granted, "answered by the request under way");
    renewal.obtained(Validity::new(now, HOUR), None, now);
    assert_eq!(renewal.demand(1, now), Demand::Superseded);
    assert!(waits(&mut renewal, now) > Duration::ZERO);
}

#[test]
fn forced_renewals_are_spaced_while_fresh_tokens_are_refused() {
    let mut now = start();
    let mut renewal = supplied(now, None);
    let mut spacings = Vec::new();
    for generation in 1..=9 {
        assert_eq!(renewal.demand(generation, now), Demand::Granted);
        asked(&mut renewal, now);
        renewal.obtained(Validity::new(now, HOUR), None, now);
        let (since, until) = renewal.spacing().unwrap();
        assert_eq!(since, 2);
        let spacing = now.until(until);
        assert_eq!(renewal.demand(generation + 1, now), Demand::TooSoon);
        assert_eq!(renewal.demand(generation + 1, now.plus(spacing.mul_f64(0.999))), Demand::TooSoon);
        spacings.push(spacing.as_secs());
        now = until;
    }
    assert_eq!(spacings, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn a_demand_that_came_too_soon_forces_nothing_later() {
    let now = start();
    let mut renewal = supplied(now, None);
    renewal.demand(1, now);
    asked(&mut renewal, now);
    renewal.obtained(Validity::new(now, HOUR), None, now);
    assert_eq!(renewal.demand(2, now), Demand::TooSoon);
    assert!(waits(&mut renewal, now.plus(secs(5))) > secs(60));
}

#[test]
fn one_accepted_request_ends_the_spacing() {
    let now = start();
    let mut renewal = supplied(now, None);
    renewal.demand(1, now);
    asked(&mut renewal, now);
    renewal.obtained(Validity::new(now, HOUR), None, now);
    renewal.accepted(1);
    assert_eq!(renewal.demand(2, now), Demand::TooSoon, "the refused token's late success proves nothing");
    renewal.accepted(2);
    assert_eq!(renewal.spacing(), None);
    assert_eq!(renewal.demand(2, now), Demand::Granted);
}

#[test]
fn a_token_due_on_arrival_makes_no_loop() {
    let sent = start();
    let mut renewal = Renewal::new(MARGIN);
    asked(&mut renewal, sent);
    let arrived = sent.plus(secs(5));
    renewal.obtained(Validity::new(sent, secs(2)), None, arrived);
    assert_eq!(waits(&mut renewal, arrived), BREATH);
}

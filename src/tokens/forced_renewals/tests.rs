use proptest::prelude::*;

use super::*;
use crate::clock::Clock;

const A: PathId = PathId(1);
const B: PathId = PathId(2);
const GOOD: PathId = PathId(3);

fn start() -> Now {
    Clock::anchored(std::time::UNIX_EPOCH + Duration::from_hours(1)).now()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A token came, an hour long.
fn obtain(forced: &mut ForcedRenewals, generation: u64, now: Now) {
    forced.sent();
    forced.obtained(generation, &Validity::new(now, secs(3600)), now);
}

/// The first token has come; no request has used it.
fn supplied(now: Now) -> ForcedRenewals {
    let mut forced = ForcedRenewals::new();
    obtain(&mut forced, 1, now);
    forced
}

/// The path rejects the latest token, which is renewed for it.
fn renew(forced: &mut ForcedRenewals, generation: u64, path: PathId, now: Now) {
    assert_eq!(forced.demand(generation, path, now), Ok(Demand::Granted));
    assert!(forced.is_forced());
    obtain(forced, generation + 1, now);
    assert!(!forced.is_forced());
}

#[test]
fn a_rejection_forces_one_renewal_however_many_report_it() {
    let now = start();
    let mut forced = supplied(now);
    assert_eq!(forced.demand(0, A, now), Ok(Demand::Superseded));
    assert!(!forced.is_forced());
    assert_eq!(forced.demand(1, A, now), Ok(Demand::Granted));
    for path in 1..100 {
        assert_eq!(forced.demand(1, PathId(path), now), Ok(Demand::Joined));
    }
    forced.sent();
    assert_eq!(forced.demand(1, B, now), Ok(Demand::Joined), "in flight");
    forced.failed();
    assert!(forced.is_forced(), "a renewal that was granted stays granted");
    obtain(&mut forced, 2, now);
    assert_eq!(forced.demand(1, A, now), Ok(Demand::Superseded));
}

#[test]
fn a_scheduled_request_in_flight_answers_a_rejection_as_well() {
    let now = start();
    let mut forced = supplied(now);
    forced.sent();
    assert_eq!(forced.demand(1, A, now), Ok(Demand::Joined));
    assert!(!forced.is_forced());
    forced.obtained(2, &Validity::new(now, secs(3600)), now);
    assert_eq!(forced.spaced_until(), None, "it was not forced");
}

#[test]
fn forced_renewals_are_spaced_while_nothing_is_accepted() {
    let mut now = start();
    let mut forced = supplied(now);
    let mut pauses = Vec::new();
    for generation in 1..=9 {
        let path = PathId(generation);
        renew(&mut forced, generation, path, now);
        forced.rejected_again(generation + 1, path, now);
        let until = forced.spaced_until().unwrap();
        pauses.push(now.until(until).as_secs());
        let almost = now.plus(now.until(until).mul_f64(0.999));
        assert_eq!(forced.demand(generation + 1, PathId(100), almost), Err(Denial::TooSoon));
        now = until;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn while_nothing_at_all_is_accepted_one_path_is_as_good_as_many() {
    let mut now = start();
    let mut forced = supplied(now);
    for generation in 1..5 {
        renew(&mut forced, generation, A, now);
        forced.rejected_again(generation + 1, A, now);
        assert_eq!(forced.demand(generation + 1, A, now), Err(Denial::TooSoon));
        now = forced.spaced_until().unwrap();
    }
}

#[test]
fn one_accepted_request_ends_the_spacing_unless_its_token_is_older() {
    let now = start();
    let mut forced = supplied(now);
    renew(&mut forced, 1, A, now);
    forced.accepted(1, B, now);
    assert_eq!(forced.demand(2, B, now), Err(Denial::TooSoon), "a late success of the rejected token");
    forced.accepted(2, B, now);
    assert_eq!(forced.spaced_until(), None);
    renew(&mut forced, 2, B, now);
}

#[test]
fn a_path_of_its_own_is_left_alone_while_others_are_served() {
    let now = start();
    let mut forced = supplied(now);
    forced.accepted(1, GOOD, now);
    renew(&mut forced, 1, A, now);
    assert!(forced.rejected_again(2, A, now));
    for second in 0..60 {
        let now = now.plus(secs(second));
        assert_eq!(forced.demand(2, A, now), Err(Denial::PathRejected));
        assert_eq!(forced.blocked_paths(now), 1);
    }
    let after = now.plus(secs(60));
    renew(&mut forced, 2, A, after);
    forced.rejected_again(3, A, after);
    forced.accepted(3, GOOD, after);
    assert_eq!(forced.demand(3, A, after), Err(Denial::PathRejected), "another minute");
    renew(&mut forced, 3, GOOD, after);
    assert_eq!(forced.demand(3, A, after), Ok(Demand::Superseded), "the newer token is new to it");
}

#[test]
fn paths_of_their_own_do_not_hold_up_a_real_revocation() {
    let mut now = start();
    let mut forced = supplied(now);
    forced.accepted(1, GOOD, now);
    let mut generation = 1;
    for _ in 0..10 {
        for path in [A, B] {
            renew(&mut forced, generation, path, now);
            generation += 1;
            forced.rejected_again(generation, path, now);
            now = now.plus(secs(2));
        }
        now = now.plus(secs(60));
    }
    // For minutes there was no request but of these two, and now the token is revoked.
    renew(&mut forced, generation, GOOD, now);
}

#[test]
fn a_path_that_has_accepted_before_is_believed_until_another_path_accepts_the_token() {
    let now = start();
    let mut forced = supplied(now);
    forced.accepted(1, A, now);
    renew(&mut forced, 1, A, now);
    forced.rejected_again(2, A, now);
    assert_eq!(forced.demand(2, A, now), Err(Denial::TooSoon), "perhaps the new token was revoked too");
    let later = now.plus(secs(1));
    renew(&mut forced, 2, A, later);
    forced.rejected_again(3, A, later);
    forced.accepted(3, GOOD, later);
    assert_eq!(forced.demand(3, A, later), Err(Denial::PathRejected), "it was not");
}

#[test]
fn the_budget_is_sixty_and_one_each_five_seconds() {
    let mut now = start();
    let mut forced = supplied(now);
    let mut generation = 1;
    let mut spend = |forced: &mut ForcedRenewals, now| {
        let demand = forced.demand(generation, PathId(generation), now);
        if demand.is_ok() {
            generation += 1;
            obtain(forced, generation, now);
        }
        forced.accepted(generation, GOOD, now);
        demand
    };
    for _ in 0..60 {
        assert_eq!(spend(&mut forced, now), Ok(Demand::Granted));
    }
    assert_eq!(spend(&mut forced, now), Err(Denial::BudgetSpent));
    now = now.plus(Duration::from_millis(4999));
    assert_eq!(spend(&mut forced, now), Err(Denial::BudgetSpent));
    now = now.plus(Duration::from_millis(1));
    assert_eq!(spend(&mut forced, now), Ok(Demand::Granted));
    assert_eq!(spend(&mut forced, now), Err(Denial::BudgetSpent));
    now = now.plus(secs(12));
    assert_eq!([(); 3].map(|()| spend(&mut forced, now).is_ok()), [true, true, false]);
    now = now.plus(secs(3));
    assert!(spend(&mut forced, now).is_ok(), "parts of an interval are not lost");
    now = now.plus(secs(1_000_000));
    let granted = (0..100).filter(|_| spend(&mut forced, now).is_ok()).count();
    assert_eq!(granted, 60, "never more than sixty");
}

#[test]
fn attention_is_zero_in_the_normal_case() {
    let now = start();
    let mut forced = ForcedRenewals::new();
    assert_eq!(forced.attention(), 0);
    obtain(&mut forced, 1, now);
    assert!(ForcedRenewals::concerns(forced.attention(), A), "no path has accepted it yet");
    forced.accepted(1, A, now);
    assert_eq!(forced.attention(), 0);
    assert!(forced.is_latest_accepted());
    renew(&mut forced, 1, A, now);
    forced.accepted(2, GOOD, now);
    assert!(ForcedRenewals::concerns(forced.attention(), A));
    assert!(!ForcedRenewals::concerns(forced.attention(), B));
    forced.accepted(2, A, now);
    assert_eq!(forced.attention(), 0);
    renew(&mut forced, 2, A, now);
    forced.accepted(3, GOOD, now);
    forced.forget(now.plus(secs(60)));
    assert_eq!(forced.attention(), 0, "in time it is forgotten");
}

#[test]
fn rejections_everywhere_are_reported_once_and_so_is_their_end() {
    let mut now = start();
    let mut forced = supplied(now);
    for generation in 1..5 {
        assert_eq!(forced.is_rejected_everywhere(), generation > 2);
        renew(&mut forced, generation, PathId(generation), now);
        now = forced.spaced_until().unwrap();
    }
    assert_eq!(forced.take_notices(), [Notice::RejectedEverywhere]);
    forced.accepted(5, GOOD, now);
    assert!(forced.has_notices());
    assert_eq!(forced.take_notices(), [Notice::AcceptedAgain]);
    renew(&mut forced, 5, GOOD, now);
    forced.accepted(6, GOOD, now);
    assert_eq!(forced.take_notices(), [], "one revocation is nothing to talk about");
}

/// A server that allows one live token, and another replica that requests tokens too.
#[test]
fn tokens_that_die_young_are_reported_once() {
    let mut now = start();
    let mut forced = supplied(now);
    let mut generation = 1;
    let mut live = |forced: &mut ForcedRenewals, age: u64| {
        forced.accepted(generation, A, now);
        now = now.plus(secs(age));
        renew(forced, generation, A, now);
        generation += 1;
        forced.accepted(generation, A, now);
        forced.take_notices()
    };
    assert_eq!(live(&mut forced, 60), []);
    assert_eq!(live(&mut forced, 60), []);
    let (age, lifetime) = (secs(60), secs(3600));
    assert_eq!(live(&mut forced, 60), [Notice::EarlyRejections { tokens: 3, age, lifetime }]);
    for _ in 0..10 {
        assert_eq!(live(&mut forced, 60), []);
    }
    assert_eq!(live(&mut forced, 1800), [Notice::EarlyRejectionsEnded], "half its life is not young");
    assert_eq!(live(&mut forced, 60), []);
    obtain(&mut forced, 16, start());
    assert_eq!(forced.take_notices(), [], "replaced in time, and nothing had been reported");
}

#[test]
fn a_path_of_its_own_kills_no_token() {
    let now = start();
    let mut forced = supplied(now);
    for generation in 1..10 {
        forced.accepted(generation, GOOD, now);
        renew(&mut forced, generation, PathId(100 + generation), now);
        forced.rejected_again(generation + 1, PathId(100 + generation), now);
    }
    assert_eq!(forced.take_notices(), []);
}

/// What may happen.
#[derive(Clone, Debug)]
enum Event {
    Pass(u64),
    Demand { behind: u64, path: u64 },
    RejectAgain { path: u64 },
    Accept { behind: u64, path: u64 },
    Schedule,
    Obtain,
    Fail,
    Forget,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..3000_u64).prop_map(Event::Pass),
        1 => (0..400_000_u64).prop_map(Event::Pass),
        5 => (0..2_u64, 0..8_u64).prop_map(|(behind, path)| Event::Demand { behind, path }),
        2 => (0..8_u64).prop_map(|path| Event::RejectAgain { path }),
        2 => (0..2_u64, 0..8_u64).prop_map(|(behind, path)| Event::Accept { behind, path }),
        1 => Just(Event::Schedule),
        4 => Just(Event::Obtain),
        1 => Just(Event::Fail),
        1 => Just(Event::Forget),
    ]
}

proptest! {
    /// Whatever happens: no more forced renewals than the budget, none within the spacing, no two at once, and
    /// an acceptance that matters always gets attention.
    #[test]
    fn no_sequence_of_events_breaks_the_limits(events in prop::collection::vec(event(), 0..300)) {
        let mut now = start();
        let mut forced = ForcedRenewals::new();
        let (mut generation, mut in_flight) = (0, false);
        let mut granted_at: Vec<Now> = Vec::new();
        obtain(&mut forced, 1, now);
        generation += 1;
        for event in events {
            match event {
                Event::Pass(millis) => now = now.plus(Duration::from_millis(millis)),
                Event::Demand { behind, path } => {
                    let (was_forced, spaced_until) = (forced.is_forced(), forced.spaced_until());
                    let of = generation - behind.min(generation);
                    match forced.demand(of, PathId(path), now) {
                        Ok(Demand::Granted) => {
                            prop_assert!(behind == 0 && !was_forced && !in_flight);
                            prop_assert!(spaced_until.is_none_or(|until| now.has_reached(until)));
                            granted_at.push(now);
                        }
                        Ok(Demand::Joined) => prop_assert!(was_forced || in_flight),
                        Ok(Demand::Superseded) => prop_assert!(of < generation),
                        Err(Denial::TooSoon) => prop_assert!(spaced_until.is_some()),
                        Err(Denial::PathRejected) => prop_assert!(forced.blocked_paths(now) > 0),
                        Err(Denial::BudgetSpent) => prop_assert!(granted_at.len() >= 60),
                    }
                }
                Event::RejectAgain { path } => {
                    forced.rejected_again(generation, PathId(path), now);
                }
                Event::Accept { behind, path } => {
                    let before = (forced.spaced_until(), forced.blocked_paths(now));
                    let concerns = ForcedRenewals::concerns(forced.attention(), PathId(path));
                    forced.accepted(generation - behind.min(generation), PathId(path), now);
                    let after = (forced.spaced_until(), forced.blocked_paths(now));
                    prop_assert!(concerns || before == after, "it mattered and got no attention");
                }
                Event::Schedule => {
                    forced.sent();
                    in_flight = true;
                }
                Event::Obtain if in_flight || forced.is_forced() => {
                    generation += 1;
                    obtain(&mut forced, generation, now);
                    in_flight = false;
                    prop_assert!(!forced.is_forced());
                }
                Event::Fail if in_flight => {
                    forced.failed();
                    in_flight = false;
                }
                Event::Obtain | Event::Fail => {}
                Event::Forget => forced.forget(now),
            }
        }
        for (number, at) in granted_at.iter().enumerate() {
            let within = granted_at[number..].iter().take_while(|later| at.until(**later) < secs(100)).count();
            prop_assert!(within <= 60 + 20, "{within} in 100 s");
        }
    }
}

use proptest::prelude::*;

use super::*;

fn rate(count: u32, millis: u64) -> Rate {
    Rate { count: NonZeroU32::new(count).unwrap(), per: Duration::from_millis(millis) }
}

/// The starts of requests that all wait from the beginning, each `late` after its turn.
fn starts(limit: FixedLimit, count: usize, late: &[u64]) -> Vec<Duration> {
    let mut fixed = Fixed::new(limit);
    let mut now = Duration::ZERO;
    let mut starts = Vec::new();
    for late in late.iter().cycle().take(count) {
        let Start::At(at) = fixed.next(now) else { panic!("nothing ends here") };
        now = at + Duration::from_millis(*late);
        fixed.take(now);
        starts.push(now);
    }
    starts
}

proptest! {
    #[test]
    fn no_window_has_more_starts_than_the_rate_allows(
        count in 1..60_u32, millis in 1..2000_u64, late in proptest::collection::vec(0..30_u64, 1..20),
    ) {
        let rate = rate(count, millis);
        let starts = starts(FixedLimit { rate: Some(rate), ..FixedLimit::default() }, 300, &late);
        for (first, beyond) in starts.iter().zip(starts.iter().skip(count as usize)) {
            prop_assert!(beyond.saturating_sub(*first) >= rate.per, "{first:?} {beyond:?}");
        }
    }

    #[test]
    fn what_a_place_is_said_to_wait_is_what_it_waits(
        count in 1..60_u32, millis in 1..5000_u64, before in 0..100_usize, place in 0..200_usize,
    ) {
        let limit = FixedLimit { rate: Some(rate(count, millis)), ..FixedLimit::default() };
        let mut fixed = Fixed::new(limit);
        let mut now = Duration::ZERO;
        for _ in 0..before {
            let Start::At(at) = fixed.next(now) else { panic!("nothing ends here") };
            now = at;
            fixed.take(now);
        }
        let said = now + fixed.wait(place, now);
        for _ in 0..=place {
            let Start::At(at) = fixed.next(now) else { panic!("nothing ends here") };
            now = at;
            fixed.take(now);
        }
        // Groups of starts make it a little later than said, and lateness that is made up for sooner.
        let near = Duration::from_millis(40 + 2 * millis / 1024 * (place as u64 / u64::from(count) + 2));
        prop_assert!(now <= said + near && said <= now + near, "said {said:?}, was {now:?}");
    }

    #[test]
    fn spaced_starts_keep_their_distance(late in proptest::collection::vec(0..900_u64, 1..20)) {
        let spacing = Duration::from_secs(1);
        let starts = starts(FixedLimit { spacing: Some(spacing), ..FixedLimit::default() }, 50, &late);
        prop_assert!(starts.windows(2).all(|pair| pair[1].saturating_sub(pair[0]) >= spacing));
    }
}

#[test]
fn a_slow_rate_serves_a_burst_and_a_quick_one_is_spread_evenly() {
    let burst = starts(FixedLimit { rate: Some(rate(150, 300_000)), ..FixedLimit::default() }, 151, &[0]);
    assert_eq!((burst[149], burst[150]), (Duration::ZERO, Duration::from_mins(5)));
    let even = starts(FixedLimit { rate: Some(rate(100, 1000)), ..FixedLimit::default() }, 101, &[0]);
    // The first two may come together, as after a late timer.
    assert!(
        even[50] >= Duration::from_millis(480) && even[50] <= Duration::from_millis(500),
        "{:?}",
        even[50]
    );
    assert_eq!(even[100], Duration::from_secs(1));
}

#[test]
fn requests_at_once_are_counted_by_their_ends() {
    let mut fixed = Fixed::new(FixedLimit { concurrent: NonZeroU32::new(2), ..FixedLimit::default() });
    let now = Duration::from_secs(1);
    fixed.take(now);
    assert_eq!(fixed.next(now), Start::At(now));
    fixed.take(now);
    assert_eq!(fixed.next(now), Start::WhenOneEnds);
    fixed.give_back();
    assert_eq!(fixed.next(now), Start::At(now));
}

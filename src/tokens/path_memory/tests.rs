use proptest::prelude::*;

use super::*;
use crate::clock::Clock;

const A: PathId = PathId(1);
const B: PathId = PathId(2);

fn start() -> Now {
    Clock::anchored(std::time::UNIX_EPOCH + Duration::from_hours(1)).now()
}

fn after(now: Now, seconds: u64) -> Now {
    now.plus(Duration::from_secs(seconds))
}

#[test]
fn one_rejection_blocks_nothing_and_a_fresh_one_does_for_a_minute() {
    let now = start();
    let mut paths = PathMemory::default();
    assert!(!paths.rejected(A, 1, now));
    assert!(!paths.is_blocked(A, 1, now));
    assert!(paths.rejected_fresh(A, 2, now));
    assert!(!paths.rejected_fresh(A, 2, now), "no news");
    assert!(paths.is_blocked(A, 2, after(now, 59)));
    assert!(!paths.is_blocked(A, 2, after(now, 60)));
    assert!(!paths.is_blocked(A, 3, now), "it has not rejected that one");
    assert!(!paths.is_blocked(B, 2, now));
    assert_eq!((paths.blocked(now), paths.blocked(after(now, 60))), (1, 0));
}

#[test]
fn its_minute_is_not_extended_by_what_is_passed_on() {
    let now = start();
    let mut paths = PathMemory::default();
    paths.rejected_fresh(A, 2, now);
    for second in 0..60 {
        paths.rejected(A, 2, after(now, second));
    }
    assert!(!paths.is_blocked(A, 2, after(now, 60)));
    paths.rejected_fresh(A, 3, after(now, 50));
    assert!(paths.is_blocked(A, 3, after(now, 100)), "another fresh token is");
}

#[test]
fn two_tokens_in_a_minute_without_an_acceptance_between_block_it_too() {
    let now = start();
    let mut paths = PathMemory::default();
    paths.rejected(A, 1, now);
    assert!(!paths.rejected(A, 1, now), "the same token");
    assert!(paths.rejected(A, 2, after(now, 59)));
    paths.rejected(B, 1, now);
    assert!(!paths.rejected(B, 2, after(now, 60)), "too long ago");
    let mut paths = PathMemory::default();
    paths.rejected(A, 1, now);
    assert_eq!(paths.accepted(A, 2, now), Some(1));
    assert!(!paths.rejected(A, 2, now));
}

#[test]
fn an_acceptance_ends_it_unless_the_token_is_older() {
    let now = start();
    let mut paths = PathMemory::default();
    paths.rejected_fresh(A, 2, now);
    assert_eq!(paths.accepted(A, 1, now), None);
    assert!(paths.is_blocked(A, 2, now));
    assert!(paths.rejects_fresh_tokens(A) && paths.has_accepted(A, now));
    assert_eq!(paths.accepted(A, 2, now), None, "the same token: the first rejection said nothing of it");
    assert!(!paths.is_blocked(A, 2, now) && !paths.rejects_fresh_tokens(A));
}

#[test]
fn everything_is_forgotten_in_the_end() {
    let now = start();
    let mut paths = PathMemory::default();
    paths.rejected(A, 1, now);
    paths.rejected_fresh(B, 1, now);
    paths.accepted(PathId(3), 1, now);
    assert_eq!(paths.mask(), A.bit() | B.bit());
    paths.forget(after(now, 60));
    assert_eq!(paths.mask(), B.bit(), "it is no news when this one rejects the next fresh token");
    assert!(paths.has_accepted(PathId(3), after(now, 60)));
    paths.forget(after(now, 600));
    assert_eq!(paths.mask(), 0);
    assert!(paths.accepted_at.is_empty());
}

#[test]
fn a_flood_of_paths_takes_no_more_than_its_share() {
    let now = start();
    let mut paths = PathMemory::default();
    for number in 0..10_000 {
        paths.rejected_fresh(PathId(number), 1, now.plus(Duration::from_millis(number)));
        paths.accepted(PathId(1_000_000 + number), 1, now.plus(Duration::from_millis(number)));
    }
    assert_eq!((paths.rejections.len(), paths.accepted_at.len()), (MOST, MOST));
    assert!(paths.is_blocked(PathId(9_999), 1, after(now, 10)), "the latest are kept");
}

proptest! {
    /// Whatever happened to it, a path that accepts a token is not blocked for it.
    #[test]
    fn a_path_that_accepts_is_never_blocked(
        events in prop::collection::vec((any::<bool>(), 0..4_u64, 1..6_u64, 0..90_u64), 0..40),
        generation in 6..9_u64,
    ) {
        let mut now = start();
        let mut paths = PathMemory::default();
        for (is_fresh, path, rejected, seconds) in events {
            now = after(now, seconds);
            if is_fresh {
                paths.rejected_fresh(PathId(path), rejected, now);
            } else {
                paths.rejected(PathId(path), rejected, now);
            }
        }
        paths.accepted(A, generation, now);
        prop_assert!(!paths.is_blocked(A, generation, now));
        prop_assert!(paths.mask() & A.bit() == 0);
    }
}

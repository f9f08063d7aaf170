//! How long to wait before asking again: pure arithmetic, shared by API requests and token requests.
//!
//! Decides durations only. Whether anything waits is decided in `proxy::retry` and in `tokens::schedule`.
//! The random number is an argument.

use std::time::{Duration, SystemTime};

/// The longest `Retry-After` that is believed. A server that asks for more has probably written a date in the
/// wrong century, or milliseconds for seconds. Asking it once a day harms nobody; believing it would need a
/// restart.
pub const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(24);

/// `base` doubled `times` times, never more than `cap`. Huge `times` do not overflow.
pub fn doubling(base: Duration, cap: Duration, times: u32) -> Duration {
    2_u32.checked_pow(times).map_or(cap, |factor| base.saturating_mul(factor)).min(cap)
}

/// Exponential backoff with full jitter: somewhere between zero and [`doubling`].
///
/// `random` is a number from 0 to 1. A number outside of that counts as the nearer end, and NaN as 1.
/// `attempt` counts the waits already made, from 0.
pub fn full_jitter(base: Duration, cap: Duration, attempt: u32, random: f64) -> Duration {
    let share = if random.is_nan() { 1.0 } else { random.clamp(0.0, 1.0) };
    doubling(base, cap, attempt).mul_f64(share)
}

/// The wait that a response's `Retry-After` lines ask for (RFC 9110 section 10.2.3), counted from `now`.
///
/// Both forms are read, seconds and an HTTP date. Of several lines the longest wait counts, since coming too
/// early is the worse mistake. Parts of a second are rounded up, a date that has passed is zero, and nothing
/// is longer than [`LONGEST_RETRY_AFTER`]. Lines in neither form are ignored; `None` where no line is left.
pub fn retry_after<'a>(values: impl IntoIterator<Item = &'a [u8]>, now: SystemTime) -> Option<Duration> {
    values.into_iter().filter_map(|value| one_retry_after(value, now)).max()
}

fn one_retry_after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that do not fit are more seconds than anything waits.
        text.parse().map_or(LONGEST_RETRY_AFTER, Duration::from_secs)
    } else {
        let date = httpdate::parse_http_date(text).ok()?;
        round_up(date.duration_since(now).unwrap_or_default())
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

fn round_up(wait: Duration) -> Duration {
    let part = u64::from(wait.subsec_nanos() > 0);
    Duration::from_secs(wait.as_secs().saturating_add(part))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    const BASE: Duration = Duration::from_millis(500);
    const CAP: Duration = Duration::from_secs(10);
    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const RFC_EXAMPLE: u64 = 784_111_777;

    fn read(lines: &[&str], now: SystemTime) -> Option<Duration> {
        retry_after(lines.iter().map(|line| line.as_bytes()), now)
    }

    #[test]
    fn doubles_until_the_cap() {
        let waits: Vec<_> = (0..7).map(|n| doubling(BASE, CAP, n).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(doubling(BASE, CAP, u32::MAX), CAP);
        assert_eq!(doubling(CAP, BASE, 0), BASE, "the cap holds from the first");
    }

    #[test]
    fn jitter_spans_the_whole_range() {
        assert_eq!(full_jitter(BASE, CAP, 2, 0.0), Duration::ZERO);
        assert_eq!(full_jitter(BASE, CAP, 2, 0.5), Duration::from_secs(1));
        assert_eq!(full_jitter(BASE, CAP, 2, 1.0), Duration::from_secs(2));
        assert_eq!(full_jitter(BASE, CAP, 2, 7.0), Duration::from_secs(2));
        assert_eq!(full_jitter(BASE, CAP, 2, -7.0), Duration::ZERO);
        assert_eq!(full_jitter(BASE, CAP, 2, f64::NAN), Duration::from_secs(2));
    }

    #[test]
    fn retry_after_in_seconds() {
        assert_eq!(read(&["120"], UNIX_EPOCH), Some(Duration::from_mins(2)));
        assert_eq!(read(&[" 7\t"], UNIX_EPOCH), Some(Duration::from_secs(7)));
        assert_eq!(read(&["0"], UNIX_EPOCH), Some(Duration::ZERO));
        assert_eq!(read(&["007"], UNIX_EPOCH), Some(Duration::from_secs(7)));
    }

    #[test]
    fn retry_after_as_a_date_in_all_three_forms() {
        let now = UNIX_EPOCH + Duration::from_secs(RFC_EXAMPLE - 30);
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(read(&[date], now), Some(Duration::from_secs(30)), "{date}");
        }
    }

    #[test]
    fn parts_of_a_second_are_rounded_up() {
        let now = UNIX_EPOCH + Duration::from_secs(RFC_EXAMPLE) - Duration::from_millis(1400);
        assert_eq!(read(&["Sun, 06 Nov 1994 08:49:37 GMT"], now), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_date_that_has_passed_is_zero() {
        let now = UNIX_EPOCH + Duration::from_secs(RFC_EXAMPLE + 1);
        assert_eq!(read(&["Sun, 06 Nov 1994 08:49:37 GMT"], now), Some(Duration::ZERO));
    }

    #[test]
    fn the_longest_of_several_lines_counts() {
        assert_eq!(read(&["3", "soon", "9", "1"], UNIX_EPOCH), Some(Duration::from_secs(9)));
    }

    #[test]
    fn absurd_waits_are_capped() {
        for absurd in ["99999999", "99999999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(read(&[absurd], UNIX_EPOCH), Some(LONGEST_RETRY_AFTER), "{absurd}");
        }
    }

    #[test]
    fn lines_in_neither_form_are_ignored() {
        for nonsense in ["", " ", "soon", "-1", "1.5", "+3", "1s", "\u{661}", "5, 6"] {
            assert_eq!(read(&[nonsense], UNIX_EPOCH), None, "{nonsense:?}");
        }
        assert_eq!(retry_after([b"\xff9".as_slice()], UNIX_EPOCH), None);
        assert_eq!(read(&[], UNIX_EPOCH), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(lines in prop::collection::vec(any::<Vec<u8>>(), 0..4)) {
            let wait = retry_after(lines.iter().map(Vec::as_slice), UNIX_EPOCH);
            prop_assert!(wait.unwrap_or_default() <= LONGEST_RETRY_AFTER);
        }

        #[test]
        fn seconds_are_taken_as_written(seconds in 0..86_400_u64) {
            let text = seconds.to_string();
            prop_assert_eq!(read(&[&text], UNIX_EPOCH), Some(Duration::from_secs(seconds)));
        }

        #[test]
        fn a_written_date_is_never_waited_for_too_short(ahead in 0..80_000_u64, millis in 0..1000_u64) {
            let date = UNIX_EPOCH + Duration::from_secs(RFC_EXAMPLE + ahead);
            let now = UNIX_EPOCH + Duration::from_secs(RFC_EXAMPLE) + Duration::from_millis(millis);
            let wait = read(&[&httpdate::fmt_http_date(date)], now).unwrap();
            prop_assert!(now + wait >= date);
            prop_assert!(now + wait < date.max(now) + Duration::from_secs(1));
        }

        #[test]
        fn jitter_stays_within_its_bounds(attempt in any::<u32>(), random in any::<f64>()) {
            prop_assert!(full_jitter(BASE, CAP, attempt, random) <= doubling(BASE, CAP, attempt));
            prop_assert!(doubling(BASE, CAP, attempt) <= CAP);
        }
    }
}

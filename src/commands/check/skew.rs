//! How far this machine's clock is from the token endpoint's. Values in, a stage out.
//!
//! Tokens and certificates are good between moments of the calendar, so two clocks that disagree make
//! fresh tokens look expired, or not valid yet.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::report::{Stage, Step};

/// Certificates and tokens bear this much; clocks that are set by the network are within it.
const TOLERATED: Duration = Duration::from_mins(1);
/// `Date` counts whole seconds (RFC 9110 section 6.6.1), so on average half of one has gone.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// Compares the peer's `Date` with this machine's clock, `asked` before the request and `answered` after it.
pub(super) fn judge(date: Option<&[u8]>, asked: SystemTime, answered: SystemTime) -> Stage {
    let theirs = date.and_then(|date| std::str::from_utf8(date).ok());
    let Some(theirs) = theirs.and_then(|date| httpdate::parse_http_date(date.trim()).ok()) else {
        return Stage::skipped(Step::Clock, "the token endpoint states no Date");
    };
    let theirs = theirs + HALF_A_SECOND;
    let ours = asked + answered.duration_since(asked).unwrap_or_default() / 2;
    let (apart, ahead) = match ours.duration_since(theirs) {
        Ok(ahead) => (ahead, true),
        Err(error) => (error.duration(), false),
    };
    let seconds = i64::try_from(apart.as_secs()).unwrap_or(i64::MAX);
    let facts = vec![
        (
            "server_date",
            json!(jiff::Timestamp::try_from(theirs - HALF_A_SECOND).ok().map(|at| at.to_string())),
        ),
        ("skew_seconds", json!(if ahead { seconds } else { -seconds })),
    ];
    if apart <= TOLERATED {
        return Stage::ok(Step::Clock, facts);
    }
    let direction = if ahead { "ahead of" } else { "behind" };
    let detail = format!("this machine's clock is {seconds} s {direction} the token endpoint's");
    let hint = "Set this machine's clock by the network (NTP). Until then certificates and tokens may seem expired, \
                or not valid yet.";
    Stage::failed(Step::Clock, detail, hint).with(facts)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::{super::report::Outcome, *};

    const DATE: &[u8] = b"Tue, 15 Nov 1994 08:12:31 GMT";
    const SECONDS: u64 = 784_887_151;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn judged(ours: u64) -> Stage {
        judge(Some(DATE), at(ours), at(ours))
    }

    #[test]
    fn a_minute_is_tolerated_in_both_directions() {
        for (ours, outcome, skew) in [
            (SECONDS, Outcome::Ok, 0),
            (SECONDS + 60, Outcome::Ok, 59),
            (SECONDS - 59, Outcome::Ok, -59),
            (SECONDS + 7200, Outcome::Failed, 7199),
            (SECONDS - 7200, Outcome::Failed, -7200),
        ] {
            let stage = judged(ours);
            assert_eq!(stage.outcome, outcome, "{ours}");
            assert_eq!(
                stage.facts,
                [("server_date", json!("1994-11-15T08:12:31Z")), ("skew_seconds", json!(skew))]
            );
        }
        assert!(judged(SECONDS + 7200).detail.unwrap().contains("7199 s ahead of"));
        assert!(judged(SECONDS - 7200).detail.unwrap().contains("7200 s behind"));
    }

    #[test]
    fn a_slow_answer_was_dated_somewhere_on_the_way() {
        let stage = judge(Some(DATE), at(SECONDS - 8), at(SECONDS + 8));
        assert_eq!(stage.facts[1], ("skew_seconds", json!(0)));
    }

    #[test]
    fn without_a_date_there_is_nothing_to_compare() {
        for date in [None, Some(b"yesterday".as_slice()), Some(b"\xff")] {
            assert_eq!(judge(date, at(0), at(0)).outcome, Outcome::Skipped);
        }
    }

    proptest! {
        #[test]
        fn whatever_the_peer_says_is_survived(date: Vec<u8>, seconds in 0..10_000_000_000_u64) {
            let stage = judge(Some(&date), at(seconds), at(seconds));
            prop_assert_ne!(stage.outcome == Outcome::Failed, stage.hint.is_none());
        }
    }
}

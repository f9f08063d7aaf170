//! How far this machine's clock is from the token endpoint's. Values in, a stage out.
//!
//! Tokens and certificates are good between moments of the calendar, so two clocks that disagree make
//! fresh tokens look expired, or not valid yet.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::stage::{Stage, Step};
use crate::tokens::{CLOCK_HINT, ClockSkew};

/// `Date` counts whole seconds (RFC 9110 section 6.6.1), so on average half of one has gone.
const HALF_A_SECOND: Duration = Duration::from_millis(500);

/// Compares the peer's `Date` with this machine's clock, `asked` before the request and `answered` after it.
pub(super) fn compare(date: Option<&[u8]>, asked: SystemTime, answered: SystemTime) -> Stage {
    let date = date.map(<[u8]>::trim_ascii);
    let theirs = date.and_then(|date| httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok());
    let (Some(date), Some(theirs)) = (date, theirs) else {
        return Stage::skipped(Step::Clock, "the token endpoint sends no Date");
    };
    let ours = asked + answered.duration_since(asked).unwrap_or_default() / 2;
    let facts = vec![
        ("server_date", json!(jiff::Timestamp::try_from(theirs).ok().map(|at| at.to_string()))),
        ("skew_seconds", json!(seconds_between(ours, theirs + HALF_A_SECOND))),
    ];
    match ClockSkew::of(date, asked, answered) {
        None => Stage::ok(Step::Clock, facts),
        Some(skew) => {
            let detail = format!("this machine's clock is {skew} that of the token endpoint");
            Stage::failed(Step::Clock, detail, format!("{CLOCK_HINT}.")).with(facts)
        }
    }
}

/// How far `ours` is ahead of `theirs`; negative where it is behind.
fn seconds_between(ours: SystemTime, theirs: SystemTime) -> i64 {
    let seconds = |apart: Duration| i64::try_from(apart.as_secs()).unwrap_or(i64::MAX);
    match ours.duration_since(theirs) {
        Ok(ahead) => seconds(ahead),
        Err(error) => -seconds(error.duration()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::{super::stage::Outcome, *};

    const DATE: &[u8] = b"Tue, 15 Nov 1994 08:12:31 GMT";
    const SECONDS: u64 = 784_887_151;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn compared(ours: u64) -> Stage {
        compare(Some(DATE), at(ours), at(ours))
    }

    #[test]
    fn a_minute_is_tolerated_in_both_directions() {
        for (ours, outcome, skew) in [
            (SECONDS, Outcome::Ok, 0),
            (SECONDS + 60, Outcome::Ok, 59),
            (SECONDS - 60, Outcome::Ok, -60),
            (SECONDS + 7200, Outcome::Failed, 7199),
            (SECONDS - 7200, Outcome::Failed, -7200),
        ] {
            let stage = compared(ours);
            assert_eq!(stage.outcome, outcome, "{ours}");
            assert_eq!(
                stage.facts,
                [("server_date", json!("1994-11-15T08:12:31Z")), ("skew_seconds", json!(skew))]
            );
        }
        let detail = |ours| compared(ours).detail.unwrap();
        assert_eq!(detail(SECONDS + 61), "this machine's clock is 61 s ahead of that of the token endpoint");
        assert_eq!(detail(SECONDS - 7200), "this machine's clock is 2 h behind that of the token endpoint");
    }

    #[test]
    fn a_slow_answer_was_dated_somewhere_on_the_way() {
        let stage = compare(Some(DATE), at(SECONDS - 8), at(SECONDS + 8));
        assert_eq!(stage.facts[1], ("skew_seconds", json!(0)));
    }

    #[test]
    fn without_a_date_there_is_nothing_to_compare() {
        for date in [None, Some(b"yesterday".as_slice()), Some(b"\xff")] {
            assert_eq!(compare(date, at(0), at(0)).outcome, Outcome::Skipped);
        }
    }

    proptest! {
        #[test]
        fn a_difference_of_more_than_a_minute_fails_and_is_measured(
            theirs in 1_000_000_000_u64..4_000_000_000, apart in -100_000_i64..100_000,
        ) {
            let date = httpdate::fmt_http_date(at(theirs));
            let ours = at(theirs.checked_add_signed(apart).unwrap());
            let stage = compare(Some(date.as_bytes()), ours, ours);
            let is_close = (-60..=60).contains(&apart);
            prop_assert_eq!(stage.outcome, if is_close { Outcome::Ok } else { Outcome::Failed });
            let (_, skew) = stage.facts.last().unwrap();
            prop_assert!((skew.as_i64().unwrap() - apart).abs() <= 1, "{} {}", skew, apart);
            prop_assert_eq!(stage.hint.is_some(), !is_close);
        }

        #[test]
        fn a_date_in_another_form_is_not_compared(date in "[a-zA-Z0-9 ,:]{0,40}") {
            prop_assume!(httpdate::parse_http_date(date.trim()).is_err());
            prop_assert_eq!(compare(Some(date.as_bytes()), at(0), at(0)).outcome, Outcome::Skipped);
        }
    }
}

//! Reads rates: a number of requests in a window of time. Pure.

use std::{num::NonZeroU32, str::FromStr, time::Duration};

use super::values;
use crate::{invalid::Invalid, proxy::pace::Rate};

impl FromStr for Rate {
    type Err = Invalid;

    /// Reads `100/s`, `100/m`, `100/h` or `150/5m`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let (count, window) =
            text.split_once('/').ok_or_else(|| Invalid::because("has no window of time"))?;
        let count = values::count(count, &(1..=u32::MAX))?;
        let count = NonZeroU32::new(count).ok_or_else(|| Invalid::because("is too small"))?;
        let one = Duration::from_millis(1);
        let per = match window {
            "s" | "m" | "h" => values::duration(&format!("1{window}"), one),
            window => values::duration(window, one),
        };
        Ok(Self {
            count,
            per: per.map_err(|Invalid(reason)| Invalid(format!("has a window that {reason}")))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_rate_is_a_count_and_a_window() {
        for (text, count, per) in [
            ("100/s", 100, Duration::from_secs(1)),
            ("1/m", 1, Duration::from_mins(1)),
            ("5000/h", 5000, Duration::from_hours(1)),
            ("150/5m", 150, Duration::from_mins(5)),
            ("2/250ms", 2, Duration::from_millis(250)),
        ] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.count.get(), rate.per), (count, per), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_rate_is_described() {
        for (text, why) in [
            ("100", "has no window of time"),
            ("/s", "is not a whole number"),
            ("0/s", "is too small"),
            ("-1/s", "is not a whole number"),
            ("4294967296/s", "is too large"),
            ("1/0s", "has a window that is too short"),
            ("1/5", "has a window that has no unit"),
            ("1/", "has a window that does not start with a whole number"),
            ("1/d", "has a window that does not start with a whole number"),
            ("1/5d", "has a window that has an unknown unit"),
        ] {
            assert_eq!(text.parse::<Rate>(), Err(Invalid::because(why)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_rate_is_the_same_rate(count in 1_u32.., per in 1_u64..100_000_000) {
            let rate = Rate { count: count.try_into().unwrap(), per: Duration::from_millis(per) };
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }
}

//! A number of requests in a window of time. Pure.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// So many in each window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// The length of the window; more than zero.
    pub per: Duration,
}

impl Rate {
    /// The part of each of so many that share it: together they never start more in a window, where there is one for
    /// each of them; else their windows are longer.
    #[must_use]
    pub(super) fn divided(self, among: NonZeroU32) -> Self {
        match NonZeroU32::new(self.count.get() / among) {
            Some(count) => Self { count, per: self.per },
            None => {
                Self { count: NonZeroU32::MIN, per: self.per.saturating_mul(among.get()) / self.count.get() }
            }
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}ms", self.count, self.per.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parts_together_are_no_more_than_the_whole(count in 1..100_000_u32, among in 1..1000_u32) {
            let number = |number| NonZeroU32::new(number).unwrap();
            let whole = Rate { count: number(count), per: Duration::from_mins(5) };
            let part = whole.divided(number(among));
            let a_second = |rate: Rate| f64::from(rate.count.get()) / rate.per.as_secs_f64();
            prop_assert!(a_second(part) * f64::from(among) <= a_second(whole) * 1.000_001);
            if count >= among {
                prop_assert!(part.per == whole.per && part.count.get() * among <= count);
            }
        }
    }

    #[test]
    fn a_part_of_one_is_the_whole() {
        let whole = Rate { count: NonZeroU32::new(7).unwrap(), per: Duration::from_secs(3) };
        assert_eq!(whole.divided(NonZeroU32::MIN), whole);
    }
}

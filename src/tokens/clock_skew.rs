//! How far this machine's clock is from the token endpoint's. Pure.
//!
//! A wrong clock makes tokens expire too early or too late, and certificates look invalid.

use std::fmt;
use std::time::{Duration, SystemTime};

/// Smaller differences harm nothing, and `Date` counts in whole seconds.
const TOLERATED: Duration = Duration::from_mins(1);

/// A difference that should be fixed. `Display` continues "this machine's clock is" and ends before the other
/// clock is named.
#[derive(Clone, Copy, Debug)]
pub enum ClockSkew {
    /// This machine's clock is ahead.
    Ahead(Duration),
    /// This machine's clock is behind.
    Behind(Duration),
}

impl ClockSkew {
    /// The difference to the response's `Date`, which was written between `sent` and `received`.
    pub fn of(date: &[u8], sent: SystemTime, received: SystemTime) -> Option<Self> {
        let date = httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok()?;
        let exceeds = |difference: &Duration| *difference > TOLERATED;
        let ahead = sent.duration_since(date).ok().filter(exceeds).map(Self::Ahead);
        ahead.or_else(|| date.duration_since(received).ok().filter(exceeds).map(Self::Behind))
    }
}

/// The next step for a person.
pub const CLOCK_HINT: &str =
    "Check the clock of this machine (NTP): tokens may be used too long or replaced too often";

/// Two differences in the same direction are the same state.
impl PartialEq for ClockSkew {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (difference, direction) = match self {
            Self::Ahead(difference) => (difference, "ahead of"),
            Self::Behind(difference) => (difference, "behind"),
        };
        let seconds = difference.as_secs();
        if seconds < 7200 {
            write!(f, "{seconds} s {direction}")
        } else {
            write!(f, "{} h {direction}", seconds / 3600)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn skew(sent: i64, received: i64) -> Option<String> {
        let at = |seconds: i64| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777_u64.wrapping_add_signed(seconds))
        };
        ClockSkew::of(DATE, at(sent), at(received)).map(|skew| skew.to_string())
    }

    #[test]
    fn only_a_difference_of_more_than_a_minute_counts() {
        assert_eq!(skew(0, 0), None);
        assert_eq!(skew(-5, 5), None);
        assert_eq!(skew(60, 65), None);
        assert_eq!(skew(61, 65).unwrap(), "61 s ahead of");
        assert_eq!(skew(-70, -60), None);
        assert_eq!(skew(-70, -61).unwrap(), "61 s behind");
        assert_eq!(skew(90_000, 90_001).unwrap(), "25 h ahead of");
    }

    #[test]
    fn a_date_that_is_none_says_nothing() {
        for date in [b"".as_slice(), b"now", b"\xff", b"1994-11-06"] {
            assert_eq!(ClockSkew::of(date, SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH), None);
        }
    }
}

//! Times as the pages write them (RFC 3339). Pure.

use std::time::SystemTime;

use jiff::Timestamp;

/// In UTC, with whole seconds; `None` beyond the year 9999.
pub(super) fn rfc3339(at: SystemTime) -> Option<String> {
    let exact = Timestamp::try_from(at).ok()?;
    Timestamp::from_second(exact.as_second()).ok().map(|whole| whole.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn times_are_written_with_seconds_in_utc() {
        let at = UNIX_EPOCH + Duration::from_millis(1_700_000_000_999);
        assert_eq!(rfc3339(at).unwrap(), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(UNIX_EPOCH).unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_hours(24 * 366 * 9000)), None);
    }
}

//! `Retry-After`, from upstreams and token endpoints.

use std::time::{Duration, UNIX_EPOCH};

use bolero::{check, produce};

use super::{LONGEST_RETRY_AFTER, retry_after};
use crate::fuzz::text;

const WORDS: &[&str] = &[
    "0",
    "1",
    "59",
    "86400",
    "4294967296",
    "99999999999999999999",
    "-",
    "+",
    ".",
    " ",
    "\t",
    ",",
    "Sun, ",
    "Sunday, ",
    "06 Nov 1994 ",
    "06-Nov-94 ",
    "Nov  6 ",
    "31 Dec 9999 ",
    "00:00:00 ",
    "23:59:60 ",
    "GMT",
    "\n",
];

#[test]
fn fuzz() {
    let input = (text(WORDS), produce::<u32>());
    check!().with_generator(input).for_each(|(text, seconds)| {
        let now = UNIX_EPOCH + Duration::from_secs(u64::from(*seconds));
        let lines: Vec<&[u8]> = text.split('\n').map(str::as_bytes).collect();
        let wait = retry_after(lines.iter().copied(), now);
        assert!(wait.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER && wait.subsec_nanos() == 0));
        assert_eq!(retry_after(lines.iter().rev().copied(), now), wait, "the order of lines decides nothing");
        if let Some(wait) = wait {
            let seconds = wait.as_secs().to_string();
            assert_eq!(
                retry_after([seconds.as_bytes()], now),
                Some(wait),
                "a wait can be sent on as seconds"
            );
        }
    });
}

use proptest::prelude::*;

use super::*;

const ANY: RangeInclusive<usize> = 0..=usize::MAX;

fn reason<T: std::fmt::Debug>(read: Result<T, Invalid>) -> String {
    read.unwrap_err().0
}

proptest! {
    #[test]
    fn durations_mean_what_they_say(number in 0_u64..8760, unit in 0_usize..4) {
        let (unit, per_unit) = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)][unit];
        let read = duration(&format!("{number}{unit}"), Duration::ZERO).unwrap();
        prop_assert_eq!(read.as_millis(), u128::from(number * per_unit));
    }

    #[test]
    fn sizes_mean_what_they_say(number in 0_usize..1 << 40, unit in 0_usize..3) {
        let (unit, per_unit) = [("B", 1), ("KiB", 1024), ("MiB", 1024 * 1024)][unit];
        prop_assert_eq!(size(&format!("{number}{unit}"), &ANY), Ok(number * per_unit));
    }

    #[test]
    fn no_text_upsets_a_parser(text in "\\PC*|[0-9]{0,30}(ms|s|m|h|B|KiB|MiB)?") {
        if let Ok(read) = duration(&text, Duration::from_millis(1)) {
            prop_assert!(read <= LONGEST && !read.is_zero());
            prop_assert!(text.starts_with(|first: char| first.is_ascii_digit()));
        }
        if let Ok(read) = size(&text, &(1..=1000)) {
            prop_assert!((1..=1000).contains(&read));
        }
        let _ = (count(&text, &(0..=7)), log_filter(&text), identifier(&text));
    }
}

#[test]
fn a_filter_has_no_characters_beyond_ascii() {
    for text in [" a\u{ec8}=", "\u{e4}=info", "info,cxone_proxy=\u{2026}"] {
        assert!(reason(log_filter(text)).contains("which no filter has"), "{text}");
    }
}

#[test]
fn a_number_needs_its_unit() {
    for text in ["0", "10", "3600"] {
        assert_eq!(reason(duration(text, Duration::ZERO)), "has no unit");
        assert_eq!(reason(size(text, &ANY)), "has no unit");
    }
    for text in ["10S", "10 s", "10sec", "1.5s", "10d", "1m30s", "10s "] {
        assert_eq!(reason(duration(text, Duration::ZERO)), "has an unknown unit", "{text}");
    }
    for text in ["1KB", "1kib", "1GiB", "1M"] {
        assert_eq!(reason(size(text, &ANY)), "has an unknown unit", "{text}");
    }
    for text in ["", "s", "-1s", "+1s", " 1s", "ten"] {
        assert_eq!(reason(duration(text, Duration::ZERO)), "does not start with a whole number", "{text}");
    }
}

#[test]
fn bounds_hold_at_their_edges() {
    let second = Duration::from_secs(1);
    assert_eq!(reason(duration("999ms", second)), "is too short");
    assert_eq!(duration("1s", second), Ok(second));
    assert_eq!(duration("8760h", second), Ok(LONGEST));
    for text in ["8761h", "18446744073709551615h", "99999999999999999999s"] {
        assert!(reason(duration(text, second)).starts_with("is too l"), "{text}");
    }
    assert_eq!(reason(size("1023B", &(1024..=2048))), "is too small");
    assert_eq!(size("1KiB", &(1024..=2048)), Ok(1024));
    assert_eq!(size("2048B", &(1024..=2048)), Ok(2048));
    assert_eq!(reason(size("2049B", &(1024..=2048))), "is too large");
    assert_eq!(reason(size("18446744073709551615MiB", &ANY)), "is too large");
    assert_eq!(count("7", &(1..=7)), Ok(7));
    assert_eq!(reason(count("8", &(1..=7))), "is too large");
    assert_eq!(reason(count("4294967296", &(1..=u32::MAX))), "is too large");
}

#[test]
fn filters_that_would_silence_the_log_by_mistake_are_refused() {
    for text in
        ["info", "INFO", "off", "warn,hyper=debug", "cxone_proxy", "cxone_proxy::tokens=trace", "h2", "3"]
    {
        assert_eq!(log_filter(text).as_deref(), Ok(text));
    }
    for text in ["inof", "debgu", "warning", "info,trce"] {
        assert!(reason(log_filter(text)).contains("which is not a level"), "{text}");
    }
    for text in ["a=b=c", "cxone_proxy=loud"] {
        assert!(reason(log_filter(text)).starts_with("is not a filter ("), "{text}");
    }
}

#[test]
fn identifiers_are_printable_and_unpadded() {
    assert_eq!(identifier("a b~1"), Ok("a b~1".to_owned()));
    for text in ["", " a", "a\n", "a\u{e9}", "a\u{7}b"] {
        assert!(identifier(text).is_err(), "{text:?}");
    }
}

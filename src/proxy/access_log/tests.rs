use http::Request;
use proptest::prelude::*;
use tokio::time::advance;

use super::*;
use crate::log::recorder::logged;

fn record(log: &AccessLog) -> Record {
    let head = Request::get("/api/v2/users?name=ada").body(()).unwrap().into_parts().0;
    let mut record = log.record(&head);
    record.status = Some(StatusCode::OK);
    record
}

fn lines(log: &AccessLog, record: &Record, took: Duration, times: usize) -> Vec<String> {
    let (method, spent) = (Method::GET, Spent::default());
    let ended =
        Ended { client: None, profile: "default", method: &method, spent: &spent, record, took, trace: None };
    logged(|| (0..times).for_each(|_| log.ended(&ended)))
}

#[test]
fn a_line_says_what_became_of_the_request_without_its_query() {
    let log = AccessLog::new(Which::All, 1, false);
    let mut seen = record(&log);
    (seen.attempts, seen.generation, seen.bytes_out) = (2, 7, 40);
    seen.responded = Duration::from_millis(3);
    let written = lines(&log, &seen, Duration::from_millis(5), 1);
    assert_eq!(
        written,
        ["INFO request method=\"GET\" path=\"/api/v2/users\" status=200 profile=\"default\" attempts=2 \
          waited_ms=0 upstream_ms=3 duration_ms=5 bytes_in=0 bytes_out=40 token_generation=7"]
    );
    let with_query = AccessLog::new(Which::All, 1, true);
    let written = lines(&with_query, &record(&with_query), Duration::ZERO, 1);
    assert!(written[0].contains("path=\"/api/v2/users?name=ada\""), "{written:?}");
}

#[test]
fn only_those_that_are_wanted_have_a_line() {
    let slow = AccessLog::new(Which::Slow(Duration::from_secs(1)), 1, false);
    let seen = record(&slow);
    assert_eq!(lines(&slow, &seen, Duration::from_millis(999), 1), [""; 0]);
    assert_eq!(lines(&slow, &seen, Duration::from_secs(1), 1).len(), 1);
    let off = AccessLog::new(Which::Off, 1, false);
    assert_eq!(lines(&off, &record(&off), Duration::from_secs(9), 1), [""; 0]);
    let sampled = AccessLog::new(Which::All, 10, false);
    let count = lines(&sampled, &record(&sampled), Duration::ZERO, 2000).len();
    assert!((100..400).contains(&count), "{count} of 2000, one in ten");
}

#[tokio::test(start_paused = true)]
async fn equal_errors_are_counted_instead_of_repeated() {
    let log = AccessLog::default();
    let mut failed = record(&log);
    assert_eq!(lines(&log, &failed, Duration::ZERO, 3), [""; 0], "no error");
    failed.status = Some(StatusCode::BAD_GATEWAY);
    failed.error = Some("upstream-closed");
    let first = lines(&log, &failed, Duration::ZERO, 5);
    assert_eq!(first.len(), 1);
    assert!(first[0].contains("error=\"upstream-closed\"") && !first[0].contains("more="), "{first:?}");
    let mut other = record(&log);
    other.status = Some(StatusCode::MISDIRECTED_REQUEST);
    other.error = Some("wrong-host");
    assert_eq!(lines(&log, &other, Duration::ZERO, 1).len(), 1, "another one");
    for _ in 0..12 {
        advance(Duration::from_secs(5)).await;
        let again = lines(&log, &failed, Duration::ZERO, 1);
        assert!(again.is_empty() || again[0].contains("more=16"), "{again:?}");
    }
}

#[test]
fn a_trace_is_read_where_it_is_well_formed() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let read = |text: &str| traces::trace_id(&HeaderValue::from_str(text).unwrap()).map(str::to_owned);
    assert_eq!(read(&format!("00-{trace}-00f067aa0ba902b7-01")).as_deref(), Some(trace));
    assert_eq!(read(&format!("cc-{trace}-00f067aa0ba902b7-01-later")).as_deref(), Some(trace));
    for malformed in [
        "",
        "00",
        &format!("00-{trace}-00f067aa0ba902b7"),
        &format!("00-{trace}-00f067aa0ba902b7-01-more"),
        &format!("ff-{trace}-00f067aa0ba902b7-01"),
        &format!("00-{trace}-0000000000000000-01"),
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        &format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
    ] {
        assert_eq!(read(malformed), None, "{malformed}");
    }
}

proptest! {
    #[test]
    fn a_trace_is_never_anything_but_hexadecimal_digits(text in "[ -~]{0,80}") {
        let read = traces::trace_id(&HeaderValue::from_str(&text).unwrap()).map(str::to_owned);
        prop_assert!(read.is_none_or(|trace| trace.len() == 32 && trace.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}

//! Where the time of a request went, as `Server-Timing` says it (W3C Server Timing). Pure.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::retry::Spent;

static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Adds a line of the proxy's own; the upstream's own lines stay. `elapsed` is the time from the request's head to
/// the response's.
pub(super) fn add(headers: &mut HeaderMap, spent: &Spent, elapsed: Duration) {
    if let Ok(value) = HeaderValue::try_from(line(spent, elapsed)) {
        headers.append(SERVER_TIMING.clone(), value);
    }
}

/// `upstream` is what no wait took: all attempts together, with their connections.
fn line(spent: &Spent, elapsed: Duration) -> String {
    let attempts = [spent.unauthorized, spent.rate_limited, spent.connection];
    let attempts = attempts.into_iter().fold(1_u32, u32::saturating_add);
    format!(
        "queue;dur={:.1}, token;dur={:.1}, wait;dur={:.1}, upstream;dur={:.1}, attempts;desc=\"{attempts}\"",
        milliseconds(spent.in_queue),
        milliseconds(spent.for_token),
        milliseconds(spent.waited.saturating_sub(spent.for_token).saturating_sub(spent.in_queue)),
        milliseconds(elapsed.saturating_sub(spent.waited)),
    )
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_the_time_went_for_and_leaves_the_upstream_s_lines() {
        let spent = Spent {
            unauthorized: 1,
            rate_limited: 2,
            waited: Duration::from_millis(1750),
            for_token: Duration::from_millis(250),
            in_queue: Duration::from_millis(500),
            ..Spent::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(SERVER_TIMING.clone(), HeaderValue::from_static("db;dur=5"));
        add(&mut headers, &spent, Duration::from_micros(1_760_250));
        let lines: Vec<_> = headers.get_all(&SERVER_TIMING).iter().collect();
        let own = "queue;dur=500.0, token;dur=250.0, wait;dur=1000.0, upstream;dur=10.2, attempts;desc=\"4\"";
        assert_eq!(lines, ["db;dur=5", own]);
    }

    #[test]
    fn a_request_without_waits_took_one_attempt() {
        let line = line(&Spent::default(), Duration::from_millis(3));
        assert_eq!(line, "queue;dur=0.0, token;dur=0.0, wait;dur=0.0, upstream;dur=3.0, attempts;desc=\"1\"");
    }
}

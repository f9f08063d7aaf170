//! Errors on standard error: one line for a person, and one JSON line where the log is in JSON, so that
//! the person who collects the log sees why the program did not start.

use std::{
    io::{self, IsTerminal, Write},
    time::SystemTime,
};

use serde_json::json;

use super::ending::Ending;
use crate::{clock::Clock, config::ConfigError, log::Format};

/// Prints everything that is wrong with the configuration, each error once.
pub(super) fn misconfigured(error: &ConfigError) -> Ending {
    for fault in &error.faults {
        complain_in(error.log_format, &format!("configuration error: {fault}"));
    }
    Ending::Misconfigured
}

/// Prints one error for a person, before there is a log.
pub(super) fn complain(what: &str) {
    print(&for_a_person(what));
}

/// Prints one error in the form of the log as well. `None` is the form that a log has by itself: text on a
/// terminal, else JSON.
pub(super) fn complain_in(format: Option<Format>, what: &str) {
    print(&for_a_person(what));
    let by_place = if io::stderr().is_terminal() { Format::Text } else { Format::Json };
    match format.unwrap_or(by_place) {
        Format::Text => {}
        Format::Json => print(&for_a_collector(what, Clock::System.now().wall)),
    }
}

fn print(line: &str) {
    // Without standard error there is no place left for it.
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

fn for_a_person(what: &str) -> String {
    format!("cxone-proxy: {what}\n")
}

/// The members that every line of the log has, in its order.
fn for_a_collector(what: &str, now: SystemTime) -> String {
    let timestamp = jiff::Timestamp::try_from(now).map(|at| format!("{at:.6}")).unwrap_or_default();
    let message = json!(what);
    format!(
        "{{\"timestamp\":\"{timestamp}\",\"level\":\"ERROR\",\"message\":{message},\
         \"target\":\"cxone_proxy::commands\"}}\n"
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn an_error_is_one_line_for_a_person_and_one_for_a_collector() {
        let what = "configuration error: `a\\nb` is \"odd\"";
        assert_eq!(for_a_person(what), format!("cxone-proxy: {what}\n"));
        let line = for_a_collector(what, UNIX_EPOCH + Duration::from_millis(1500));
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let due = json!({
            "timestamp": "1970-01-01T00:00:01.500000Z",
            "level": "ERROR",
            "message": what,
            "target": "cxone_proxy::commands",
        });
        assert_eq!(read, due);
    }
}

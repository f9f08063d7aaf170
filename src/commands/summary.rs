//! What `serve` says at its end: requests, statuses, latencies, waits, retries, token requests.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal as _, Write as _};

use crate::metrics::Summary;

/// The form of the summary, or none at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// Lines for people.
    Text,
    /// One JSON object.
    Json,
    /// No summary.
    Off,
}

impl Form {
    /// The form that was asked for; without that, text where standard output is a terminal.
    pub(super) fn or_by_place(asked: Option<Self>) -> Self {
        let by_place = if io::stdout().is_terminal() { Self::Text } else { Self::Off };
        asked.unwrap_or(by_place)
    }

    /// Writes the summary on standard output.
    pub(super) fn print(self, summary: &Summary) {
        let text = match self {
            Self::Text => text(summary),
            Self::Json => format!("{}\n", serde_json::json!(summary)),
            Self::Off => return,
        };
        // A reader that has closed standard output does not want the text.
        let _ = io::stdout().lock().write_all(text.as_bytes());
    }
}

fn text(summary: &Summary) -> String {
    let Summary { requests, abandoned, seconds, per_second, latency_ms: latency, .. } = summary;
    let mut text = String::new();
    let mut line = |name: &str, value: &dyn Display| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<16}{value}");
    };
    line("requests", &format_args!("{requests} in {seconds:.1} s, {per_second:.1}/s"));
    if *abandoned > 0 {
        line("abandoned", &format_args!("{abandoned}, their client left before a response"));
    }
    line("statuses", &listed(&summary.statuses, ""));
    line(
        "latency",
        &format_args!(
            "p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, longest {:.1} ms",
            latency.p50, latency.p90, latency.p99, latency.p999, latency.max
        ),
    );
    line("API statuses", &listed(&summary.upstream_statuses, ""));
    line("retries", &listed(&summary.retries, ""));
    let waits = summary.wait_seconds.iter().map(|(reason, waited)| (reason.clone(), format!("{waited:.1}")));
    line("waits", &listed(&waits.collect(), " s"));
    line("token requests", &listed(&summary.token_requests, ""));
    text
}

/// `200: 5, 429: 1`
fn listed<V: Display>(counts: &BTreeMap<String, V>, unit: &str) -> String {
    if counts.is_empty() {
        return "none".to_owned();
    }
    counts.iter().map(|(name, count)| format!("{name}: {count}{unit}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Latency;

    #[test]
    fn a_summary_for_people_names_what_was_there() {
        let summary = Summary {
            requests: 6,
            seconds: 2.0,
            per_second: 3.0,
            statuses: BTreeMap::from([("200".to_owned(), 5), ("429".to_owned(), 1)]),
            latency_ms: Latency { p50: 1.25, p90: 2.0, p99: 30.04, p999: 40.0, max: 41.0 },
            wait_seconds: BTreeMap::from([("rate_limited".to_owned(), 1.25)]),
            ..Summary::default()
        };
        let text = text(&summary);
        for line in [
            "requests        6 in 2.0 s, 3.0/s",
            "statuses        200: 5, 429: 1",
            "latency         p50 1.2 ms, p90 2.0 ms, p99 30.0 ms, p99.9 40.0 ms, longest 41.0 ms",
            "waits           rate_limited: 1.2 s",
            "retries         none",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("abandoned"), "{text}");
    }
}

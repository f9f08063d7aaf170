//! The report for people: lines that can be pasted into a ticket. Values in, text out.
//!
//! Says nothing twice: what a stage found is either in its place in the list or in the conclusion below.

use std::time::Duration;

use serde_json::Value;

use super::{
    report::{Conclusion, Report},
    stage::{Outcome, Section, Stage, Step},
};

/// How far a line that goes on is indented beyond its beginning.
const HANGING: usize = 4;

/// The lines. With a `width`, those that are longer are broken between words.
pub(super) fn text(report: &Report, width: Option<usize>) -> String {
    let mut lines = Vec::new();
    let is_configured = report.obstacle().is_none_or(|(_, stage)| stage.step != Step::Configuration);
    for section in report.sections.iter().filter(|_| is_configured) {
        if report.is_named() {
            lines.push(format!("profile {}", section.profile));
        }
        list(report, section, &mut lines);
        lines.push(String::new());
    }
    let Conclusion { lines: result, next_steps } = report.conclusion();
    lines.extend(result.iter().flat_map(|line| line.split('\n')).map(str::to_owned));
    lines.extend(next_steps.iter().map(|step| format!("next step: {step}")));
    let broken = lines.into_iter().map(|line| match width {
        Some(width) => broken(&line, width),
        None => line,
    });
    broken.map(|line| line + "\n").collect()
}

/// The stages in their order; those that were skipped for one reason share a line.
fn list(report: &Report, section: &Section, lines: &mut Vec<String>) {
    let mut skipped: Vec<&Stage> = Vec::new();
    for stage in &section.stages {
        match stage.outcome {
            // A step that is not configured is not worth a line.
            Outcome::Skipped if stage.detail.is_none() => {}
            Outcome::Skipped => skipped.push(stage),
            Outcome::Ok | Outcome::Failed => {
                lines.extend(summary(&skipped));
                skipped.clear();
                describe(stage, report.concludes_with(stage), lines);
            }
        }
    }
    lines.extend(summary(&skipped));
}

/// One line for all these. Of several reasons the first counts, since the others follow from it.
fn summary(skipped: &[&Stage]) -> Option<String> {
    let reason = skipped.first()?.detail.as_deref().unwrap_or_default();
    let titles: Vec<String> = skipped.iter().map(|stage| stage.title()).collect();
    Some(format!("- {}: skipped ({reason})", titles.join(", ")))
}

/// One stage; what the conclusion says of it is left out.
fn describe(stage: &Stage, is_concluded: bool, lines: &mut Vec<String>) {
    let (mark, word) = match stage.outcome {
        Outcome::Failed if stage.prevents() => ('✗', "FAILED"),
        Outcome::Failed => ('!', "warning"),
        Outcome::Ok if stage.warns() => ('!', "ok, with a warning"),
        Outcome::Ok => ('✓', "ok"),
        Outcome::Skipped => ('-', "skipped"),
    };
    lines.push(format!("{mark} {}: {word}{}", stage.title(), duration(stage.took)));
    if !is_concluded {
        lines.extend(stage.detail.iter().flat_map(|detail| detail.lines()).map(|line| format!("    {line}")));
    }
    for (name, value) in &stage.facts {
        let (name, unit) = name.strip_suffix("_seconds").map_or((*name, ""), |name| (name, "s"));
        lines.push(format!("    {}: {}{unit}", name.replace('_', " "), plain(value)));
    }
    if !is_concluded {
        lines.extend(stage.hint.iter().map(|hint| format!("    hint: {hint}")));
    }
}

/// Stages that only think take no time worth a word.
fn duration(took: Duration) -> String {
    match took.as_millis() {
        0 => String::new(),
        milliseconds => format!(", {milliseconds} ms"),
    }
}

/// A fact as people write it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Null => "none".to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// The line in pieces of at most `width` characters, but no word in pieces.
fn broken(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let indent = line.chars().take_while(|char| *char == ' ').count();
    let hanging = " ".repeat(indent + HANGING);
    let mut pieces = String::new();
    let mut length = 0;
    for word in line.split(' ').skip(indent) {
        let more = word.chars().count();
        if pieces.is_empty() {
            pieces.push_str(&" ".repeat(indent));
            length = indent;
        } else if length + 1 + more > width {
            pieces.push('\n');
            pieces.push_str(&hanging);
            length = indent + HANGING;
        } else {
            pieces.push(' ');
            length += 1;
        }
        pieces.push_str(word);
        length += more;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn report(stages: Vec<Stage>) -> Report {
        let sections = vec![Section { profile: "default".to_owned(), stages }];
        Report { sections, warnings: Vec::new() }
    }

    fn failed(step: Step) -> Stage {
        Stage::failed(step, "it broke\nin two parts", "Repair it.")
    }

    #[test]
    fn what_was_found_can_be_read_and_is_said_once() {
        let facts = vec![("life_seconds", json!(7)), ("scopes", json!(["a", "b"])), ("none", json!([]))];
        let took = Duration::from_micros(12_900);
        let text = text(
            &report(vec![
                Stage { took, of: Some("upstream"), ..Stage::ok(Step::Tls, facts) },
                failed(Step::LogIn),
                Stage::skipped(Step::Token, "log-in failed"),
                Stage::not_configured(Step::Discovery),
            ]),
            None,
        );
        assert_eq!(
            text,
            "✓ TLS (upstream): ok, 12 ms\n    life: 7s\n    scopes: a b\n    none: none\n\
             ✗ log-in: FAILED\n\
             - token: skipped (log-in failed)\n\n\
             no token: log-in: it broke\nin two parts\nnext step: Repair it.\n"
        );
    }

    #[test]
    fn what_was_skipped_takes_one_line() {
        let skipped =
            [Step::Connection, Step::Tls, Step::Clock, Step::LogIn].map(|step| Stage::skipped(step, "x"));
        let stages = std::iter::once(failed(Step::NameResolution)).chain(skipped).collect();
        let text = text(&report(stages), None);
        assert!(text.contains("\n- connection, TLS, clock, log-in: skipped (x)\n"), "{text}");
        assert_eq!(text.matches("skipped").count(), 1, "{text}");
    }

    #[test]
    fn errors_of_the_configuration_stand_alone() {
        let stages = vec![failed(Step::Configuration), Stage::skipped(Step::Tls, "configuration failed")];
        assert_eq!(
            text(&report(stages), None),
            "configuration error: it broke\nconfiguration error: in two parts\nnext step: Repair it.\n"
        );
    }

    #[test]
    fn a_second_failure_is_described_in_its_place() {
        let mut report = report(vec![failed(Step::LogIn)]);
        let second = Stage::failed(Step::Tls, "also broken", "Repair that too.");
        report.sections.push(Section { profile: "digital".to_owned(), stages: vec![second] });
        let text = text(&report, None);
        assert!(text.contains("✗ TLS: FAILED\n    also broken\n    hint: Repair that too.\n"), "{text}");
        assert!(text.starts_with("profile default\n") && text.contains("\nprofile digital\n"), "{text}");
    }

    #[test]
    fn a_warning_is_marked_in_its_place_and_explained_at_the_end() {
        let request = Stage::ok(Step::Request, Vec::new());
        let text = text(&report(vec![Stage::failed(Step::Clock, "slow", "Set it."), request]), None);
        let due = "! clock: warning\n✓ request: ok\n\nready to serve, with a warning: clock: slow\nnext step: Set it.\n";
        assert_eq!(text, due);
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        assert_eq!(broken("    hint: one two three", 17), "    hint: one two\n        three");
        assert_eq!(broken("hint: https://a.example/b", 12), "hint:\n    https://a.example/b");
        assert_eq!(broken("short", 5), "short");
    }

    proptest! {
        #[test]
        fn breaking_keeps_every_word_whole(line in "( {0,8})[a-z/:.]{1,20}( [a-z/:.]{1,20}){0,12}", width in 1_usize..60) {
            let text = broken(&line, width);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&text), words(&line));
            for piece in text.lines() {
                prop_assert!(piece.chars().count() <= width || piece.trim().split(' ').count() == 1, "{:?}", piece);
            }
        }
    }
}

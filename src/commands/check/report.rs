//! What was found, as a person reads it and as a program does. Values in, text out.
//!
//! Decides the form, and what follows from the stages: ready or not, and how the command ends.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use super::super::Ending;

/// The steps from the configuration to an answer of the API, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Configuration,
    NameResolution,
    Connection,
    Tls,
    Clock,
    LogIn,
    Token,
    Discovery,
    Request,
}

impl Step {
    /// For people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::NameResolution => "name resolution",
            Self::Connection => "connection",
            Self::Tls => "TLS",
            Self::Clock => "clock",
            Self::LogIn => "log-in",
            Self::Token => "token",
            Self::Discovery => "discovery",
            Self::Request => "request",
        }
    }

    /// For programs: these words do not change.
    fn word(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::NameResolution => "name_resolution",
            Self::Connection => "connection",
            Self::Tls => "tls",
            Self::Clock => "clock",
            Self::LogIn => "log_in",
            Self::Token => "token",
            Self::Discovery => "discovery",
            Self::Request => "request",
        }
    }
}

/// How a stage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok,
    Failed,
    Skipped,
}

impl Outcome {
    fn mark(self) -> char {
        match self {
            Self::Ok => '✓',
            Self::Failed => '✗',
            Self::Skipped => '-',
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What was learnt in a stage: names in `snake_case`, nothing secret.
pub(super) type Facts = Vec<(&'static str, Value)>;

/// One step, taken or not.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) step: Step,
    /// Of which of the peers, where there are several.
    pub(super) of: Option<&'static str>,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    pub(super) facts: Facts,
    /// What happened, in words. May have several lines.
    pub(super) detail: Option<String>,
    /// The next step for a person.
    pub(super) hint: Option<String>,
}

impl Stage {
    fn new(step: Step, outcome: Outcome) -> Self {
        let (of, took, facts, detail, hint) = (None, Duration::ZERO, Vec::new(), None, None);
        Self { step, of, outcome, took, facts, detail, hint }
    }

    pub(super) fn ok(step: Step, facts: Facts) -> Self {
        Self { facts, ..Self::new(step, Outcome::Ok) }
    }

    pub(super) fn failed(step: Step, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), hint: Some(hint.into()), ..Self::new(step, Outcome::Failed) }
    }

    pub(super) fn skipped(step: Step, why: impl Into<String>) -> Self {
        Self { detail: Some(why.into()), ..Self::new(step, Outcome::Skipped) }
    }

    pub(super) fn with(mut self, facts: Facts) -> Self {
        self.facts.extend(facts);
        self
    }

    pub(super) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// True where the program cannot serve. A clock that is wrong alone does not keep it from that,
    /// since lifetimes are counted from the asking.
    fn prevents(&self) -> bool {
        self.outcome == Outcome::Failed && self.step != Step::Clock
    }

    fn title(&self) -> String {
        match self.of {
            Some(of) => format!("{}, {of}", self.step.title()),
            None => self.step.title().to_owned(),
        }
    }
}

/// The stages of one profile.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) profile: String,
    pub(super) stages: Vec<Stage>,
}

/// Everything that was found.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) sections: Vec<Section>,
}

impl Report {
    /// The first stage that keeps the program from serving, with its profile's name.
    fn obstacle(&self) -> Option<(&Section, &Stage)> {
        let stages =
            self.sections.iter().flat_map(|section| section.stages.iter().map(move |s| (section, s)));
        stages.into_iter().find(|(_, stage)| stage.prevents())
    }

    pub(super) fn ending(&self) -> Ending {
        match self.obstacle() {
            None => Ending::Well,
            Some((_, stage)) if stage.step == Step::Configuration => Ending::Misconfigured,
            Some(_) => Ending::Failed,
        }
    }

    /// Lines for a person, fit to be pasted.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let named = self.is_named();
        for section in &self.sections {
            if named {
                let _ = writeln!(text, "profile {}", section.profile);
            }
            for stage in &section.stages {
                write_stage(&mut text, stage);
            }
            text.push('\n');
        }
        text.push_str(&self.verdict());
        text
    }

    fn is_named(&self) -> bool {
        self.sections.len() > 1 || self.sections.iter().any(|section| section.profile != "default")
    }

    fn verdict(&self) -> String {
        let Some((section, stage)) = self.obstacle() else { return "ready to serve\n".to_owned() };
        let of_profile =
            if self.is_named() { format!("profile {}, ", section.profile) } else { String::new() };
        let detail = stage.detail.as_deref().unwrap_or_default();
        let mut verdict = String::new();
        if stage.step == Step::Configuration {
            for fault in detail.lines() {
                let _ = writeln!(verdict, "configuration error: {fault}");
            }
        } else {
            let first = detail.lines().next().unwrap_or_default();
            let lacking = if stage.step == Step::LogIn { "no token" } else { "not ready" };
            let _ = writeln!(verdict, "{lacking}: {of_profile}{}: {first}", stage.title());
        }
        if let Some(hint) = &stage.hint {
            let _ = writeln!(verdict, "next step: {hint}");
        }
        verdict
    }

    /// One JSON object, for programs.
    pub(super) fn json(&self) -> String {
        let stages = self.sections.iter().flat_map(|section| {
            section.stages.iter().map(|stage| {
                json!({
                    "profile": section.profile,
                    "name": stage.step.word(),
                    "of": stage.of,
                    "outcome": stage.outcome.word(),
                    "milliseconds": milliseconds(stage.took),
                    "facts": stage.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone()))
                        .collect::<serde_json::Map<_, _>>(),
                    "detail": stage.detail,
                    "hint": stage.hint,
                })
            })
        });
        let object = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ready": self.obstacle().is_none(),
            "stages": stages.collect::<Vec<_>>(),
        });
        format!("{object}\n")
    }
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn write_stage(text: &mut String, stage: &Stage) {
    let title = stage.title();
    let word = match stage.outcome {
        Outcome::Failed => "FAILED",
        Outcome::Ok | Outcome::Skipped => stage.outcome.word(),
    };
    // Nothing that goes into a `String` can fail to be written.
    let _ = write!(text, "{} {title}: {word}", stage.outcome.mark());
    match (stage.outcome, &stage.detail) {
        (Outcome::Skipped, Some(why)) => {
            let _ = writeln!(text, " ({why})");
            return;
        }
        (Outcome::Skipped, None) => text.push('\n'),
        (Outcome::Ok | Outcome::Failed, _) => {
            let _ = writeln!(text, ", {} ms", milliseconds(stage.took));
        }
    }
    for line in stage.detail.iter().flat_map(|detail| detail.lines()) {
        let _ = writeln!(text, "    {line}");
    }
    for (name, value) in &stage.facts {
        let (name, unit) = name.strip_suffix("_seconds").map_or((*name, ""), |name| (name, "s"));
        let _ = writeln!(text, "    {}: {}{unit}", name.replace('_', " "), plain(value));
    }
    if let Some(hint) = &stage.hint {
        let _ = writeln!(text, "    hint: {hint}");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(stages: Vec<Stage>) -> Report {
        Report { sections: vec![Section { profile: "default".to_owned(), stages }] }
    }

    fn failed(step: Step) -> Stage {
        Stage::failed(step, "it broke\nin two places", "mend it")
    }

    #[test]
    fn what_was_found_can_be_read() {
        let facts = vec![("life_seconds", json!(7)), ("scopes", json!(["a", "b"])), ("none", json!([]))];
        let took = Duration::from_micros(12_900);
        let text = report(vec![
            Stage { took, of: Some("upstream"), ..Stage::ok(Step::Tls, facts) },
            failed(Step::LogIn),
            Stage::skipped(Step::Token, "log-in failed"),
        ])
        .text();
        assert_eq!(
            text,
            "✓ TLS, upstream: ok, 12 ms\n    life: 7s\n    scopes: a b\n    none: none\n\
             ✗ log-in: FAILED, 0 ms\n    it broke\n    in two places\n    hint: mend it\n\
             - token: skipped (log-in failed)\n\n\
             no token: log-in: it broke\nnext step: mend it\n"
        );
    }

    #[test]
    fn a_program_reads_the_same() {
        let mut report = report(vec![failed(Step::NameResolution)]);
        report.sections.push(Section {
            profile: "digital".to_owned(),
            stages: vec![Stage::ok(Step::LogIn, vec![("status", json!(200))])],
        });
        let read: Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(read["ready"], false);
        assert_eq!(
            read["stages"],
            json!([
                {
                    "profile": "default", "name": "name_resolution", "of": null, "outcome": "failed",
                    "milliseconds": 0, "facts": {}, "detail": "it broke\nin two places", "hint": "mend it",
                },
                {
                    "profile": "digital", "name": "log_in", "of": null, "outcome": "ok",
                    "milliseconds": 0, "facts": { "status": 200 }, "detail": null, "hint": null,
                },
            ])
        );
        assert!(report.json().ends_with("}\n") && !report.json().trim_end().contains('\n'));
        assert!(
            report.text().starts_with("profile default\n") && report.text().contains("\nprofile digital\n")
        );
    }

    #[test]
    fn every_stage_but_the_clock_decides() {
        for (step, ending) in [
            (Step::Configuration, Ending::Misconfigured),
            (Step::NameResolution, Ending::Failed),
            (Step::Connection, Ending::Failed),
            (Step::Tls, Ending::Failed),
            (Step::Clock, Ending::Well),
            (Step::LogIn, Ending::Failed),
            (Step::Token, Ending::Failed),
            (Step::Discovery, Ending::Failed),
            (Step::Request, Ending::Failed),
        ] {
            assert_eq!(report(vec![failed(step)]).ending(), ending, "{step:?}");
            assert_eq!(report(vec![Stage::skipped(step, "")]).ending(), Ending::Well);
        }
    }
}

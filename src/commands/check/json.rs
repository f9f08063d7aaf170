//! The report for programs: one JSON object. Values in, text out.

use std::time::Duration;

use serde_json::{Map, json};

use super::{report::Report, stage::Stage};

/// One line.
pub(super) fn json(report: &Report) -> String {
    let stages = report
        .sections
        .iter()
        .flat_map(|section| section.stages.iter().map(|stage| object(&section.profile, stage)));
    let conclusion = report.conclusion();
    let object = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": report.obstacle().is_none(),
        "result": conclusion.lines.join("\n"),
        "next_step": (!conclusion.next_steps.is_empty()).then(|| conclusion.next_steps.join(" ")),
        "stages": stages.collect::<Vec<_>>(),
    });
    format!("{object}\n")
}

fn object(profile: &str, stage: &Stage) -> serde_json::Value {
    let facts: Map<_, _> =
        stage.facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    json!({
        "profile": profile,
        "name": stage.step.word(),
        "of": stage.of,
        "outcome": stage.outcome.word(),
        "milliseconds": milliseconds(stage.took),
        "facts": facts,
        "detail": stage.detail,
        "hint": stage.hint,
    })
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{
        super::stage::{Section, Step},
        *,
    };

    #[test]
    fn a_program_reads_every_stage() {
        let failed = Stage::failed(Step::NameResolution, "it broke\nin two parts", "Repair it.");
        let took = Duration::from_micros(12_900);
        let ok = Stage { took, of: Some("upstream"), ..Stage::ok(Step::LogIn, vec![("status", json!(200))]) };
        let section = |profile: &str, stage| Section { profile: profile.to_owned(), stages: vec![stage] };
        let sections = vec![section("default", failed), section("digital", ok)];
        let text = json(&Report { sections, warnings: Vec::new() });
        assert!(text.ends_with("}\n") && !text.trim_end().contains('\n'));
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["ready"], false);
        assert_eq!(read["result"], "no token: profile default, name resolution: it broke\nin two parts");
        assert_eq!(read["next_step"], "Repair it.");
        assert_eq!(
            read["stages"],
            json!([
                {
                    "profile": "default", "name": "name_resolution", "of": null, "outcome": "failed",
                    "milliseconds": 0, "facts": {}, "detail": "it broke\nin two parts", "hint": "Repair it.",
                },
                {
                    "profile": "digital", "name": "log_in", "of": "upstream", "outcome": "ok",
                    "milliseconds": 12, "facts": { "status": 200 }, "detail": null, "hint": null,
                },
            ])
        );
    }
}

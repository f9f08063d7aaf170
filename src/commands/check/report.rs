//! Everything that was found, and what follows from it: ready or not, the next step, how the command ends.
//! Values only.

use super::{
    super::ending::Ending,
    stage::{Outcome, Section, Stage, Step},
};

/// The next step where all is well but the API was not asked.
const ASK_THE_API: &str = "Add `--path /api/...` to send one request to the API as well.";

/// Everything that was found.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) sections: Vec<Section>,
    /// What the configuration warns of.
    pub(super) warnings: Vec<String>,
}

/// What a report comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conclusion {
    /// One or more lines, the result first.
    pub(super) lines: Vec<String>,
    /// What to do next.
    pub(super) next_steps: Vec<String>,
}

impl Report {
    /// The first stage that prevents the proxy from serving, with its profile.
    pub(super) fn obstacle(&self) -> Option<(&Section, &Stage)> {
        self.stages().find(|(_, stage)| stage.prevents())
    }

    pub(super) fn ending(&self) -> Ending {
        match self.obstacle() {
            None => Ending::Well,
            Some((_, stage)) if stage.step == Step::Configuration => Ending::Misconfigured,
            Some(_) => Ending::Failed,
        }
    }

    /// True where profiles need their names.
    pub(super) fn is_named(&self) -> bool {
        self.sections.len() > 1 || self.sections.iter().any(|section| section.profile != "default")
    }

    /// True where the conclusion says what this stage found, so that its place in the list need not.
    pub(super) fn concludes_with(&self, stage: &Stage) -> bool {
        match self.obstacle() {
            Some((_, obstacle)) => std::ptr::eq(obstacle, stage),
            None => stage.warns(),
        }
    }

    pub(super) fn conclusion(&self) -> Conclusion {
        match self.obstacle() {
            Some((_, stage)) if stage.step == Step::Configuration => misconfigured(stage),
            Some((section, stage)) => self.not_ready(section, stage),
            None => self.ready(),
        }
    }

    fn ready(&self) -> Conclusion {
        let warnings = self.stages().filter(|(_, stage)| stage.warns()).map(|(section, stage)| {
            let what = stage.detail.as_ref().or(stage.hint.as_ref()).cloned().unwrap_or_default();
            format!("{}{what}", self.place(section, stage))
        });
        let warnings: Vec<String> = self.warnings.iter().cloned().chain(warnings).collect();
        let is_asked = |section: &Section| {
            section.stages.iter().any(|stage| stage.step == Step::Request && stage.outcome == Outcome::Ok)
        };
        let was_asked = self.sections.iter().all(is_asked);
        let result = if was_asked { "ready to serve" } else { "log-in works; the API was not asked" };
        let lines = match &warnings[..] {
            [] => vec![result.to_owned()],
            [warning] if was_asked => vec![format!("{result}, with a warning: {warning}")],
            several if was_asked => std::iter::once(format!("{result}, with {} warnings:", several.len()))
                .chain(several.iter().map(|warning| format!("    {warning}")))
                .collect(),
            several => std::iter::once(result.to_owned())
                .chain(several.iter().map(|warning| format!("warning: {warning}")))
                .collect(),
        };
        // A good stage says all it has to say in its hint, which is the warning itself.
        let hints = self.stages().filter(|(_, stage)| stage.warns() && stage.detail.is_some());
        let mut next_steps: Vec<String> = hints.filter_map(|(_, stage)| stage.hint.clone()).collect();
        if !was_asked {
            next_steps.push(ASK_THE_API.to_owned());
        }
        Conclusion { lines, next_steps }
    }

    fn not_ready(&self, section: &Section, stage: &Stage) -> Conclusion {
        let has_token = matches!(stage.step, Step::Request | Step::Discovery);
        let result = if has_token { "not ready" } else { "no token" };
        let detail = stage.detail.as_deref().unwrap_or_default();
        let mut lines = vec![format!("{result}: {}", self.place(section, stage))];
        let mut details = detail.lines();
        if let (Some(first), Some(detail)) = (lines.first_mut(), details.next()) {
            first.push_str(detail);
        }
        lines.extend(details.map(str::to_owned));
        Conclusion { lines, next_steps: stage.hint.iter().cloned().collect() }
    }

    fn place(&self, section: &Section, stage: &Stage) -> String {
        let of = if self.is_named() { format!("profile {}, ", section.profile) } else { String::new() };
        format!("{of}{}: ", stage.title())
    }

    fn stages(&self) -> impl Iterator<Item = (&Section, &Stage)> {
        self.sections.iter().flat_map(|section| section.stages.iter().map(move |stage| (section, stage)))
    }
}

fn misconfigured(stage: &Stage) -> Conclusion {
    let faults = stage.detail.iter().flat_map(|detail| detail.lines());
    Conclusion {
        lines: faults.map(|fault| format!("configuration error: {fault}")).collect(),
        next_steps: stage.hint.iter().cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(stages: Vec<Stage>) -> Report {
        let sections = vec![Section { profile: "default".to_owned(), stages }];
        Report { sections, warnings: Vec::new() }
    }

    fn failed(step: Step) -> Stage {
        Stage::failed(step, "it broke\nin two parts", "Repair it.")
    }

    fn asked() -> Stage {
        Stage::ok(Step::Request, vec![("status", json!(200))])
    }

    fn concluded(report: &Report) -> (String, String) {
        let Conclusion { lines, next_steps } = report.conclusion();
        (lines.join("|"), next_steps.join("|"))
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

    #[test]
    fn it_ends_with_what_is_true() {
        let soon = Stage::ok(Step::Tls, Vec::new()).with_hint(Some("The certificate ends.".to_owned()));
        let due = |lines: &str, steps: &str| (lines.to_owned(), steps.to_owned());
        for (stages, expected) in [
            (vec![asked()], due("ready to serve", "")),
            (
                vec![soon.clone(), asked()],
                due("ready to serve, with a warning: TLS: The certificate ends.", ""),
            ),
            (
                vec![soon.clone(), failed(Step::Clock), asked()],
                due(
                    "ready to serve, with 2 warnings:|    TLS: The certificate ends.|    clock: it broke\nin two parts",
                    "Repair it.",
                ),
            ),
            (
                vec![Stage::ok(Step::Token, Vec::new())],
                due("log-in works; the API was not asked", ASK_THE_API),
            ),
            (
                vec![soon],
                due("log-in works; the API was not asked|warning: TLS: The certificate ends.", ASK_THE_API),
            ),
            (vec![failed(Step::LogIn)], due("no token: log-in: it broke|in two parts", "Repair it.")),
            (vec![failed(Step::Request)], due("not ready: request: it broke|in two parts", "Repair it.")),
            (
                vec![failed(Step::Configuration)],
                due("configuration error: it broke|configuration error: in two parts", "Repair it."),
            ),
        ] {
            assert_eq!(concluded(&report(stages)), expected);
        }
    }

    #[test]
    fn warnings_of_the_configuration_count() {
        let warned = Report { warnings: vec!["the file is open".to_owned()], ..report(vec![asked()]) };
        assert_eq!(concluded(&warned).0, "ready to serve, with a warning: the file is open");
    }

    #[test]
    fn of_several_profiles_the_one_that_cannot_serve_is_named() {
        let mut report = report(vec![asked()]);
        report.sections.push(Section { profile: "digital".to_owned(), stages: vec![failed(Step::Tls)] });
        assert_eq!(concluded(&report).0, "no token: profile digital, TLS: it broke|in two parts");
    }

    #[test]
    fn an_api_that_one_profile_did_not_ask_was_not_asked() {
        let mut report = report(vec![asked()]);
        let stages = vec![Stage::ok(Step::Token, Vec::new())];
        report.sections.push(Section { profile: "digital".to_owned(), stages });
        assert_eq!(concluded(&report).0, "log-in works; the API was not asked");
    }
}

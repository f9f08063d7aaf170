//! One step on the way to a response of the API, and what was found there. Values only.

use std::time::Duration;

use serde_json::Value;

/// The steps from the configuration to a response of the API, in their order.
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
    pub(super) fn word(self) -> &'static str {
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
    /// For programs: these words do not change.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What was learned in a stage: names in `snake_case`, nothing secret.
pub(super) type Facts = Vec<(&'static str, Value)>;

/// One step, taken or not.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) step: Step,
    /// The peer, where there are several.
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

    /// A step that the configuration does not ask for.
    pub(super) fn not_configured(step: Step) -> Self {
        Self::new(step, Outcome::Skipped)
    }

    pub(super) fn with(mut self, facts: Facts) -> Self {
        self.facts.extend(facts);
        self
    }

    pub(super) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// True where the proxy cannot serve. A wrong clock alone does not prevent it, since lifetimes are
    /// counted from the token request.
    pub(super) fn prevents(&self) -> bool {
        self.outcome == Outcome::Failed && self.step != Step::Clock
    }

    /// True where the proxy can serve, but should not be left so: a wrong clock, or a good stage with a hint.
    pub(super) fn warns(&self) -> bool {
        !self.prevents() && (self.outcome == Outcome::Failed || self.hint.is_some())
    }

    /// For people: the step, and of which peer.
    pub(super) fn title(&self) -> String {
        match self.of {
            Some(of) => format!("{} ({of})", self.step.title()),
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

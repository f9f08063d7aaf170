//! The Prometheus text format, read without trusting it.

use std::collections::BTreeMap;

/// One scrape.
pub(crate) struct Metrics {
    text: String,
    samples: Vec<Sample>,
}

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    pub(crate) fn of(text: String) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(sample).collect();
        Self { text, samples }
    }

    /// The sum of all samples of this name that have all of these labels; `None` where there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found: Vec<f64> = self
            .samples
            .iter()
            .filter(|sample| sample.name == name)
            .filter(|sample| {
                labels.iter().all(|(key, value)| sample.labels.get(*key).is_some_and(|own| own == value))
            })
            .map(|sample| sample.value)
            .collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// The sum of all samples of this name and these labels, which must exist, as a whole number.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    pub(crate) fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let value = self.sum(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}:\n{}", self.text));
        assert!(value >= 0.0 && value.fract() == 0.0, "{name} {labels:?} is {value}");
        value as u64
    }

    /// The name, type and help of every family.
    pub(crate) fn families(&self) -> BTreeMap<&str, (&str, &str)> {
        let line = |kind: &'static str| {
            self.text.lines().filter_map(move |line| line.strip_prefix(kind)?.split_once(' '))
        };
        let help: BTreeMap<_, _> = line("# HELP ").collect();
        line("# TYPE ")
            .map(|(name, kind)| (name, (kind, help.get(name).copied().unwrap_or_default())))
            .collect()
    }

    /// All values that a label has in the samples of this name.
    pub(crate) fn values(&self, name: &str, label: &str) -> Vec<&str> {
        let samples = self.samples.iter().filter(|sample| sample.name == name);
        samples.filter_map(|sample| sample.labels.get(label)).map(String::as_str).collect()
    }

    /// The names of the labels that the samples of this name have.
    pub(crate) fn labels(&self, name: &str) -> std::collections::BTreeSet<&str> {
        let samples = self.samples.iter().filter(|sample| sample.name == name);
        samples.flat_map(|sample| sample.labels.keys()).map(String::as_str).collect()
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

fn sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
    let (name, labels) = head.split_once('{').unwrap_or((head, "}"));
    let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("no labels: {line}"));
    // No value of ours holds a comma or a quotation mark; one that did would fail here.
    let labels = labels.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or_else(|| panic!("no label: {line}"));
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        (key.to_owned(), value.unwrap_or_else(|| panic!("no value: {line}")).to_owned())
    });
    Sample { name: name.to_owned(), labels: labels.collect(), value: value.parse().unwrap() }
}

//! Families of samples, for collectors of our own.

use std::collections::HashMap;
use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::histogram::Reading;

/// Labels of one sample, in the alphabetical order of their names.
pub(super) type Labels<'a> = [(&'a str, &'a str)];

/// What a family is called and says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
}

impl About {
    pub(super) fn desc(self, labels: &[&str]) -> prometheus::Result<Desc> {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, HashMap::new())
    }

    pub(super) fn counters(self, samples: impl IntoIterator<Item = Metric>) -> MetricFamily {
        self.family(MetricType::COUNTER, samples)
    }

    pub(super) fn gauges(self, samples: impl IntoIterator<Item = Metric>) -> MetricFamily {
        self.family(MetricType::GAUGE, samples)
    }

    pub(super) fn histograms(self, samples: impl IntoIterator<Item = Metric>) -> MetricFamily {
        self.family(MetricType::HISTOGRAM, samples)
    }

    fn family(self, kind: MetricType, samples: impl IntoIterator<Item = Metric>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(kind);
        family.set_metric(samples.into_iter().collect());
        family
    }
}

pub(super) fn counter(labels: &Labels<'_>, value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

pub(super) fn gauge(labels: &Labels<'_>, value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

pub(super) fn histogram(labels: &Labels<'_>, reading: &Reading) -> Metric {
    let buckets = reading.cumulative().map(|(bound, count)| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut histogram = prometheus::proto::Histogram::default();
    histogram.set_bucket(buckets.collect());
    // The bucket without a bound is written from this.
    histogram.set_sample_count(reading.count());
    histogram.set_sample_sum(reading.seconds());
    let mut metric = labelled(labels);
    metric.set_histogram(histogram);
    metric
}

fn labelled(labels: &Labels<'_>) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

/// The format knows floating point numbers only.
#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, which no count or size here reaches")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// A number without labels that is kept elsewhere, and read at every scrape.
#[derive(Clone)]
pub(super) struct Pulled {
    about: About,
    desc: Desc,
    is_gauge: bool,
    read: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Pulled {
    pub(super) fn counter(
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> prometheus::Result<Self> {
        let about = About { name, help };
        Ok(Self { about, desc: about.desc(&[])?, is_gauge: false, read: Arc::new(read) })
    }

    pub(super) fn gauge(
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> prometheus::Result<Self> {
        Self::counter(name, help, read).map(|pulled| Self { is_gauge: true, ..pulled })
    }
}

impl Collector for Pulled {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let value = number((self.read)());
        vec![if self.is_gauge {
            self.about.gauges([gauge(&[], value)])
        } else {
            self.about.counters([counter(&[], value)])
        }]
    }
}

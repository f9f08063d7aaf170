//! The tables of all profiles, added up for a scrape.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::{Core, METHODS, Profile, STATUSES};
use crate::metrics::families::{About, counter, gauge, histogram, number};
use crate::metrics::histogram::Reading;

const RESPONSES: About = About {
    name: "cxone_proxy_requests_total",
    help: "Responses to clients, the proxy's own included, by method and status.",
};
const UPSTREAM_RESPONSES: About = About {
    name: "cxone_proxy_upstream_responses_total",
    help: "Responses of the API, one for each attempt that was answered, by status.",
};
const REQUEST_DURATION: About = About {
    name: "cxone_proxy_request_duration_seconds",
    help: "Time from the end of a request's header section to the end of its response.",
};
const UPSTREAM_DURATION: About = About {
    name: "cxone_proxy_upstream_duration_seconds",
    help: "Time from the begin of an attempt to the header section of its response.",
};
const IN_FLIGHT: About =
    About { name: "cxone_proxy_requests_in_flight", help: "Requests whose response has not ended." };

/// Reads the tables of all profiles when somebody asks.
#[derive(Clone, Debug)]
pub(in crate::metrics) struct ProfileCollector {
    profiles: Arc<Mutex<Vec<Arc<Profile>>>>,
    descs: Vec<Desc>,
}

impl ProfileCollector {
    pub(in crate::metrics) fn new(profiles: Arc<Mutex<Vec<Arc<Profile>>>>) -> prometheus::Result<Self> {
        let descs = vec![
            RESPONSES.desc(&["method", "profile", "status"])?,
            UPSTREAM_RESPONSES.desc(&["profile", "status"])?,
            REQUEST_DURATION.desc(&["profile"])?,
            UPSTREAM_DURATION.desc(&["profile"])?,
            IN_FLIGHT.desc(&["profile"])?,
        ];
        Ok(Self { profiles, descs })
    }
}

impl Collector for ProfileCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let profiles = self.profiles.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let [mut responses, mut upstream, mut durations, mut upstream_durations, mut in_flight] =
            [const { Vec::new() }; 5];
        for profile in &profiles {
            let cores = profile.cores();
            let label = ("profile", profile.name.as_str());
            for ((method, status), count) in by_method(&cores) {
                let status = status.to_string();
                let labels = [("method", method), label, ("status", status.as_str())];
                responses.push(counter(&labels, number(count)));
            }
            let columns = sums(cores.iter().map(|core| &core.upstream_responses));
            for (status, count) in occurred(&columns, 200) {
                upstream.push(counter(&[label, ("status", status.to_string().as_str())], number(count)));
            }
            let mut taken = [Reading::default(), Reading::default()];
            for core in &cores {
                let [request, upstream] = &mut taken;
                request.add(&core.request_duration);
                upstream.add(&core.upstream_duration);
            }
            let [request, upstream] = &taken;
            durations.push(histogram(&[label], request));
            upstream_durations.push(histogram(&[label], upstream));
            in_flight.push(gauge(&[label], number(profile.in_flight() as u64)));
        }
        vec![
            RESPONSES.counters(responses),
            UPSTREAM_RESPONSES.counters(upstream),
            REQUEST_DURATION.histograms(durations),
            UPSTREAM_DURATION.histograms(upstream_durations),
            IN_FLIGHT.gauges(in_flight),
        ]
    }
}

/// The pairs that occurred. The commonest kind is there from the start, since a rate needs a start.
fn by_method(cores: &[Arc<Core>]) -> BTreeMap<(&'static str, usize), u64> {
    let mut counts = BTreeMap::from([(("GET", 200), 0)]);
    let table = sums(cores.iter().map(|core| &core.responses));
    for (method, columns) in METHODS.into_iter().zip(table.chunks(STATUSES)) {
        for (place, count) in columns.iter().enumerate().filter(|(_, count)| **count > 0) {
            counts.insert((method, place + 100), *count);
        }
    }
    counts
}

/// Statuses that occurred, and `common`.
fn occurred(columns: &[u64], common: usize) -> impl Iterator<Item = (usize, u64)> {
    let statuses = columns.iter().enumerate().map(|(place, count)| (place + 100, *count));
    statuses.filter(move |(status, count)| *count > 0 || *status == common)
}

fn sums<'a>(tables: impl Iterator<Item = &'a Vec<AtomicU64>>) -> Vec<u64> {
    tables.fold(Vec::new(), |mut sums, table| {
        sums.resize(table.len(), 0);
        sums.iter_mut().zip(table).for_each(|(sum, count)| *sum += count.load(Ordering::Relaxed));
        sums
    })
}

//! What the limits of all profiles are like at the moment of a scrape.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use super::families::{About, gauge, number};

const LIMITED: About = About {
    name: "cxone_proxy_pace_limited",
    help: "1 from the first 429 of a limit until it is not met any more, else 0.",
};
const LEARNED_RATE: About = About {
    name: "cxone_proxy_pace_learned_rate",
    help: "The learned rate of a limit in requests per second; no sample while there is none.",
};
const PAUSED: About = About {
    name: "cxone_proxy_pace_paused_seconds",
    help: "For how long no request is sent to a limit because the API asked for a pause.",
};
const QUEUE_LENGTH: About =
    About { name: "cxone_proxy_queue_length", help: "Requests that wait for their turn, by limit." };
const BUDGET_LEFT: About = About {
    name: "cxone_proxy_budget_left",
    help: "Requests that are left of the budget in its current window; no sample without a budget.",
};
const REPLICAS: About = About {
    name: "cxone_proxy_replicas",
    help: "Replicas that share a profile's pace, this one included; no sample without a shared store.",
};
const STORE_UP: About = About {
    name: "cxone_proxy_shared_store_up",
    help: "1 while the store answers through which replicas share their pace, else 0; no sample without one.",
};

/// One limit at this moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LimitReading {
    /// The profile's name.
    pub profile: String,
    /// What selects the limit's requests; `default` for those without a limit of their own.
    pub limit: String,
    /// It was met, and is not forgotten yet.
    pub limited: bool,
    /// Requests per second.
    pub learned_rate: Option<f64>,
    /// For how long nothing is sent.
    pub paused: Duration,
    /// Requests that wait for their turn.
    pub waiting: usize,
    /// What is left of the profile's budget, with one of its limits.
    pub budget_left: Option<u32>,
    /// How many replicas share the profile's pace, and whether they are heard now; with one of its limits.
    pub replicas: Option<(u32, bool)>,
}

/// Reads all limits when somebody asks.
#[derive(Clone)]
pub(super) struct PaceCollector {
    read: Arc<dyn Fn() -> Vec<LimitReading> + Send + Sync>,
    descs: Vec<Desc>,
}

impl PaceCollector {
    pub(super) fn new(
        read: impl Fn() -> Vec<LimitReading> + Send + Sync + 'static,
    ) -> prometheus::Result<Self> {
        let of_limits =
            [LIMITED, LEARNED_RATE, PAUSED, QUEUE_LENGTH].map(|about| about.desc(&["limit", "profile"]));
        let of_profiles = [BUDGET_LEFT, REPLICAS, STORE_UP].map(|about| about.desc(&["profile"]));
        let descs = of_limits.into_iter().chain(of_profiles);
        Ok(Self { read: Arc::new(read), descs: descs.collect::<Result<_, _>>()? })
    }
}

impl Collector for PaceCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let readings = (self.read)();
        let each = |about: About, value: &dyn Fn(&LimitReading) -> Option<f64>| {
            about.gauges(readings.iter().filter_map(|own| {
                Some(gauge(&[("limit", &own.limit), ("profile", &own.profile)], value(own)?))
            }))
        };
        let of_profile = |about: About, value: &dyn Fn(&LimitReading) -> Option<f64>| {
            about.gauges(
                readings.iter().filter_map(|own| Some(gauge(&[("profile", &own.profile)], value(own)?))),
            )
        };
        vec![
            each(LIMITED, &|own| Some(f64::from(u8::from(own.limited)))),
            each(LEARNED_RATE, &|own| own.learned_rate),
            each(PAUSED, &|own| Some(own.paused.as_secs_f64())),
            each(QUEUE_LENGTH, &|own| Some(number(own.waiting as u64))),
            of_profile(BUDGET_LEFT, &|own| own.budget_left.map(f64::from)),
            of_profile(REPLICAS, &|own| own.replicas.map(|(number, _)| f64::from(number))),
            of_profile(STORE_UP, &|own| own.replicas.map(|(_, heard)| f64::from(u8::from(heard)))),
        ]
    }
}

impl fmt::Debug for PaceCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaceCollector").finish_non_exhaustive()
    }
}

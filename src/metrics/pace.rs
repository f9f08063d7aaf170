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
        let descs = of_limits.into_iter().chain([BUDGET_LEFT.desc(&["profile"])]);
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
        let budgets = readings
            .iter()
            .filter_map(|own| Some(gauge(&[("profile", &own.profile)], f64::from(own.budget_left?))));
        vec![
            each(LIMITED, &|own| Some(f64::from(u8::from(own.limited)))),
            each(LEARNED_RATE, &|own| own.learned_rate),
            each(PAUSED, &|own| Some(own.paused.as_secs_f64())),
            each(QUEUE_LENGTH, &|own| Some(number(own.waiting as u64))),
            BUDGET_LEFT.gauges(budgets),
        ]
    }
}

impl fmt::Debug for PaceCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PaceCollector").finish_non_exhaustive()
    }
}

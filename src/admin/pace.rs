//! What `/status` says of a profile's limits. The names are promised.

use std::time::SystemTime;

use serde::Serialize;

use super::rfc3339::rfc3339;
use crate::proxy::pace::{self, LimitState};

/// The limits of one profile.
#[derive(Serialize)]
pub(super) struct Pace {
    #[serde(flatten)]
    all: Limit,
    budget_left: Option<u32>,
    /// `null` where the pace is not shared.
    replicas: Option<Replicas>,
    /// Of the `[[rate_limit]]` tables, the most specific first.
    limits: Vec<Named>,
}

#[derive(Serialize)]
struct Replicas {
    /// How many there are, this one included.
    count: u32,
    /// Whether the store answers now through which they hear each other.
    store_up: bool,
}

#[derive(Serialize)]
struct Named {
    limit: String,
    #[serde(flatten)]
    own: Limit,
}

#[derive(Serialize)]
struct Limit {
    /// `off` where nothing is learned, `unlimited` while no 429 was seen, `limited`, or `paused`.
    state: &'static str,
    /// Requests per second.
    learned_rate: Option<f64>,
    queue_length: usize,
    paused_until: Option<String>,
}

impl Pace {
    /// Of this moment.
    pub(super) fn of(pace: &pace::Pace, now: SystemTime) -> Self {
        let state = pace.state();
        let limit = |own: &LimitState| limit(own, pace.is_adaptive(), now);
        Self {
            all: limit(&state.profile),
            budget_left: state.budget_left,
            replicas: state.replicas.map(|(count, store_up)| Replicas { count: count.get(), store_up }),
            limits: state
                .limits
                .iter()
                .map(|(name, own)| Named { limit: name.clone(), own: limit(own) })
                .collect(),
        }
    }
}

fn limit(own: &LimitState, adaptive: bool, now: SystemTime) -> Limit {
    let state = match own {
        LimitState { paused: Some(_), .. } => "paused",
        LimitState { limited: true, .. } => "limited",
        LimitState { .. } if adaptive => "unlimited",
        LimitState { .. } => "off",
    };
    Limit {
        state,
        // More digits would say more than is known.
        learned_rate: own.rate.map(|rate| (rate * 1000.0).round() / 1000.0),
        queue_length: own.waiting,
        paused_until: own.paused.and_then(|paused| rfc3339(now + paused)),
    }
}

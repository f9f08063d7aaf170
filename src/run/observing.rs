//! Traces: where they go, and what is noted of token requests besides the metrics.

use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use super::error::StartError;
use crate::config::Config;
use crate::metrics::{ProfileMetrics, TokenObserver};
use crate::traces::{TokenRequest, Traces};

/// Starts the sending of traces, where a collector is named. It is reached as the API of the first profile is: with the
/// same certificates to trust, and by the forward proxy.
pub(super) fn traces(config: &Config) -> Result<Option<Traces>, StartError> {
    let (Some(settings), Some(profile)) = (&config.traces, config.profiles.first()) else { return Ok(None) };
    let forward_proxy = config.forward_proxy.toward(&settings.endpoint).cloned();
    let traces = Traces::start(settings, profile.upstream.trust.client_config(&[]), forward_proxy)?;
    Ok(Some(traces))
}

/// Notes token requests in the metrics, and in traces where there are any.
pub(super) fn token_observer(
    profile: &str,
    metrics: &ProfileMetrics,
    traces: Option<&Traces>,
) -> Arc<dyn TokenObserver> {
    let metrics = metrics.token_observer();
    match traces {
        Some(traces) => Arc::new(Both { metrics, traces: traces.clone(), profile: profile.to_owned() }),
        None => metrics,
    }
}

struct Both {
    metrics: Arc<dyn TokenObserver>,
    traces: Traces,
    profile: String,
}

impl TokenObserver for Both {
    fn token_request(&self, grant: &'static str, outcome: &'static str, time: Range<SystemTime>) {
        self.traces.token_request(&TokenRequest {
            profile: &self.profile,
            grant,
            outcome,
            time: time.clone(),
        });
        self.metrics.token_request(grant, outcome, time);
    }

    fn token_obtained(&self, at: SystemTime, expires_at: SystemTime) {
        self.metrics.token_obtained(at, expires_at);
    }
}

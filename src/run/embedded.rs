//! The proxy for a program that has a server of its own.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::error::StartError;
use super::listeners;
use super::{VERSION, profiles};
use crate::access::Guard;
use crate::clock::Clock;
use crate::config::Config;
use crate::drain;
use crate::metrics::Metrics;
use crate::proxy::Proxy;

impl Proxy {
    /// The proxy that `config` describes, without any listener. Starts the tasks that keep its tokens fresh
    /// on the current tokio runtime; they end when the last clone of the proxy is dropped.
    ///
    /// Fails where TLS or the token endpoint cannot be set up as configured.
    pub fn from_config(config: &Config) -> Result<Self, StartError> {
        let clock = Clock::System;
        let metrics = Metrics::new(VERSION, clock.now().wall);
        let (drainer, drain) = drain::drain();
        let mut tasks = JoinSet::new();
        let common = profiles::Common { clock: &clock, metrics: &metrics, stop: &drain, traces: None };
        let prepared = profiles::prepare(config, (config, &[]), &common, &mut tasks, None)?;
        let guard = Guard::new(listeners::guard(config), &metrics, clock.clone());
        let own = prepared.iter().map(|own| own.on_this_core(None)).collect::<Result<_, _>>()?;
        let settings = profiles::proxy_settings(config, &[], &metrics);
        let proxy = Self::new(settings, guard, own, clock, &metrics, drain);
        // Dropping the set ends its tasks.
        Ok(proxy.owning(Arc::new((drainer, tasks))))
    }
}

//! Sends spans, and says when that fails.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry_otlp::SpanExporter as Otlp;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use tokio::time::Instant;

use super::Settings;
use crate::log::Repeats;

/// An exporter whose failures are lines of the log.
#[derive(Debug)]
pub(super) struct Reported {
    exporter: Otlp,
    /// The collector, for people.
    endpoint: String,
    variable: &'static str,
    failures: Mutex<Repeats<String>>,
}

impl Reported {
    pub(super) fn new(exporter: Otlp, settings: &Settings) -> Self {
        let failures = Mutex::new(Repeats::new());
        Self { exporter, endpoint: settings.shown(), variable: settings.variable, failures }
    }

    fn say(&self, outcome: &OTelSdkResult, spans: usize) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let error = match outcome {
            Ok(()) => {
                if failures.end(now).is_some() {
                    tracing::info!(
                        endpoint = self.endpoint,
                        "traces are delivered again to {}",
                        self.endpoint
                    );
                }
                return;
            }
            Err(error) => reason(error),
        };
        if let Some(due) = failures.met(error.clone(), now) {
            tracing::warn!(
                endpoint = self.endpoint,
                spans,
                more = due.more(),
                "traces are not delivered to {}: {error}. These spans are lost; requests go on. Check {}, and whether the \
                 collector runs",
                self.endpoint,
                self.variable
            );
        }
    }
}

/// The SDK's words without those that say nothing.
fn reason(error: &OTelSdkError) -> String {
    match error {
        OTelSdkError::AlreadyShutdown => "the proxy is about to end".to_owned(),
        OTelSdkError::Timeout(after) => format!("no answer within {} s", after.as_secs()),
        OTelSdkError::InternalFailure(reason) => reason.clone(),
    }
}

impl SpanExporter for Reported {
    /// Dropping it loses the batch.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.exporter.export(batch).await;
        self.say(&outcome, spans);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

//! Traces by OTLP (OpenTelemetry): spans of requests, of their attempts, and of token requests.
//!
//! Spans are made by the official SDK, and a thread of its own sends them in batches. A collector that is away or
//! slow costs spans, never a request: what does not fit into the queue is dropped.

mod client;
mod context;
mod exporter;

use std::ops::Range;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Span as _, SpanBuilder, SpanKind, Status, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span};
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use url::Url;

pub use context::{parent, trace_id, traceparent};

use client::Client;
use exporter::Reported;

const SERVICE: &str = "cxone-proxy";
/// What the SDK calls a service that nobody has named.
const UNNAMED: &str = "unknown_service";

/// Where traces go. The other `OTEL_*` variables are read by the SDK itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The collector.
    pub endpoint: Url,
    /// The variable that names it.
    pub variable: &'static str,
    /// How it is spoken to.
    pub transport: Transport,
}

impl Settings {
    /// The collector, for people: without what may hold a password.
    pub fn shown(&self) -> String {
        let mut endpoint = self.endpoint.clone();
        // An address without a host has no password.
        let _ = endpoint.set_username("");
        let _ = endpoint.set_password(None);
        endpoint.set_query(None);
        endpoint.into()
    }
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// OTLP over HTTP, in Protobuf.
    HttpProtobuf,
    /// OTLP over HTTP, in JSON.
    HttpJson,
    /// OTLP over gRPC, without TLS.
    Grpc,
}

/// Why traces cannot be sent.
#[derive(Debug, Error)]
pub enum TracesError {
    /// No HTTP client can be made.
    #[error("no HTTP client can be made for the collector of traces")]
    Client(#[source] reqwest::Error),
    /// A variable of OpenTelemetry does not fit.
    #[error("traces cannot be sent: {0}. Check the variables OTEL_EXPORTER_OTLP_*")]
    Exporter(String),
}

impl From<ExporterBuildError> for TracesError {
    fn from(error: ExporterBuildError) -> Self {
        Self::Exporter(error.to_string())
    }
}

/// Makes spans. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts the thread that sends. `tls` and `forward_proxy` say how a collector over HTTP is reached. To be called on
    /// the runtime that drives the sending.
    pub fn start(
        settings: &Settings,
        tls: rustls::ClientConfig,
        forward_proxy: Option<Url>,
    ) -> Result<Self, TracesError> {
        let exporter = match settings.transport {
            Transport::HttpProtobuf => over_http(Protocol::HttpBinary, tls, forward_proxy)?,
            Transport::HttpJson => over_http(Protocol::HttpJson, tls, forward_proxy)?,
            Transport::Grpc => SpanExporter::builder().with_tonic().build()?,
        };
        let exporter = Reported::new(exporter, settings);
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build();
        Ok(Self::of(provider))
    }

    fn of(provider: SdkTracerProvider) -> Self {
        Self { tracer: provider.tracer(SERVICE), provider }
    }

    /// Begins a span. Without a parent it begins a trace, where the sampler wants one.
    pub fn begin(&self, span: SpanBuilder, parent: &Context) -> Span {
        self.tracer.build_with_context(span, parent)
    }

    /// A request to the token endpoint, which has ended.
    pub fn token_request(&self, request: &TokenRequest<'_>) {
        let TokenRequest { profile, grant, outcome, ref time } = *request;
        let attributes = [
            KeyValue::new("cxone_proxy.profile", profile.to_owned()),
            KeyValue::new("cxone_proxy.grant", grant),
            KeyValue::new("cxone_proxy.outcome", outcome),
        ];
        let builder = SpanBuilder::from_name("token request")
            .with_kind(SpanKind::Client)
            .with_start_time(time.start)
            .with_attributes(attributes);
        let mut span = self.begin(builder, &Context::new());
        if outcome != "ok" {
            span.set_attribute(KeyValue::new("error.type", outcome));
            span.set_status(Status::error(""));
        }
        span.end_with_timestamp(time.end);
    }

    /// Sends what has not been sent yet, and ends the thread. Takes no longer than `limit`. Dropping it leaves the
    /// sending to itself.
    pub async fn end(&self, limit: Duration) {
        let provider = self.provider.clone();
        // A collector that is away has been reported by the exporter.
        let _ = spawn_blocking(move || provider.shutdown_with_timeout(limit)).await;
    }
}

/// A request to the token endpoint, which has ended.
#[derive(Clone, Debug)]
pub struct TokenRequest<'a> {
    /// Whose token it is about.
    pub profile: &'a str,
    /// The grant.
    pub grant: &'static str,
    /// `ok`, or what went wrong.
    pub outcome: &'static str,
    /// From when until when.
    pub time: Range<SystemTime>,
}

fn over_http(
    protocol: Protocol,
    tls: rustls::ClientConfig,
    forward_proxy: Option<Url>,
) -> Result<SpanExporter, TracesError> {
    let client = Client::new(Handle::current(), tls, forward_proxy).map_err(TracesError::Client)?;
    Ok(SpanExporter::builder().with_http().with_protocol(protocol).with_http_client(client).build()?)
}

/// What all spans say of this process.
fn resource() -> Resource {
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let found = Resource::builder().with_attribute(version.clone()).build();
    let is_named = found
        .get(&Key::from_static_str("service.name"))
        .is_some_and(|name| !name.as_str().starts_with(UNNAMED));
    if is_named {
        found
    } else {
        Resource::builder().with_service_name(SERVICE).with_attribute(version).build()
    }
}

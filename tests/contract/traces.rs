//! Section 12: traces by OTLP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use cxone_simulator::{Action, Canned, Ending, Endpoint, Fault, Script};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message as _;
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;

use crate::support::{Launch, Setup, eventually, get, request};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A collector of traces on a port of its own. Ends with this value.
struct Collector {
    url: String,
    received: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    _tasks: JoinSet<()>,
}

struct Grpc(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn over_http() -> Self {
        let received = Arc::<Mutex<Vec<ExportTraceServiceRequest>>>::default();
        let kept = Arc::clone(&received);
        let take = async move |headers: HeaderMap, body: Bytes| {
            let request = if headers["content-type"] == "application/json" {
                serde_json::from_slice(&body).unwrap()
            } else {
                assert_eq!(headers["content-type"], "application/x-protobuf");
                ExportTraceServiceRequest::decode(body).unwrap()
            };
            kept.lock().unwrap().push(request);
            StatusCode::OK
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let app = Router::new().route("/v1/traces", post(take));
            axum::serve(listener, app).await.unwrap();
        });
        Self { url, received, _tasks: tasks }
    }

    async fn over_grpc() -> Self {
        let received = Arc::<Mutex<Vec<ExportTraceServiceRequest>>>::default();
        let service = TraceServiceServer::new(Grpc(Arc::clone(&received)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { url, received, _tasks: tasks }
    }

    fn launch(&self, launch: Launch) -> Launch {
        launch.variable("OTEL_EXPORTER_OTLP_ENDPOINT", &self.url).variable("OTEL_BSP_SCHEDULE_DELAY", "50")
    }

    fn spans(&self) -> Vec<Span> {
        let received = self.received.lock().unwrap();
        let scopes = received.iter().flat_map(|own| &own.resource_spans).flat_map(|own| &own.scope_spans);
        scopes.flat_map(|own| own.spans.clone()).collect()
    }

    /// Waits for the server's span on this path, and for those of its attempts in their order.
    async fn request(&self, path: &str) -> (Span, Vec<Span>) {
        let server = eventually("the server's span", async || {
            let mut spans = self.spans().into_iter();
            spans.find(|own| own.kind() == SpanKind::Server && text(own, "url.path").as_deref() == Some(path))
        })
        .await;
        let mut attempts = self.spans();
        attempts.retain(|own| own.parent_span_id == server.span_id);
        attempts.sort_by_key(|own| own.start_time_unix_nano);
        (server, attempts)
    }
}

fn value(span: &Span, key: &str) -> Option<Value> {
    let found = span.attributes.iter().find(|own| own.key == key)?;
    found.value.clone()?.value
}

fn text(span: &Span, key: &str) -> Option<String> {
    let Value::StringValue(text) = value(span, key)? else { panic!("{key} is no text") };
    Some(text)
}

fn number(span: &Span, key: &str) -> Option<i64> {
    let Value::IntValue(number) = value(span, key)? else { panic!("{key} is no number") };
    Some(number)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + format!("{byte:02x}").as_str())
}

/// The lines of a field that the API received, request by request.
fn received(setup: &Setup, field: &str) -> Vec<Option<String>> {
    let api = setup.region.journal().into_iter().filter(|entry| entry.endpoint == Endpoint::Api);
    api.map(|entry| {
        entry.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(field)).map(|(_, value)| value.clone())
    })
    .collect()
}

#[tokio::test]
async fn a_request_with_a_401_and_a_429_can_be_read_from_its_spans() {
    let collector = Collector::over_http().await;
    let setup = Setup::launched(|launch| collector.launch(launch).flag("access-log", "all")).await;
    let once = |status| Fault::new(Action::Status(Canned::new(status))).at(Endpoint::Api).times(1);
    setup.region.script(Script::of([once(401), once(429)]));
    let fields = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: vendor=1\r\n");
    let answer = setup.fetch(request("POST", "/api/v2/echo?secret=1", &fields, "hello")).await;
    assert_eq!(answer.status(), 200);
    let (server, attempts) = collector.request("/api/v2/echo").await;
    assert_eq!((hex(&server.trace_id), hex(&server.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!(
        (server.name.as_str(), text(&server, "http.request.method").as_deref()),
        ("POST", Some("POST"))
    );
    assert_eq!(number(&server, "http.response.status_code"), Some(200));
    assert_eq!(text(&server, "server.address").as_deref(), Some("localhost"));
    assert_eq!(text(&server, "network.protocol.version").as_deref(), Some("1.1"));
    assert_eq!(text(&server, "cxone_proxy.profile").as_deref(), Some("default"));
    let statuses: Vec<_> =
        attempts.iter().map(|own| number(own, "http.response.status_code").unwrap()).collect();
    assert_eq!(statuses, [401, 429, 200]);
    let resent: Vec<_> = attempts.iter().map(|own| number(own, "http.request.resend_count")).collect();
    assert_eq!(resent, [None, Some(1), Some(2)]);
    assert!(attempts.iter().all(|own| own.kind() == SpanKind::Client && own.trace_id == server.trace_id));
    let url = text(&attempts[0], "url.full").unwrap();
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/api/v2/echo"), "{url}");
    let ends = attempts.windows(2).all(|two| two[0].end_time_unix_nano <= two[1].start_time_unix_nano);
    assert!(ends, "an attempt ends before the next one begins");
    assert!(attempts[2].end_time_unix_nano <= server.end_time_unix_nano);
    let events: Vec<_> = server.events.iter().map(|own| own.name.as_str()).collect();
    assert_eq!(events.iter().filter(|name| **name == "retry").count(), 2, "{events:?}");
    // What the API got: each attempt's own span, and the vendor's state.
    let sent: Vec<_> = received(&setup, "traceparent").into_iter().flatten().collect();
    let spans = attempts.iter().map(|own| format!("00-{TRACE}-{}-01", hex(&own.span_id)));
    assert_eq!(sent, spans.collect::<Vec<_>>());
    assert!(received(&setup, "tracestate").iter().all(|own| own.as_deref() == Some("vendor=1")));
    // Token requests are spans of their own, and nothing of a secret is anywhere.
    let tokens: Vec<_> = collector.spans().into_iter().filter(|own| own.name == "token request").collect();
    assert_eq!(tokens.len(), 2);
    assert_eq!(text(&tokens[0], "cxone_proxy.outcome").as_deref(), Some("ok"));
    let all = format!("{:?}", collector.received.lock().unwrap());
    assert!(all.contains("cxone-proxy") && !all.contains("secret"), "{all}");
}

#[tokio::test]
async fn the_callers_flag_decides_and_without_one_a_trace_begins() {
    let collector = Collector::over_http().await;
    let setup = Setup::launched(|launch| collector.launch(launch).flag("access-log", "all")).await;
    let unsampled = format!("traceparent: 00-{TRACE}-{PARENT}-00\r\n");
    assert_eq!(setup.fetch(request("GET", "/api/v2/users/me?1", &unsampled, "")).await.status(), 200);
    let broken = "traceparent: 00-0-0-01\r\ntracestate: vendor=1\r\n";
    assert_eq!(setup.fetch(request("GET", "/api/v2/echo", broken, "")).await.status(), 200);
    let (server, attempts) = collector.request("/api/v2/echo").await;
    assert!(server.parent_span_id.is_empty() && attempts.len() == 1);
    let sent = received(&setup, "traceparent");
    let first = sent[0].as_deref().unwrap();
    assert!(first.starts_with(&format!("00-{TRACE}-")) && first.ends_with("-00"), "{first}");
    let trace = hex(&server.trace_id);
    assert_eq!(sent[1].as_deref(), Some(&*format!("00-{trace}-{}-01", hex(&attempts[0].span_id))));
    assert_eq!(received(&setup, "tracestate")[1], None, "it belongs to a trace that has ended here");
    assert!(!collector.spans().iter().any(|own| hex(&own.trace_id) == TRACE));
    // The line of the log names the trace that was begun.
    eventually("the line", async || {
        let events = setup.proxy.events();
        events.iter().any(|own| own["target"] == "access" && own["trace_id"] == trace.as_str()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn spans_say_what_failed() {
    let collector = Collector::over_http().await;
    let setup = Setup::launched(|launch| collector.launch(launch)).await;
    let closes = Fault::new(Action::DropAfter { how: Ending::default() }).at(Endpoint::Api).times(1);
    setup.region.script(Script::of([closes]));
    assert_eq!(setup.fetch(request("POST", "/api/v2/echo", "", "hello")).await.status(), 502);
    let (server, attempts) = collector.request("/api/v2/echo").await;
    assert!(text(&server, "error.type").unwrap().starts_with("upstream-"), "{server:?}");
    assert_eq!(number(&server, "http.response.status_code"), Some(502));
    assert_eq!(attempts.len(), 1);
    assert_eq!(number(&attempts[0], "http.response.status_code"), None);
    assert_eq!(text(&attempts[0], "error.type").as_deref(), Some("unreachable"));
    assert_eq!(attempts[0].status.as_ref().map(|own| own.code), Some(2));
}

#[tokio::test]
async fn json_and_grpc_are_spoken_as_well() {
    for (protocol, collector) in
        [("http/json", Collector::over_http().await), ("grpc", Collector::over_grpc().await)]
    {
        let launched = |launch| collector.launch(launch).variable("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let setup = Setup::launched(launched).await;
        assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
        let (server, attempts) = collector.request("/api/v2/users/me").await;
        assert_eq!((server.name.as_str(), attempts.len()), ("GET", 1), "{protocol}");
    }
}

#[tokio::test]
async fn the_last_spans_are_sent_at_the_end() {
    let collector = Collector::over_http().await;
    let slow = |launch| collector.launch(launch).variable("OTEL_BSP_SCHEDULE_DELAY", "60000");
    let mut setup = Setup::launched(slow).await;
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    setup.in_flight(0).await;
    setup.proxy.signal(Signal::TERM);
    assert!(setup.proxy.ended().await.success());
    let (_, attempts) = collector.request("/api/v2/users/me").await;
    assert_eq!(attempts.len(), 1);
}

/// It costs spans, never a request, and the log says so.
#[tokio::test]
async fn a_collector_that_is_away_is_said_once() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let setup = Setup::launched(|launch| {
        launch.variable("OTEL_EXPORTER_OTLP_ENDPOINT", &url).variable("OTEL_BSP_SCHEDULE_DELAY", "20")
    })
    .await;
    for _ in 0..5 {
        assert_eq!(setup.fetch(get("/api/v2/users/me")).await.status(), 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let lines = || {
        let events = setup.proxy.events();
        events
            .into_iter()
            .map(|own| own["message"].as_str().unwrap_or_default().to_owned())
            .filter(|message| message.contains("trace"))
            .collect::<Vec<_>>()
    };
    eventually("the warning", async || (!lines().is_empty()).then_some(())).await;
    let lines = lines();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains(&url) && lines[0].contains("Check OTEL_EXPORTER_OTLP_ENDPOINT"), "{lines:?}");
}

/// It takes connections and says nothing.
#[tokio::test]
async fn a_collector_that_hangs_holds_neither_requests_nor_the_end_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut setup = Setup::launched(|launch| {
        launch.variable("OTEL_EXPORTER_OTLP_ENDPOINT", &url).variable("OTEL_BSP_SCHEDULE_DELAY", "20")
    })
    .await;
    for _ in 0..3 {
        assert_eq!(setup.fetch(get("/api/v2/users/me")).await.status(), 200);
    }
    // An export is under way.
    let (_held, _) = listener.accept().await.unwrap();
    let began = tokio::time::Instant::now();
    setup.proxy.signal(Signal::TERM);
    assert!(setup.proxy.ended().await.success());
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn without_a_collector_nothing_is_added() {
    let setup = Setup::new().await;
    let fields = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    assert_eq!(setup.fetch(request("GET", "/api/v2/users/me", &fields, "")).await.status(), 200);
    assert_eq!(setup.get("/api/v2/users/me").await.status(), 200);
    assert_eq!(received(&setup, "traceparent"), [Some(format!("00-{TRACE}-{PARENT}-01")), None]);
}

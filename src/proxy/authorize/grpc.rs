//! Envoy's external authorization (`envoy.service.auth.v3.Authorization`) over gRPC.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::config::core::v3::{HeaderValue as Field, HeaderValueOption};
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{
    CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse,
};
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::value::Kind;
use envoy_types::pb::google::protobuf::{Struct, Value};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use http::header::{CONTENT_TYPE, DATE, HOST};
use http::request::Parts;
use http::uri::Uri;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version};
use http_body_util::BodyExt as _;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::{GENERATION, Original, unclear};
use crate::access::{KEY_FIELD, Local, Problem};
use crate::fields::only;
use crate::proxy::arrival::Arrival;
use crate::proxy::body::Body;
use crate::proxy::in_flight::InFlight;
use crate::proxy::replay::{BoxError, ClientBody};
use crate::proxy::state::Shared;
use crate::tokens::AccessToken;

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";
/// The most bytes of a question. It holds the header of the original request, and perhaps a part of its body.
const LARGEST: usize = 256 * 1024;
/// What a person may name in `context_extensions` of a route.
const PROFILE: &str = "profile";

/// True for a question of Envoy. gRPC is HTTP/2 always, and no page can send its media type to another origin unasked.
pub(super) fn is_check(head: &Parts) -> bool {
    head.version == Version::HTTP_2
        && head.method == Method::POST
        && head.uri.path() == CHECK
        && only(&head.headers, CONTENT_TYPE)
            .is_ok_and(|line| line.is_some_and(|line| line.as_bytes().starts_with(b"application/grpc")))
}

/// One question, which borrows what answers it.
struct Check<'a> {
    shared: &'a Shared,
    arrival: Arrival,
    in_flight: Option<&'a mut InFlight>,
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<tonic::Response<CheckResponse>, Status>> + Send + 'a>>;

impl<'a> UnaryService<CheckRequest> for Check<'a> {
    type Response = CheckResponse;
    type Future = Answer<'a>;

    fn call(&mut self, request: tonic::Request<CheckRequest>) -> Answer<'a> {
        let (shared, arrival) = (self.shared, self.arrival.clone());
        let Some(in_flight) = self.in_flight.take() else {
            return Box::pin(async { Err(Status::internal("a question is answered once")) });
        };
        Box::pin(
            async move { Ok(tonic::Response::new(shared.check_envoy(arrival, request, in_flight).await)) },
        )
    }
}

/// The request that Envoy asks about.
struct Asked {
    head: Parts,
    original: Original,
    profile: Option<String>,
}

impl Shared {
    /// Answers Envoy. The problem is the guard's: that of the original request is within the answer.
    pub(super) async fn answer_envoy<B: ClientBody>(
        &self,
        arrival: Arrival,
        head: &mut Parts,
        body: B,
        in_flight: &mut InFlight,
    ) -> Result<Response<Body>, Problem> {
        let mut shown = head.clone();
        // Envoy writes the name of a cluster as host. The guard asks for a known one because of browsers, and no browser
        // sends gRPC to a page of its own.
        shown.uri = Uri::from_static("/");
        shown.headers.insert(HOST, HeaderValue::from_static("localhost"));
        let local = Local { ip: arrival.local_ip, is_secure: arrival.is_secure };
        self.guard.admit(&shown, local, |_, _| false)?;
        let mut request = Request::new(body.map_err(Into::<BoxError>::into));
        *request.headers_mut() = std::mem::take(&mut head.headers);
        let mut grpc = Grpc::new(ProstCodec::default()).max_decoding_message_size(LARGEST);
        let check = Check { shared: self, arrival, in_flight: Some(in_flight) };
        let (parts, body) = grpc.unary(check, request).await.into_parts();
        // One message that is there already: nothing is waited for.
        let collected = match body.collect().await {
            Ok(collected) => collected,
            Err(status) => return Ok(status.into_http()),
        };
        let (trailers, bytes) = (collected.trailers().cloned(), collected.to_bytes());
        Ok(Response::from_parts(parts, Body::message(bytes, trailers)))
    }

    async fn check_envoy(
        &self,
        arrival: Arrival,
        request: tonic::Request<CheckRequest>,
        in_flight: &mut InFlight,
    ) -> CheckResponse {
        let (metadata, _, check) = request.into_parts();
        let asked = Asked::read(&metadata.into_headers(), check);
        let outcome = match asked {
            Ok(mut asked) => {
                let request = (asked.original.method.clone(), asked.original.path.clone());
                let granted = self.grant_to_envoy(&arrival, &mut asked, in_flight).await;
                granted.map_err(|problem| (problem, Some(request)))
            }
            Err(problem) => Err((problem, None)),
        };
        match outcome {
            Ok(token) => allowed(&token),
            Err((problem, request)) => {
                let request = request.as_ref().map(|(method, path)| (method.as_str(), path.as_str()));
                self.note_problem(&problem, request, in_flight);
                denied(problem.into_response(&Method::GET, self.clock.now().wall))
            }
        }
    }

    async fn grant_to_envoy(
        &self,
        arrival: &Arrival,
        asked: &mut Asked,
        in_flight: &mut InFlight,
    ) -> Result<Arc<AccessToken>, Problem> {
        let caller = self.caller(arrival, &asked.head, in_flight)?;
        let profile = self.profile_of(asked.profile.as_deref(), Some(&asked.original))?;
        in_flight.belongs_to(profile);
        self.grant(caller, profile, &mut asked.head, Some(&asked.original), in_flight).await
    }
}

impl Asked {
    /// `metadata` is what Envoy says of itself: a key of its own goes before one of its client.
    fn read(metadata: &HeaderMap, check: CheckRequest) -> Result<Self, Problem> {
        let mut attributes = check.attributes.ok_or_else(|| unclear("is missing"))?;
        let profile = attributes.context_extensions.remove(PROFILE);
        let http =
            attributes.request.and_then(|request| request.http).ok_or_else(|| unclear("is missing"))?;
        let original = Original::read(http.method.as_bytes(), &http.path)?;
        let mut request = Request::new(());
        *request.headers_mut() = header(http.headers, http.header_map.map(|map| map.headers))?;
        *request.method_mut() = original.method.clone();
        let (mut head, ()) = request.into_parts();
        if metadata.contains_key(KEY_FIELD) {
            super::remove_field(&mut head.headers, KEY_FIELD);
            for key in metadata.get_all(KEY_FIELD) {
                head.headers.append(KEY_FIELD, key.clone());
            }
        }
        Ok(Self { head, original, profile })
    }
}

/// The header of the original request. Envoy sends one form or the other.
fn header(joined: HashMap<String, String>, lines: Option<Vec<Field>>) -> Result<HeaderMap, Problem> {
    let lines = lines.unwrap_or_default().into_iter().map(|Field { key, value, raw_value }| {
        let value = if raw_value.is_empty() { value.into_bytes() } else { raw_value };
        (key, value)
    });
    let joined = joined.into_iter().map(|(key, value)| (key, value.into_bytes()));
    let mut headers = HeaderMap::new();
    for (name, value) in joined.chain(lines).filter(|(name, _)| !name.starts_with(':')) {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| unclear("has a field without a name"))?;
        let value =
            HeaderValue::from_bytes(&value).map_err(|_| unclear("has a field with control characters"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn allowed(token: &AccessToken) -> CheckResponse {
    let authorization = text(token.authorization());
    let generation = Value { kind: Some(Kind::StringValue(token.generation().to_string())) };
    CheckResponse {
        status: Some(RpcStatus { code: Code::Ok as i32, ..RpcStatus::default() }),
        // For `POST /auth/rejected`, where the API says 401.
        dynamic_metadata: Some(Struct { fields: HashMap::from([(GENERATION.to_string(), generation)]) }),
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers: vec![field("authorization", authorization)],
            // A client's key is for this program alone.
            headers_to_remove: vec![KEY_FIELD.to_string()],
            ..OkHttpResponse::default()
        })),
    }
}

/// The problem that Envoy is to answer with.
fn denied(response: Response<Bytes>) -> CheckResponse {
    let (parts, body) = response.into_parts();
    let code = match parts.status.as_u16() {
        401 => Code::Unauthenticated,
        429 => Code::ResourceExhausted,
        500.. => Code::Unavailable,
        _ => Code::PermissionDenied,
    };
    // All lines of a field come one after the other.
    let mut before = None;
    let headers = parts.headers.iter().filter(|(name, _)| *name != DATE).map(|(name, value)| {
        let mut line = field(name.as_str(), text(value));
        if before.replace(name) == Some(name) {
            line.append_action = HeaderAppendAction::AppendIfExistsOrAdd.into();
        }
        line
    });
    let headers = headers.collect();
    CheckResponse {
        status: Some(RpcStatus { code: code as i32, ..RpcStatus::default() }),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
            status: Some(HttpStatus { code: i32::from(parts.status.as_u16()) }),
            headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        })),
    }
}

fn field(name: &str, value: String) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(Field { key: name.to_owned(), value, ..Field::default() }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

//! What the token endpoint's response means (RFC 6749 sections 5.1 and 5.2). Pure.
//!
//! Decides token or failure. When the next request is sent is decided in [`schedule`](super::schedule).

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use url::Url;

use super::claims::{self, Claims};
use super::error::RequestError;
use super::http_client::{Body, is_decoded};
use super::json_text;
use super::redact::Redactor;
use super::token::{LONGEST_LIFETIME, RefreshToken};
use crate::cause::{Cause, Stage};
use crate::secret::Secret;

/// A token's lifetime where neither the response nor the token itself states one.
const USUAL_LIFETIME: Duration = Duration::from_hours(1);

/// The most scopes of a response that are kept for display, and the longest of them.
const MOST_SCOPES: usize = 256;
const LONGEST_SCOPE: usize = 200;

/// The codes of RFC 6749 section 5.2. A response with one of them is a refusal whatever its status: some
/// endpoints put `invalid_client` into a 200 or a 500.
const REFUSALS: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// What a successful token response brought.
#[derive(Debug)]
pub struct TokenResponse {
    /// Legal in a header: visible ASCII only.
    pub access_token: Secret,
    /// The next refresh token, where there is one.
    pub refresh_token: Option<RefreshToken>,
    /// The scopes granted, where the response named any.
    pub scopes: Option<Vec<String>>,
    /// The tenant and the area of the token.
    pub claims: Claims,
    /// How long the token lives, as its issuer states it.
    pub lifetime: Duration,
    /// Another replica has obtained it.
    pub is_shared: bool,
}

/// A response as it came over the connection.
#[derive(Debug)]
pub(super) struct RawResponse {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    /// A content coding that is left after decoding.
    pub(super) content_encoding: Option<String>,
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Body,
}

/// Reads one response to a request that was sent at `requested`. The redactor knows what was sent: no text
/// of the outcome contains a secret.
pub(super) fn read(
    response: &RawResponse,
    requested: SystemTime,
    redactor: &Redactor,
) -> Result<TokenResponse, RequestError> {
    let retry_after = response.retry_after;
    outcome(response, requested, redactor).map_err(|cause| RequestError { cause, retry_after })
}

fn outcome(
    response: &RawResponse,
    requested: SystemTime,
    redactor: &Redactor,
) -> Result<TokenResponse, Cause> {
    let status = response.status;
    match status {
        429 => Err(Cause::RateLimited),
        300..=399 => {
            let to = response.location.as_deref().and_then(|to| target(to, redactor));
            Err(Cause::Redirected { status, to })
        }
        200..=299 => success(response, requested, redactor),
        400..=499 => {
            let object = object_in(&response.body).unwrap_or_default();
            Err(refusal(status, &object, redactor))
        }
        500..=599 => match object_in(&response.body) {
            Some(object) if is_refusal(&object) => Err(refusal(status, &object, redactor)),
            Some(_) | None => Err(Cause::ServerError(status)),
        },
        _ => Err(Cause::Unusable(format!("it has the status {status}"))),
    }
}

fn success(
    response: &RawResponse,
    requested: SystemTime,
    redactor: &Redactor,
) -> Result<TokenResponse, Cause> {
    let Some(mut object) = object_in(&response.body) else {
        return Err(no_object(response, redactor));
    };
    if !object.contains_key("access_token") && is_refusal(&object) {
        return Err(refusal(response.status, &object, redactor));
    }
    let access_token = access_token(&mut object).map_err(unusable)?;
    token_type(&object).map_err(unusable)?;
    let own = claims::in_jwt(access_token.reveal());
    let lifetime = lifetime(&object, own.as_ref(), requested);
    // Where the access token is opaque, the identity token beside it names the tenant.
    let identity = text(&mut object, "id_token").and_then(|token| claims::in_jwt(token.reveal()));
    let claims = Claims::of(&[own, identity], redactor);
    let scopes =
        object.get("scope").and_then(Value::as_str).map(|scope| scopes(scope, &access_token, redactor));
    let refresh_token = text(&mut object, "refresh_token").map(RefreshToken::new);
    Ok(TokenResponse { access_token, refresh_token, scopes, claims, lifetime, is_shared: false })
}

fn unusable(what: &'static str) -> Cause {
    Cause::Unusable(what.to_owned())
}

/// What a successful status came with instead of a JSON object.
fn no_object(response: &RawResponse, redactor: &Redactor) -> Cause {
    let content_type = response.content_type.as_deref();
    let content_type = content_type.map_or("none".to_owned(), |value| redactor.redact(value));
    let described = format!("(status {}, content type {content_type})", response.status);
    let coding = response.content_encoding.as_deref().map(|value| redactor.redact(value));
    let what = match (&response.body, coding) {
        (Body::BrokeOff, _) => return Cause::Closed { in_response: true },
        (Body::Late(after), _) => return Cause::TimedOut { stage: Stage::Reading, after: *after },
        (Body::TooLong, _) => format!("it is larger than 64 KiB {described}"),
        (Body::Undecodable(coding), _) => {
            format!("its body is not what its content coding {coding} says {described}")
        }
        (Body::Whole(bytes), _) if bytes.is_empty() => "it is empty".to_owned(),
        (Body::Whole(_), Some(coding)) if !is_decoded(&coding) => {
            format!("its content coding {coding} was not asked for and is not supported {described}")
        }
        (Body::Whole(bytes), _) if bytes.starts_with(&[0x1f, 0x8b]) => {
            format!("it is compressed by gzip and has no Content-Encoding that says so {described}")
        }
        (Body::Whole(_), _) => format!("it is not a JSON object {described}"),
    };
    Cause::Unusable(what)
}

/// Where a redirect points, without what may hide secrets: user information, query and fragment.
fn target(location: &str, redactor: &Redactor) -> Option<String> {
    let Ok(url) = Url::parse(location) else {
        let path = location.split(['?', '#']).next().unwrap_or_default();
        return (!path.is_empty()).then(|| redactor.redact(path));
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(redactor.redact(&format!("{}://{}{port}{}", url.scheme(), url.host_str()?, url.path())))
}

fn object_in(body: &Body) -> Option<Map<String, Value>> {
    match body {
        Body::Whole(bytes) => serde_json::from_str(json_text::decode(bytes).trim_end_matches('\0')).ok(),
        Body::TooLong | Body::Undecodable(_) | Body::BrokeOff | Body::Late(_) => None,
    }
}

fn is_refusal(object: &Map<String, Value>) -> bool {
    object.get("error").and_then(Value::as_str).is_some_and(|error| REFUSALS.contains(&error))
}

fn refusal(status: u16, object: &Map<String, Value>, redactor: &Redactor) -> Cause {
    let text = |key: &str| {
        let text = object.get(key).and_then(Value::as_str)?;
        (!text.trim().is_empty()).then(|| redactor.redact(text))
    };
    Cause::Refused { status, error: text("error"), description: text("error_description") }
}

/// Moves a string out of the object, so that no copy of it stays behind.
fn text(object: &mut Map<String, Value>, key: &str) -> Option<Secret> {
    match object.remove(key)? {
        Value::String(text) if !text.is_empty() => Some(Secret::new(text)),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}

fn access_token(object: &mut Map<String, Value>) -> Result<Secret, &'static str> {
    let token = text(object, "access_token").ok_or("it has no access_token that is a string")?;
    if token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err("its access_token has characters that are not allowed in a header")
    }
}

/// Some endpoints leave `token_type` out, and none of them means anything but `Bearer`.
fn token_type(object: &Map<String, Value>) -> Result<(), &'static str> {
    let stated = match object.get("token_type") {
        None | Some(Value::Null) => return Ok(()),
        Some(stated) => stated.as_str(),
    };
    if stated.is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer")) {
        Ok(())
    } else {
        Err("its token_type is not Bearer")
    }
}

fn scopes(scope: &str, access_token: &Secret, redactor: &Redactor) -> Vec<String> {
    let is_secret = |name: &str| redactor.finds_in(name) || name.contains(access_token.reveal());
    let names = scope.split_ascii_whitespace().filter(|name| name.len() <= LONGEST_SCOPE).take(MOST_SCOPES);
    names.filter(|name| !is_secret(name)).map(|name| redactor.redact(name)).collect()
}

/// The response's `expires_in`, else the token's own `exp`, else an hour.
fn lifetime(
    object: &Map<String, Value>,
    own: Option<&Map<String, Value>>,
    requested: SystemTime,
) -> Duration {
    let stated = object.get("expires_in").and_then(seconds);
    let lifetime = stated.or_else(|| left(own?, requested)).unwrap_or(USUAL_LIFETIME);
    lifetime.min(LONGEST_LIFETIME)
}

/// A positive number of whole seconds, written as a number or as a string of digits.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => whole(number)?,
        Value::String(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().unwrap_or(u64::MAX)
        }
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// A number's whole part; some endpoints write `3600.0`.
fn whole(number: &serde_json::Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let number = number.as_f64().filter(|number| *number >= 1.0)?;
        Some(Duration::try_from_secs_f64(number).map_or(u64::MAX, |duration| duration.as_secs()))
    })
}

/// What is left until the `exp` of a JWT (RFC 7519 section 4.1.4), where that lies ahead.
fn left(claims: &Map<String, Value>, requested: SystemTime) -> Option<Duration> {
    let Value::Number(exp) = claims.get("exp")? else { return None };
    let exp = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(whole(exp)?));
    // A moment that the calendar cannot hold lies ahead of everything.
    let left = exp.map_or(LONGEST_LIFETIME, |exp| exp.duration_since(requested).unwrap_or_default());
    (left > Duration::ZERO).then_some(left)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

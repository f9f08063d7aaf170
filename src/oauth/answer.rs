//! What the token endpoint's answer means (RFC 6749 sections 5.1 and 5.2). Pure.
//!
//! Decides token or failure. Knows nothing of when to ask again, nor of connections.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use url::Url;
use zeroize::Zeroizing;

use super::claims::{self, Claims};
use super::failure::{Failure, Why};
use super::grant::GrantType;
use super::shown::shown;
use super::token::{LONGEST_LIFETIME, RefreshToken};
use crate::secret::Secret;

/// What a token lives where neither the answer nor the token itself says it.
const USUAL_LIFETIME: Duration = Duration::from_hours(1);

/// The most scopes of an answer that are kept for display.
const MOST_SCOPES: usize = 256;

/// The codes of RFC 6749 section 5.2. Where an answer carries one of them it is a refusal whatever
/// its status says: some endpoints put `invalid_client` into a 200 or a 500.
const REFUSALS: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

/// What a token answer brought.
#[derive(Debug)]
pub struct Obtained {
    /// Legal in a field: visible ASCII only.
    pub access_token: Secret,
    /// The next refresh token, where there is one.
    pub refresh_token: Option<RefreshToken>,
    /// The scopes granted, where the answer named any.
    pub scopes: Option<Vec<String>>,
    /// Whose token it is.
    pub claims: Claims,
    /// How long the access token lives, counted from the asking.
    pub lifetime: Duration,
}

/// An answer as it came off the wire.
#[derive(Debug)]
pub(super) struct Reply {
    /// What the request asked with.
    pub(super) grant: GrantType,
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) location: Option<String>,
    pub(super) retry_after: Option<Duration>,
    pub(super) content: Content,
}

/// An answer's content, as far as it came.
#[derive(Debug)]
pub(super) enum Content {
    Whole(Zeroizing<Vec<u8>>),
    TooLong,
    BrokeOff(String),
    Late,
}

/// Judges one answer to a request that was sent at `asked`. The `secrets` are what was sent: no text
/// of the verdict contains them.
pub(super) fn judge(reply: &Reply, asked: SystemTime, secrets: &[&Secret]) -> Result<Obtained, Failure> {
    let retry_after = reply.retry_after;
    verdict(reply, asked, secrets).map_err(|why| Failure { why, retry_after })
}

fn verdict(reply: &Reply, asked: SystemTime, secrets: &[&Secret]) -> Result<Obtained, Why> {
    let status = reply.status;
    match status {
        429 => Err(Why::RateLimited),
        300..=399 => {
            Err(Why::Redirected { status, to: reply.location.as_deref().and_then(|to| place(to, secrets)) })
        }
        200..=299 => success(reply, asked, secrets),
        400..=499 => {
            let object = object_in(&reply.content).unwrap_or_default();
            Err(refusal(reply, &object, secrets))
        }
        500..=599 => match object_in(&reply.content) {
            Some(object) if is_refusal(&object) => Err(refusal(reply, &object, secrets)),
            _ => Err(Why::Failed(status)),
        },
        _ => Err(Why::Unusable(format!("it has the status {status}"))),
    }
}

fn success(reply: &Reply, asked: SystemTime, secrets: &[&Secret]) -> Result<Obtained, Why> {
    let what = match &reply.content {
        Content::Whole(bytes) if bytes.is_empty() => "it is empty".to_owned(),
        Content::Whole(_) => format!("it is not a JSON object {}", described(reply, secrets)),
        Content::TooLong => format!("it is larger than 64 KiB {}", described(reply, secrets)),
        Content::BrokeOff(how) => return Err(Why::Unreachable(how.clone())),
        Content::Late => return Err(Why::TimedOut),
    };
    let mut object = object_in(&reply.content).ok_or(Why::Unusable(what))?;
    if !object.contains_key("access_token") && is_refusal(&object) {
        return Err(refusal(reply, &object, secrets));
    }
    let access_token = access_token(&mut object).map_err(unusable)?;
    token_type(&object).map_err(unusable)?;
    let own = claims::in_jwt(access_token.reveal());
    let lifetime = lifetime(&object, own.as_ref(), asked);
    // Where the access token keeps its claims to itself, the identity token beside it names the tenant.
    let identity = text(&mut object, "id_token").and_then(|token| claims::in_jwt(token.reveal()));
    let claims = Claims::of(&[own, identity], secrets);
    let scopes =
        object.get("scope").and_then(Value::as_str).map(|scope| scopes(scope, &access_token, secrets));
    let refresh_token = text(&mut object, "refresh_token").map(RefreshToken::new);
    Ok(Obtained { access_token, refresh_token, scopes, claims, lifetime })
}

fn unusable(what: &'static str) -> Why {
    Why::Unusable(what.to_owned())
}

fn described(reply: &Reply, secrets: &[&Secret]) -> String {
    let kind = reply.content_type.as_deref().map_or("none".to_owned(), |kind| shown(kind, secrets));
    format!("(status {}, content type {kind})", reply.status)
}

/// Where a redirect points, without what may hide secrets: user information, query and fragment.
fn place(location: &str, secrets: &[&Secret]) -> Option<String> {
    let Ok(url) = Url::parse(location) else {
        let path = location.split(['?', '#']).next().unwrap_or_default();
        return (!path.is_empty()).then(|| shown(path, secrets));
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(shown(&format!("{}://{}{port}{}", url.scheme(), url.host_str()?, url.path()), secrets))
}

fn object_in(content: &Content) -> Option<Map<String, Value>> {
    match content {
        Content::Whole(bytes) => serde_json::from_slice(bytes).ok(),
        Content::TooLong | Content::BrokeOff(_) | Content::Late => None,
    }
}

fn is_refusal(object: &Map<String, Value>) -> bool {
    object.get("error").and_then(Value::as_str).is_some_and(|error| REFUSALS.contains(&error))
}

fn refusal(reply: &Reply, object: &Map<String, Value>, secrets: &[&Secret]) -> Why {
    let said = |key: &str| {
        let text = object.get(key).and_then(Value::as_str)?;
        (!text.trim().is_empty()).then(|| shown(text, secrets))
    };
    let (status, grant) = (reply.status, reply.grant);
    Why::Refused { status, grant, error: said("error"), description: said("error_description") }
}

/// Moves a text out of the object, so that no copy of it stays behind.
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
    let token = text(object, "access_token").ok_or("it has no access_token that is a text")?;
    if token.reveal().bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(token)
    } else {
        Err("its access_token has characters that are not allowed in a field")
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

fn scopes(scope: &str, access_token: &Secret, secrets: &[&Secret]) -> Vec<String> {
    let is_a_secret =
        |name: &str| secrets.iter().chain([&access_token]).any(|secret| name.contains(secret.reveal()));
    let names = scope.split_ascii_whitespace().filter(|name| !is_a_secret(name));
    names.take(MOST_SCOPES).map(|name| shown(name, &[])).collect()
}

/// The answer's `expires_in`, else the token's own `exp`, else an hour.
fn lifetime(object: &Map<String, Value>, own: Option<&Map<String, Value>>, asked: SystemTime) -> Duration {
    let stated = object.get("expires_in").and_then(seconds);
    let lifetime = stated.or_else(|| left(own?, asked)).unwrap_or(USUAL_LIFETIME);
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
fn left(claims: &Map<String, Value>, asked: SystemTime) -> Option<Duration> {
    let Value::Number(exp) = claims.get("exp")? else { return None };
    let exp = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(whole(exp)?));
    // A moment that the calendar cannot hold lies ahead of everything.
    let left = exp.map_or(LONGEST_LIFETIME, |exp| exp.duration_since(asked).unwrap_or_default());
    (left > Duration::ZERO).then_some(left)
}

#[cfg(test)]
mod tests;
